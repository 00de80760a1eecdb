/**
 * Moves the ports that the kernel gives to the host's own connections (net.ipv4.ip_local_port_range) out of the range
 * that natgate translates to: the two share one public address.
 *
 * The setting belongs to a network namespace, in which several gateways may run. A small file per namespace under the
 * state root says which ones want it moved and what it was before the first of them; the last one restores it.
 * A gateway whose journal is gone does not count. Should the file be lost while a gateway runs, the gateway writes it again.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { NatgateError } from '../../core/errors.ts';
import { networkNamespace } from '../process-identity.ts';
import { replaceFile } from '../replace-file.ts';
import { withStateLock } from '../state-root.ts';
import { journalPath } from './journal.ts';
import type { Step } from './step.ts';
import { readSysctl, undoSysctl, writeSysctl } from './sysctl.ts';
import type { UndoRecord } from './undo-records.ts';

const SETTING = 'net/ipv4/ip_local_port_range';
/** Half of what natgate leaves free by default, above the ports services like to have. */
const PREFERRED: PortRange = { first: 16384, last: 32767 };
/** With fewer, the host's own connections to one server soon run out. */
const FEWEST = 1024;

/** Both included. */
export interface PortRange {
  first: number;
  last: number;
}

interface SharedRange {
  before: string;
  ours: string;
  users: Record<string, PortRange>;
}

export function localPortsStep(options: { stateRoot: string; name: string; ports: PortRange }): Step {
  const { stateRoot, name, ports } = options;
  const netns = networkNamespace();
  let known: SharedRange | null = null;
  return {
    name: 'local ports',
    show: `sysctl -w net.ipv4.ip_local_port_range='${formatRange(rangeFor(readRange(), [ports]))}'`,
    prepare: () => ({ kind: 'local-ports', name, netns }),
    apply: () =>
      withStateLock(stateRoot, () => {
        const shared = load(stateRoot, netns) ?? known;
        const before = shared?.before ?? formatRange(readRange());
        const users = { ...shared?.users, [name]: ports };
        for (const user of Object.keys(users)) {
          if (!existsSync(journalPath(stateRoot, user))) delete users[user];
        }
        const ours = formatRange(rangeFor(readRange(), Object.values(users)));
        known = { before, ours, users };
        if (!isDeepStrictEqual(known, load(stateRoot, netns))) save(stateRoot, netns, known);
        writeSysctl(SETTING, ours);
      }),
    check() {
      const now = readRange();
      const overlaps = now.first <= ports.last && ports.first <= now.last;
      if (overlaps) return `${SETTING} became ${formatRange(now)}, which has ports of natgate's`;
      return existsSync(sharedPath(stateRoot, netns)) ? null : `what ${SETTING} was is written down no more`;
    },
  };
}

export function undoLocalPorts(stateRoot: string, undo: UndoRecord & { kind: 'local-ports' }): string | null {
  return withStateLock(stateRoot, () => {
    const shared = load(stateRoot, undo.netns);
    if (shared === null) return null;
    delete shared.users[undo.name];
    if (Object.keys(shared.users).length > 0) {
      save(stateRoot, undo.netns, shared);
      return null;
    }
    const why = undoSysctl({ kind: 'sysctl', path: SETTING, before: shared.before, ours: shared.ours });
    rmSync(sharedPath(stateRoot, undo.netns), { force: true });
    return why;
  });
}

/**
 * The range for local ports beside the taken ones: the current one if it is clear of them, else 16384-32767, else the
 * longest free stretch. Throws NatgateError `no_local_ports` when less than 1024 ports would be left in one stretch.
 */
export function rangeFor(current: PortRange, taken: readonly PortRange[], lowest = lowestPort()): PortRange {
  const isClear = (range: PortRange) =>
    range.first >= lowest && taken.every((other) => other.last < range.first || range.last < other.first);
  if (isClear(current)) return current;
  if (isClear(PREFERRED)) return PREFERRED;
  let longest: PortRange = { first: 0, last: -1 };
  let first = lowest;
  for (const other of [...taken.toSorted((a, b) => a.first - b.first), { first: 65_536, last: 65_536 }]) {
    if (other.first - first > longest.last - longest.first + 1) longest = { first, last: other.first - 1 };
    first = Math.max(first, other.last + 1);
  }
  if (longest.last - longest.first + 1 >= FEWEST) return longest;
  throw new NatgateError(
    'no_local_ports',
    `the port range leaves fewer than ${FEWEST} ports for the connections of the host itself`,
    'give --ports a smaller range, e.g. 32768-65535',
  );
}

/** The kernel refuses a range below the first port that needs no privilege. */
function lowestPort(): number {
  return Math.max(1024, Number(readSysctl('net/ipv4/ip_unprivileged_port_start') ?? 0));
}

function readRange(): PortRange {
  const [first, last] = (readSysctl(SETTING) ?? '32768 60999').split(' ').map(Number);
  return { first: first ?? 0, last: last ?? 0 };
}

function formatRange({ first, last }: PortRange): string {
  return `${first} ${last}`;
}

function sharedPath(root: string, netns: number): string {
  return join(root, `.local-ports-${netns}.json`);
}

function load(root: string, netns: number): SharedRange | null {
  const path = sharedPath(root, netns);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as SharedRange) : null;
}

function save(root: string, netns: number, shared: SharedRange): void {
  replaceFile(sharedPath(root, netns), JSON.stringify(shared));
}
