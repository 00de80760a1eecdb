/** What a soak calls growth. */
import { expect, it } from 'vitest';
import { Random } from '../netns/support/random.ts';
import { growthOf } from './growth.ts';

const random = new Random(1);
const noise = (size: number) => (random.below(1000) / 1000 - 0.5) * size;
const readings = (count: number, value: (i: number) => number) =>
  Array.from({ length: count }, (_, i) => value(i));

it('a warm-up and noise are none', () => {
  const { rise, grows } = growthOf(
    readings(100, (i) => 100 + Math.min(i, 15) * 10 + noise(6)),
    8,
  );
  expect(Math.abs(rise)).toBeLessThan(2);
  expect(grows).toBe(false);
});

it('a leak is, also in noise', () => {
  const { rise, grows } = growthOf(
    readings(100, (i) => 100 + i * 0.3 + noise(6)),
    8,
  );
  // Eighty readings count.
  expect(rise).toBeCloseTo(0.3 * 79, -0.5);
  expect(grows).toBe(true);
});

it('below the floor it is none, nor where it scatters more', () => {
  expect(
    growthOf(
      readings(100, (i) => 100 + i * 0.05),
      8,
    ).grows,
  ).toBe(false);
  expect(
    growthOf(
      readings(100, (i) => 100 + i * 0.3 + (i % 2) * 60),
      8,
    ).grows,
  ).toBe(false);
});

it('few readings say nothing', () => {
  expect(growthOf([1, 100, 1000, 10_000], 0).grows).toBe(false);
});
