/**
 * `applied.json` in the run directory: the configuration that is in force, and the flags it came with. `natgate plan` compares with
 * it, and the next run takes the numbers of its rules over with the flows that remember them. Only root reads it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../core/errors.ts';
import { replaceFile } from '../../host/replace-file.ts';
import type { RunArguments } from '../config/flags.ts';
import type { RunOptions } from '../options.ts';
import { packageVersion } from '../version.ts';
import { APPLIED } from './files.ts';

export interface Applied {
  options: RunOptions;
  flags: RunArguments;
}

/** JSON has no infinity; schedules do (policy/firewall-config.ts). */
const ENDLESS = new Map<unknown, string>([
  [Infinity, 'Infinity'],
  [-Infinity, '-Infinity'],
]);

export function appliedPath(directory: string): string {
  return join(directory, APPLIED);
}

export function writeApplied(directory: string, { options, flags }: Applied): void {
  const content = { natgate: packageVersion(), options, flags };
  const text = JSON.stringify(content, (_, value) =>
    ENDLESS.has(value) ? { endless: ENDLESS.get(value) } : value,
  );
  replaceFile(appliedPath(directory), `${text}\n`, { mode: 0o600 });
}

/** Null when there is none, or another version's. */
export function readApplied(directory: string): Applied | null {
  try {
    const read = JSON.parse(readFileSync(appliedPath(directory), 'utf8'), (_, value) =>
      value?.endless === undefined ? value : Number(value.endless),
    );
    return read.natgate === packageVersion() ? { options: read.options, flags: read.flags } : null;
  } catch (error) {
    if (error instanceof SyntaxError || isSystemError(error, 'ENOENT')) return null;
    throw error;
  }
}
