/** Flows and counters over the control socket's routes: on a state file with flows, with an engine that remembers what it shall end. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { OpenAPIHono } from '@hono/zod-openapi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlowTable } from '../../../src/conntrack/flow-table.ts';
import { NatgateError } from '../../../src/core/errors.ts';
import { formatState, openState, stateBytes } from '../../../src/engine/state.ts';
import { controlApp } from '../../../src/gateway/control/app.ts';
import type { ControlledGateway } from '../../../src/gateway/control/routes/route.ts';
import * as schemas from '../../../src/gateway/control/schemas-observe.ts';
import { Streams } from '../../../src/gateway/control/streams.ts';
import { FlowService } from '../../../src/gateway/observe/flow-service.ts';
import type { RunRecord } from '../../../src/gateway/run-record.ts';
import { addon } from '../../../src/link/addon.ts';
import { parseAddress } from '../../../src/wire/address.ts';

const CAPACITY = 1000;
const FLOWS = 900;
let folder: string;
let fd: number;
let ended: number;
let isAway: boolean;
let samples: number;
let logged: string[];
let streams: Streams;
let app: OpenAPIHono<never>;

beforeEach(() => {
  folder = mkdtempSync('/dev/shm/natgate-test-');
  const path = join(folder, 'state');
  fd = openSync(path, 'w+', 0o600);
  addon().fallocate(fd, stateBytes(CAPACITY));
  const buffer = addon().mmap(fd, stateBytes(CAPACITY), true);
  formatState(buffer, CAPACITY, [1, 2]);
  const state = openState(buffer);
  const table = new FlowTable(buffer, state.tableOffset, CAPACITY, state.seed);
  const [source, remote] = [parseAddress('10.0.0.2')!, parseAddress('192.0.2.1')!];
  for (let i = 0; i < FLOWS; i++) {
    table.create(i % 3 === 0 ? 6 : 17, source, remote, i, remote, i + 1, i, 0, 0);
  }
  [ended, samples, isAway, logged] = [0, 0, false, []];
  streams = new Streams();
  const record = { rules: ['lan'], timeouts: {}, statePath: path, workers: 1 } as unknown as RunRecord;
  app = controlApp({
    version: '1',
    flows: new FlowService(
      () => record,
      async (_, pairs) => {
        if (isAway) return null;
        ended += pairs.length / 2;
        return pairs.length / 2;
      },
    ),
    counters: () => {
      if (++samples > 3) throw new NatgateError('not_running', 'it has gone', '');
      return { time: samples, values: { flows_started: samples, flows_tcp: 2 } };
    },
    streams,
    log: (line: string) => void logged.push(line),
  } as unknown as ControlledGateway) as unknown as OpenAPIHono<never>;
});
afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

async function ask(method: string, path: string, body?: unknown) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'content-length': `${text?.length ?? 0}` };
  const response = await app.request(path, {
    method,
    ...(text !== undefined && { body: text, headers }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: what it is, each test says.
  return { status: response.status, body: (await response.json()) as any };
}
const filter = (text: string) => `filter=${encodeURIComponent(text)}`;

describe('flows', () => {
  it('are listed as the schema says, all or page by page', async () => {
    const all = await ask('GET', '/v1/flows');
    expect(schemas.flows.strict().parse(all.body)).toEqual(all.body);
    expect([all.body.flows.length, all.body.cursor, streams.size]).toEqual([FLOWS, null, 0]);
    const ids: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const from: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { body } = await ask('GET', `/v1/flows?${filter('tcp')}&limit=100${from}`);
      ids.push(...body.flows.map(({ id }: { id: string }) => id));
      cursor = body.cursor;
    }
    expect([ids.length, new Set(ids).size]).toEqual([FLOWS / 3, FLOWS / 3]);
    expect((await ask('GET', `/v1/flows/count?${filter('not tcp')}`)).body).toEqual({
      count: (FLOWS / 3) * 2,
    });
  });

  it.each([
    [`/v1/flows?${filter('tcp and sport x')}`, 422, 'filter_invalid', 'column 15'],
    [`/v1/flows/count?${filter('tcp and')}`, 422, 'filter_invalid', 'column 8'],
    ['/v1/flows?cursor=here', 422, 'bad_cursor', 'here'],
    ['/v1/flows?sort=bytes&cursor=0.1', 422, 'bad_limit', 'pages'],
    ['/v1/flows?sort=size', 400, 'bad_request', 'bytes, packets, age, timeout'],
    ['/v1/flows?limit=-1', 400, 'bad_request', 'limit'],
    ['/v1/flows?fliter=tcp', 400, 'bad_request', 'filter'],
    [`/v1/flows?filter=${'a'.repeat(5000)}`, 400, 'bad_request', 'filter'],
    ['/v1/stats?interval=0', 400, 'bad_request', '0.1 to 3600'],
  ])('%s is refused with what is wrong', async (path, status, code, words) => {
    const { status: got, body } = await ask('GET', path);
    expect([got, body.error.code]).toEqual([status, code]);
    expect(JSON.stringify(body)).toContain(words);
    expect(streams.size).toBe(0);
  });

  it('end by a filter, or all of them where it is said; never by an empty one', async () => {
    expect(await ask('DELETE', '/v1/flows', { filter: 'tcp' })).toMatchObject({
      body: { deleted: FLOWS / 3 },
    });
    expect(ended).toBe(FLOWS / 3);
    expect(logged).toEqual([`flows deleted by the control socket: ${FLOWS / 3} (tcp)`]);
    for (const body of [{ filter: ' ' }, {}, { all: false }, { filter: 'tcp', all: true }]) {
      expect(await ask('DELETE', '/v1/flows', body)).toMatchObject({ status: 400 });
    }
    expect((await app.request('/v1/flows', { method: 'DELETE' })).status).toBe(400);
    expect(ended).toBe(FLOWS / 3);
    expect((await ask('DELETE', '/v1/flows', { all: true })).body).toEqual({ deleted: FLOWS });
    isAway = true;
    expect(await ask('DELETE', '/v1/flows', { all: true })).toMatchObject({
      status: 503,
      body: { error: { code: 'engine_away' } },
    });
  });
});

describe('counters', () => {
  it('once', async () => {
    const { body } = await ask('GET', '/v1/stats');
    expect(schemas.stats.strict().parse(body)).toEqual(body);
    expect(body).toMatchObject({ counters: { flows_started: 1, flows_tcp: 2 }, gauges: ['flows_tcp'] });
  });

  it('again and again, until they cannot be read, which the log has', async () => {
    const response = await app.request('/v1/stats?follow=true&interval=0.1');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const text = await response.text();
    const told = [...text.matchAll(/^event: stats\ndata: (.*)$/gm)].map(([, data]) => JSON.parse(data!));
    expect(told.map(({ counters }) => counters.flows_started)).toEqual([1, 2, 3]);
    expect(logged).toEqual(['counters could not be read: it has gone']);
    expect(streams.size).toBe(0);
  });
});
