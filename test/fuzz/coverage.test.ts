/**
 * Every parser with the inputs that are kept (test/corpus/parsers), and with a bounded number of mutants that its coverage guides.
 * Longer, and of other seeds: `npm run fuzz -- --parsers`.
 */
import { expect, test } from 'vitest';
import { fuzzParsers } from './parsers/run.ts';

test('parsers with what is kept, and mutants of it', async () => {
  // Parsers differ a hundredfold in what an input costs; seconds bound the slow ones, mutants the fast ones.
  const bound = { iterations: '500', seconds: '3', seed: 1, write: false };
  const { status, output } = await fuzzParsers(bound, 'pipe');
  expect(status, output).toBe(0);
  // All were there, and reached something.
  const reached = [...output.matchAll(/(\d+) of \d+ branches/g)].map(([, number]) => Number(number));
  expect(reached.length).toBeGreaterThanOrEqual(16);
  expect(Math.min(...reached)).toBeGreaterThan(5);
}, 300_000);
