/**
 * Every parser with the inputs that are kept (test/corpus/parsers), and with mutants that its coverage guides: a bounded number, of one
 * seed that is always the same and one that never is. Longer: `npm run fuzz -- --parsers`.
 */
import { expect, test } from 'vitest';
import { fuzzParsers } from './parsers/run.ts';

test.each([1, Math.floor(Math.random() * 2 ** 32)])(
  'parsers, seed %i',
  async (seed) => {
    // Parsers differ a hundredfold in what an input costs; seconds bound the slow ones, mutants the fast ones.
    const { status, output } = await fuzzParsers(
      { iterations: '1000', seconds: '3', seed, write: false },
      'pipe',
    );
    expect(status, output).toBe(0);
    // All were there, and reached something.
    const reached = [...output.matchAll(/(\d+) of \d+ branches/g)].map(([, number]) => Number(number));
    expect(reached.length).toBeGreaterThanOrEqual(16);
    expect(Math.min(...reached)).toBeGreaterThan(5);
  },
  300_000,
);
