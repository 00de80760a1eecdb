/**
 * A flow table whose owner died, or whose memory was damaged: at any store, by any bit. What is adopted is what was there, or is not
 * adopted.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adoptRecords } from '../../src/conntrack/flow-adoption.ts';
import {
  ASSURED,
  C_CREATED,
  COLD,
  CONFIRMED,
  FlowTable,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  LIVE,
  ORIGINAL_SIDE,
  RULE_SHIFT,
  TUPLE,
} from '../../src/conntrack/flow-table.ts';

const CAPACITY = 8;
const SEED = [0x1234567, -0x89abcde] as const;
const BYTES = FlowTable.bytes(CAPACITY);
const IDENTITY_WORDS = [0, 1, 2, 3, 4, 5] as const;

/** What names a flow, of each live record. */
function identities({ hot, cold, capacity }: FlowTable): Map<number, string> {
  const found = new Map<number, string>();
  for (let flow = 0; flow < capacity; flow++) {
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    if ((status & LIVE) === 0) continue;
    const lasting = status & (0xff | (3 << 21) | (-1 << RULE_SHIFT));
    const words = IDENTITY_WORDS.map((word) => hot[h + word]);
    found.set(flow, [...words, lasting, hot[h + H_SEQUENCE], cold[flow * COLD + C_CREATED]].join(' '));
  }
  return found;
}

function make(table: FlowTable, n: number, protocol = 6): number {
  const flags = CONFIRMED | (n & 1 ? ORIGINAL_SIDE : 0) | (n << RULE_SHIFT) | (3 << 8);
  return table.create(protocol, 100 + n, 200, n | (80 << 16), 200, 300 + n, 80 | (n << 16), flags, 5000 + n);
}

describe('a flipped bit in any word of a record', () => {
  const buffer = new ArrayBuffer(BYTES);
  const table = new FlowTable(buffer, 0, CAPACITY, SEED);
  for (let n = 0; n < 6; n++) make(table, n, n < 3 ? 6 : 17);
  table.destroy(4);
  table.retuple((2 << 1) | 1, 200, 999, 80 | (7 << 16));
  const right = identities(table);
  const bits = CAPACITY * (HOT + 16 + COLD) * 32;

  test(`${bits} flips: the flow is as it was, or is lost and counted`, () => {
    for (let bit = 0; bit < bits; bit++) {
      const copy = buffer.slice(0);
      new Uint8Array(copy)[bit >> 3]! ^= 1 << (bit & 7);
      const second = new FlowTable(copy, 0, CAPACITY, SEED);
      const { torn, damaged, twice, doubtful } = adoptRecords(second, () => true);
      const found = identities(second);
      for (const [flow, identity] of found) {
        if (right.get(flow) !== identity) expect.fail(`bit ${bit}: flow ${flow} is ${identity}`);
      }
      const lost = right.size - found.size;
      if (torn + damaged !== lost || twice + doubtful.length !== 0) {
        expect.fail(`bit ${bit}: ${lost} lost, ${torn} torn and ${damaged} damaged`);
      }
    }
  });

  test('any damage of several words: none is believed', () => {
    const damage = fc.array(fc.tuple(fc.nat(BYTES / 4 - 1), fc.integer()), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(damage, (damages) => {
        const copy = buffer.slice(0);
        for (const [word, value] of damages) new Int32Array(copy)[word] = value;
        const second = new FlowTable(copy, 0, CAPACITY, SEED);
        adoptRecords(second, () => true);
        for (const [flow, identity] of identities(second)) expect(right.get(flow)).toBe(identity);
      }),
      { numRuns: 1000 },
    );
  });

  test('with another key nothing is believed', () => {
    const second = new FlowTable(buffer.slice(0), 0, CAPACITY, [1, 2]);
    expect(adoptRecords(second, () => true)).toMatchObject({ cleared: 5, damaged: 5, torn: 0 });
  });
});

test('what changes while a flow lives is not in its check word', () => {
  const buffer = new ArrayBuffer(BYTES);
  const table = new FlowTable(buffer, 0, CAPACITY, SEED);
  const flow = make(table, 1);
  table.hot[flow * HOT + H_STATUS]! |= ASSURED;
  const second = new FlowTable(buffer, 0, CAPACITY, SEED);
  expect(adoptRecords(second, () => true)).toMatchObject({ cleared: 0 });
});

test.each([
  ['the one with the lower number is younger: it is looked at last, and nobody knows by then', 20, 10, [], 2],
  ['they are of one age', 10, 10, [], 2],
  ['the one with the higher number is younger: it stays', 10, 20, [1], 1],
])('two records with one tuple; %s', (_, first, second, left, lost) => {
  const buffer = new ArrayBuffer(BYTES);
  const table = new FlowTable(buffer, 0, CAPACITY, SEED);
  table.create(6, 1, 2, 3, 4, 5, 6, 0, first);
  table.create(6, 1, 2, 3, 4, 5, 7, 0, second);
  const again = new FlowTable(buffer, 0, CAPACITY, SEED);
  const { twice, doubtful } = adoptRecords(again, () => true);
  for (const flow of doubtful) again.destroy(flow);
  expect([0, 1].filter((flow) => again.isLive(flow))).toEqual(left);
  expect(twice).toBe(lost);
});

describe('killed between any two stores', () => {
  interface Store {
    array: 'hot' | 'track' | 'cold';
    at: number;
    value: number;
  }

  /** A table that writes down its stores to records, in order. */
  function recorded(buffer: ArrayBuffer, stores: Store[]): FlowTable {
    const table = new FlowTable(buffer, 0, CAPACITY, SEED);
    adoptRecords(table, () => true);
    for (const array of ['hot', 'track', 'cold'] as const) {
      const words = table[array];
      const note = (at: number, value: number) => {
        stores.push({ array, at, value });
        words[at] = value;
      };
      const proxy = new Proxy(words, {
        set: (_, at, value) => {
          note(Number(at), value);
          return true;
        },
        get: (_, name) => {
          if (name === 'fill')
            return (value: number, from: number, to: number) => {
              for (let at = from; at < to; at++) note(at, value);
            };
          return Reflect.get(words, name, words);
        },
      });
      Object.defineProperty(table, array, { value: proxy });
    }
    return table;
  }

  const operation = fc.constantFrom('create', 'destroy', 'retuple', 'adopt');

  test('create, destroy, retuple, adoption: the state before it, the one after it, or the flow is lost', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(operation, fc.nat(7)), { maxLength: 12 }),
        operation,
        fc.nat(7),
        (earlier, last, which) => {
          const buffer = new ArrayBuffer(BYTES);
          let n = 0;
          const step = (table: FlowTable, what: string, flow: number) => {
            if (what === 'create') make(table, n++, n & 1 ? 6 : 17);
            else if (what === 'adopt') adoptRecords(table, () => true);
            else if (!table.isLive(flow)) return;
            else if (what === 'destroy') table.destroy(flow);
            else {
              const t = flow * HOT + TUPLE;
              table.retuple((flow << 1) | 1, table.hot[t]!, 7000 + n++, table.hot[t + H_PORTS]!);
            }
          };
          const first = new FlowTable(buffer, 0, CAPACITY, SEED);
          for (const [what, flow] of earlier) step(first, what, flow);
          const stores: Store[] = [];
          const base = buffer.slice(0);
          const table = recorded(buffer, stores);
          step(table, last, which);
          const before = identities(new FlowTable(base, 0, CAPACITY, SEED));
          const after = identities(table);
          const copy = base.slice(0);
          const target = new FlowTable(copy, 0, CAPACITY, SEED);
          for (let count = 0; count <= stores.length; count++) {
            if (count > 0) {
              const { array, at, value } = stores[count - 1]!;
              target[array][at] = value;
            }
            const adopter = new FlowTable(copy.slice(0), 0, CAPACITY, SEED);
            const { torn, damaged, twice } = adoptRecords(adopter, () => true);
            expect(damaged + twice).toBe(0);
            const found = identities(adopter);
            const missing = [...before].filter(([flow, identity]) => found.get(flow) !== identity);
            const added = [...found].filter(([flow, identity]) => before.get(flow) !== identity);
            for (const [flow, identity] of added) expect(after.get(flow)).toBe(identity);
            // At most the one that is being changed.
            expect(missing.length).toBeLessThanOrEqual(1);
            expect(torn).toBeLessThanOrEqual(1);
            for (const [flow] of missing)
              expect(last === 'create' || last === 'adopt' || flow === which).toBe(true);
            if (count === stores.length) expect(found).toEqual(after);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});
