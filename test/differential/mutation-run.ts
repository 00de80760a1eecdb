/**
 * Does the oracle see what it should? Each planted bug goes into a copy of the source, alone, and a bounded run against
 * the kernel must find it. The run without a bug comes first and must be clean, or finding something would mean nothing.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NatgateError } from '../../src/core/errors.ts';
import { type Mutation, mutations } from './mutations.ts';
import { runInside } from './namespace.ts';
import type { Options } from './options.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What a run reads; the rest is linked. */
const COPIED = ['src', 'test/differential', 'test/netns/support', 'package.json', 'tsconfig.json'];
const LINKED = ['node_modules', 'native'];

export async function runMutations(options: Options, print: (line: string) => void): Promise<number> {
  for (const mutation of mutations) checkText(mutation);
  const copy = mkdtempSync(join(tmpdir(), 'natgate-mutation-'));
  const remove = () => rmSync(copy, { recursive: true, force: true });
  process.on('exit', remove);
  try {
    for (const path of COPIED) cpSync(join(ROOT, path), join(copy, path), { recursive: true });
    for (const path of LINKED) symlinkSync(join(ROOT, path), join(copy, path));
    const run = (sequences: number) =>
      runInside(['--sequences', String(sequences), '--seed', String(options.seed), '--most', '1'], {
        inside: join(copy, 'test/differential/inside.ts'),
        quiet: true,
      });
    const clean = await run(options.sequences);
    if (clean.code !== 0) {
      print(clean.output);
      print('the run without a planted bug is not clean');
      return 1;
    }
    print(`no bug planted: ${options.sequences} sequences, nothing unexplained`);
    let missed = 0;
    for (const [i, mutation] of mutations.entries()) {
      const file = join(copy, mutation.file);
      const text = readFileSync(file, 'utf8');
      writeFileSync(
        file,
        text.replace(mutation.find, () => mutation.replace),
      );
      const { code, output } = await run(options.sequences);
      writeFileSync(file, text);
      const verdict = judge(code, output);
      if (!verdict.startsWith('found')) missed++;
      print(`${String(i + 1).padStart(2)}  ${verdict.padEnd(24)}  ${mutation.file}: ${mutation.breaks}`);
      if (verdict === 'failed to run') print(output);
    }
    print(`${mutations.length} bugs planted, ${mutations.length - missed} found (seed ${options.seed})`);
    return missed === 0 ? 0 : 1;
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** The text must be there, once: else the mutation says nothing about the source of today. */
function checkText({ file, find, replace }: Mutation): void {
  const parts = readFileSync(join(ROOT, file), 'utf8').split(find).length - 1;
  if (parts === 1 && find !== replace) return;
  throw new NatgateError(
    'mutation_stale',
    `${file}: the text of a planted bug occurs ${parts} times: ${find}`,
    'bring test/differential/mutations.ts up to date',
  );
}

function judge(code: number, output: string): string {
  const found = /^unexplained: seed \d+, sequence (\d+)/m.exec(output);
  if (code === 1 && found !== null) return `found in sequence ${found[1]}`;
  return code === 0 ? 'NOT FOUND' : 'failed to run';
}
