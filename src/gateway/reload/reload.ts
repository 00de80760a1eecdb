/**
 * Reloading: the file is read again and put in force, or nothing changes and the reason is said. One at a time; who asks while one is
 * under way gets another after it, since the file may have changed meanwhile.
 */
import type { Loaded } from '../config/load.ts';
import type { Gateway } from '../gateway.ts';
import type { Log } from '../log.ts';
import { type ReloadResult, readRequest, refused, resultLine, writeResult } from './result.ts';

export interface ReloadParts {
  gateway: Gateway;
  /** The file and the flags, read again. Throws NatgateError. */
  load(): Loaded;
  log: Log;
  /** Called with what is in force now, before the result is said. */
  onApplied(loaded: Loaded): void;
  /** The run directory, where who asked by a signal finds the result. */
  directory: string;
}

/** Never rejects. The result is in the log and in the run directory as well. */
export type Reload = () => Promise<ReloadResult>;

export function reloader(parts: ReloadParts): Reload {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(() => reload(parts));
    last = next;
    return next;
  };
}

async function reload({ gateway, load, log, onApplied, directory }: ReloadParts): Promise<ReloadResult> {
  const request = readRequest(directory);
  let result: ReloadResult;
  try {
    const loaded = load();
    const done = await gateway.reconfigure(loaded.options);
    result = {
      time: new Date().toISOString(),
      applied: true,
      problems: loaded.warnings,
      remedy: '',
      ...done,
    };
    onApplied(loaded);
  } catch (error) {
    result = refused(error);
  }
  try {
    writeResult(directory, request, result);
  } catch (error) {
    log(`the result of the reload could not be written: ${(error as Error).message}`, 'warning');
  }
  log(resultLine(result), result.applied ? 'info' : 'error', result.remedy);
  if (result.applied) for (const line of result.problems) log(line, 'warning');
  for (const line of result.leftovers) log(`the host could not be taken back: ${line}`, 'warning');
  return result;
}
