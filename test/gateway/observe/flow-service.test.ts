/** What the control socket says of flows: pages, filters, counts, ends; in pieces. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FlowService } from '../../../src/gateway/observe/flow-service.ts';
import { FLOWS, flowTables } from './flow-tables.ts';

let tables: ReturnType<typeof flowTables>;
let service: FlowService;
let asked: [number, number[]][];

beforeEach(() => {
  tables = flowTables();
  asked = [];
  service = new FlowService(
    () => tables.record,
    async (worker, pairs) => {
      asked.push([worker, [...pairs]]);
      return pairs.length / 2;
    },
  );
});
afterEach(() => tables.remove());

async function list(query: Partial<Parameters<FlowService['list']>[0]>) {
  const pieces: string[] = [];
  for await (const piece of service.list({ filter: '', ...query })) pieces.push(piece);
  const answer = JSON.parse(pieces.join('')) as {
    flows: { id: string; originalBytes: number }[];
    cursor: string | null;
  };
  return { ...answer, pieces: pieces.length };
}

it('all of them, in pieces', async () => {
  const { flows, cursor, pieces } = await list({});
  expect(new Set(flows.map(({ id }) => id)).size).toBe(2 * FLOWS);
  expect(cursor).toBeNull();
  expect(pieces).toBeGreaterThan(10);
});

it('page by page, each once', async () => {
  const ids: string[] = [];
  let cursor: string | null | undefined;
  let pages = 0;
  while (cursor !== null) {
    const page = await list({ filter: 'tcp', limit: 700, cursor });
    ids.push(...page.flows.map(({ id }) => id));
    cursor = page.cursor;
    pages++;
  }
  expect(pages).toBe(3);
  expect(ids).toHaveLength((2 * FLOWS) / 3);
  expect(new Set(ids).size).toBe(ids.length);
});

it('the first so many in an order', async () => {
  const { flows } = await list({ sort: 'bytes', limit: 4 });
  expect(flows.map(({ originalBytes }) => originalBytes)).toEqual([2999, 2999, 2998, 2998]);
});

it('counts, and ends what a filter means', async () => {
  expect(await service.count('src 10.0.1.2')).toBe(FLOWS);
  expect(await service.count('')).toBe(2 * FLOWS);
  expect(await service.delete('src 10.0.1.2 and tcp')).toBe(FLOWS / 3);
  expect(asked.map(([worker]) => worker)).toEqual([1, 1]);
  expect(asked.flatMap(([, pairs]) => pairs.filter((_, i) => i % 2 === 0))).toEqual(
    Array.from({ length: FLOWS / 3 }, (_, i) => 3 * i),
  );
});

it('what is wrong is said at once', () => {
  expect(() => service.list({ filter: 'tpc' })).toThrow('tpc is no word');
  expect(() => service.list({ filter: 'rule wan' })).toThrow('no NAT rule is named wan');
  expect(() => service.list({ filter: '', cursor: '../x' })).toThrow('../x is no cursor');
  expect(() => service.list({ filter: '', sort: 'age', limit: 20_000 })).toThrow('at most 10000 flows');
});
