/** Commands the benchmark needs: Debian packages, and the small C programs under bench/c. */
import { accessSync, constants, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NatgateError } from '../../src/core/errors.ts';
import { run } from './processes.ts';
import type { Tool } from './types.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD = join(ROOT, 'bench/build');
const SYSTEM_PATH = '/usr/sbin:/sbin';
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';

export const GCC: readonly Tool[] = [
  { command: 'gcc', package: 'gcc' },
  { command: 'gcc', package: 'libc6-dev' },
];

/** Compiles bench/c/NAME.c, unless the program is newer than its source. Returns its path. */
export async function compile(name: string): Promise<string> {
  const source = join(ROOT, 'bench/c', `${name}.c`);
  const output = join(BUILD, name);
  if (modified(output) <= modified(source)) {
    mkdirSync(BUILD, { recursive: true });
    await run('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', output, source], { timeoutMs: 60_000 });
  }
  return output;
}

/** Bundles a program for node, as the engine is bundled. Returns its path. */
export async function bundle(source: string): Promise<string> {
  const output = join(BUILD, `${basename(source, '.ts')}.mjs`);
  const esbuild = join(ROOT, 'node_modules/.bin/esbuild');
  const flags = ['--bundle', '--platform=node', '--format=esm', '--packages=external', '--log-level=warning'];
  await run(esbuild, [source, ...flags, `--outfile=${output}`], { timeoutMs: 60_000 });
  return output;
}

/** The tools that are not on this machine. */
export function missingTools(tools: readonly Tool[]): Tool[] {
  return tools.filter((tool) => !onPath(tool.command));
}

/** `apt-get install …` for these tools. */
export function installLine(tools: readonly Tool[]): string {
  const packages = [...new Set(tools.map((tool) => tool.package))].sort();
  return `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
}

/** Installs what is missing, when that can be done here. Whoever needs a tool looks again afterwards. */
export async function installTools(tools: readonly Tool[], say: (line: string) => void): Promise<void> {
  const missing = missingTools(tools);
  if (missing.length === 0 || process.getuid?.() !== 0 || !onPath('apt-get')) return;
  const line = installLine(missing);
  say(line);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const guard = forbidServices();
  const [command, ...args] = line.split(' ');
  const install = async () => await run(command!, args, { env, timeoutMs: 300_000 });
  try {
    await install();
  } catch {
    // Lists may be missing or stale.
    try {
      await run('apt-get', ['update'], { env, timeoutMs: 300_000 });
      await install();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error));
    }
  } finally {
    guard.close();
  }
}

/** No package that is installed meanwhile starts its service (nginx would): see invoke-rc.d(8). */
function forbidServices(): { close(): void } {
  try {
    writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
  } catch {
    // The machine has a policy of its own.
    return { close: () => {} };
  }
  const remove = () => rmSync(SERVICE_POLICY, { force: true });
  process.on('exit', remove);
  return {
    close: () => {
      remove();
      process.off('exit', remove);
    },
  };
}

/** Throws when a tool is missing, with the line that installs it. */
export function demandTools(tools: readonly Tool[]): void {
  const missing = missingTools(tools);
  if (missing.length === 0) return;
  const names = [...new Set(missing.map((tool) => tool.command))].join(', ');
  throw new NatgateError('BENCH_TOOL_MISSING', `${names} missing: ${installLine(missing)}`);
}

function onPath(command: string): boolean {
  return `${process.env['PATH'] ?? ''}${delimiter}${SYSTEM_PATH}`.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, basename(command)), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
