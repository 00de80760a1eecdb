/**
 * Connection tracking proper: what a packet does to its flow.
 *
 * NEW        no flow has the tuple; open() makes one, if the first packet may begin one
 * ESTABLISHED  a flow has the tuple; update() steps its protocol's state machine, timers and counters
 * INVALID    the state machine refuses the packet; nothing changes
 * RELATED    ICMP errors (wire/parse.ts parseQuote): they belong to another packet's flow and never refresh or end it
 *            (RFC 5508 REQ-6, RFC 5382 REQ-10); and flows that another one announced (expectations.ts)
 *
 * The tracker knows no NAT: whoever opens a flow says what its reply will look like. It owns table and wheel; a flow ends
 * by silence (expire) or by close(), and `onClose` is called once for each, before its record is freed.
 */
import { INVALID_TCP, OK } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { isIcmpRequest } from '../wire/icmp.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_L4, M_LENGTH, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { TCP_FLAGS } from '../wire/tcp.ts';
import { END_TIMEOUT } from './end-reasons.ts';
import {
  ASSURED,
  C_CREATED,
  COLD,
  type FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_LAST,
  H_PACKETS,
  H_STATUS,
  HOT,
  ORIGINAL,
  REPLY,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
} from './flow-table.ts';
import {
  ESTABLISHED,
  IGNORE,
  INVALID,
  isMidstream,
  nextTcpState,
  SYN_RECV,
  SYN_SENT,
  TCP_NONE,
  TIME_WAIT,
} from './tcp-states.ts';
import { type TimeoutTable, UDP_STREAM, UDP_STREAM_AGE_MS } from './timeouts.ts';
import { TimerWheel } from './timer-wheel.ts';

/** update(): a SYN reuses the ports of a connection that is over; close the flow and begin a new one. */
export const REOPEN = -1;
/** open(): the table is full. */
export const FULL = -1;

/** Flows looked at per expire(), at most: bounds what a mass expiry adds to one batch. */
const EXPIRY_BUDGET = 256;

export class Tracker {
  readonly table: FlowTable;
  readonly timeouts: TimeoutTable;
  private readonly wheel: TimerWheel;
  /** Called with a flow that is about to end, and why (end-reasons.ts). */
  onClose: (flow: number, why: number) => void = () => {};
  private readonly due: (flow: number, now: number) => void;

  constructor(table: FlowTable, timeouts: TimeoutTable, now: number) {
    this.table = table;
    this.timeouts = timeouts;
    this.wheel = new TimerWheel(table.cold, now);
    this.due = (flow, now) => this.look(flow, now);
  }

  /** Whether the packet of row `m` may begin a flow: the first TCP state it leads to, or INVALID. */
  firstState(bytes: Bytes, meta: Int32Array, m: number): number {
    const protocol = meta[m + M_PROTOCOL]!;
    if (protocol === PROTO_TCP) {
      const flags = bytes.u8[meta[m + M_L4]! + TCP_FLAGS]!;
      const state = nextTcpState(ORIGINAL, flags, TCP_NONE);
      return state === SYN_SENT || isMidstream(flags) ? state : INVALID;
    }
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
    this.wheel.schedule(flow, now, this.timeouts.of(protocol, state));
    return flow;
  }

  /** Steps the flow of `handle` by the packet of row `m`. Returns OK, INVALID_TCP, or REOPEN. */
  update(handle: number, bytes: Bytes, meta: Int32Array, m: number, now: number): number {
    const hot = this.table.hot;
    const h = (handle >> 1) * HOT;
    const direction = handle & 1;
    const protocol = hot[h + H_STATUS]! & 0xff;
    if (protocol === PROTO_TCP) {
      const verdict = this.stepTcp(handle, bytes.u8[meta[m + M_L4]! + TCP_FLAGS]!, now);
      if (verdict === IGNORE) {
        this.count(h, direction, meta[m + M_LENGTH]!);
        return OK;
      }
      if (verdict !== OK) return verdict;
    } else {
      if (direction === REPLY) hot[h + H_STATUS]! |= SEEN_REPLY;
      if (protocol === PROTO_UDP) this.stepUdp(handle >> 1, now);
    }
    this.touch(h, direction, meta[m + M_LENGTH]!, now);
    return OK;
  }

  /** Refreshes and counts without a state machine: for later fragments. */
  touch(h: number, direction: number, length: number, now: number): void {
    this.table.hot[h + H_LAST] = now;
    this.count(h, direction, length);
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

  private stepTcp(handle: number, flags: number, now: number): number {
    const hot = this.table.hot;
    const h = (handle >> 1) * HOT;
    const direction = handle & 1;
    const status = hot[h + H_STATUS]!;
    const state = (status & STATE_MASK) >>> STATE_SHIFT;
    const next = nextTcpState(direction, flags, state);
    if (next === INVALID) return INVALID_TCP;
    if (next === SYN_SENT && state >= TIME_WAIT) return direction === ORIGINAL ? REOPEN : INVALID_TCP;
    let changed = status;
    if (direction === REPLY) changed |= SEEN_REPLY;
    if (next === IGNORE) {
      hot[h + H_STATUS] = changed;
      return IGNORE;
    }
    if (
      next === ESTABLISHED &&
      (state === SYN_RECV || (state === ESTABLISHED && (changed & SEEN_REPLY) !== 0))
    ) {
      changed |= ASSURED;
    }
    if (next !== state) {
      changed = (changed & ~STATE_MASK) | (next << STATE_SHIFT);
      const timeout = this.timeouts.of(PROTO_TCP, next);
      if (timeout < this.timeouts.of(PROTO_TCP, state)) {
        this.wheel.unschedule(handle >> 1);
        this.wheel.schedule(handle >> 1, now, timeout);
      }
    }
    hot[h + H_STATUS] = changed;
    return OK;
  }

  /** A flow with answers that outlives its first seconds is a stream: longer timeout, ASSURED. */
  private stepUdp(flow: number, now: number): void {
    const hot = this.table.hot;
    const status = hot[flow * HOT + H_STATUS]!;
    if ((status & (SEEN_REPLY | ASSURED)) !== SEEN_REPLY) return;
    const age = (now - this.table.cold[flow * COLD + C_CREATED]!) | 0;
    if (age > UDP_STREAM_AGE_MS) hot[flow * HOT + H_STATUS] = status | ASSURED | (UDP_STREAM << STATE_SHIFT);
  }

  /** Ends a live flow now. `why`: end-reasons.ts */
  close(flow: number, why: number): void {
    this.wheel.unschedule(flow);
    this.end(flow, why);
  }

  /** Ends flows whose time is up. Call once a batch, or at least once a second. False when there is more to do. */
  expire(now: number): boolean {
    return this.wheel.advance(now, EXPIRY_BUDGET, this.due);
  }

  /** Milliseconds of silence that are left to a live flow. */
  remaining(flow: number, now: number): number {
    const h = flow * HOT;
    const status = this.table.hot[h + H_STATUS]!;
    const timeout = this.timeouts.of(status & 0xff, (status & STATE_MASK) >>> STATE_SHIFT);
    return (this.table.hot[h + H_LAST]! + timeout - now) | 0;
  }

  /** Adopts the flows that the table's buffer holds (FlowTable.adopt). */
  adopt(now: number, each: (flow: number) => boolean): number {
    const lost = this.table.adopt((flow) => {
      if (!each(flow)) return false;
      this.wheel.schedule(flow, now, Math.max(this.remaining(flow, now), 0));
      return true;
    });
    return lost;
  }

  private look(flow: number, now: number): void {
    const left = this.remaining(flow, now);
    if (left > 0) this.wheel.schedule(flow, now, left);
    else this.end(flow, END_TIMEOUT);
  }

  private end(flow: number, why: number): void {
    this.onClose(flow, why);
    this.table.destroy(flow);
  }
}
