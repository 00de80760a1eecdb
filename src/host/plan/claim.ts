/**
 * One gateway per name, and one per interface of a network namespace. The journals under the state root are the
 * claims; the state lock makes looking at them and adding one's own a single act.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { NatgateError } from '../../core/errors.ts';
import { notWritable } from '../not-writable.ts';
import { bootId, isAlive, isThisProcess, networkNamespace, thisProcess } from '../process-identity.ts';
import { withStateLock } from '../state-root.ts';
import { Journal, type JournalHeader, newHeader, readJournal, readJournals } from './journal.ts';
import { type UndoReport, undoJournal } from './undo.ts';

export interface ClaimOptions {
  stateRoot: string;
  name: string;
  /** Private interfaces first, the public one last. */
  interfaces: readonly string[];
  /** Pid of a process that runs and hands its claim over. */
  from?: number | undefined;
}

/**
 * Claims name and interfaces for this process. The journal that a dead process left under this name is adopted if it
 * is for the same interfaces, so that the original values it remembers are not lost; else it is undone first. With `from`, the journal of
 * that process becomes this one's while both live.
 * Throws NatgateError `gateway_running`, `interface_in_use`, `gateway_elsewhere`, `undo_failed` or `state_not_writable`.
 */
export function openJournal(options: ClaimOptions): Journal {
  const { stateRoot, name, interfaces } = options;
  return withStateLock(stateRoot, () => {
    const conflict = findConflict(options);
    if (conflict !== null) throw conflict;
    let entries = readJournal(stateRoot, name);
    if (options.from !== undefined && (entries === null || !isAdoptable(entries.header, interfaces))) {
      throw new NatgateError(
        'takeover_refused',
        `the gateway ${name} is set up for other interfaces, or elsewhere`,
        'stop it, then start the new one',
      );
    }
    if (entries !== null && !isAdoptable(entries.header, interfaces)) {
      throwIfFailed(undoJournal(stateRoot, name), name);
      entries = null;
    }
    const header = newHeader(name, interfaces, thisProcess(), networkNamespace(), randomUUID());
    try {
      return new Journal(stateRoot, { header, entries: entries?.entries ?? [] }, options.from !== undefined);
    } catch (error) {
      throw notWritable(join(stateRoot, name), error);
    }
  });
}

/** Why these options cannot be claimed by this process; null: they can. */
export function findConflict({ stateRoot, name, interfaces, from }: ClaimOptions): NatgateError | null {
  for (const { header } of readJournals(stateRoot)) {
    const running = isAlive(header);
    if (header.name === name) {
      if (!running || isThisProcess(header) || header.pid === from) continue;
      return new NatgateError(
        'gateway_running',
        `a gateway named ${name} runs already (pid ${header.pid}, on ${header.interfaces.join(' and ')})`,
        `\`kill ${header.pid}\` stops it and undoes what it did; or give this one another --name`,
      );
    }
    const shared = interfaces.find((candidate) => header.interfaces.includes(candidate));
    if (shared === undefined || header.boot !== bootId() || header.netns !== networkNamespace()) continue;
    return new NatgateError(
      'interface_in_use',
      running
        ? `${shared} is served by the gateway ${header.name} (pid ${header.pid})`
        : `${shared} is still set up for the gateway ${header.name}, which has ended without undoing it`,
      running
        ? `\`kill ${header.pid}\` stops that one and undoes what it did`
        : `\`natgate down --name ${header.name}\` frees it`,
    );
  }
  return null;
}

function isAdoptable(header: JournalHeader, interfaces: readonly string[]): boolean {
  return (
    header.boot === bootId() &&
    header.netns === networkNamespace() &&
    header.interfaces.join('\n') === interfaces.join('\n')
  );
}

function throwIfFailed(report: UndoReport, name: string): void {
  const [first] = report.failed;
  if (first === undefined) return;
  throw new NatgateError(
    'undo_failed',
    `what the gateway ${name} left could not be undone: ${first.step}: ${first.error.message}`,
    `mend that, then \`natgate down --name ${name}\``,
    { cause: first.error },
  );
}
