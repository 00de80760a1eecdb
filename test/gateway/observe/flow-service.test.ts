/** What the control socket says of flows: pages, filters, counts, ends; in pieces. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FlowTable, H_BYTES, HOT } from '../../../src/conntrack/flow-table.ts';
import { formatState, openState, stateBytes } from '../../../src/engine/state.ts';
import { FlowService } from '../../../src/gateway/observe/flow-service.ts';
import type { RunRecord } from '../../../src/gateway/run-record.ts';
import { addon } from '../../../src/link/addon.ts';
import { parseAddress } from '../../../src/wire/address.ts';

const CAPACITY = 4000;
const FLOWS = 3000;
let folder: string;
let fds: number[];
let tables: FlowTable[];
let service: FlowService;
let asked: [number, number[]][];

beforeEach(() => {
  folder = mkdtempSync('/dev/shm/natgate-test-');
  const path = join(folder, 'state');
  asked = [];
  fds = [path, `${path}.1`].map((file) => openSync(file, 'w+', 0o600));
  tables = fds.map((fd) => {
    addon().fallocate(fd, stateBytes(CAPACITY));
    const buffer = addon().mmap(fd, stateBytes(CAPACITY), true);
    formatState(buffer, CAPACITY, [1, 2]);
    const state = openState(buffer);
    return new FlowTable(buffer, state.tableOffset, CAPACITY, state.seed);
  });
  for (const [worker, table] of tables.entries()) {
    for (let i = 0; i < FLOWS; i++) {
      const [source, remote] = [parseAddress(`10.0.${worker}.2`)!, parseAddress('192.0.2.1')!];
      const flow = table.create(i % 3 === 0 ? 6 : 17, source, remote, i, remote, i + 1, i, 0, 0);
      table.hot[flow * HOT + H_BYTES] = i;
    }
  }
  const record = { rules: ['lan'], timeouts: {}, statePath: path, workers: 2 } as unknown as RunRecord;
  service = new FlowService(
    () => record,
    async (worker, pairs) => {
      asked.push([worker, [...pairs]]);
      return pairs.length / 2;
    },
  );
});
afterEach(() => {
  for (const fd of fds) closeSync(fd);
  rmSync(folder, { recursive: true });
});

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
