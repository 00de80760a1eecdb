/**
 * `natgate down`: takes back what a gateway left that was killed, or that lingers. Devices, filters and settings
 * are in the journal (host/plan/undo.ts); beside it lie the state file and the run record.
 */

import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../core/errors.ts';
import { readJournal } from '../host/plan/journal.ts';
import { type UndoReport, undoJournal } from '../host/plan/undo.ts';
import { withStateLock } from '../host/state-root.ts';
import { UNREADY_PREFIX } from './control/socket.ts';
import { RELOAD_FILES } from './reload/files.ts';
import { recordPath, runDirectory } from './run/run-record.ts';
import { removeStateFiles, statePath } from './run/state-file.ts';
import { restorePath } from './saved-flows/restoring.ts';
import { takeoverPath } from './takeover/handover.ts';

export interface WhichGateway {
  stateRoot: string;
  name: string;
}

/**
 * Undoes a gateway. Throws NatgateError `gateway_running` while it runs, `not_running` when there is nothing to undo,
 * `undo_failed` when a step could not be taken back (the journal keeps it). Returns what was done.
 */
export function takeDown(which: WhichGateway): UndoReport {
  const report = undoAll(which);
  if (!report.found) {
    throw new NatgateError(
      'not_running',
      `no gateway ${which.name} runs here, and none left anything behind`,
      `other names: ls ${which.stateRoot}`,
    );
  }
  return report;
}

/**
 * What a gateway that lingers leaves running: undoes it after some seconds, unless by then a new `run` or a `down`
 * has taken it over. `owner` is that of the journal.
 */
export async function takeDownLater(which: WhichGateway, seconds: number, owner: string): Promise<void> {
  await sleep(seconds * 1000);
  undoAll(which, owner);
}

/**
 * Undoes journal, state file and run record as one act. With `owner`, only while the journal is that owner's.
 * Throws NatgateError `undo_failed`, and `gateway_running` when another process holds the gateway.
 */
export function undoAll({ stateRoot, name }: WhichGateway, owner?: string): UndoReport {
  const report = withStateLock(stateRoot, () => {
    const directory = runDirectory(stateRoot, name);
    const state = existsSync(directory) ? statePath(directory, name) : null;
    const undone = undoJournal(stateRoot, name, owner);
    // It is still there when a step failed, or when it has another owner by now.
    if (readJournal(stateRoot, name) === null) removeFiles(directory, state);
    return undone;
  });
  if (report.failed.length === 0) return report;
  const reasons = report.failed.map(({ step, error }) => `${step} (${error.message})`).join('; ');
  throw new NatgateError(
    'undo_failed',
    `not everything could be undone: ${reasons}`,
    `mend that, then \`natgate down --name ${name}\``,
  );
}

/** The run directory goes too, if nothing else is in it. */
function removeFiles(directory: string, state: string | null): void {
  if (state !== null) removeStateFiles(state);
  rmSync(recordPath(directory), { force: true });
  rmSync(restorePath(directory), { force: true });
  for (const name of RELOAD_FILES) rmSync(join(directory, name), { force: true });
  // Of a gateway that was killed, perhaps while it started.
  rmSync(join(directory, 'control.sock'), { force: true });
  rmSync(takeoverPath(directory), { force: true });
  try {
    for (const name of readdirSync(directory)) {
      if (name.startsWith(UNREADY_PREFIX)) rmSync(join(directory, name), { recursive: true });
    }
    rmdirSync(directory);
  } catch {
    // Already gone with the journal, or somebody keeps a file there.
  }
}
