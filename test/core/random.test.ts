import { expect, test } from 'vitest';
import { Random, randomSeed } from '../../src/core/random.ts';

test('xorshift32 with seed 1: the numbers of Marsaglia’s paper (13, 17, 5), signed', () => {
  const random = new Random(1);
  expect([1, 2, 3, 4].map(() => random.next() >>> 0)).toEqual([270369, 67634689, 2647435461, 307599695]);
  expect(new Random(1).next()).toBe(270369);
});

test('seed 0 does not stand still', () => {
  const random = new Random(0);
  const seen = new Set(Array.from({ length: 1000 }, () => random.next()));
  expect(seen.size).toBe(1000);
  for (const value of seen) expect(value).toBe(value | 0);
});

test('low and high bits are both spread', () => {
  const random = new Random(42);
  const counts = [new Int32Array(16), new Int32Array(16)];
  for (let i = 0; i < 16_000; i++) {
    const value = random.next();
    counts[0]![value & 15]!++;
    counts[1]![value >>> 28]!++;
  }
  for (const bins of counts) {
    for (const count of bins) expect(Math.abs(count - 1000)).toBeLessThan(200);
  }
});

test('seeds from the kernel are int32 and differ', () => {
  const seeds = Array.from({ length: 10 }, randomSeed).flat();
  expect(new Set(seeds).size).toBe(20);
  for (const seed of seeds) expect(seed).toBe(seed | 0);
});
