/**
 * The kernel as the oracle, in a bounded run: `npm run differential -- --sequences 10000 --seed S` is the whole one.
 * The second seed is new each time; the report of a failure says it, and how to repeat it.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { differenceNames } from '../differential/differences.ts';
import { runInside } from '../differential/namespace.ts';

const SEQUENCES = 300;

describe('natgate and the kernel, given the same packets', () => {
  for (const seed of [1, randomInt(2, 2 ** 31)]) {
    test(`${SEQUENCES} sequences of seed ${seed} differ in nothing unexplained`, async () => {
      const { code, output } = await runInside(
        ['--sequences', String(SEQUENCES), '--seed', String(seed), '--most', '3'],
        { quiet: true },
      );
      expect(output).toContain(' 0 unexplained\n');
      expect(code, output).toBe(0);
    });
  }

  test('each explained difference has its section in the documentation', () => {
    const page = readFileSync(new URL('../../docs/differences-from-netfilter.md', import.meta.url), 'utf8');
    const sections = [...page.matchAll(/^### (\S+)$/gm)].map(([, name]) => name);
    expect(sections.sort()).toEqual([...differenceNames].sort());
  });
});
