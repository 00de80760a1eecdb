/** Damaged files: cut off anywhere, with characters added and lost. Whatever they are, there is an answer with a place. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { examined } from './support.ts';

const whole = readFileSync(new URL('../../../examples/natgate.yaml', import.meta.url), 'utf8');

/** Options, or an error; every problem at a line that the text has. */
function answers(text: string): void {
  const { options, problems } = examined(text);
  const errors = problems.filter(({ severity }) => severity === 'error');
  expect(options === null).toBe(errors.length > 0);
  const lines = text.split('\n').length + 1;
  for (const { place, what } of problems) {
    expect(what).not.toBe('');
    expect(place!.line).toBeGreaterThanOrEqual(1);
    expect(place!.line).toBeLessThanOrEqual(lines);
    expect(place!.column).toBeGreaterThanOrEqual(1);
  }
}

test('a file that is cut off anywhere', () => {
  for (let length = 0; length < whole.length; length += 13) answers(whole.slice(0, length));
});

test('lost, added and doubled pieces', () => {
  const seed = Number(process.env['NATGATE_SEED'] ?? Date.now() % 2 ** 31);
  const piece = fc.constantFrom(
    '',
    ' ',
    '\n',
    '\t',
    ':',
    ': ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '#',
    '&a ',
    '*a',
    '@',
    '!',
    '|',
    '%',
    '\0',
    '\u2028',
    '0',
    '-1',
    '1e9',
    'null',
    '~',
    '.',
    '..',
    '/',
    '=',
    '__proto__',
    '☃',
  );
  const change = fc.record({ at: fc.nat(whole.length), length: fc.nat(12), insert: piece });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      answers(
        changes.reduce(
          (text, { at, length, insert }) => text.slice(0, at) + insert + text.slice(at + length),
          whole,
        ),
      );
    }),
    { seed, numRuns: 150 },
  );
});

/** Values of every type at every key, whose keys are known. */
test('any value anywhere', () => {
  const seed = Number(process.env['NATGATE_SEED'] ?? Date.now() % 2 ** 31);
  const full = examined(whole).document as unknown as Record<string, unknown>;
  const value = fc.oneof(
    fc.constantFrom(null, true, 0, -1, 1.5, 1e99, '', 'x', '@x', '0', [], {}, [[]], [null], [{}], { x: 1 }, [
      1,
      'x',
      {},
    ]),
    fc.string({ maxLength: 6 }),
  );
  const paths = pathsOf(full, []);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...paths), value), { minLength: 1, maxLength: 3 }),
      (places) => {
        const document = structuredClone(full);
        for (const [path, wrong] of places) put(document, path, wrong);
        answers(JSON.stringify(document));
      },
    ),
    { seed, numRuns: 150 },
  );
});

type Path = (string | number)[];

function pathsOf(value: unknown, path: Path): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, element]) =>
    pathsOf(element, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return path.length === 0 ? inner : [path, ...inner];
}

function put(root: unknown, path: Path, value: unknown): void {
  let at = root as Record<string | number, unknown>;
  for (const part of path.slice(0, -1)) {
    if (typeof at[part] !== 'object' || at[part] === null) return;
    at = at[part] as Record<string | number, unknown>;
  }
  at[path.at(-1)!] = value;
}
