/** Routes about flows and counters, over state files full of flows. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlApp } from '../../../src/gateway/control/app.ts';
import type { ControlApp, ControlledGateway } from '../../../src/gateway/control/routes/route.ts';
import * as schemas from '../../../src/gateway/control/schemas-observe.ts';
import { Streams } from '../../../src/gateway/control/streams.ts';
import { FlowService } from '../../../src/gateway/observe/flow-service.ts';
import { FLOWS, flowTables } from '../observe/flow-tables.ts';

let tables: ReturnType<typeof flowTables>;
let streams: Streams;
let app: ControlApp;
let deleted: number;
let hasEngine: boolean;
let logged: string[];

beforeEach(() => {
  tables = flowTables();
  streams = new Streams({ most: 2 });
  deleted = 0;
  hasEngine = true;
  logged = [];
  const flows = new FlowService(
    () => tables.record,
    async (_, pairs) => {
      if (!hasEngine) return null;
      deleted += pairs.length / 2;
      return pairs.length / 2;
    },
  );
  const log = (line: string) => void logged.push(line);
  // Other routes are not asked here.
  const gateway = { running: {}, live: {}, record: () => tables.record, flows, streams, log };
  app = controlApp(gateway as unknown as ControlledGateway);
});
afterEach(() => tables.remove());

const path = (route: string, query: Record<string, string>) => `${route}?${new URLSearchParams(query)}`;
async function ask(method: string, route: string, body?: unknown) {
  const json = { 'content-type': 'application/json' };
  const init = body === undefined ? {} : { body: JSON.stringify(body), headers: json };
  const response = await app.request(route, { method, ...init });
  // biome-ignore lint/suspicious/noExplicitAny: what it is, each test says.
  return { status: response.status, body: (await response.json()) as any };
}

describe('flows', () => {
  it('are listed whole, as the schema says', async () => {
    const { status, body } = await ask('GET', '/v1/flows');
    expect(status).toBe(200);
    expect(body.flows).toHaveLength(2 * FLOWS);
    expect(body.cursor).toBeNull();
    expect(schemas.flows.strict().parse(body)).toEqual(body);
    expect(streams.size).toBe(0);
  });

  it('are listed by pages, filter and order', async () => {
    const query = { filter: 'tcp and src 10.0.1.2', limit: '600' };
    const first = (await ask('GET', path('/v1/flows', query))).body;
    const rest = (await ask('GET', path('/v1/flows', { ...query, cursor: first.cursor }))).body;
    expect([first.flows.length, rest.flows.length, rest.cursor]).toEqual([600, FLOWS / 3 - 600, null]);
    const sorted = (await ask('GET', path('/v1/flows', { sort: 'bytes', limit: '3' }))).body;
    expect(sorted.flows.map(({ originalBytes }: { originalBytes: number }) => originalBytes)).toEqual([
      FLOWS - 1,
      FLOWS - 1,
      FLOWS - 2,
    ]);
  });

  it('of a reader that goes away are not read to the end, and free its place', async () => {
    for (let i = 0; i < 5; i++) {
      const response = await app.request('/v1/flows');
      expect(streams.size).toBe(1);
      await response.body!.cancel();
      expect(streams.size).toBe(0);
    }
  });

  it('are counted', async () => {
    expect((await ask('GET', '/v1/flows/count')).body).toEqual({ count: 2 * FLOWS });
    const counted = await ask('GET', path('/v1/flows/count', { filter: 'udp and src 10.0.0.2' }));
    expect(counted.body).toEqual({ count: (2 * FLOWS) / 3 });
  });

  it('end by filter, or all, and it is logged', async () => {
    const some = await ask('DELETE', '/v1/flows', { filter: 'tcp' });
    expect(some).toEqual({ status: 200, body: { deleted: (2 * FLOWS) / 3 } });
    expect(deleted).toBe((2 * FLOWS) / 3);
    expect((await ask('DELETE', '/v1/flows', { all: true })).body).toEqual({ deleted: 2 * FLOWS });
    expect(logged).toEqual([
      `deleted by the control socket: ${(2 * FLOWS) / 3} flows ("tcp")`,
      `deleted by the control socket: ${2 * FLOWS} flows (all)`,
    ]);
  });

  it('do not end without an engine', async () => {
    hasEngine = false;
    const { status, body } = await ask('DELETE', '/v1/flows', { all: true });
    expect([status, body.error.code]).toEqual([503, 'engine_away']);
  });
});

describe('refusals end nothing, and say why', () => {
  it.each<[string, string, unknown, number, string, RegExp]>([
    ['GET', '/v1/flows?filter=tpc', undefined, 422, 'filter_invalid', /column 1: tpc is no word/],
    ['GET', '/v1/flows/count?filter=tcp%20nad', undefined, 422, 'filter_invalid', /column 5/],
    ['GET', '/v1/flows?filter=rule%20wan', undefined, 422, 'filter_invalid', /wan/],
    ['GET', '/v1/flows?cursor=../x', undefined, 422, 'bad_cursor', /\.\.\/x is no cursor/],
    ['GET', '/v1/flows?sort=age&limit=20000', undefined, 422, 'bad_limit', /10000/],
    ['GET', '/v1/flows?limit=-1', undefined, 400, 'bad_request', /^limit: "-1" is not allowed/],
    ['GET', '/v1/flows?sort=size', undefined, 400, 'bad_request', /^sort: "size"/],
    ['GET', '/v1/flows?fliter=tcp', undefined, 400, 'bad_request', /"fliter"/],
    ['GET', '/v1/stats?interval=0.01', undefined, 422, 'bad_interval', /0\.01/],
    ['GET', '/v1/stats?follow=yes', undefined, 400, 'bad_request', /^follow: "yes"/],
    ['DELETE', '/v1/flows', { filter: 'tpc' }, 422, 'filter_invalid', /tpc is no word/],
    ['DELETE', '/v1/flows', { filter: ' ' }, 400, 'bad_request', /^filter/],
    ['DELETE', '/v1/flows', { all: false }, 400, 'bad_request', /^filter: it is missing/],
    ['DELETE', '/v1/flows', {}, 400, 'bad_request', /^filter: it is missing/],
    ['DELETE', '/v1/flows', { all: true, filter: 'tcp' }, 400, 'bad_request', /all/],
    ['DELETE', '/v1/flows', undefined, 400, 'bad_request', /^filter: it is missing/],
  ])('%s %s %j', async (method, route, body, status, code, message) => {
    const answer = await ask(method, route, body);
    expect({ status: answer.status, code: answer.body.error?.code }).toEqual({ status, code });
    expect(answer.body.error.message).toMatch(message);
    expect(deleted).toBe(0);
    expect(streams.size).toBe(0);
  });
});

it('a body that is announced and not there is none', async () => {
  const headers = { 'content-type': 'application/json' };
  const response = await app.request('/v1/flows', { method: 'DELETE', headers });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { message: expect.stringMatching(/^filter: it is missing/) },
  });
  expect(deleted).toBe(0);
});

it('a body that is no JSON is refused', async () => {
  const headers = { 'content-type': 'application/json' };
  const response = await app.request('/v1/flows', { method: 'DELETE', headers, body: '{"all": ' });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { code: 'bad_json' } });
  const unnamed = await app.request('/v1/flows', { method: 'DELETE', body: '{"all": true}' });
  expect(unnamed.status).toBe(415);
  expect(deleted).toBe(0);
});

describe('counters', () => {
  it('are there once, as the schema says', async () => {
    const { status, body } = await ask('GET', '/v1/stats');
    expect(status).toBe(200);
    expect(schemas.stats.strict().parse(body)).toEqual(body);
    expect(body.counters).toMatchObject({ 'g0/in_packets': 0, 'drops/bad_tcp': 0 });
    for (const gauge of body.gauges) expect(body.counters).toHaveProperty(gauge);
  });

  it('come again and again; the last is when they cannot be read', async () => {
    const response = await app.request('/v1/stats?follow=true&interval=0.1');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    let text = '';
    let isGone = false;
    for await (const part of response.body!) {
      text += Buffer.from(part).toString();
      if (!isGone && text.split('event: stats\n').length > 3) {
        isGone = true;
        tables.record.statePath += '-gone';
      }
    }
    const datas = [...text.matchAll(/^event: stats\ndata: (.*)$/gm)].map(([, data]) => JSON.parse(data!));
    expect(datas.length).toBeGreaterThanOrEqual(3);
    for (const data of datas) schemas.stats.strict().parse(data);
    expect(datas[1].elapsed).toBeGreaterThan(datas[0].elapsed);
    expect(logged.join()).toMatch(/counters cannot be read/);
    expect(streams.size).toBe(0);
  });
});

describe('who moves how much', () => {
  it('is looked at once for all who ask at one moment, as the schema says', async () => {
    const [one, other] = await Promise.all([ask('GET', '/v1/top'), ask('GET', '/v1/top')]);
    expect(one.status).toBe(200);
    expect(one.body).toEqual(other.body);
    expect(schemas.top.strict().parse(one.body)).toEqual(one.body);
    expect(one.body).toMatchObject({ flows: 2 * FLOWS, elapsed: 0 });
    const { clients } = one.body;
    expect(clients.length).toBeGreaterThan(0);
    expect(clients.length).toBeLessThanOrEqual(20);
    const { body } = await ask('GET', `/v1/flows/count?filter=client+${clients[0].address}`);
    expect(clients[0].flows).toBe(body.count);
    expect((await ask('GET', '/v1/top')).body).toEqual(one.body);
  });
});
