/** A configuration in a test: its text, and what becomes of it. */
import type { RunArguments } from '../../../src/gateway/config/flags.ts';
import { type Examined, examine, failure } from '../../../src/gateway/config/load.ts';
import { problemLine } from '../../../src/gateway/config/problems.ts';
import type { RunOptions } from '../../../src/gateway/options.ts';

export const FILE = 'natgate.yaml';

export function examined(text: string | null, flags: RunArguments = {}): Examined {
  const file = text === null ? null : { path: FILE, text };
  return examine({ name: 'default', stateRoot: '/run/natgate', flags, file });
}

/** What it means; throws what `run` would. */
export function optionsOf(text: string | null, flags: RunArguments = {}): RunOptions {
  const { options, problems } = examined(text, flags);
  if (options === null) throw failure(text === null ? null : FILE, problems);
  return options;
}

/** Every line that `check` prints about it. */
export function linesOf(text: string, flags: RunArguments = {}): string[] {
  return examined(text, flags).problems.map((problem) => problemLine(FILE, problem));
}

export const TWO = 'private: eth1\npublic: eth0\n';
