/**
 * Token buckets of rules (iptables limit, hashlimit): one for a rule, or one for each group of addresses.
 *
 * A group that nobody has heard of has a full bucket. At most 65536 groups are known at once; of more, the one that was asked for
 * longest ago begins anew with a full one (who forges that many sources is not held by a limit per source: have one per rule
 * as well). With several workers each has its part of rate and burst.
 */
import { hostOrder, prefixMask } from '../../wire/address.ts';
import type { Grouping, RateLimit } from '../firewall-config.ts';
import { GroupTable } from './group-table.ts';

export const MAX_GROUPS = 65_536;

/** Masks of source and destination that make two packets one group, host order. */
export function masksOf({ by, prefixLength }: Grouping): [source: number, destination: number] {
  const mask = hostOrder(prefixMask(prefixLength));
  const source = by === 'source' || by === 'source-and-destination';
  const destination = by === 'destination' || by === 'source-and-destination';
  return [source ? mask : 0, destination ? mask : 0];
}

export class RateLimits {
  private readonly groups: GroupTable;
  private readonly perSecond: Float64Array;
  private readonly burst: Float64Array;
  private readonly above: Uint8Array;
  private readonly sources: Int32Array;
  private readonly destinations: Int32Array;

  /** `parts`: how many workers share each rate. */
  constructor(limits: readonly RateLimit[], parts: number, seed: readonly [number, number]) {
    this.groups = new GroupTable(MAX_GROUPS, seed);
    this.perSecond = Float64Array.from(limits, (limit) => limit.perSecond / parts);
    this.burst = Float64Array.from(limits, (limit) => Math.max(limit.burst / parts, 1));
    this.above = Uint8Array.from(limits, (limit) => (limit.above ? 1 : 0));
    const masks = limits.map((limit) => masksOf(limit.grouping));
    this.sources = Int32Array.from(masks, ([source]) => source);
    this.destinations = Int32Array.from(masks, ([, destination]) => destination);
  }

  /** Whether the match of limit `i` holds for a new flow; takes a token if there is one. Addresses in host order, `now` in ms. */
  matches(i: number, source: number, destination: number, now: number): boolean {
    return this.take(i, source, destination, now) !== (this.above[i] === 1);
  }

  /** Whether limit `i` is about what is above the rate. */
  isAbove(i: number): boolean {
    return this.above[i] === 1;
  }

  /** Takes a token of the group's bucket. False: there is none. */
  take(i: number, source: number, destination: number, now: number): boolean {
    const { groups } = this;
    const entry = this.refill(i, source & this.sources[i]!, destination & this.destinations[i]!, now);
    const tokens = groups.values[entry]!;
    if (tokens < 1) return false;
    groups.values[entry] = tokens - 1;
    return true;
  }

  /** Whether take() would find a token. */
  has(i: number, source: number, destination: number, now: number): boolean {
    const entry = this.refill(i, source & this.sources[i]!, destination & this.destinations[i]!, now);
    return this.groups.values[entry]! >= 1;
  }

  private refill(i: number, a: number, b: number, now: number): number {
    const { groups } = this;
    let entry = groups.find(i, a, b);
    if (entry < 0) {
      entry = groups.add(i, a, b);
      groups.values[entry] = this.burst[i]!;
    } else {
      // Unsigned: a bucket that nobody asked for 25 days or more is full, not in the future.
      const elapsed = (now - groups.times[entry]!) >>> 0;
      const tokens = groups.values[entry]! + (elapsed * this.perSecond[i]!) / 1000;
      groups.values[entry] = Math.min(this.burst[i]!, tokens);
      groups.touch(entry);
    }
    groups.times[entry] = now;
    return entry;
  }
}
