/** The parsers and their fuzzer as one program, with counters in the parsers (instrument.ts). */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { instrument } from './instrument.ts';
import { COUNTERS } from './instrument-name.ts';

/** What the counters of a file are, for what is said at the end, and what its mutants are made from. */
export interface CountedFile {
  first: number;
  count: number;
  words: string[];
  numbers: number[];
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FOLDER = fileURLToPath(new URL('build/', import.meta.url));

/** Layers in which parsers are. What a web page runs, and what starts processes, is not among them. */
const COUNTED = /\/src\/(wire|conntrack|nat|policy|engine|gateway|host|cli)\/.*\.ts$/;

/** Builds it; returns its path. It is in the tree, so that it finds what it imports. */
export async function buildFuzzer(): Promise<string> {
  const files: Record<string, CountedFile> = {};
  let first = 0;
  const counters: Plugin = {
    name: 'counters',
    setup(the) {
      the.onLoad({ filter: COUNTED }, ({ path }) => {
        const { code, count, words, numbers } = instrument(path, readFileSync(path, 'utf8'), first);
        files[relative(ROOT, path)] = { first, count, words, numbers };
        first += count;
        return { contents: code, loader: 'ts' };
      });
    },
  };
  mkdirSync(FOLDER, { recursive: true });
  // Of its own for each build: several may run at a time.
  const path = `${FOLDER}fuzzer-${process.pid}.mjs`;
  await build({
    entryPoints: [fileURLToPath(new URL('main.ts', import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
    outfile: path,
    plugins: [counters],
    banner: { js: `const ${COUNTERS} = globalThis.${COUNTERS} = new Uint8Array(${2 ** 17});` },
  });
  if (first > 2 ** 17) throw new Error(`${first} counters are too many`);
  writeFileSync(`${path}.json`, JSON.stringify(files));
  return path;
}
