import { describe, expect, it } from 'vitest';
import { highestRate, LOSS_LIMIT, type Trial } from '../../bench/net/workloads/rate-search.ts';

/** A path that carries so much a second, and a sender that can do no more than so much. */
function path(capacity: number, sender: number) {
  const rates: number[] = [];
  const offer = async (rate: number): Promise<Trial> => {
    rates.push(rate);
    const offered = rate === 0 ? sender : Math.min(rate, sender);
    return { offered, delivered: Math.min(offered, capacity) };
  };
  return { rates, offer };
}

describe('the search for the highest rate without loss', () => {
  it.each([1e3, 77_777, 250e3, 399e3])('finds a capacity of %d within 5 %', async (capacity) => {
    const { offer, rates } = path(capacity, 400e3);
    const rate = await highestRate(offer);
    expect(rate).toBeLessThanOrEqual(capacity * (1 + LOSS_LIMIT) + 1);
    expect(rate).toBeGreaterThan(capacity * 0.94);
    expect(rates.length).toBeLessThan(20);
  });

  it('also where a full offer is delivered far worse than a modest one', async () => {
    const offer = async (rate: number): Promise<Trial> =>
      rate === 0 || rate > 200e3
        ? { offered: rate || 900e3, delivered: 80e3 }
        : { offered: rate, delivered: rate };
    expect(await highestRate(offer)).toBeGreaterThan(190e3);
    expect(await highestRate(offer)).toBeLessThanOrEqual(200e3);
  });

  it('takes what the sender can do when nothing is lost even then', async () => {
    const { offer, rates } = path(1e6, 300e3);
    expect(await highestRate(offer)).toBe(300e3);
    expect(rates).toEqual([0, 0]);
  });

  it('gives a rate a second chance, but no third', async () => {
    let calls = 0;
    const offer = async (rate: number): Promise<Trial> => {
      calls++;
      const offered = rate === 0 ? 400e3 : rate;
      // Every other trial meets a bad moment.
      const lost = calls % 2 === 0 || offered > 200e3;
      return { offered, delivered: lost ? offered * 0.9 : offered };
    };
    expect(await highestRate(offer)).toBeGreaterThan(188e3);
    const unlucky = async (rate: number) => ({ offered: rate || 400e3, delivered: (rate || 400e3) * 0.9 });
    expect(await highestRate(unlucky)).toBe(0);
  });

  it('does not take a rate that the sender did not reach for one that passed', async () => {
    const offer = async (rate: number): Promise<Trial> => {
      if (rate === 0) return { offered: 400e3, delivered: 250e3 };
      // A slow moment of the sender at the first guess, and then at 220 000 the path's limit.
      if (rate > 220e3) return { offered: 150e3, delivered: 150e3 };
      return { offered: rate, delivered: rate };
    };
    expect(await highestRate(offer)).toBeGreaterThan(207e3);
  });

  it('takes a loss of exactly the limit, and none above it', async () => {
    const lossy = (loss: number) => async (rate: number) => {
      const offered = rate || 100e3;
      return { offered, delivered: offered * (1 - loss) };
    };
    expect(await highestRate(lossy(LOSS_LIMIT * 0.999))).toBeGreaterThan(99e3);
    expect(await highestRate(lossy(LOSS_LIMIT * 1.1))).toBe(0);
  });
});
