/**
 * Takes back what a journal lists, last step first. Any process may do it, any number of times: a step that is not
 * there any more counts as done, one that fails is reported and stays in the journal while the others go on.
 */
import { NatgateError } from '../../core/errors.ts';
import { linkAt } from '../netlink/links.ts';
import { bootId, isAlive, isThisProcess, namespaceExists, networkNamespace } from '../process-identity.ts';
import { withStateLock } from '../state-root.ts';
import { undoAddress } from './address.ts';
import { undoClsact } from './clsact.ts';
import { undoFilter } from './filter.ts';
import { type Journal, type JournalEntry, readJournal, removeJournal, writeJournal } from './journal.ts';
import { undoLocalPorts } from './local-ports.ts';
import { undoLro } from './lro.ts';
import { undoReservedPorts } from './reserved-ports.ts';
import { undoSysctl } from './sysctl.ts';
import { undoTun } from './tun.ts';
import type { InterfaceReference, UndoRecord } from './undo-records.ts';

export interface UndoReport {
  /** False when there was no journal, or one that is another owner's by now. */
  found: boolean;
  /** Names of the steps that were taken back or had nothing left to take back. */
  done: string[];
  /** Steps left as they are, on purpose. */
  kept: { step: string; why: string }[];
  failed: { step: string; error: Error }[];
}

/**
 * An interface is gone, or has another name: takes back what was made on it, if it is still somewhere, and forgets that. What fails stays in
 * the journal.
 */
export function undoInterface(journal: Journal, { name, index }: InterfaceReference): void {
  const now = linkAt(index);
  const own = `net/ipv4/conf/${name}/`;
  const done: string[] = [];
  for (const { step, undo } of journal.content.entries.toReversed()) {
    const isSetting = undo.kind === 'sysctl' && undo.path.startsWith(own);
    if (!isSetting && !('interface' in undo && undo.interface.index === index)) continue;
    try {
      // The kernel's settings of an interface go with it, and take its new name.
      if (!isSetting) undoStep(journal.stateRoot, undo);
      else if (now !== undefined)
        undoSysctl({ ...undo, path: undo.path.replace(own, `net/ipv4/conf/${now.name}/`) });
      done.push(step);
    } catch {
      // Tried again at the end.
    }
  }
  if (done.length > 0) journal.drop(done);
}

/**
 * Undoes the gateway `name`. With `owner`, does nothing if the journal has been adopted by somebody else since.
 * Throws NatgateError `gateway_running` while another process lives that claims it, and `gateway_elsewhere` when its
 * network namespace is not this process's.
 */
export function undoJournal(stateRoot: string, name: string, owner?: string): UndoReport {
  return withStateLock(stateRoot, () => {
    const report: UndoReport = { found: false, done: [], kept: [], failed: [] };
    const content = readJournal(stateRoot, name);
    if (content === null || (owner !== undefined && content.header.owner !== owner)) return report;
    const { header, entries } = content;
    if (isAlive(header) && !isThisProcess(header)) {
      throw new NatgateError(
        'gateway_running',
        `the gateway ${name} is running (pid ${header.pid})`,
        `stop it first: \`kill ${header.pid}\``,
      );
    }
    report.found = true;
    if (header.boot === bootId() && isHere(header.netns, name)) {
      const failed = undoEntries(stateRoot, entries, report);
      if (failed.length > 0) {
        writeJournal(stateRoot, { header, entries: failed });
        return report;
      }
    }
    removeJournal(stateRoot, name);
    return report;
  });
}

/** Returns the entries that could not be undone, in journal order. */
function undoEntries(
  stateRoot: string,
  entries: readonly JournalEntry[],
  report: UndoReport,
): JournalEntry[] {
  const failed: JournalEntry[] = [];
  for (const entry of entries.toReversed()) {
    try {
      const why = undoStep(stateRoot, entry.undo);
      if (why === null) report.done.push(entry.step);
      else report.kept.push({ step: entry.step, why });
    } catch (error) {
      report.failed.push({ step: entry.step, error: error as Error });
      failed.unshift(entry);
    }
  }
  return failed;
}

/** Returns why the step was left as it is; null when it was taken back. */
export function undoStep(stateRoot: string, undo: UndoRecord): string | null {
  switch (undo.kind) {
    case 'tun':
      return undoTun(undo.name);
    case 'sysctl':
      return undoSysctl(undo);
    case 'local-ports':
      return undoLocalPorts(stateRoot, undo);
    case 'lro':
      return undoLro(undo.interface);
    case 'clsact':
      return undoClsact(undo.interface);
    case 'address':
      return undoAddress(undo.interface, undo.address);
    case 'reserved-ports':
      return undoReservedPorts(undo.ports);
    case 'filter':
      return undoFilter(undo.interface);
  }
}

/** False when the namespace of the steps is gone, and they with it. */
function isHere(netns: number, name: string): boolean {
  if (netns === networkNamespace()) return true;
  if (!namespaceExists(netns)) return false;
  throw new NatgateError(
    'gateway_elsewhere',
    `the gateway ${name} was set up in another network namespace`,
    `run \`natgate down --name ${name}\` in that namespace (\`ip netns exec NAMESPACE …\`)`,
  );
}
