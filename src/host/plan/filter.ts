/** natgate's one filter on the ingress of each interface it serves and of each TUN. */
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { linkAt } from '../netlink/links.ts';
import { attachProgram, detachProgram, type Filter, readFilters, readIngressQdisc } from '../netlink/tc.ts';
import type { Step } from './step.ts';
import { describe, type InterfaceReference } from './undo-records.ts';

/**
 * Filters that an administrator gives a smaller priority see packets before natgate does, those with a larger one
 * and those without (tc numbers them from 49152 down) only what natgate leaves to the host.
 */
export const FILTER_PRIORITY = 1000;
const FILTER_HANDLE = 1;
const NAME_PREFIX = 'natgate:';

/** `role` appears in `tc filter show`, e.g. `private` as `natgate:private`. */
export function filterStep(target: InterfaceReference, programFd: number, role: string): Step {
  let programId = 0;
  return {
    name: `filter ${describe(target)}`,
    show: `tc filter add dev ${target.name} ingress prio ${FILTER_PRIORITY} handle ${FILTER_HANDLE} bpf direct-action (${NAME_PREFIX}${role})`,
    prepare() {
      const there = filtersAtPlace(target.index);
      if (there.some((filter) => !isOurs(filter))) {
        throw new NatgateError(
          'filter_priority_taken',
          `another program has a filter with priority ${FILTER_PRIORITY} on the ingress of ${target.name}`,
          `give it another priority (\`tc filter show dev ${target.name} ingress\`)`,
        );
      }
      return { kind: 'filter', interface: target };
    },
    apply() {
      replaceFilter(target.index, programFd, role);
      programId = attachedProgram(target.index);
    },
    check: () => filterFault(target, programId),
  };
}

/** The kernel's number of natgate's program on an interface; 0: there is none. */
export function attachedProgram(interfaceIndex: number): number {
  const there = filtersAtPlace(interfaceIndex).find((one) => isOurs(one) && one.handle === FILTER_HANDLE);
  return there?.programId ?? 0;
}

/** What has become of the filter that has program `programId`; null: it is where it was put. */
export function filterFault({ name, index }: InterfaceReference, programId: number): string | null {
  const now = filtersAtPlace(index).find(({ handle }) => handle === FILTER_HANDLE);
  if (now === undefined) return `natgate's filter was deleted from ${name}`;
  return isOurs(now) && now.programId === programId ? null : `natgate's filter on ${name} was replaced`;
}

/** Filters of others that see a packet before natgate's does, and may take it: as an administrator may want it. */
export function filtersBefore(interfaceIndex: number): string[] {
  if (readIngressQdisc(interfaceIndex) === null) return [];
  return readFilters(interfaceIndex)
    .filter(({ hook, priority }) => hook === 'ingress' && priority < FILTER_PRIORITY)
    .map(({ kind, name, priority }) => `${name || kind} (priority ${priority})`);
}

/**
 * Attaches a program, or puts it in the place of the one before without a packet in between going elsewhere.
 * The descriptor can be closed afterwards. Throws SystemError.
 */
export function replaceFilter(interfaceIndex: number, programFd: number, role: string): void {
  attachProgram(place(interfaceIndex), programFd, `${NAME_PREFIX}${role}`);
}

export function undoFilter(target: InterfaceReference): string | null {
  if (linkAt(target.index) === undefined) return null;
  if (!filtersAtPlace(target.index).some(isOurs)) return null;
  try {
    detachProgram(place(target.index));
  } catch (error) {
    if (!isSystemError(error, 'ENOENT') && !isSystemError(error, 'ENODEV')) throw error;
  }
  return null;
}

export function isOurs(filter: Filter): boolean {
  return filter.name.startsWith(NAME_PREFIX);
}

function filtersAtPlace(interfaceIndex: number): Filter[] {
  if (readIngressQdisc(interfaceIndex) === null) return [];
  return readFilters(interfaceIndex).filter(
    (filter) => filter.hook === 'ingress' && filter.priority === FILTER_PRIORITY,
  );
}

function place(interfaceIndex: number) {
  return { interface: interfaceIndex, priority: FILTER_PRIORITY, handle: FILTER_HANDLE };
}
