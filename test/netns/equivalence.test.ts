/** Imported rules against the kernel's own, in a bounded run: `npm run equivalence -- --sets N --packets M --seed S` is the whole one. */
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runInside } from '../differential/namespace.ts';

const inside = fileURLToPath(new URL('../equivalence/inside.ts', import.meta.url));

describe('rules in the kernel and, imported, in natgate, given the same packets', () => {
  for (const seed of [1, randomInt(2, 2 ** 31)]) {
    test(`20 rule sets of seed ${seed} differ in nothing unexplained`, async () => {
      const { code, output } = await runInside(
        ['--sets', '20', '--packets', '200', '--seed', String(seed), '--most', '3'],
        {
          inside,
          quiet: true,
        },
      );
      expect(output).toContain('of the others: 0 unexplained\n');
      expect(code, output).toBe(0);
    });
  }
});
