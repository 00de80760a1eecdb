/**
 * Which flows may yield to new ones: those in TIME_WAIT their port (netfilter's early eviction), and, where the operator
 * allows it, those that never became ASSURED their record.
 */
import { END_EVICTED, END_REUSED } from '../conntrack/end-reasons.ts';
import {
  ASSURED,
  C_MAPPING,
  COLD,
  H_PORTS,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  STATE_MASK,
  STATE_SHIFT,
  TRACK,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { CLOSE, TIME_WAIT } from '../conntrack/tcp-states.ts';
import { after, W_END } from '../conntrack/tcp-window.ts';
import type { Tracker } from '../conntrack/tracker.ts';
import type { Random } from '../core/random.ts';
import { ICMP, TCP } from '../nat/external-addresses.ts';
import { HOST_FLOWS, type Hosts } from '../nat/hosts.ts';
import type { FlowsOfMappings } from '../nat/port-allocator.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';

/** Records looked at for a flow that may make room. */
const EVICTION_LOOKS = 128;

export class Yielding implements FlowsOfMappings {
  /** Of the SYN that begins a flow just now. */
  sequence = 0;
  private readonly tracker: Tracker;
  private readonly hosts: Hosts;
  private readonly random: Random;

  constructor(tracker: Tracker, hosts: Hosts, random: Random) {
    this.tracker = tracker;
    this.hosts = hosts;
    this.random = random;
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

  /** Ends a flow that is not ASSURED, of the host that has most of those looked at; false when there is none. */
  makeRoom(): boolean {
    const { hosts } = this;
    const { table } = this.tracker;
    let victim = -1;
    let most = 0;
    let flow = (this.random.next() >>> 1) % table.capacity;
    for (let looks = 0; looks < EVICTION_LOOKS; looks++) {
      flow = flow + 1 === table.capacity ? 0 : flow + 1;
      const h = flow * HOT;
      if (!table.isLive(flow) || (table.hot[h + H_STATUS]! & ASSURED) !== 0) continue;
      const flows = hosts.count(hostOf(table.hot, h), HOST_FLOWS);
      if (flows <= most) continue;
      most = flows;
      victim = flow;
    }
    if (victim < 0) return false;
    this.tracker.close(victim, END_EVICTED);
    return true;
  }
}

/** The internal host of the flow record at `h`: who began it, or whom it is for. */
export function hostOf(hot: Int32Array, h: number): number {
  return (hot[h + H_STATUS]! & ORIGINAL_SIDE) === 0 ? hot[h]! : hot[h + TUPLE]!;
}

/** Whether nothing of a flow with this status can still be on its way: TCP in TIME_WAIT or CLOSE. */
export function isOver(status: number): boolean {
  const state = (status & STATE_MASK) >>> STATE_SHIFT;
  return (status & 0xff) === PROTO_TCP && (state === TIME_WAIT || state === CLOSE);
}
