/**
 * Live flows per group of a rule with a connection limit (iptables connlimit). A flow counts for the rules of this kind that its first
 * packet came to, and whose other criteria it met, whether or not they decided about it: as a packet enters
 * the list of connlimit when that match is reached.
 *
 *     groups   how many flows each has
 *     paths    which limits a flow came to: a node of a tree, whose branches are limits; few flows differ, so it stays small
 *     flows    by flow number: its node
 *
 * Groups go by a flow's original source and its translated destination, which are in its tuples, so nothing else is kept for it.
 * A flow that lived on is walked through the rules again, and counts as if it had begun then.
 */
import type { ConnectionLimit } from '../firewall-config.ts';
import { GroupTable } from './group-table.ts';
import { masksOf } from './rate-limits.ts';
import type { SharedCounts } from './shared-counts.ts';

/** A flow that counts nowhere. */
export const NOWHERE = 0;
const NO_LIMIT = -1;
const MANY = 0x7fffffff;

export class ConnectionCounts {
  private readonly limits: readonly ConnectionLimit[];
  private readonly sources: Int32Array;
  private readonly destinations: Int32Array;
  private readonly groups: GroupTable;
  private readonly shared: SharedCounts | null;
  private readonly branches: Map<number, number>[] = [new Map()];
  private readonly parents: number[] = [NOWHERE];
  private readonly steps: number[] = [NO_LIMIT];
  private readonly flows = new Map<number, number>();

  constructor(
    limits: readonly ConnectionLimit[],
    seed: readonly [number, number],
    shared: SharedCounts | null,
  ) {
    this.limits = limits;
    const masks = limits.map((limit) => masksOf(limit.grouping));
    this.sources = Int32Array.from(masks, ([source]) => source);
    this.destinations = Int32Array.from(masks, ([, destination]) => destination);
    this.groups = new GroupTable(MANY, seed);
    this.shared = shared;
  }

  /** Whether the match of limit `i` holds for a new flow, which is counted in. Addresses in host order. */
  matches(i: number, source: number, destination: number): boolean {
    const { count, above } = this.limits[i]!;
    const a = source & this.sources[i]!;
    const b = destination & this.destinations[i]!;
    const others = this.shared === null ? 0 : this.shared.elsewhere(i, a, b);
    return this.countOf(i, a, b) + others + 1 > count === above;
  }

  /** Whether limit `i` matches flows beyond its count, and not those within. */
  isAbove(i: number): boolean {
    return this.limits[i]!.above;
  }

  /** The node of a flow that, having come to those of `node`, comes to limit `i`. */
  reach(node: number, i: number): number {
    for (let at = node; at !== NOWHERE; at = this.parents[at]!) if (this.steps[at] === i) return node;
    let next = this.branches[node]!.get(i);
    if (next === undefined) {
      next = this.parents.length;
      this.branches[node]!.set(i, next);
      this.branches.push(new Map());
      this.parents.push(node);
      this.steps.push(i);
    }
    return next;
  }

  /** A flow that came to the limits of `node` has begun. */
  begun(flow: number, node: number, source: number, destination: number): void {
    if (node === NOWHERE) return;
    this.flows.set(flow, node);
    this.each(node, source, destination, 1);
  }

  ended(flow: number, source: number, destination: number): void {
    const node = this.flows.get(flow);
    if (node === undefined) return;
    this.flows.delete(flow);
    this.each(node, source, destination, -1);
  }

  private each(node: number, source: number, destination: number, by: 1 | -1): void {
    for (let at = node; at !== NOWHERE; at = this.parents[at]!) {
      const i = this.steps[at]!;
      this.add(i, source & this.sources[i]!, destination & this.destinations[i]!, by);
    }
  }

  private countOf(i: number, a: number, b: number): number {
    const entry = this.groups.find(i, a, b);
    return entry < 0 ? 0 : this.groups.values[entry]!;
  }

  private add(i: number, a: number, b: number, by: 1 | -1): void {
    const { groups } = this;
    let entry = groups.find(i, a, b);
    if (entry < 0) {
      entry = groups.add(i, a, b);
      groups.values[entry] = 0;
    }
    const count = groups.values[entry]! + by;
    groups.values[entry] = count;
    if (count === 0) groups.remove(entry);
    this.shared?.show(i, a, b, count);
  }
}
