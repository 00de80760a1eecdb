import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PortTable } from '../../src/nat/port-table.ts';

/** Ranges that begin and end inside words of 32, on their borders, within one, and of one port. */
const range = fc.constantFrom(
  [0, 65535],
  [32768, 65535],
  [1000, 1100],
  [64, 95],
  [63, 96],
  [70, 80],
  [65535, 65535],
  [0, 0],
) as fc.Arbitrary<[number, number]>;
const random = fc.integer();

test('against an array: free is what is in the range, not mapped and not held', () => {
  const step = fc.tuple(fc.constantFrom('take', 'release', 'hold', 'unhold', 'search'), fc.nat(), random);
  fc.assert(
    fc.property(range, fc.array(step, { maxLength: 100 }), ([first, last], steps) => {
      const table = new PortTable(first, last);
      const mapped = new Set<number>();
      const held = new Set<number>();
      const isFree = (port: number) => port >= first && port <= last && !mapped.has(port) && !held.has(port);
      for (const [what, number, seed] of steps) {
        const port = first + (number % Math.min(last - first + 1, 40));
        if (what === 'take' && isFree(port)) {
          table.take(port, seed, number & 0xffff);
          mapped.add(port);
          expect([table.internalAddress[port], table.internalPort[port], table.refs[port]]).toEqual([
            seed,
            number & 0xffff,
            1,
          ]);
        }
        if (what === 'release' && mapped.delete(port)) table.release(port);
        if (what === 'hold') {
          table.hold(port, true);
          held.add(port);
        }
        if (what === 'unhold') {
          table.hold(port, false);
          held.delete(port);
        }
        const found = table.search(seed);
        if (found >= 0) expect(isFree(found)).toBe(true);
        else expect(mapped.size + held.size).toBeGreaterThan(last - first);
        expect(table.inUse).toBe(mapped.size);
        for (const probe of [port, port + 1, first - 1, first, last, last + 1]) {
          if (probe < 0 || probe > 65535) continue;
          expect(table.isFree(probe), `port ${probe}`).toBe(isFree(probe));
          expect(table.isHeld(probe)).toBe(held.has(probe));
        }
      }
    }),
  );
});

test('searching finds every port of the range before it fails', () => {
  fc.assert(
    fc.property(
      fc.tuple(fc.nat(60_000), fc.nat(300)),
      fc.array(fc.nat(300), { maxLength: 20 }),
      fc.infiniteStream(random),
      ([first, size], holds, seeds) => {
        const last = Math.min(first + size, 65535);
        const table = new PortTable(first, last);
        const held = new Set(holds.map((offset) => first + offset).filter((port) => port <= last));
        for (const port of held) table.hold(port, true);
        const taken = new Set<number>();
        for (;;) {
          const port = table.search(seeds.next().value);
          if (port < 0) break;
          table.take(port, 1, 1);
          expect(taken.has(port) || held.has(port)).toBe(false);
          taken.add(port);
        }
        expect(taken.size).toBe(last - first + 1 - held.size);
      },
    ),
  );
});

test('what the host holds outside the range is no concern', () => {
  const table = new PortTable(100, 200);
  table.hold(99, true);
  table.hold(201, true);
  expect([table.isHeld(99), table.isFree(99), table.isHeld(201)]).toEqual([false, false, false]);
  table.hold(99, false);
  expect(table.isFree(99)).toBe(false);
});

test('a search begins where the random number says', () => {
  const table = new PortTable(32768, 65535);
  expect(table.search(0)).toBe(32768);
  expect(table.search(2 * 1000)).toBe(33768);
  table.take(33768, 1, 1);
  expect(table.search(2 * 1000)).toBe(33769);
  table.take(65535, 1, 1);
  expect(table.search(2 * 32767)).toBe(32768);
});
