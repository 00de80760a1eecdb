/**
 * Fair shares of the flow table, without a quota: when it runs short, those who have most give way to those who have little.
 *
 *     parties     each private host, with the flows that it began; and all who began flows from outside, as one party
 *     crowded     less than an eighth of the table is free
 *     share       of a host: the table divided by the hosts that have anything (two at least); of the outside: half of it
 *
 * While the table is crowded a host that has its share gets no more (`host_share`), before any port is looked for; so the last eighth is
 * for those who have little, whatever one flooder does. When that is gone as well, a new flow of a party takes the place of
 * a flow that never became ASSURED, of the largest party among those looked at, if that has more than the newcomer. From
 * outside, where nobody can tell the flood from its victims, a new flow takes the place of another from outside.
 *
 * No ASSURED flow ever gives way (RFC 4787, RFC 6888 REQ-11D speak for those in use), and a host's own flows do not give way
 * to its own. Limits: a host is an address; who sends from many addresses of his network has as many shares (anti-spoofing
 * keeps him to that network). A table of less than 1024 flows has no reserve. Each worker keeps the shares of its own table.
 */
import { ASSURED, type FlowTable, H_STATUS, HOT, ORIGINAL_SIDE, TUPLE } from '../conntrack/flow-table.ts';
import type { Random } from '../core/random.ts';
import { HOST_SHARE, OK } from '../core/reasons.ts';
import { HOST_BEGUN, HOST_FLOWS, type Hosts } from '../nat/hosts.ts';

/** What makes room when the flow table is full (EngineConfig.evict). */
export const EVICT_NEVER = 0;
export const EVICT_UNASSURED = 1;
export const EVICT_FAIR = 2;

export type Evict = 'fair' | 'never' | 'unassured';

/** Its number; what is not said is fair. */
export function evictNumber(evict: Evict = 'fair'): number {
  return evict === 'fair' ? EVICT_FAIR : evict === 'unassured' ? EVICT_UNASSURED : EVICT_NEVER;
}

/** Records looked at for a flow that may make room, and flows among them that may. */
const LOOKS = 128;
const CANDIDATES = 16;
/** From one look to the next: flows of one host are often beside each other. A prime. */
const STRIDE = 40_507;
/** From so many flows on a table keeps a reserve. */
const RESERVE_FROM = 1024;
const NONE = -1;

export class FairShares {
  /** EVICT_*. */
  mode: number;
  /** Live flows that were begun from outside. */
  outside = 0;
  private readonly table: FlowTable;
  private readonly hosts: Hosts;
  private readonly random: Random;
  private readonly crowdedFrom: number;

  constructor(mode: number, table: FlowTable, hosts: Hosts, random: Random) {
    this.mode = mode;
    this.table = table;
    this.hosts = hosts;
    this.random = random;
    const { capacity } = table;
    this.crowdedFrom = capacity < RESERVE_FROM ? capacity + 1 : capacity - (capacity >> 3);
  }

  /** Whether less than the reserve is free, so that mayBegin() has something to say. */
  get isCrowded(): boolean {
    return this.mode === EVICT_FAIR && this.table.count >= this.crowdedFrom;
  }

  /** OK, or why private `host` begins no flow while the table is crowded; an outside flow may have to take another's place (victim). */
  mayBegin(host: number): number {
    const { hosts, table } = this;
    return hosts.countHere(host, HOST_BEGUN) * Math.max(2, hosts.active) < table.capacity ? OK : HOST_SHARE;
  }

  /** Whether the outside has its half. */
  get isOutsideFull(): boolean {
    return this.outside * 2 >= this.table.capacity;
  }

  /**
   * The flow that makes room for one of private `host`, or of the outside (`isInside` false; `host` is whom it is for); -1 for none.
   */
  victim(host: number, isInside: boolean): number {
    const { mode, hosts, table } = this;
    if (mode === EVICT_NEVER) return NONE;
    const isFair = mode === EVICT_FAIR;
    let least = 0;
    if (isFair) least = isInside ? hosts.countHere(host, HOST_BEGUN) + 1 : this.outside - 1;
    const onlyOutside = isFair && !isInside && this.isOutsideFull;
    let most = 0;
    let victim = NONE;
    let found = 0;
    let flow = (this.random.next() >>> 1) % table.capacity;
    for (let looks = 0; looks < LOOKS && found < CANDIDATES; looks++) {
      flow = (flow + STRIDE) % table.capacity;
      const h = flow * HOT;
      if (!table.isLive(flow) || (table.hot[h + H_STATUS]! & ASSURED) !== 0) continue;
      const isOutside = (table.hot[h + H_STATUS]! & ORIGINAL_SIDE) !== 0;
      if (onlyOutside && !isOutside) continue;
      const weight = isFair ? this.weight(h, isOutside) : hosts.count(hostOf(table.hot, h), HOST_FLOWS);
      if (weight <= least) continue;
      if (isFair) found++;
      if (weight <= most) continue;
      most = weight;
      victim = flow;
    }
    return victim;
  }

  private weight(h: number, isOutside: boolean): number {
    return isOutside ? this.outside : this.hosts.countHere(this.table.hot[h]!, HOST_BEGUN);
  }

  /** A flow of private `host` has begun, or (`step` -1) ended; `isOutside`: begun from outside. */
  count(host: number, isOutside: boolean, step: number): void {
    if (isOutside) this.outside += step;
    this.hosts.countFlow(host, isOutside, step);
  }
}

/** The internal host of the flow record at `h`: who began it, or whom it is for. */
export function hostOf(hot: Int32Array, h: number): number {
  return (hot[h + H_STATUS]! & ORIGINAL_SIDE) === 0 ? hot[h]! : hot[h + TUPLE]!;
}
