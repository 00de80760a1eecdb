import { expect, test } from 'vitest';
import { DestinationLimit } from '../../src/policy/destination-limit.ts';

/** How many of `count` answers to an address are allowed at `now`. */
function taken(limit: DestinationLimit, address: number, count: number, now: number): number {
  let got = 0;
  for (let i = 0; i < count; i++) {
    if (!limit.mayTake(address, now)) continue;
    limit.take(address);
    got++;
  }
  return got;
}

test('a burst, then so many a second, each destination by itself', () => {
  const limit = new DestinationLimit(100, 50, 7, 0);
  expect(taken(limit, 1, 1000, 0)).toBe(50);
  expect(taken(limit, 1, 1000, 100)).toBe(10);
  expect(taken(limit, 0x0200007f, 1000, 100)).toBe(50);
  // Never more than the burst, however long nobody asked; also where the clock wraps.
  expect(taken(limit, 1, 1000, 0x7fffffff)).toBe(50);
  expect(taken(limit, 1, 1000, -0x80000000 + 999)).toBe(50);
});

test('what was not taken is there still', () => {
  const limit = new DestinationLimit(1, 1, 7, 0);
  for (let i = 0; i < 10; i++) expect(limit.mayTake(1, 0)).toBe(true);
});

test('of many destinations few share a bucket with one, and others with another key', () => {
  const limit = new DestinationLimit(1, 1, 1, 0);
  const before = new DestinationLimit(1, 1, 2, 0);
  const refused = (each: DestinationLimit) => {
    each.take(5);
    return Array.from({ length: 100_000 }, (_, i) => i + 6).filter((address) => !each.mayTake(address, 0));
  };
  const first = refused(limit);
  expect(first.length).toBeGreaterThan(0);
  expect(first.length).toBeLessThan(100);
  expect(refused(before)).not.toEqual(first);
});
