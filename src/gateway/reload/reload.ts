/**
 * Reloading: the file is read again and put in force, or nothing changes and the reason is said. One at a time; who asks while one is
 * under way gets another after it, since the file may have changed meanwhile.
 */
import type { Log } from '../log.ts';
import { type ReloadResult, readRequest, refused, resultLine, writeResult } from './result.ts';
import type { RunningConfig } from './running.ts';

export interface ReloadParts {
  running: RunningConfig;
  log: Log;
  /** The run directory, where who asked by a signal finds the result. */
  directory: string;
}

/** Never rejects. The result is in the log and in the run directory as well; `error`: why nothing has changed. */
export type Reload = () => Promise<{ result: ReloadResult; error: unknown }>;

export function reloader(parts: ReloadParts): Reload {
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(() => reload(parts));
    last = next;
    return next;
  };
}

async function reload({ running, log, directory }: ReloadParts): ReturnType<Reload> {
  const request = readRequest(directory);
  let result: ReloadResult;
  let failure: unknown;
  try {
    const { warnings, ...taken } = await running.reload();
    result = { time: new Date().toISOString(), applied: true, problems: warnings, remedy: '', ...taken };
  } catch (error) {
    failure = error;
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
  return { result, error: failure };
}
