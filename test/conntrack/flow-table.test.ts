import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adoptRecords } from '../../src/conntrack/flow-adoption.ts';
import {
  C_CREATED,
  C_MAPPING,
  COLD,
  FlowTable,
  H_DESTINATION,
  H_LAST,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  LIVE,
  TUPLE,
} from '../../src/conntrack/flow-table.ts';

const CAPACITY = 12;
const SEED = [0x1234567, -0x89abcde] as const;

type Tuple = readonly [source: number, destination: number, ports: number, protocol: number];
interface Pair {
  original: Tuple;
  reply: Tuple;
}

/** A small world, so that tuples meet again. */
const pair: fc.Arbitrary<Pair> = fc
  .tuple(fc.nat(3), fc.nat(2), fc.nat(3), fc.constantFrom(6, 17), fc.nat(3))
  .map(([a, b, ports, protocol, external]) => ({
    original: [0x0a000000 + a, -1 - b, ports, protocol],
    reply: [-1 - b, 0x63000000, 0x10000 + ports * 4 + external, protocol],
  }));

function newBuffer(capacity = CAPACITY): ArrayBuffer {
  return new ArrayBuffer(FlowTable.bytes(capacity));
}

function create(table: FlowTable, { original, reply }: Pair, now = 0): number {
  const [source, destination, ports, protocol] = original;
  return table.create(protocol, source, destination, ports, reply[0], reply[1], reply[2], 0, now);
}

/** The slow obvious table: tuple → handle. */
class Model {
  readonly handles = new Map<string, number>();
  readonly flows = new Map<number, Pair>();

  has({ original, reply }: Pair): boolean {
    return this.handles.has(original.join()) || this.handles.has(reply.join());
  }

  set(flow: number, made: Pair): void {
    this.flows.set(flow, made);
    this.handles.set(made.original.join(), flow * 2);
    this.handles.set(made.reply.join(), flow * 2 + 1);
  }

  delete(flow: number): void {
    const { original, reply } = this.flows.get(flow)!;
    this.flows.delete(flow);
    this.handles.delete(original.join());
    this.handles.delete(reply.join());
  }
}

/** Both say the same of every tuple of the small world. */
function expectSame(table: FlowTable, model: Model, world: Pair[]): void {
  expect(table.count).toBe(model.flows.size);
  for (const { original, reply } of world) {
    for (const tuple of [original, reply]) {
      expect(table.lookup(...tuple), tuple.join()).toBe(model.handles.get(tuple.join()) ?? -1);
    }
  }
  for (let flow = 0; flow < CAPACITY; flow++) {
    expect(table.isLive(flow)).toBe(model.flows.has(flow));
    expect(table.hot[flow * HOT + H_SEQUENCE]! & 1).toBe(0);
  }
}

const steps = fc.array(fc.oneof(pair, fc.nat(CAPACITY - 1)), { maxLength: 60 });

function play(table: FlowTable, model: Model, moves: (Pair | number)[]): void {
  const world = moves.filter((move) => typeof move !== 'number');
  for (const move of moves) {
    const changes = table.changes;
    if (typeof move === 'number') {
      if (!model.flows.has(move)) continue;
      table.destroy(move);
      model.delete(move);
    } else if (model.has(move)) {
      continue;
    } else {
      const flow = create(table, move);
      if (model.flows.size === CAPACITY) {
        expect(flow).toBe(-1);
        expect(table.changes).toBe(changes);
        continue;
      }
      expect(flow).toBeGreaterThanOrEqual(0);
      expect(model.flows.has(flow)).toBe(false);
      model.set(flow, move);
    }
    expect(table.changes).toBe(changes + 1);
    expectSame(table, model, world);
  }
}

test('against a Map: create, destroy and look up in any order, full table included', () => {
  fc.assert(
    fc.property(steps, (moves) => {
      play(new FlowTable(newBuffer(), 0, CAPACITY, SEED), new Model(), moves);
    }),
    { numRuns: 300 },
  );
});

test('a table may begin anywhere in its buffer and stays within its bytes', () => {
  const buffer = new ArrayBuffer(64 + FlowTable.bytes(CAPACITY) + 64);
  const guard = new Uint8Array(buffer);
  guard.fill(0xa5, 0, 64);
  guard.fill(0xa5, guard.length - 64);
  const table = new FlowTable(buffer, 64, CAPACITY, SEED);
  for (let i = 0; i < CAPACITY; i++) {
    create(table, { original: [1, 2, i, 6], reply: [2, 3, i, 6] });
  }
  expect(create(table, { original: [1, 2, 99, 6], reply: [2, 3, 99, 6] })).toBe(-1);
  expect(guard.subarray(0, 64).every((byte) => byte === 0xa5)).toBe(true);
  expect(guard.subarray(guard.length - 64).every((byte) => byte === 0xa5)).toBe(true);
});

test('a life of a record has a SEQUENCE of its own', () => {
  const table = new FlowTable(newBuffer(1), 0, 1, SEED);
  const seen = new Set<number>();
  for (let life = 0; life < 100; life++) {
    expect(create(table, { original: [1, 2, life, 17], reply: [2, 3, life, 17] }, life)).toBe(0);
    seen.add(table.hot[H_SEQUENCE]!);
    expect(table.hot[H_LAST]).toBe(life);
    expect(table.cold[C_CREATED]).toBe(life);
    expect(table.cold[C_MAPPING]).toBe(-1);
    table.destroy(0);
  }
  expect(seen.size).toBe(100);
});

test('memory: between 164 and 180 bytes a flow, of which 64 are for TCP and SCTP only', () => {
  for (const capacity of [1024, 1025, 4096, 100_000, 1_000_000]) {
    const each = FlowTable.bytes(capacity) / capacity;
    expect(each).toBeGreaterThanOrEqual(164);
    expect(each).toBeLessThanOrEqual(180);
  }
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 26 + 1])('a table of %s flows is refused', (capacity) => {
  expect(() => FlowTable.bytes(capacity)).toThrow(/^no table of /);
});

describe('adopt', () => {
  test('a second table on the same buffer has the same flows, and goes on', () => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const buffer = newBuffer();
        const model = new Model();
        play(new FlowTable(buffer, 0, CAPACITY, SEED), model, before);
        const table = new FlowTable(buffer, 0, CAPACITY, SEED);
        const adopted: number[] = [];
        expect(adoptRecords(table, (flow) => adopted.push(flow) > 0).cleared).toBe(0);
        expect(new Set(adopted)).toEqual(new Set(model.flows.keys()));
        expectSame(table, model, [...model.flows.values()]);
        play(table, model, after);
      }),
    );
  });

  test('records are used for the first time in the order of their numbers, by whoever adopts them as well', () => {
    fc.assert(
      fc.property(steps, steps, (before, after) => {
        const buffer = newBuffer();
        const model = new Model();
        const expectOrder = ({ hot }: FlowTable) => {
          const isUsed = Array.from({ length: CAPACITY }, (_, flow) => hot[flow * HOT + H_SEQUENCE] !== 0);
          expect(isUsed.lastIndexOf(true)).toBe(isUsed.filter(Boolean).length - 1);
        };
        const first = new FlowTable(buffer, 0, CAPACITY, SEED);
        play(first, model, before);
        expectOrder(first);
        const table = new FlowTable(buffer, 0, CAPACITY, SEED);
        adoptRecords(table, () => true);
        expectOrder(table);
        play(table, model, after);
        expectOrder(table);
      }),
    );
  });

  test('a stale index does not matter: it is built anew', () => {
    const buffer = newBuffer();
    const table = new FlowTable(buffer, 0, CAPACITY, SEED);
    const made: Pair = { original: [1, 2, 3, 6], reply: [2, 9, 4, 6] };
    create(table, made);
    table.index.words.fill(0x5a5a5a5a);
    const second = new FlowTable(buffer, 0, CAPACITY, SEED);
    adoptRecords(second, () => true);
    expect(second.lookup(...made.original)).toBe(0);
    expect(second.lookup(...made.reply)).toBe(1);
    expect(second.lookup(1, 2, 4, 6)).toBe(-1);
  });

  /** What a process that dies in the middle of create() or destroy() can leave behind. */
  const damage = fc.array(
    fc.tuple(
      fc.nat(CAPACITY - 1),
      fc.constantFrom('odd', 'copied', 'half copied', 'garbage'),
      fc.nat(CAPACITY - 1),
    ),
    { minLength: 1, maxLength: 6 },
  );

  test('torn records are cleared and counted, whole ones live, and the table works on', () => {
    fc.assert(
      fc.property(steps, damage, steps, fc.infiniteStream(fc.integer()), (before, torn, after, random) => {
        const buffer = newBuffer();
        const table = new FlowTable(buffer, 0, CAPACITY, SEED);
        play(table, new Model(), before);
        for (const [flow, how, other] of torn) {
          const h = flow * HOT;
          if (how === 'odd') table.hot[h + H_SEQUENCE]! |= 1;
          if (how === 'copied') table.hot.copyWithin(h, other * HOT, other * HOT + HOT);
          if (how === 'half copied') table.hot.copyWithin(h, other * HOT, other * HOT + TUPLE);
          if (how === 'garbage') {
            for (let i = 0; i < HOT; i++) table.hot[h + i] = random.next().value;
          }
        }
        const second = new FlowTable(buffer, 0, CAPACITY, SEED);
        const claimed = countLive(second);
        const { cleared: lost } = adoptRecords(second, () => true);
        expect(second.count).toBe(claimed - lost);
        expect(countLive(second)).toBe(second.count);
        // What lives on is found by both its tuples and nothing else is.
        const model = new Model();
        for (let flow = 0; flow < CAPACITY; flow++) {
          if (!second.isLive(flow)) continue;
          const h = flow * HOT;
          const tuple = (t: number): Tuple => [
            second.hot[t]!,
            second.hot[t + H_DESTINATION]!,
            second.hot[t + H_PORTS]!,
            second.hot[h + H_STATUS]! & 0xff,
          ];
          expect(second.lookup(...tuple(h)) >> 1).toBe(flow);
          expect(second.lookup(...tuple(h + TUPLE)) >> 1).toBe(flow);
          model.set(flow, { original: tuple(h), reply: tuple(h + TUPLE) });
        }
        play(second, model, after);
        for (const flow of [...model.flows.keys()]) {
          second.destroy(flow);
          model.delete(flow);
        }
        expect(second.count).toBe(0);
        expect(second.index.words.every((word) => word === 0)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('a flow that the caller refuses is cleared', () => {
    const buffer = newBuffer();
    const table = new FlowTable(buffer, 0, CAPACITY, SEED);
    for (let i = 0; i < CAPACITY; i++) create(table, { original: [1, 2, i, 6], reply: [2, 3, i, 6] });
    const second = new FlowTable(buffer, 0, CAPACITY, SEED);
    expect(adoptRecords(second, (flow) => flow % 3 === 0).cleared).toBe(CAPACITY - CAPACITY / 3);
    expect(second.count).toBe(CAPACITY / 3);
    for (let flow = 0; flow < CAPACITY; flow++) {
      expect(second.lookup(1, 2, flow, 6)).toBe(flow % 3 === 0 ? flow * 2 : -1);
    }
    for (let i = 0; i < (CAPACITY * 2) / 3; i++) {
      expect(create(second, { original: [7, 2, i, 6], reply: [2, 4, i, 6] })).toBeGreaterThanOrEqual(0);
    }
    expect(create(second, { original: [8, 8, 8, 6], reply: [8, 9, 8, 6] })).toBe(-1);
  });
});

function countLive(table: FlowTable): number {
  let live = 0;
  for (let flow = 0; flow < table.capacity; flow++) {
    if ((table.hot[flow * HOT + H_STATUS]! & LIVE) !== 0) live++;
  }
  expect(table.cold).toHaveLength(table.capacity * COLD);
  return live;
}
