import { expect, test } from 'vitest';
import {
  ANY,
  type Expectation,
  Expectations,
  MAX_EXPECTATIONS,
  WITH_MASTER,
} from '../../src/conntrack/expectations.ts';

function expectation(changes: Partial<Expectation> = {}): Expectation {
  return {
    protocol: 6,
    source: ANY,
    sourcePort: ANY,
    destination: 100,
    destinationPort: 21,
    side: 1,
    toSide: 0,
    master: 5,
    kind: 0,
    helper: -1,
    permanent: false,
    translated: true,
    address: 200,
    port: 21,
    from: ANY,
    fromPort: ANY,
    mapping: -1,
    inactive: false,
    deadline: 10_000,
    ...changes,
  };
}

/** A packet that fulfils it. */
function match(
  table: Expectations,
  changes: {
    protocol?: number;
    source?: number;
    sport?: number;
    destination?: number;
    dport?: number;
    side?: number;
    now?: number;
  } = {},
) {
  const { protocol = 6, source = 7, sport = 9, destination = 100, dport = 21, side = 1, now = 0 } = changes;
  return table.match(protocol, source, destination, sport | (dport << 16), side, now);
}

function newTable(now = 0): { table: Expectations; removed: Expectation[] } {
  const table = new Expectations(now);
  const removed: Expectation[] = [];
  table.onRemove = (gone) => removed.push(gone);
  return { table, removed };
}

test('what is named must fit, what is not may be anything', () => {
  const { table } = newTable();
  expect(match(table)).toBeNull();
  const open = expectation();
  expect(table.add(open, 1)).toBe(true);
  expect(match(table)).toBe(open);
  expect(match(table, { source: 8, sport: 0 })).toBe(open);
  for (const other of [{ protocol: 17 }, { destination: 101 }, { dport: 22 }, { side: 0 }, { now: 10_000 }]) {
    expect(match(table, other), JSON.stringify(other)).toBeNull();
  }
  const narrow = expectation({ destination: 300, source: 7, sourcePort: 9, master: 6 });
  table.add(narrow, 1);
  expect(match(table, { destination: 300 })).toBe(narrow);
  expect(match(table, { destination: 300, source: 8 })).toBeNull();
  expect(match(table, { destination: 300, sport: 8 })).toBeNull();
});

test('it is used once, unless it is permanent', () => {
  const { table, removed } = newTable();
  const once = expectation();
  const often = expectation({ destinationPort: 22, permanent: true });
  table.add(once, 2);
  table.add(often, 2);
  table.use(once);
  table.use(often);
  expect(match(table)).toBeNull();
  expect(match(table, { dport: 22 })).toBe(often);
  expect(removed).toEqual([once]);
  expect(table.count).toBe(1);
});

test('one that is not confirmed matches nothing', () => {
  const { table } = newTable();
  const waiting = expectation({ inactive: true });
  table.add(waiting, 1);
  expect(match(table)).toBeNull();
  waiting.inactive = false;
  expect(match(table)).toBe(waiting);
});

test('of a kind, the oldest of the same master gives way', () => {
  const { table, removed } = newTable();
  const [first, second, third] = [1, 2, 3].map((destinationPort) => expectation({ destinationPort })) as [
    Expectation,
    Expectation,
    Expectation,
  ];
  const other = expectation({ destinationPort: 4, kind: 1 });
  const elsewhere = expectation({ destinationPort: 5, master: 6 });
  for (const one of [first, other, second, elsewhere, third]) expect(table.add(one, 2)).toBe(true);
  expect(removed).toEqual([first]);
  expect(table.of(5)).toEqual([other, second, third]);
  expect(table.of(6)).toEqual([elsewhere]);
});

test('the same tuple is replaced when it leads to the same endpoint, and refused when it does not', () => {
  const { table, removed } = newTable();
  const first = expectation();
  const again = expectation({ master: 6, deadline: 20_000 });
  table.add(first, 1);
  expect(table.add(expectation({ master: 6, address: 201 }), 1)).toBe(false);
  expect(match(table)).toBe(first);
  expect(table.add(again, 1)).toBe(true);
  expect(removed).toEqual([first]);
  expect(match(table)).toBe(again);
});

test('it ends with its time, across the wrap of the clock, and with its master', () => {
  const { table, removed } = newTable(0x7ffffe00 - 2000);
  const soon = expectation({ deadline: -0x7fffff00 });
  const later = expectation({ destinationPort: 22, deadline: WITH_MASTER });
  table.add(soon, 2);
  table.add(later, 2);
  table.expire(0x7ffffe00 - 1000);
  expect(removed).toEqual([]);
  table.expire(-0x7fffff00 - 1);
  expect(removed).toEqual([]);
  // Looked at once a second; but what is over matches nothing.
  expect(match(table, { now: -0x7fffff00 })).toBeNull();
  table.expire(-0x7fffff00);
  expect(removed).toEqual([]);
  table.expire(-0x7fffff00 + 1000);
  expect(removed).toEqual([soon]);
  table.endOf(5);
  table.endOf(5);
  expect(removed).toEqual([soon, later]);
  expect(table.count).toBe(0);
});

test('the table is bounded', () => {
  const { table } = newTable();
  for (let i = 0; i < MAX_EXPECTATIONS; i++) {
    expect(table.add(expectation({ destination: i, master: i }), 1)).toBe(true);
  }
  expect(table.add(expectation({ destination: -1, master: -1 }), 1)).toBe(false);
  // A master's own oldest still gives way.
  expect(table.add(expectation({ destination: -1, master: 3 }), 1)).toBe(true);
  expect(table.count).toBe(MAX_EXPECTATIONS);
});
