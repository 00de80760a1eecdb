/**
 * Finds the programs that the lab and the namespace tests call, and installs missing ones on Debian and its
 * descendants when that needs no question: as root, with apt-get there.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { NatgateError } from '../../core/errors.ts';

/** A program and the Debian package that brings it. */
export interface Tool {
  binary: string;
  package: string;
}

/** Tools of the administrator are often not in an ordinary user's PATH. */
const ADMIN_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Path of a program, or null when it is not installed. */
export function findTool(binary: string): string | null {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...ADMIN_FOLDERS]) {
    const path = join(folder, binary);
    try {
      accessSync(path, constants.X_OK);
      if (folder !== '' && statSync(path).isFile()) return path;
    } catch {
      // not in this folder
    }
  }
  return null;
}

/**
 * Makes sure that all of `tools` are there, installing the missing ones where that is possible.
 * Returns the packages that were installed. Throws NatgateError `tools_missing` with the line that installs them.
 */
export function ensureTools(tools: readonly Tool[], log: (line: string) => void): string[] {
  const missing = tools.filter((tool) => findTool(tool.binary) === null);
  if (missing.length === 0) return [];
  const packages = [...new Set(missing.map((tool) => tool.package))];
  const remedy = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  const names = missing.map((tool) => tool.binary).join(', ');
  const fail = (why: string): never => {
    throw new NatgateError('tools_missing', `not installed: ${names}${why}`, `as root: ${remedy}`);
  };

  if (process.geteuid?.() !== 0 || findTool('apt-get') === null) fail('');
  log(`installing ${packages.join(' ')}`);
  // The lists of a fresh image are empty or old: only then is the slower `update` needed.
  if (!aptGet('install', packages).ok) {
    aptGet('update', []);
    const second = aptGet('install', packages);
    if (!second.ok) fail(` (apt-get: ${second.lastLine})`);
  }
  const still = missing.filter((tool) => findTool(tool.binary) === null);
  if (still.length > 0)
    fail(` (installed, but ${still.map((tool) => tool.binary).join(', ')} did not appear)`);
  return packages;
}

function aptGet(verb: 'install' | 'update', packages: readonly string[]): { ok: boolean; lastLine: string } {
  const options = ['-y', '-q', '-o', 'DPkg::Lock::Timeout=120'];
  const result = spawnSync(
    'apt-get',
    verb === 'update' ? [...options, verb] : [...options, verb, '--no-install-recommends', ...packages],
    {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const lines = `${result.stderr ?? ''}`.trim().split('\n');
  return { ok: result.status === 0, lastLine: lines.at(-1) ?? '' };
}
