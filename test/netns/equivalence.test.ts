/**
 * Imported rules against the kernel's own, in bounded runs: `npm run equivalence -- --sets N --packets M --seed S` is the whole one, with
 * `--live` that of a running natgate.
 */
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runInside } from '../differential/namespace.ts';

const inside = fileURLToPath(new URL('../equivalence/inside.ts', import.meta.url));

describe('rules in the kernel and, imported, in natgate, given the same packets', () => {
  for (const seed of [1, randomInt(2, 2 ** 31)]) {
    for (const [where, sets, more] of [
      ['in memory', 15, []],
      ['running', 15, ['--live']],
    ] as const) {
      test(`${where}: ${sets} rule sets of seed ${seed} differ in nothing unexplained`, async () => {
        const { code, output } = await runInside(
          ['--sets', String(sets), '--packets', '200', '--seed', String(seed), '--most', '3', ...more],
          { inside, quiet: true, second: more.length > 0 },
        );
        expect(output).toContain('of the others: 0 unexplained\n');
        expect(output).toContain(`${sets} rule sets of seed ${seed}`);
        expect(code, output).toBe(0);
      });
    }
  }
});
