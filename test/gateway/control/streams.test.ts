/** Answers that go on: over a real socket, to readers that read, that go away, and that do not read. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Parsed } from '../../../src/gateway/control/body.ts';
import { errorOf } from '../../../src/gateway/control/errors.ts';
import { type Events, eventStream } from '../../../src/gateway/control/event-stream.ts';
import { boundedServer } from '../../../src/gateway/control/http-server.ts';
import { events as answersEvents } from '../../../src/gateway/control/routes/route.ts';
import { listenAt } from '../../../src/gateway/control/socket.ts';
import { Streams } from '../../../src/gateway/control/streams.ts';

const QUEUE = 65_536;
let folder: string;
let path: string;
let close: () => void;
let streams: Streams;
/** Of the streams that have begun. */
let begun: Events[];
let stopped: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-streams-'));
  path = join(folder, 's');
  streams = new Streams({ queueBytes: QUEUE, most: 3 });
  begun = [];
  stopped = 0;
  const app = new OpenAPIHono<Parsed>();
  app.onError((error, c) => c.json(errorOf(error).body, errorOf(error).status));
  const route = createRoute({ method: 'get', path: '/v1/ticks', responses: answersEvents(z.int(), 'Ticks') });
  app.openapi(route, () =>
    eventStream(
      streams,
      (events) => {
        begun.push(events);
        return () => stopped++;
      },
      50,
    ),
  );
  expect(app.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 't', version: '1' } }).paths).toEqual({
    '/v1/ticks': {
      get: expect.objectContaining({
        responses: expect.objectContaining({
          200: { description: 'Ticks', content: { 'text/event-stream': { schema: { type: 'integer' } } } },
        }),
      }),
    },
  });
  const server = boundedServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }), 300);
  close = await listenAt(server, { path, mode: 0o600, gid: null });
});
afterEach(() => {
  close();
  rmSync(folder, { recursive: true });
});

async function get(): Promise<IncomingMessage> {
  const sent = request({ socketPath: path, path: '/v1/ticks' });
  sent.on('error', () => {});
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.setEncoding('utf8');
  return response;
}

/** What has come, when it has that in it. */
async function shows(response: IncomingMessage, wanted: string): Promise<string> {
  let text = '';
  for await (const part of response.iterator({ destroyOnReturn: false })) {
    text += part;
    if (text.includes(wanted)) return text;
  }
  throw new Error(`it ended: ${text}`);
}

it('events come as they are sent, until they end', async () => {
  const response = await get();
  expect(response.statusCode).toBe(200);
  expect(response.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
  });
  expect(begun[0]!.send('tick', { line: 'a\nb' }, '7')).toBe(true);
  const wanted = 'event: tick\nid: 7\ndata: {"line":"a\\nb"}\n\n';
  expect(await shows(response, wanted)).toMatch(/^:\n\n/);
  begun[0]!.send('tick', 2);
  begun[0]!.end();
  expect(begun[0]!.send('tick', 3)).toBe(false);
  let rest = '';
  for await (const part of response) rest += part;
  expect(rest.replaceAll(':\n\n', '')).toBe('event: tick\ndata: 2\n\n');
  expect([streams.size, stopped]).toEqual([0, 1]);
});

it('something comes when nothing happens', async () => {
  await shows(await get(), ':\n\n:\n\n:\n\n');
});

it('stops when the reader has gone', async () => {
  const response = await get();
  expect(streams.size).toBe(1);
  response.destroy();
  while (stopped === 0) await turn();
  expect(streams.size).toBe(0);
  expect(begun[0]!.send('tick', 1)).toBe(false);
});

it('so many at a time and no more', async () => {
  const open = [await get(), await get(), await get()];
  const refused = await get();
  expect(refused.statusCode).toBe(429);
  expect(await shows(refused, '}')).toContain('"too_many_streams"');
  open[1]!.destroy();
  while (stopped === 0) await turn();
  expect((await get()).statusCode).toBe(200);
});

it('a slow reader misses events in the middle, is told exactly how many, and memory stays bounded', async () => {
  const response = await get();
  response.pause();
  const text = 'x'.repeat(1000);
  let sent = 0;
  // The buffers of the socket and of HTTP are filled before the queue is; in turns, as packets come.
  for (let i = 0; i < 4000; i++) {
    if (begun[0]!.send('tick', text)) sent++;
    if (i % 100 === 0) await turn();
  }
  expect(sent).toBeLessThan(3000);
  const rest = shows(response, 'event: last');
  let refused = 4000 - sent;
  for (; !begun[0]!.send('last', null); refused++) await turn();
  const got = await rest;
  expect(got.match(/^event: tick$/gm)).toHaveLength(sent);
  const gaps = [...got.matchAll(/^event: gap\ndata: \{"missed":(\d+)\}$/gm)];
  expect(gaps.reduce((sum, [, missed]) => sum + Number(missed), 0)).toBe(refused);
  expect(got.indexOf('event: gap')).toBeGreaterThan(got.indexOf('event: tick'));
});

it('who does not read at all is cut off, and others are not', async () => {
  const good = await get();
  const bad = connect(path);
  bad.pause();
  bad.write('GET /v1/ticks HTTP/1.1\r\nhost: x\r\n\r\n');
  while (begun.length < 2) await turn();
  const text = 'x'.repeat(1000);
  good.resume();
  while (stopped === 0) {
    for (const events of begun) events.send('tick', text);
    await turn();
  }
  expect(begun[0]!.send('tick', 'still')).toBe(true);
  expect(begun[1]!.send('tick', 'gone')).toBe(false);
  await shows(good, '"still"');
  bad.destroy();
});
