import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { reasonMeanings, reasonNames } from '../src/core/reasons.ts';
import { parseFilter } from '../src/gateway/observe/filter-parse.ts';

test('docs/drop-reasons.md lists every reason with its sentence, and nothing else', () => {
  const page = readFileSync(new URL('../docs/drop-reasons.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  const expected = reasonNames.slice(1).map((name, i) => `| \`${name}\` | ${reasonMeanings[i + 1]} |`);
  expect(rows).toEqual(expected);
});

test('filters in examples are filters', () => {
  const folder = new URL('../docs/', import.meta.url);
  const pages = readdirSync(folder).filter((name) => name.endsWith('.md'));
  const texts = ['../README.md', ...pages].map((name) => readFileSync(new URL(name, folder), 'utf8'));
  const filters = texts.flatMap((text) =>
    [
      ...text.matchAll(
        /^ {4}(?:\$ )?natgate (?:flows|drops|trace|capture|events|top)\b[^'\n#]*'([^'\n]+)'/gm,
      ),
    ].map(([, filter]) => filter!),
  );
  expect(filters.length).toBeGreaterThan(7);
  for (const filter of filters) expect(() => parseFilter(filter), filter).not.toThrow();
});
