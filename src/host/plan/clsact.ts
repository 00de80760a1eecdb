/** The clsact qdisc: the place on an interface where filters hang. It queues nothing. */
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { linkAt, linkNamed } from '../netlink/links.ts';
import { addClsact, deleteClsact, readFilters, readIngressQdisc } from '../netlink/tc.ts';
import { isOurs } from './filter.ts';
import type { Step } from './step.ts';
import { describe, type InterfaceReference } from './undo-records.ts';

export function clsactStep(target: InterfaceReference): Step {
  const { name, index } = target;
  return {
    name: `clsact ${describe(target)}`,
    show: show(name),
    prepare() {
      const present = readIngressQdisc(index);
      if (present === null) return { kind: 'clsact', interface: target };
      if (present.block === 0) return null;
      throw new NatgateError(
        'clsact_shared',
        `the ingress filters of ${name} are shared with other interfaces (block ${present.block})`,
        `give ${name} a qdisc of its own: \`tc qdisc del dev ${name} ${present.kind}\``,
      );
    },
    apply: () => ensure(index),
    check: () => missing(name, index),
  };
}

/** The same on a TUN: it has no index before it is made, and takes its qdisc along when it is deleted. */
export function tunClsactStep(device: string): Step {
  return {
    name: `clsact ${device}`,
    show: show(device),
    prepare: () => null,
    apply: () => ensure(linkNamed(device)?.index ?? 0),
    check: () => missing(device, linkNamed(device)?.index ?? 0),
  };
}

function show(device: string): string {
  return `tc qdisc add dev ${device} clsact`;
}

function missing(device: string, index: number): string | null {
  return readIngressQdisc(index) === null ? `${device} has no clsact qdisc any more` : null;
}

function ensure(index: number): void {
  if (readIngressQdisc(index) === null) addClsact(index);
}

/** Removes the qdisc; keeps it while filters that are not natgate's hang there. */
export function undoClsact(target: InterfaceReference): string | null {
  const link = linkAt(target.index);
  if (link === undefined || readIngressQdisc(link.index)?.kind !== 'clsact') return null;
  const foreign = readFilters(link.index).filter((filter) => !isOurs(filter));
  if (foreign.length > 0)
    return `filters that are not natgate's use it (\`tc filter show dev ${link.name}\`)`;
  try {
    deleteClsact(link.index);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT') && !isSystemError(error, 'ENODEV')) throw error;
  }
  return null;
}
