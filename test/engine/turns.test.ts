import { expect, test, vi } from 'vitest';
import { readBatchSizes, readTurnTimes } from '../../src/engine/counters.ts';
import { Turns } from '../../src/engine/turns.ts';

test('batches by packets', () => {
  const counters = new Float64Array(512);
  const turns = new Turns(counters);
  for (const packets of [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64]) {
    turns.begin(packets);
    turns.end();
  }
  const { bounds, counts } = readBatchSizes(counters);
  expect(bounds).toEqual([1, 2, 4, 8, 16, 32, 64]);
  expect(counts).toEqual([1, 1, 2, 2, 2, 2, 2]);
});

test('one in 64 is timed, and falls into the class of its duration', () => {
  const counters = new Float64Array(512);
  const turns = new Turns(counters);
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  const durations = [0.0005, 0.001, 0.0015, 0.003, 16.5, 60_000];
  for (const ms of durations) {
    for (let i = 0; i < 64; i++) {
      turns.begin(1);
      if (i === 0) now += ms;
      turns.end();
    }
  }
  clock.mockRestore();
  const { bounds, counts, sum } = readTurnTimes(counters);
  expect(bounds[0]).toBe(1e-6);
  expect(bounds.at(-1)).toBe(Number.POSITIVE_INFINITY);
  expect(counts).toEqual([1, 2, 1, ...Array(12).fill(0), 2]);
  expect(sum).toBeCloseTo(durations.reduce((total, ms) => total + ms, 0) / 1000, 6);
});
