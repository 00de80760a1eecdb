/** Bodies as they come over a socket: whoever sends too much is told so, even if he reads nothing before he has sent it all. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_BODY_BYTES, type Parsed, requireJson } from '../../../src/gateway/control/body.ts';
import { boundedServer } from '../../../src/gateway/control/http-server.ts';
import { listenAt } from '../../../src/gateway/control/socket.ts';

let folder: string;
let path: string;
let close: () => void;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-body-'));
  path = join(folder, 's');
  const app = new Hono<Parsed>()
    .use(requireJson)
    .post('/', (c) => c.json({ length: (c.get('parsed') as string).length }));
  const server = boundedServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
  close = await listenAt(server, { path, mode: 0o600, gid: null });
});
afterEach(() => {
  close();
  rmSync(folder, { recursive: true, force: true });
});

const head = (...headers: string[]) =>
  ['POST / HTTP/1.1', 'host: x', 'content-type: application/json', ...headers, '', ''].join('\r\n');
const MB = 'x'.repeat(1_048_576);

/** Reads nothing until all is written; fails when a write does. */
function writtenFirst(...parts: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(path).pause().setEncoding('utf8').on('error', reject);
    const next = (n: number) => {
      if (n < parts.length) return void socket.write(parts[n]!, () => next(n + 1));
      let answer = '';
      socket.on('data', (part) => {
        answer += part;
        if (answer.endsWith('}')) resolve(answer);
      });
      socket.on('close', () => resolve(answer));
      socket.resume();
    };
    next(0);
  });
}

const REFUSED = /^HTTP\/1\.1 413 [\s\S]*"body_too_large"/;

describe('a body that is too long', () => {
  it.each([
    ['says so', [head(`content-length: ${3 * MB.length}`), ...Array<string>(3).fill(MB)]],
    [
      'comes in chunks',
      [head('transfer-encoding: chunked'), ...Array<string>(3).fill(`100000\r\n${MB}\r\n`), '0\r\n\r\n'],
    ],
  ])('that %s', async (_, parts) => {
    expect(await writtenFirst(...parts)).toMatch(REFUSED);
  });

  it('that never ends is cut off', async () => {
    const socket = connect(path).setEncoding('utf8');
    let answer = '';
    socket.on('data', (part) => {
      answer += part;
    });
    socket.write(head('transfer-encoding: chunked'));
    const chunk = `100000\r\n${MB}\r\n`;
    await new Promise<void>((resolve) => {
      socket.on('error', () => resolve()).on('close', () => resolve());
      const go = () => void socket.write(chunk, (error) => error == null && go());
      go();
    });
    expect(answer).toMatch(REFUSED);
  });
});

it('a body of the greatest length is taken', async () => {
  const text = JSON.stringify('x'.repeat(MAX_BODY_BYTES - 2));
  expect(await writtenFirst(head(`content-length: ${text.length}`), text)).toMatch(
    new RegExp(`^HTTP/1\\.1 200 [\\s\\S]*"length":${MAX_BODY_BYTES - 2}`),
  );
});
