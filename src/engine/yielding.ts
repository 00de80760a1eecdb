/**
 * Which flows may yield to new ones: those in TIME_WAIT their port (netfilter's early eviction), and those that never became
 * ASSURED their record or port, where shares say so (fair-shares.ts).
 */
import { END_EVICTED, END_REUSED } from '../conntrack/end-reasons.ts';
import {
  ASSURED,
  C_MAPPING,
  COLD,
  H_PORTS,
  H_STATUS,
  HOT,
  STATE_MASK,
  STATE_SHIFT,
  TRACK,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { CLOSE, TIME_WAIT } from '../conntrack/tcp-states.ts';
import { after, W_END } from '../conntrack/tcp-window.ts';
import type { Tracker } from '../conntrack/tracker.ts';
import { OK, TABLE_FULL } from '../core/reasons.ts';
import { ICMP, TCP } from '../nat/external-addresses.ts';
import type { FlowsOfMappings } from '../nat/port-allocator.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { FLOWS_EVICTED } from './counters.ts';
import type { FairShares } from './fair-shares.ts';

export class Yielding implements FlowsOfMappings {
  /** Of the SYN that begins a flow just now. */
  sequence = 0;
  private readonly tracker: Tracker;
  private readonly shares: FairShares;

  private readonly counters: Float64Array;

  constructor(tracker: Tracker, shares: FairShares, counters: Float64Array) {
    this.tracker = tracker;
    this.shares = shares;
    this.counters = counters;
  }

  isTaken(
    table: number,
    remote: number,
    remotePort: number,
    external: number,
    externalPort: number,
  ): boolean {
    const flows = this.tracker.table;
    // Queries of all types share an id; the one that is answered most decides.
    if (table === ICMP) return flows.lookup(remote, external, externalPort, PROTO_ICMP) >= 0;
    const protocol = table === TCP ? PROTO_TCP : PROTO_UDP;
    return flows.lookup(remote, external, remotePort | (externalPort << 16), protocol) >= 0;
  }

  endFinished(mapping: number, flow: number, remote: number, remotePort: number): boolean {
    const { table } = this.tracker;
    if (flow < 0 || !table.isLive(flow)) return false;
    if (table.cold[flow * COLD + C_MAPPING] !== mapping) return false;
    const h = flow * HOT;
    const { hot } = table;
    if (!isOver(hot[h + H_STATUS]!)) return false;
    // The same remote endpoint might take late segments of the old connection for the new one's, unless its numbers lie
    // beyond them (RFC 9293 3.6.1).
    const isSame = hot[h + TUPLE] === remote && (hot[h + TUPLE + H_PORTS]! & 0xffff) === remotePort;
    if (isSame && !after(this.sequence, table.track[flow * TRACK + W_END]!)) return false;
    this.tracker.close(flow, END_REUSED);
    return true;
  }

  /** While the table is crowded: OK, or why no flow of private `host`, or from outside to it, begins. */
  mayBegin(host: number, isInside: boolean): number {
    const { shares } = this;
    if (isInside) return shares.mayBegin(host);
    return !shares.isOutsideFull || this.makeRoom(host, false) ? OK : TABLE_FULL;
  }

  /** Makes room for a flow of private `host`, or from outside to it; false when there is none to be had. */
  makeRoom(host: number, isInside: boolean): boolean {
    const victim = this.shares.victim(host, isInside);
    if (victim < 0) return false;
    this.evict(victim);
    return true;
  }

  endUnassured(mapping: number, flow: number): boolean {
    const { table } = this.tracker;
    if (flow < 0 || !table.isLive(flow) || (table.hot[flow * HOT + H_STATUS]! & ASSURED) !== 0) return false;
    if (table.cold[flow * COLD + C_MAPPING] !== mapping) return false;
    this.evict(flow);
    return true;
  }

  private evict(flow: number): void {
    this.counters[FLOWS_EVICTED]!++;
    this.tracker.close(flow, END_EVICTED);
  }
}

/** Whether nothing of a flow with this status can still be on its way: TCP in TIME_WAIT or CLOSE. */
export function isOver(status: number): boolean {
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  return (status & 0xff) === PROTO_TCP && (state === TIME_WAIT || state === CLOSE);
}
