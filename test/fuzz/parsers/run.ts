/**
 * `npm run fuzz -- --parsers [--only NAME,NAME] [--seconds S] [--iterations N] [--seed S]`: builds the fuzzer of the parsers and runs
 * it; seconds and iterations are those of each target. What it finds goes into test/corpus/parsers/ when `write`.
 */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildFuzzer } from './bundle.ts';

export interface ParserFuzz {
  only?: string | undefined;
  seconds?: string | undefined;
  iterations?: string | undefined;
  seed: number;
  write: boolean;
}

/** Returns the exit code and, unless it goes to the terminal, what was said. */
export async function fuzzParsers(
  { only, seconds, iterations, seed, write }: ParserFuzz,
  stdio: 'inherit' | 'pipe' = 'inherit',
): Promise<{ status: number; output: string }> {
  const path = await buildFuzzer();
  const bound = iterations === undefined ? [] : ['--iterations', iterations];
  if (seconds !== undefined || iterations === undefined) bound.push('--seconds', seconds ?? '10');
  const args = [path, '--seed', String(seed), ...bound];
  if (only !== undefined) args.push('--only', only);
  if (write) args.push('--write');
  const corpus = fileURLToPath(new URL('../../corpus/parsers', import.meta.url));
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', stdio, stdio],
    env: { ...process.env, NATGATE_FUZZ_CORPUS: corpus },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
  const status = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)));
  for (const file of [path, `${path}.json`]) rmSync(file, { force: true });
  return { status, output };
}
