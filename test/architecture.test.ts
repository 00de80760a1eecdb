/**
 * The layers of src/, as rules that fail: who may import whom, how long a file may be, who may print. `name` in a
 * rule is a folder of src/.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A folder imports from those left of it. */
const LAYERS = ['core', 'wire', 'conntrack', 'nat', 'policy', 'engine', 'link', 'host', 'gateway', 'cli'];
/** The in-memory gateway: what it may use. */
const TESTING = ['core', 'wire', 'conntrack', 'nat', 'policy', 'engine', 'link', 'testing'];
/** No devices, no clock, no files. */
const PURE = ['wire', 'conntrack', 'nat', 'policy', 'engine'];

const MAX_LINES = 400;
/** Files that may be longer, each with the reason. */
const LONGER: Record<string, string> = {};

interface Source {
  path: string;
  folder: string;
  text: string;
  lines: number;
  imports: string[];
}

const sources: Source[] = files('src', '.ts').map((path) => {
  const text = readFileSync(join(root, path), 'utf8');
  const folder = path.split('/').length > 2 ? path.split('/')[1]! : '';
  return { path, folder, text, lines: lineCount(text), imports: importsOf(text) };
});

function files(folder: string, suffix: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(suffix))
    .map((name) => `${folder}/${name}`);
}

function lineCount(text: string): number {
  return text.split('\n').length - 1;
}

/** What follows `from`, `import` and `import(`. */
function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s|\bimport\s|\bimport\()\s*'([^']+)'/g)].map((match) => match[1]!);
}

/** Folder of src/ that a relative import leads to. */
function target(source: Source, specifier: string): string {
  const path = relative('src', join(dirname(source.path), specifier));
  return path.includes('/') ? path.split('/')[0]! : '';
}

function isWeb(path: string): boolean {
  return path.startsWith('src/gateway/web/');
}

function own(source: Source): string[] {
  return source.imports.filter((specifier) => specifier.startsWith('.'));
}

test('every folder is a layer, and every layer has files', () => {
  const folders = new Set(sources.map(({ folder }) => folder));
  expect([...folders].sort()).toEqual(['', 'testing', ...LAYERS].sort());
  expect(sources.filter(({ folder }) => folder === '').map(({ path }) => path)).toEqual(['src/index.ts']);
  expect(sources.flatMap(own).length).toBeGreaterThan(300);
});

describe('imports', () => {
  test('lead to the left, or stay in the folder', () => {
    const wrong = sources.flatMap((source) => {
      if (source.folder === '') return [];
      const allowed =
        source.folder === 'testing' ? TESTING : LAYERS.slice(0, LAYERS.indexOf(source.folder) + 1);
      return own(source)
        .filter((specifier) => !allowed.includes(target(source, specifier)))
        .map((specifier) => `${source.path} imports ${specifier}`);
    });
    expect(wrong).toEqual([]);
  });

  test('the web page and the rest know nothing of each other', () => {
    const web = sources.filter(({ path }) => isWeb(path));
    expect(web.length).toBeGreaterThan(5);
    expect(web.flatMap(own).filter((name) => !name.startsWith('./'))).toEqual([]);
    const others = sources.filter(({ path }) => !isWeb(path)).flatMap(own);
    expect(others.filter((name) => name.includes('/web/'))).toEqual([]);
  });

  test('nothing but an entry imports testing or cli', () => {
    const wrong = sources.filter(
      (source) =>
        source.folder !== '' &&
        own(source).some((specifier) => {
          const folder = target(source, specifier);
          return folder !== source.folder && (folder === 'testing' || folder === 'cli');
        }),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('packages are dependencies that users get; Node’s own modules are named node:', () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    for (const { path, imports } of sources) {
      for (const specifier of imports.filter((name) => !name.startsWith('.'))) {
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/');
        if (specifier.startsWith('node:')) expect(builtinModules, path).toContain(specifier.slice(5));
        // Packages of the web page are in its bundle.
        else expect(Object.keys(isWeb(path) ? devDependencies : dependencies), path).toContain(name);
      }
    }
  });

  test.each(PURE)('%s is pure: it imports nothing but layers', (folder) => {
    const outside = sources
      .filter((source) => source.folder === folder)
      .flatMap(({ path, imports }) =>
        imports.filter((name) => !name.startsWith('.')).map((name) => `${path}: ${name}`),
      );
    expect(outside).toEqual([]);
  });
});

test(`a file has at most ${MAX_LINES} lines`, () => {
  const native = files('native/src', '.c').map((path) => ({
    path,
    lines: lineCount(readFileSync(join(root, path), 'utf8')),
  }));
  const long = [...sources, ...native].filter(({ lines }) => lines > MAX_LINES).map(({ path }) => path);
  expect(long.sort()).toEqual(Object.keys(LONGER).sort());
});

test('half of the files have at most 150 lines', () => {
  const lengths = sources.map(({ lines }) => lines).sort((a, b) => a - b);
  expect(lengths[lengths.length >> 1]).toBeLessThanOrEqual(150);
});

test('only the command line prints', () => {
  const printing = sources
    .filter(({ folder, text }) => folder !== 'cli' && /\bconsole\.|\bprocess\.stdout\b/.test(text))
    .map(({ path }) => path);
  expect(printing).toEqual([]);
});

test('a stateful file opens with what it is for', () => {
  const bare = sources
    .filter(({ folder, text }) => folder !== 'cli' && /^export class /m.test(text))
    .filter(({ text }) => !text.startsWith('/**') && !text.startsWith('#!'))
    .map(({ path }) => path);
  expect(bare).toEqual([]);
});

test('the hot path makes no views, spreads or BigInts', () => {
  const HOT = [
    'src/engine/engine.ts',
    'src/engine/path.ts',
    'src/engine/out-list.ts',
    'src/engine/oversize.ts',
    'src/engine/icmp-errors.ts',
    'src/engine/slot-bytes.ts',
    'src/conntrack/tracker.ts',
    'src/conntrack/tag-index.ts',
    'src/conntrack/fragments.ts',
    'src/nat/translate.ts',
    'src/nat/translate-error.ts',
    'src/wire/parse.ts',
    'src/wire/checksum.ts',
  ];
  for (const path of HOT) {
    const source = sources.find((candidate) => candidate.path === path);
    expect(source, path).toBeDefined();
    expect(source!.text, path).not.toMatch(/\.subarray\(|\.slice\(|\.\.\.[a-z[]|BigInt|\d+n\b|\bthrow\b/);
  }
});
