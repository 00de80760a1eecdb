/** Runs of the benchmark, each in a process of its own. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { V8_FLAGS } from '../../src/engine/v8-flags.ts';
import type { Job } from './child.ts';

/** Where `npm run bench` puts the bundle of child.ts, seen from that of run.ts. */
const PROGRAM = fileURLToPath(new URL('child.mjs', import.meta.url));

/** Rejects with the last words of a child that fails. */
export async function runChild<T>(job: Job): Promise<T> {
  const child = spawn(process.execPath, [...V8_FLAGS, '--expose-gc', PROGRAM, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...ending) => resolve(ending));
  });
  if (code !== 0) throw new Error(lastWords(errors) ?? `it ended with ${signal ?? code}`);
  return JSON.parse(output) as T;
}

/** The line that says what the error was. */
function lastWords(errors: string): string | undefined {
  const lines = errors.split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1);
}
