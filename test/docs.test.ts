import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { reasonMeanings, reasonNames } from '../src/core/reasons.ts';

test('docs/drop-reasons.md lists every reason with its sentence, and nothing else', () => {
  const page = readFileSync(new URL('../docs/drop-reasons.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  const expected = reasonNames.slice(1).map((name, i) => `| \`${name}\` | ${reasonMeanings[i + 1]} |`);
  expect(rows).toEqual(expected);
});
