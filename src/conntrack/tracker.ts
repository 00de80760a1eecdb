/**
 * Connection tracking proper: what a packet does to its flow.
 *
 * NEW        no flow has the tuple; open() makes one, if the first packet may begin one
 * ESTABLISHED  a flow has the tuple; update() steps its protocol's state machine, timers and counters
 * INVALID    the state machine refuses the packet; nothing changes
 * RELATED    ICMP errors (wire/parse.ts parseQuote): they belong to another packet's flow and never refresh or end it
 *            (RFC 5508 REQ-6, RFC 5382 REQ-10); and flows that another one announced (expectations.ts)
 *
 * The machines are apart: tcp-tracker.ts, sctp.ts; UDP, GRE and ICMP have little to say and are here. A flow opens with open(), which
 * the update() of its first packet confirms: `onOpen` is called then, `onUpdate` when a later packet changes the state, is the first
 * answer or makes the flow ASSURED (what `conntrack -E` shows), never for others.
 *
 * The tracker knows no NAT: whoever opens a flow says what its reply will look like. It owns table and wheel; a flow ends
 * by silence (expire) or by close(), and `onClose` is called once for each, before its record is freed.
 */
import { INVALID_SCTP, INVALID_TCP, NO_FLOW, OK } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { isIcmpRequest } from '../wire/icmp.ts';
import { IP_HEADER, PROTO_GRE, PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_L4, M_LENGTH, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { TCP_FLAGS } from '../wire/tcp.ts';
import { END_CLOSED, END_TIMEOUT } from './end-reasons.ts';
import { type Adoption, adoptRecords, type Touch } from './flow-adoption.ts';
import {
  ASSURED,
  C_CREATED,
  COLD,
  CONFIRMED,
  type FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_LAST,
  H_PACKETS,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  REPLY,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TIMEOUT_MASK,
  TRACK,
} from './flow-table.ts';
import { SctpTracker } from './sctp.ts';
import { ESTABLISHED, INVALID } from './tcp-states.ts';
import { FINAL, PASSED, REOPEN, type TcpOptions, TcpTracker } from './tcp-tracker.ts';
import { extendFragment } from './tcp-window.ts';
import { type TimeoutTable, UDP_DNS, UDP_SINGLE, UDP_STREAM, UDP_STREAM_AGE_MS } from './timeouts.ts';
import { TimerWheel } from './timer-wheel.ts';

export { REOPEN };
/** open(): the table is full. */
export const FULL = -1;

/** Flows looked at per expire(), at most: bounds what a mass expiry adds to one batch. */
const EXPIRY_BUDGET = 256;
/** Flows that a packet has ended and the next expire() takes away; more fall to their timeouts. */
const MAX_ENDED = 512;
/** What a change of makes an UPDATE. */
const NEWS = STATE_MASK | SEEN_REPLY | ASSURED;
/** The destination port in the ports word. */
export const DESTINATION_PORT = 0xffff << 16;
/** That of DNS, in place. */
export const DNS_PORT = 53 << 24;
const FOREVER = 0x7fffffff;

/** The drop reason of a packet that may begin no flow (firstState() says INVALID). */
export function refusal(protocol: number): number {
  return protocol === PROTO_TCP ? INVALID_TCP : protocol === PROTO_SCTP ? INVALID_SCTP : NO_FLOW;
}

/**
 * Who is outside keeps a flow alive that he began only while it is answered (RFC 7857, EIF mapping refresh): else he could hold a mapping
 * for ever.
 */
function refreshes(status: number, direction: number): boolean {
  return direction === REPLY || (status & (ORIGINAL_SIDE | SEEN_REPLY)) !== ORIGINAL_SIDE;
}

export class Tracker {
  readonly table: FlowTable;
  readonly timeouts: TimeoutTable;
  private readonly wheel: TimerWheel;
  /** Called with a flow that is about to end, and why (end-reasons.ts). */
  onClose: (flow: number, why: number) => void = () => {};
  /** Called when the first packet of a flow has been tracked. */
  onOpen: (flow: number) => void = () => {};
  /** Called when a packet changed the state of a flow, answered it first, or made it ASSURED. */
  onUpdate: (flow: number) => void = () => {};
  readonly tcp: TcpTracker;
  private readonly sctp: SctpTracker;
  /** [flow, its H_SEQUENCE] of flows that end with the next expire(). */
  private readonly ended = new Int32Array(MAX_ENDED * 2);
  private endedCount = 0;
  private readonly due: (flow: number, now: number) => void;

  constructor(table: FlowTable, timeouts: TimeoutTable, now: number, tcp: TcpOptions = {}) {
    this.table = table;
    this.timeouts = timeouts;
    this.tcp = new TcpTracker(table, timeouts, tcp);
    this.sctp = new SctpTracker(table);
    this.wheel = new TimerWheel(table.cold, now);
    this.due = (flow, now) => this.look(flow, now);
  }

  /**
   * Whether the packet of row `m` may begin a flow: the state to open() it with, or INVALID. `isTurned`: it leaves where it came
   * in, so that the other direction may go by without the gateway: then any packet may be the first one.
   */
  firstState(bytes: Bytes, meta: Int32Array, m: number, isTurned = false): number {
    const protocol = meta[m + M_PROTOCOL]!;
    if (isTurned && protocol === PROTO_TCP) return ESTABLISHED;
    if (isTurned && protocol === PROTO_ICMP) return 0;
    if (protocol === PROTO_TCP) return this.tcp.firstState(bytes.u8[meta[m + M_L4]! + TCP_FLAGS]!);
    if (protocol === PROTO_SCTP) return this.sctp.mayBegin(bytes, meta, m) ? 0 : INVALID;
    if (protocol === PROTO_ICMP) return isIcmpRequest((meta[m + M_PORTS]! >>> 16) & 0xff) ? 0 : INVALID;
    return 0;
  }

  /**
   * Opens the flow that the packet of row `m` begins, in state `state` (firstState); its replies will carry the given tuple.
   * `flags`: sides, rule and EXPECTED, as bits of H_STATUS.
   * Returns the flow, or FULL. The packet itself is not counted: update() follows.
   */
  open(
    meta: Int32Array,
    m: number,
    state: number,
    replySource: number,
    replyDestination: number,
    replyPorts: number,
    flags: number,
    now: number,
  ): number {
    const protocol = meta[m + M_PROTOCOL]!;
    const flow = this.table.create(
      protocol,
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PORTS]!,
      replySource,
      replyDestination,
      replyPorts,
      flags | (state << STATE_SHIFT),
      now,
    );
    if (flow < 0) return FULL;
    this.wheel.schedule(flow, now, Math.min(this.timeouts.of(protocol, state), this.lookOf(protocol)));
    return flow;
  }

  /**
   * Steps the flow of `handle` by the packet of row `m`. Returns OK (let it through), REOPEN, or a drop reason: `invalid_tcp`,
   * `invalid_window`, `invalid_rst`, `invalid_sctp`.
   */
  update(handle: number, bytes: Bytes, meta: Int32Array, m: number, now: number): number {
    const { hot } = this.table;
    const flow = handle >> 1;
    const direction = handle & 1;
    const h = flow * HOT;
    const before = hot[h + H_STATUS]!;
    const protocol = before & 0xff;
    let verdict = OK;
    if (protocol === PROTO_TCP) verdict = this.tcp.step(handle, bytes, meta, m, now);
    else if (protocol === PROTO_UDP) this.stepUdp(flow, direction, now);
    else if (protocol === PROTO_SCTP) verdict = this.sctp.step(handle, bytes, meta, m);
    else if (protocol === PROTO_GRE) this.stepGre(flow);
    if (verdict > OK || verdict === REOPEN) {
      this.retime(flow, before, hot[h + H_STATUS]!, now);
      return verdict;
    }
    const after =
      hot[h + H_STATUS]! | CONFIRMED | (direction === REPLY && verdict !== FINAL ? SEEN_REPLY : 0);
    if (verdict !== PASSED && refreshes(after, direction)) hot[h + H_LAST] = now;
    this.count(h, direction, meta[m + M_LENGTH]!);
    if (after !== before) {
      hot[h + H_STATUS] = after;
      this.changed(flow, before, after, now);
      if (verdict === FINAL) this.endSoon(flow);
    }
    return OK;
  }

  /** Refreshes and counts without a state machine: for later fragments. */
  touch(h: number, direction: number, length: number, now: number): void {
    const { hot, track } = this.table;
    if (refreshes(hot[h + H_STATUS]!, direction)) hot[h + H_LAST] = now;
    this.count(h, direction, length);
    if ((hot[h + H_STATUS]! & 0xff) !== PROTO_TCP) return;
    extendFragment(track, ((h / HOT) | 0) * TRACK, direction, length - IP_HEADER);
  }

  private count(h: number, direction: number, length: number): void {
    const hot = this.table.hot;
    hot[h + H_PACKETS + direction] = hot[h + H_PACKETS + direction]! + 1;
    const before = hot[h + H_BYTES + direction]!;
    const after = (before + length) | 0;
    hot[h + H_BYTES + direction] = after;
    if (after >>> 0 < before >>> 0) {
      hot[h + H_BYTES_HIGH] = hot[h + H_BYTES_HIGH]! + (direction === REPLY ? 0x10000 : 1);
    }
  }

  private changed(flow: number, before: number, after: number, now: number): void {
    this.retime(flow, before, after, now);
    if ((before & CONFIRMED) === 0) this.onOpen(flow);
    else if (((before ^ after) & NEWS) !== 0) this.onUpdate(flow);
  }

  /** Hangs a flow anew whose deadline has come nearer than the wheel would look at it. */
  private retime(flow: number, before: number, after: number, now: number): void {
    if (((before ^ after) & TIMEOUT_MASK) === 0) return;
    const timeout = this.timeouts.ofStatus(after);
    const look = this.lookOf(after & 0xff);
    if (timeout >= look || timeout >= this.timeouts.ofStatus(before)) return;
    this.wheel.unschedule(flow);
    this.wheel.schedule(flow, now, timeout);
  }

  /**
   * The longest that the wheel leaves a flow alone. The timers of TCP come and go with every packet; looking that often
   * at its flows is cheaper than to hang one anew each time.
   */
  private lookOf(protocol: number): number {
    return protocol === PROTO_TCP ? this.timeouts.tcpLook : FOREVER;
  }

  /**
   * A flow with answers that outlives its first seconds is a stream: longer timeout, ASSURED. One to port 53 is not: between an
   * answer and the next question it may end soon.
   */
  private stepUdp(flow: number, direction: number, now: number): void {
    const { hot } = this.table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    if (this.timeouts.dns && (hot[h + H_PORTS]! & DESTINATION_PORT) === DNS_PORT) {
      const state = direction === REPLY ? UDP_DNS : UDP_SINGLE;
      hot[h + H_STATUS] = (status & ~STATE_MASK) | (state << STATE_SHIFT);
      return;
    }
    if ((status & (SEEN_REPLY | ASSURED)) !== SEEN_REPLY) return;
    const age = (now - this.table.cold[flow * COLD + C_CREATED]!) | 0;
    if (age > UDP_STREAM_AGE_MS) hot[h + H_STATUS] = status | ASSURED | (UDP_STREAM << STATE_SHIFT);
  }

  /** GRE that has been answered lives longer and is ASSURED, at once. */
  private stepGre(flow: number): void {
    const { hot } = this.table;
    const status = hot[flow * HOT + H_STATUS]!;
    if ((status & (SEEN_REPLY | ASSURED)) !== SEEN_REPLY) return;
    hot[flow * HOT + H_STATUS] = status | ASSURED | (UDP_STREAM << STATE_SHIFT);
  }

  /** The packet that ends this flow is still to be translated by it. */
  private endSoon(flow: number): void {
    if (this.endedCount === MAX_ENDED) return;
    this.ended[this.endedCount * 2] = flow;
    this.ended[this.endedCount * 2 + 1] = this.table.hot[flow * HOT + H_SEQUENCE]!;
    this.endedCount++;
  }

  /** Timeouts have changed: the wheel looks at a live flow when its new one is up. */
  rehang(flow: number, now: number): void {
    this.wheel.unschedule(flow);
    this.hang(flow, now, Math.max(this.remaining(flow, now), 0));
  }

  /** Ends a live flow now. `why`: end-reasons.ts */
  close(flow: number, why: number): void {
    this.wheel.unschedule(flow);
    this.end(flow, why);
  }

  /**
   * Ends the flows that a packet has ended, and those whose time is up. Call once a batch, or at least once a second. False
   * when there is more to do.
   */
  expire(now: number): boolean {
    const { ended } = this;
    for (let i = 0; i < this.endedCount * 2; i += 2) {
      const flow = ended[i]!;
      // It may have been closed, and its record begun another life.
      if (this.table.hot[flow * HOT + H_SEQUENCE] === ended[i + 1]) this.close(flow, END_CLOSED);
    }
    this.endedCount = 0;
    return this.wheel.advance(now, EXPIRY_BUDGET, this.due);
  }

  /** Milliseconds of silence that are left to a live flow. */
  remaining(flow: number, now: number): number {
    const h = flow * HOT;
    return (this.table.hot[h + H_LAST]! + this.timeouts.ofStatus(this.table.hot[h + H_STATUS]!) - now) | 0;
  }

  /** Adopts the flows that the table's buffer holds (flow-adoption.ts); the caller ends those in doubt. */
  adopt(
    now: number,
    each: (flow: number) => boolean,
    broken?: (flow: number) => void,
    touch?: Touch,
  ): Adoption {
    const adopt = (flow: number) => {
      if (!each(flow)) return false;
      this.hang(flow, now, Math.max(this.remaining(flow, now), 0));
      return true;
    };
    return adoptRecords(this.table, adopt, broken, touch);
  }

  private look(flow: number, now: number): void {
    const left = this.remaining(flow, now);
    if (left > 0) this.hang(flow, now, left);
    else this.end(flow, END_TIMEOUT);
  }

  private hang(flow: number, now: number, left: number): void {
    const look = this.lookOf(this.table.hot[flow * HOT + H_STATUS]! & 0xff);
    this.wheel.schedule(flow, now, Math.min(left, look));
  }

  private end(flow: number, why: number): void {
    this.onClose(flow, why);
    this.table.destroy(flow);
  }
}
