/** A flow table that gets another hash key while it lives. */
import { expect, test } from 'vitest';
import { adoptRecords } from '../../src/conntrack/flow-adoption.ts';
import { C_CHECK, COLD, FlowTable, H_SEQUENCE, HOT } from '../../src/conntrack/flow-table.ts';
import { rekeyTable } from '../../src/conntrack/rekey.ts';
import { FAR } from '../../src/conntrack/tag-index.ts';
import type { HashKey } from '../../src/conntrack/tuple.ts';
import { Random } from '../../src/core/random.ts';
import { MappingTable } from '../../src/nat/mapping-table.ts';
import { collidingTuples, farthestOf } from './colliding.ts';

const KEY: HashKey = [0x1234567, -0x89abcde];
const SEED = Number(process.env['NATGATE_SEED'] ?? 20261129);

test(`flows made, moved and ended at random, other keys in between: as a Map has them, seed ${SEED}`, () => {
  const CAPACITY = 200;
  const random = new Random(SEED);
  const below = (n: number) => (random.next() >>> 0) % n;
  const buffer = new ArrayBuffer(FlowTable.bytes(CAPACITY));
  let key: HashKey = KEY;
  let table = new FlowTable(buffer, 0, CAPACITY, key);
  /** By tuple: handle. */
  const known = new Map<string, number>();
  const live = new Map<number, [string, string]>();
  let rekeys = 0;
  let n = 0;
  const tuple = () => [below(4), below(4), n++] as const;
  for (let turn = 0; turn < 6000; turn++) {
    const what = below(100);
    if (what < 50) {
      const [one, two] = [tuple(), tuple()];
      const protocol = below(2) === 0 ? 6 : 17;
      const flow = table.create(protocol, ...one, ...two, 0, turn);
      if (flow < 0) {
        expect(live.size).toBe(CAPACITY);
        continue;
      }
      const names: [string, string] = [`${protocol} ${one}`, `${protocol} ${two}`];
      for (const [direction, name] of names.entries()) known.set(name, (flow << 1) | direction);
      live.set(flow, names);
    } else if (what < 90 && live.size > 0) {
      const [flow, names] = [...live][below(live.size)]!;
      if (what < 85) {
        table.destroy(flow);
        live.delete(flow);
        for (const name of names) known.delete(name);
      } else {
        const protocol = names[1].split(' ')[0]!;
        const to = tuple();
        table.retuple((flow << 1) | 1, ...to);
        known.delete(names[1]);
        names[1] = `${protocol} ${to}`;
        known.set(names[1], (flow << 1) | 1);
      }
    } else {
      key = [random.next(), random.next()];
      const { changes, count } = table;
      rekeyTable(table, key);
      expect(table.changes).not.toBe(changes);
      expect(table.count).toBe(count);
      rekeys++;
      // Now and then by another process.
      if (below(4) === 0) {
        table = new FlowTable(buffer, 0, CAPACITY, key);
        expect(adoptRecords(table, () => true)).toMatchObject({ torn: 0, damaged: 0, twice: 0 });
      }
    }
    if (turn % 20 !== 0) continue;
    for (const [name, handle] of known) {
      const [protocol, words] = name.split(' ') as [string, string];
      const [a, b, c] = words.split(',').map(Number) as [number, number, number];
      if (table.lookup(a, b, c, Number(protocol)) !== handle) expect.fail(`turn ${turn}: ${name}`);
      const other = 23 - Number(protocol);
      if (!known.has(`${other} ${words}`)) expect(table.lookup(a, b, c, other)).toBe(-1);
    }
    expect(table.count).toBe(live.size);
  }
  expect(rekeys).toBeGreaterThan(100);
});

test('colliding flows: noted when the run is too long; with another key all are found, and none is far', () => {
  const CAPACITY = 1024;
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(CAPACITY)), 0, CAPACITY, KEY);
  const { mask } = table.index;
  const tuples = collidingTuples(FAR + 50, 17, KEY, mask, (n) => [n, 7, 9]);
  const flows = tuples.slice(0, FAR - 50).map((tuple, n) => table.create(17, ...tuple, -n, 8, 10, 0, 0));
  expect(farthestOf(table)).toBeLessThanOrEqual(FAR);
  for (const [n, tuple] of tuples.slice(FAR - 50).entries()) {
    flows.push(table.create(17, ...tuple, -n, 9, 10, 0, 0));
  }
  const before = farthestOf(table);
  expect(before).toBeGreaterThan(FAR);
  expect(table.index.farthest).toBe(before);
  table.destroy(flows.pop()!);
  tuples.pop();
  const lives = flows.map((flow) => table.hot[flow * HOT + H_SEQUENCE]);
  const checks = flows.map((flow) => table.cold[flow * COLD + C_CHECK]);
  let signs = 0;
  rekeyTable(table, [5, 6], () => signs++);
  expect(signs).toBe(1);
  expect(farthestOf(table)).toBeLessThan(100);
  expect(table.index.farthest).toBe(FAR);
  expect(tuples.map((tuple) => table.lookup(...tuple, 17))).toEqual(flows.map((flow) => flow << 1));
  expect(flows.map((flow) => table.hot[flow * HOT + H_SEQUENCE])).toEqual(lives);
  for (const [n, flow] of flows.entries()) expect(table.cold[flow * COLD + C_CHECK]).not.toBe(checks[n]);
});

test('so with mappings', () => {
  const CAPACITY = 1024;
  const table = new MappingTable(CAPACITY, KEY);
  const mask = 2047;
  const tuples = collidingTuples(FAR + 50, 0, KEY, mask, (n) => [n, 0, 7]);
  const made = tuples.map(([address], n) => table.create(0, 0, address, 7, 0, 0, 0, n));
  expect(table.farthest).toBeGreaterThan(FAR);
  table.setNext(made[3]!, -1);
  table.unrefer(made[3]!);
  table.destroy(made[3]!);
  table.rekey([5, 6]);
  expect(table.farthest).toBe(FAR);
  const found = tuples.map(([address]) => table.find(0, 0, address, 7, 0, 0));
  expect(found).toEqual(made.map((mapping, n) => (n === 3 ? -1 : mapping)));
  expect(table.create(0, 0, tuples[3]![0], 7, 0, 0, 0, 1)).toBe(made[3]);
});

test('a table of few slots has no far places', () => {
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(60)), 0, 60, KEY);
  const tuples = collidingTuples(60, 17, KEY, table.index.mask, (n) => [n, 7, 9]);
  for (const [n, tuple] of tuples.entries()) table.create(17, ...tuple, -n, 8, 10, 0, 0);
  expect(table.index.farthest).toBe(FAR);
});
