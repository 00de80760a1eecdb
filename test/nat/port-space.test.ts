import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ANY_PORT, EVEN_PORTS, HELD_BY_HOST, ODD_PORTS, PortSpace } from '../../src/nat/port-space.ts';

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
      const table = new PortSpace(first, last);
      const mapped = new Set<number>();
      const held = new Set<number>();
      const isFree = (port: number) => port >= first && port <= last && !mapped.has(port) && !held.has(port);
      for (const [what, number, seed] of steps) {
        const port = first + (number % Math.min(last - first + 1, 40));
        if (what === 'take' && isFree(port)) {
          table.take(port, number);
          mapped.add(port);
          expect(table.head[port]).toBe(number);
        }
        if (what === 'release' && mapped.delete(port)) table.release(port, 1, 0, 0);
        if (what === 'hold') {
          table.hold(port, HELD_BY_HOST, true);
          held.add(port);
        }
        if (what === 'unhold') {
          table.hold(port, HELD_BY_HOST, false);
          held.delete(port);
        }
        const found = search(table, seed);
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
        const table = new PortSpace(first, last);
        const held = new Set(holds.map((offset) => first + offset).filter((port) => port <= last));
        for (const port of held) table.hold(port, HELD_BY_HOST, true);
        const taken = new Set<number>();
        for (;;) {
          const port = search(table, seeds.next().value);
          if (port < 0) break;
          table.take(port, 1);
          expect(taken.has(port) || held.has(port)).toBe(false);
          taken.add(port);
        }
        expect(taken.size).toBe(last - first + 1 - held.size);
      },
    ),
  );
});

test('what the host holds outside the range is no concern', () => {
  const table = new PortSpace(100, 200);
  table.hold(99, HELD_BY_HOST, true);
  table.hold(201, HELD_BY_HOST, true);
  expect([table.isHeld(99), table.isFree(99), table.isHeld(201)]).toEqual([true, false, true]);
  table.hold(99, HELD_BY_HOST, false);
  expect(table.isFree(99)).toBe(false);
});

test('a search begins where it is told, and goes round', () => {
  const space = new PortSpace(32768, 65535);
  const from = (start: number, parity = ANY_PORT) => space.search(32768, 65535, start, parity);
  expect(from(32768)).toBe(32768);
  expect(from(33768)).toBe(33768);
  space.take(33768, 1);
  expect(from(33768)).toBe(33769);
  expect(from(33768, EVEN_PORTS)).toBe(33770);
  expect(from(33770, ODD_PORTS)).toBe(33771);
  space.take(65535, 1);
  expect(from(65535)).toBe(32768);
  expect(from(65535, ODD_PORTS)).toBe(32769);
});

test('a search stays within its part of the range', () => {
  const space = new PortSpace(1000, 2000);
  for (let port = 1100; port <= 1110; port++) {
    expect(space.search(1100, 1110, 1105, ANY_PORT)).toBe(
      port < 1106 ? 1105 + port - 1100 : 1100 + port - 1106,
    );
    space.take(space.search(1100, 1110, 1105, ANY_PORT), 1);
  }
  expect(space.search(1100, 1110, 1105, ANY_PORT)).toBe(-1);
});

describe('quarantine', () => {
  test('a port is kept for its last owner until its time is up', () => {
    const space = new PortSpace(100, 200);
    space.take(150, 7);
    space.release(150, 42, 1000, 120_000);
    expect([space.isFree(150), space.isFreeFor(150, 42), space.isFreeFor(150, 43)]).toEqual([
      false,
      true,
      false,
    ]);
    space.expire(120_999, 10);
    expect(space.isFree(150)).toBe(false);
    space.expire(121_000, 10);
    expect(space.isFree(150)).toBe(true);
  });

  test('its owner takes it back; the old entry does not free it later', () => {
    const space = new PortSpace(100, 200);
    space.take(150, 7);
    space.release(150, 42, 0, 1000);
    space.take(150, 8);
    space.expire(5000, 10);
    expect([space.isFree(150), space.head[150], space.inUse]).toEqual([false, 8, 1]);
    space.release(150, 42, 5000, 1000);
    space.expire(5999, 10);
    expect(space.isFree(150)).toBe(false);
    space.expire(6000, 10);
    expect(space.isFree(150)).toBe(true);
  });

  test('in a shortage the one that waited longest goes first', () => {
    const space = new PortSpace(100, 103);
    for (const [i, port] of [102, 100, 103, 101].entries()) {
      space.take(port, 1);
      space.release(port, 42, i * 1000, 120_000);
    }
    expect(space.search(100, 103, 100, ANY_PORT)).toBe(-1);
    expect([0, 1, 2, 3, 4].map(() => space.takeOldest(100, 103))).toEqual([102, 100, 103, 101, -1]);
  });
});

function search(space: PortSpace, random: number): number {
  const size = space.last - space.first + 1;
  return space.search(space.first, space.last, space.first + ((random >>> 1) % size), ANY_PORT);
}
