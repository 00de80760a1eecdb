import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, quantile } from '../../bench/net/statistics.ts';
import { summarise } from '../../bench/net/summary.ts';
import type { Reading } from '../../bench/net/types.ts';

const reading = (round: number, contender: string, rest: Partial<Reading>): Reading => ({
  round,
  contender,
  workload: 'tcp-out',
  ...rest,
});

describe('statistics', () => {
  it('takes the middle, and the mean of the two middle ones', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([7])).toBe(7);
    expect(quantile([0, 10, 20, 30, 40], 0.9)).toBe(36);
  });

  it('has as many values below the median as above, whatever their order', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
        const middle = median(values);
        const half = values.length / 2;
        expect(values.filter((value) => value < middle).length).toBeLessThanOrEqual(half);
        expect(values.filter((value) => value > middle).length).toBeLessThanOrEqual(half);
      }),
    );
  });
});

describe('summarise', () => {
  it('takes the median of the ratios of each round, not the ratio of the medians', () => {
    const { figures } = summarise(
      [
        reading(1, 'kernel', { value: 10 }),
        reading(1, 'other', { value: 5 }),
        reading(2, 'kernel', { value: 40 }),
        reading(2, 'other', { value: 10 }),
        reading(3, 'kernel', { value: 20 }),
        reading(3, 'other', { value: 18 }),
      ],
      'kernel',
    );
    const base = { workload: 'tcp-out', rounds: 3, tried: 3 };
    expect(figures).toEqual([
      { ...base, contender: 'kernel', median: 20, min: 10, max: 40, ratio: 1, ratioRange: [1, 1] },
      { ...base, contender: 'other', median: 10, min: 5, max: 18, ratio: 0.5, ratioRange: [0.25, 0.9] },
    ]);
  });

  it('neither counts a failed round as zero nor leaves it out', () => {
    const { figures, failures } = summarise(
      [
        reading(1, 'kernel', { error: 'no iptables' }),
        reading(1, 'other', { value: 6, gatewayCost: 0.25, machineCost: 1 }),
        reading(2, 'kernel', { error: 'no iptables either' }),
        reading(2, 'other', { error: 'died' }),
      ],
      'kernel',
    );
    expect(figures).toEqual([
      {
        contender: 'other',
        workload: 'tcp-out',
        median: 6,
        min: 6,
        max: 6,
        rounds: 1,
        tried: 2,
        gatewayCost: 0.25,
        machineCost: 1,
      },
    ]);
    expect(failures).toEqual([
      { contender: 'kernel', workload: 'tcp-out', rounds: 2, tried: 2, error: 'no iptables' },
      { contender: 'other', workload: 'tcp-out', rounds: 1, tried: 2, error: 'died' },
    ]);
  });

  it('compares nothing with a round in which the reference failed', () => {
    const { figures } = summarise(
      [
        reading(1, 'kernel', { value: 10 }),
        reading(1, 'other', { error: 'died' }),
        reading(2, 'kernel', { error: 'died' }),
        reading(2, 'other', { value: 5 }),
      ],
      'kernel',
    );
    expect(figures.map((figure) => figure.ratio)).toEqual([1, undefined]);
  });
});
