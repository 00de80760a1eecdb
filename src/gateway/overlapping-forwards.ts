/**
 * Forwards that can never be used, because an earlier one has a port of theirs for all of their sources. Forwards of one port whose sources differ
 * are meant: the first one that a source is in decides (nat/forwards.ts).
 *
 * Forwards of one protocol and address are swept in the order of their first ports, so that only those that share a port are compared: n log n,
 * unless thousands share one.
 */
import type { Forward } from '../nat/config.ts';
import { contains } from '../nat/dedicated.ts';

export interface Overlap {
  /** Number of the forward that is never used, and of the first one that has its port. */
  number: number;
  earlier: number;
  /** The first such port. */
  port: number;
}

/** In the order of forwards, one for each at most. */
export function overlappingForwards(forwards: readonly Forward[]): Overlap[] {
  const groups = new Map<string, number[]>();
  forwards.forEach(({ protocol, address }, number) => {
    const key = `${protocol} ${address}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [number]);
    else group.push(number);
  });
  const first = new Map<number, number>();
  for (const group of groups.values()) sweep(group, forwards, first);
  return [...first]
    .sort(([a], [b]) => a - b)
    .map(([number, earlier]) => ({
      number,
      earlier,
      port: Math.max(forwards[number]!.ports.first, forwards[earlier]!.ports.first),
    }));
}

/** `first`: by number, the first forward that is in its way. */
function sweep(group: readonly number[], forwards: readonly Forward[], first: Map<number, number>): void {
  const firstPort = (number: number) => forwards[number]!.ports.first;
  let open: number[] = [];
  for (const number of [...group].sort((a, b) => firstPort(a) - firstPort(b))) {
    open = open.filter((other) => forwards[other]!.ports.last >= firstPort(number));
    for (const other of open) {
      const [earlier, later] = other < number ? [other, number] : [number, other];
      if ((first.get(later) ?? later) > earlier && hasSources(forwards[earlier]!, forwards[later]!))
        first.set(later, earlier);
    }
    open.push(number);
  }
}

/** Whether every source of `later` is one of `earlier`. */
function hasSources(earlier: Forward, later: Forward): boolean {
  if (earlier.sources.length === 0) return true;
  return (
    later.sources.length > 0 &&
    later.sources.every((inner) => earlier.sources.some((outer) => contains(outer, inner)))
  );
}
