/** docs/rfc-coverage.md is what test/rfc-coverage/ says, and that names tests that exist. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { documents } from './rfc-coverage/documents.ts';
import { coveragePage, isMust } from './rfc-coverage/page.ts';
import { testTitles } from './rfc-coverage/titles.ts';

const rows = documents.flatMap(({ rfc, requirements }) =>
  requirements.map((requirement) => ({ ...requirement, id: `RFC ${rfc} ${requirement.id}` })),
);

test('the page is up to date: `npm run docs:rfc` writes it', () => {
  const page = readFileSync(new URL('../docs/rfc-coverage.md', import.meta.url), 'utf8');
  expect(page).toBe(coveragePage(documents));
});

test('every test that is named exists, once', () => {
  const known = new Map<string, string[]>();
  const titlesOf = (file: string) => {
    const url = new URL(file, import.meta.url);
    if (!known.has(file)) known.set(file, existsSync(url) ? testTitles(readFileSync(url, 'utf8')) : []);
    return known.get(file)!;
  };
  const wrong = rows.flatMap(({ id, tests }) =>
    tests
      .map(([file, title]) => {
        const found = titlesOf(file).filter((one) => one === title || one.endsWith(` › ${title}`));
        return { id, file, title, found: found.length };
      })
      .filter(({ found }) => found !== 1),
  );
  expect(wrong).toEqual([]);
});

test('what is met has a test', () => {
  const untested = rows.filter(
    ({ met, tests }) => (met === 'yes' || met === 'reserved') && tests.length === 0,
  );
  expect(untested.map(({ id }) => id)).toEqual([]);
});

test('no requirement stands twice', () => {
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
});

describe('MUST and MUST NOT', () => {
  const musts = (met: string) => rows.filter((row) => isMust(row) && row.met === met).map(({ id }) => id);

  test('none is unmet', () => {
    expect(musts('no')).toEqual([]);
  });

  test('those met with a reserve are about overloading, and no others', () => {
    expect(musts('reserved')).toEqual([
      'RFC 4787 REQ-1',
      'RFC 4787 REQ-3',
      'RFC 4787 REQ-11',
      'RFC 5382 REQ-1',
      'RFC 5382 REQ-7',
      'RFC 6888 REQ-1',
    ]);
  });

  test('outside is the control protocol of a CGN, and nothing else', () => {
    expect(musts('outside')).toEqual(['RFC 6888 REQ-9']);
  });
});

describe('titles', () => {
  test('with their describes; each, skipIf and templates as they stand; not those that are skipped', () => {
    const source = `
      describe.each(list)('about %s', () => {
        test.each([['(', /\\)/]])('type %i', () => {});
        it.skipIf(bare)(\`seed \${seed}, more\`, async () => {});
        test.skip('never', () => {});
      });
      test('alone', () => { expect.it('no test'); run('neither'); });
    `;
    expect(testTitles(source)).toEqual(['about %s › type %i', 'about %s › seed …, more', 'alone']);
  });
});
