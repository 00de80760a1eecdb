/**
 * One step of TCP tracking: state table (tcp-states.ts), the refinements that netfilter builds around it, window rules
 * (tcp-window.ts), timers. As nf_conntrack_tcp_packet() of net/netfilter/nf_conntrack_proto_tcp.c behaves.
 *
 * What the table cannot say:
 *  - A SYN in TIME_WAIT or CLOSE begins anew when the old connection was closed by a FIN, or by a RST of this same sender: REOPEN.
 *  - A SYN on a live connection passes and is remembered, for we may be the one who is out of step. A SYN/ACK that answers it
 *    takes the connection back to SYN_RECV; a challenge ACK (RFC 5961 4.2) passes without effect; a RST that answers it closes.
 *  - Both send SYNs: the second handshake half is an ACK from either side.
 *  - A RST must not lie before what the other side has acknowledged; in ESTABLISHED one that does not lie exactly there passes and
 *    leaves the state, since its receiver will challenge it (RFC 5961 3.2). While a connection closes, RSTs are not checked.
 *  - A RST before there was any answer ends the flow at once, behind the packet: FINAL.
 *  - A SYN that is sent again, unanswered, does not prolong; nor does a RST behind a RST (RFC 7857, outbound refresh: else who sends to a closed
 *    connection and is answered with RSTs would hold its mapping).
 *
 * The step writes H_STATUS (state, timer) and the track record; the Tracker does the rest. The outcome is OK, PASSED, FINAL,
 * REOPEN or a drop reason.
 */
import { INVALID_RST, INVALID_TCP, INVALID_WINDOW, OK } from '../core/reasons.ts';
import { type Bytes, be16, swap32 } from '../wire/bytes.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { M_FRAGMENT, M_L4, M_LENGTH, M_OFFSET } from '../wire/parse.ts';
import { FIN, SYN, TCP_ACK, TCP_FLAGS, TCP_SEQUENCE, TCP_WINDOW, tcpHeaderLength } from '../wire/tcp.ts';
import {
  ASSURED,
  CONFIRMED,
  type FlowTable,
  H_LAST,
  H_STATUS,
  HELPED,
  HOT,
  ORIGINAL,
  REPLY,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TIMEOUT_MASK,
  TIMER_SHIFT,
  TRACK,
} from './flow-table.ts';
import {
  answersChallenge,
  answersPassed,
  answersSyn,
  isOver,
  remember,
  resynchronise,
} from './tcp-passed.ts';
import {
  CLASS_ACK,
  CLASS_FIN,
  CLASS_ILLEGAL,
  CLASS_RST,
  CLASS_SYN,
  CLASS_SYNACK,
  CLOSE,
  ESTABLISHED,
  FIN_WAIT,
  IGNORE,
  INVALID,
  isMidstream,
  LAST_ACK,
  nextTcpState,
  SYN_RECV,
  SYN_SENT,
  SYN_SENT2,
  TCP_NONE,
  TIME_WAIT,
  tcpClass,
  transition,
} from './tcp-states.ts';
import {
  after,
  beginFragment,
  beginSide,
  checkWindow,
  F_CLOSE_INIT,
  F_MAXACK,
  F_ONE_WAY,
  F_UNACKNOWLEDGED,
  LAST_CHALLENGE,
  LAST_CLASS,
  LAST_DIRECTION,
  LAST_SIMULTANEOUS,
  OLD,
  OUTSIDE,
  pickUp,
  SIDE,
  W_FLAGS,
  W_LAST,
  W_LAST_END,
  W_LAST_WINDOW,
  W_MAXACK,
} from './tcp-window.ts';
import {
  MAX_RETRANS,
  TIMER_RETRANS,
  TIMER_RST,
  TIMER_STATE,
  TIMER_UNACKNOWLEDGED,
  TIMER_UNREPLIED,
  type TimeoutTable,
} from './timeouts.ts';

/** A SYN reuses the ports of a connection that is over: close the flow and begin a new one. */
export const REOPEN = -1;
/** Let it through; the flow is not refreshed. */
export const PASSED = -2;
/** Let it through, then end the flow. */
export const FINAL = -3;

/** How strict TCP is taken. */
export interface TcpOptions {
  /** Segments outside the window pass (`nf_conntrack_tcp_be_liberal`); default false. */
  liberal?: boolean;
  /** Connections are picked up from their middle (`nf_conntrack_tcp_loose`); default true. */
  loose?: boolean;
}

/** A FIN or RST outside the window shortens what is left only from here on, ms. */
const SHORTEN_ABOVE_MS = 120_000;
/** W_LAST has the class plus one, so that nothing yet is 0. */
const WAS_SYN = CLASS_SYN + 1;
const WAS_FIN = CLASS_FIN + 1;
const WAS_ACK = CLASS_ACK + 1;
const WAS_RST = CLASS_RST + 1;

export class TcpTracker {
  /**
   * How much longer the data of `direction` was made up to its sequence number `sequence`, as its receiver counts; asked for flows
   * with HELPED only.
   */
  sequenceOffset: (flow: number, direction: number, sequence: number) => number = () => 0;
  private readonly table: FlowTable;
  private readonly timeouts: TimeoutTable;
  private readonly liberal: boolean;
  private readonly loose: boolean;

  constructor(table: FlowTable, timeouts: TimeoutTable, options: TcpOptions) {
    this.table = table;
    this.timeouts = timeouts;
    this.liberal = options.liberal ?? false;
    this.loose = options.loose ?? true;
  }

  /** The state of a flow that a packet with these flags begins, or INVALID. */
  firstState(flags: number): number {
    const state = nextTcpState(ORIGINAL, flags, TCP_NONE);
    return state === SYN_SENT || (this.loose && isMidstream(flags)) ? state : INVALID;
  }

  step(handle: number, bytes: Bytes, meta: Int32Array, m: number, now: number): number {
    const { u8, i32 } = bytes;
    const l4 = meta[m + M_L4]!;
    const flags = u8[l4 + TCP_FLAGS]!;
    const kind = tcpClass(flags);
    if (kind === CLASS_ILLEGAL) return INVALID_TCP;
    const { hot, track } = this.table;
    const flow = handle >> 1;
    const direction = handle & 1;
    const h = flow * HOT;
    const t = flow * TRACK;
    const status = hot[h + H_STATUS]!;
    const header = tcpHeaderLength(u8, l4);
    const seq = swap32(i32[(l4 + TCP_SEQUENCE) >> 2]!);
    const window = be16(u8, l4 + TCP_WINDOW);
    const payload = meta[m + M_LENGTH]! - (l4 - meta[m + M_OFFSET]!) - header;
    const end = (seq + payload + ((flags & SYN) >> 1) + (flags & FIN)) | 0;
    let ack = swap32(i32[(l4 + TCP_ACK) >> 2]!);
    let offset = 0;
    if ((status & HELPED) !== 0) {
      offset = this.sequenceOffset(flow, direction ^ 1, (ack - 1) | 0);
      ack = (ack - offset) | 0;
    }
    const state = (status & STATE_MASK) >>> STATE_SHIFT;
    if ((track[t + W_FLAGS]! & F_ONE_WAY) !== 0) return this.stepLoosely(h, state, kind);
    // What open() made is not what was: the first packet comes from NONE.
    let was = (status & CONFIRMED) === 0 ? TCP_NONE : state;
    let next = was === TCP_NONE ? state : transition(direction, kind, state);
    const last = track[t + W_LAST]!;
    let check = true;

    if (was === TCP_NONE) {
      if (kind === CLASS_SYN) beginSide(track, t + direction * SIDE, u8, l4, header, end, window);
      else pickUp(track, t, direction, end, window);
    } else if (next === ESTABLISHED) {
      // Nearly all packets: nothing to say before the window.
    } else if (next === INVALID) {
      return INVALID_TCP;
    } else if (next === IGNORE || (next === SYN_SENT && state >= TIME_WAIT)) {
      if (next === SYN_SENT && isOver(track, status, t, direction)) return REOPEN;
      if (kind !== CLASS_SYNACK || !answersSyn(track, t, direction, ack)) {
        remember(track, t, direction, state, kind, u8, l4, header, seq, ack, end, window);
        return PASSED;
      }
      resynchronise(track, t, direction);
      was = SYN_SENT;
      next = SYN_RECV;
    } else if (next === TIME_WAIT) {
      // The ACK may be a challenge to a SYN that was let through, and not acknowledge the last FIN.
      const challenged = LAST_CHALLENGE | ((direction ^ 1) << 3) | WAS_SYN;
      if (
        state === LAST_ACK &&
        kind === CLASS_ACK &&
        (last & (LAST_CHALLENGE | LAST_DIRECTION | LAST_CLASS)) === challenged
      ) {
        track[t + W_LAST] = last & ~LAST_CHALLENGE;
        return PASSED;
      }
    } else if (next === SYN_SENT2) {
      track[t + W_LAST] = last | LAST_SIMULTANEOUS;
    } else if (next === SYN_RECV) {
      if (direction === REPLY && kind === CLASS_ACK && (last & LAST_SIMULTANEOUS) !== 0) next = ESTABLISHED;
    } else if (next === CLOSE && kind === CLASS_RST) {
      if (isClosing(state)) {
        // The ports may be in use again already, and what is remembered of no use.
        check = false;
      } else {
        const peer = t + SIDE - direction * SIDE;
        if ((track[peer + W_FLAGS]! & F_MAXACK) !== 0 && (last & LAST_CLASS) !== WAS_SYN) {
          const assured = state === ESTABLISHED && (status & ASSURED) !== 0;
          const maxAck = track[peer + W_MAXACK]!;
          if (seq !== 0 || assured) {
            if (after(maxAck, seq)) return INVALID_RST;
            // Right behind its sender's last segment it is part of the same train.
            const train =
              (last & (LAST_CLASS | LAST_DIRECTION)) === (WAS_ACK | (direction << 3)) &&
              seq === track[t + W_LAST_END];
            if (assured && seq !== maxAck && !train) next = state;
          }
        } else {
          check = !answersPassed(track, status, t, direction, ack) && !answersChallenge(track, state, t, seq);
        }
      }
    }

    if (check) {
      const verdict = checkWindow(
        track,
        t,
        direction,
        state,
        this.liberal,
        u8,
        i32,
        l4,
        header,
        kind,
        flags,
        seq,
        ack,
        offset,
        end,
        window,
      );
      if (verdict === OUTSIDE) {
        this.shorten(handle, kind, now);
        return INVALID_WINDOW;
      }
      if (meta[m + M_FRAGMENT] !== 0) beginFragment(track, t, direction, end);
      if (verdict === OLD) return PASSED;
    }
    const kept = track[t + W_LAST]! & ~(LAST_CLASS | LAST_DIRECTION);
    track[t + W_LAST] = kept | (kind + 1) | (direction << 3);
    if (kind === CLASS_RST && next === state && isReset(status)) return PASSED;
    if (next === FIN_WAIT && state !== FIN_WAIT) {
      const side = t + direction * SIDE;
      track[side + W_FLAGS] = track[side + W_FLAGS]! | F_CLOSE_INIT;
    }
    return this.settle(h, t, was, next, kind);
  }

  /**
   * Of this connection, just opened, one direction may go by without us: whatever its segments are, they pass. It counts as
   * established until a FIN or RST, and is never ASSURED.
   */
  followLoosely(flow: number): void {
    this.table.track[flow * TRACK + W_FLAGS] = F_ONE_WAY;
  }

  private stepLoosely(h: number, state: number, kind: number): number {
    const { hot } = this.table;
    let next = ESTABLISHED;
    if (kind === CLASS_RST) next = CLOSE;
    else if (kind === CLASS_FIN || (kind === CLASS_ACK && state === FIN_WAIT)) next = FIN_WAIT;
    const timer = next === ESTABLISHED ? this.unreplied(TIMER_STATE) : TIMER_STATE;
    hot[h + H_STATUS] = (hot[h + H_STATUS]! & ~TIMEOUT_MASK) | (next << STATE_SHIFT) | (timer << TIMER_SHIFT);
    return OK;
  }

  /** Writes state, timer and ASSURED of an accepted packet. */
  private settle(h: number, t: number, was: number, next: number, kind: number): number {
    const { hot } = this.table;
    const status = hot[h + H_STATUS]!;
    let timer = this.timerOf(t, next, kind);
    let changed = (status & ~TIMEOUT_MASK) | (next << STATE_SHIFT);
    if ((status & SEEN_REPLY) === 0) {
      if (kind === CLASS_RST) {
        hot[h + H_STATUS] = changed;
        return FINAL;
      }
      if (kind === CLASS_SYN && was === SYN_SENT) {
        hot[h + H_STATUS] = changed;
        return PASSED;
      }
      if (next === ESTABLISHED) timer = this.unreplied(timer);
    } else if (next === ESTABLISHED && (was === SYN_RECV || was === ESTABLISHED)) {
      changed |= ASSURED;
    }
    hot[h + H_STATUS] = changed | (timer << TIMER_SHIFT);
    return OK;
  }

  private timerOf(t: number, next: number, kind: number): number {
    const { track } = this.table;
    const nearer = this.timeouts.tcpNearer[next]!;
    const counted = track[t + W_LAST_WINDOW]!;
    if (counted >>> 16 >= MAX_RETRANS && (nearer & (1 << TIMER_RETRANS)) !== 0) return TIMER_RETRANS;
    if (kind === CLASS_RST) return TIMER_RST;
    const flags = track[t + W_FLAGS]! | track[t + SIDE + W_FLAGS]!;
    if ((flags & F_UNACKNOWLEDGED) !== 0 && (nearer & (1 << TIMER_UNACKNOWLEDGED)) !== 0) {
      return TIMER_UNACKNOWLEDGED;
    }
    // The window of the last ACK segment was shut.
    if ((counted & 0xffff) === 0 && (nearer & (1 << TIMER_RETRANS)) !== 0) return TIMER_RETRANS;
    return TIMER_STATE;
  }

  /** TIMER_UNREPLIED, unless `timer` is nearer in ESTABLISHED. */
  private unreplied(timer: number): number {
    const ms = this.timeouts.of(PROTO_TCP, ESTABLISHED | (timer << (TIMER_SHIFT - STATE_SHIFT)));
    const bound = ESTABLISHED | (TIMER_UNREPLIED << (TIMER_SHIFT - STATE_SHIFT));
    return this.timeouts.of(PROTO_TCP, bound) < ms ? TIMER_UNREPLIED : timer;
  }

  /**
   * A FIN or RST lay outside the window. If both sides send such, they know better than we do: not five days more, but
   * as when data is outstanding.
   */
  private shorten(handle: number, kind: number, now: number): void {
    const { hot, track } = this.table;
    const h = (handle >> 1) * HOT;
    const t = (handle >> 1) * TRACK;
    const status = hot[h + H_STATUS]!;
    if ((status & ASSURED) === 0 || (kind !== CLASS_RST && kind !== CLASS_FIN)) return;
    const last = track[t + W_LAST]!;
    const before = last & LAST_CLASS;
    const mine = (last & LAST_DIRECTION) === (handle & 1) << 3;
    if (mine || (before !== WAS_FIN && before !== WAS_RST)) {
      track[t + W_LAST] = (last & ~(LAST_CLASS | LAST_DIRECTION)) | (kind + 1) | ((handle & 1) << 3);
      return;
    }
    const left = (hot[h + H_LAST]! + this.timeouts.ofStatus(status) - now) | 0;
    const shortened = (status & ~(7 << TIMER_SHIFT)) | (TIMER_UNACKNOWLEDGED << TIMER_SHIFT);
    if (left < SHORTEN_ABOVE_MS || left <= this.timeouts.ofStatus(shortened)) return;
    hot[h + H_STATUS] = shortened;
    hot[h + H_LAST] = now;
  }
}

/** Whether an answered flow is closed, or its last packet was a RST already. */
function isReset(status: number): boolean {
  if ((status & SEEN_REPLY) === 0) return false;
  return (status & STATE_MASK) >>> STATE_SHIFT === CLOSE || ((status >>> TIMER_SHIFT) & 7) === TIMER_RST;
}

/** FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE. */
function isClosing(state: number): boolean {
  return state >= FIN_WAIT && state <= CLOSE;
}
