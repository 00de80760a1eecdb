/**
 * The step of nearly all TCP packets, without the generality of tcp-tracker.ts: an ACK, with data or without, inside the
 * window of an ASSURED connection.
 *
 * plainStep() does what TcpTracker.step() would do with such a segment, or nothing at all and says so. The state stays
 * ESTABLISHED, so what is left of the machine is the four comparisons of tcp-window.ts, the marks they move, and the timer.
 * In ESTABLISHED none of the timers that can follow is nearer than the wheel looks (TimeoutTable.tcpLook), so none needs a new place.
 *
 * Invariant: where it returns a status, step() would have left the same track record and the same status
 * (test/engine/fast-path.test.ts runs both).
 */
import { type Bytes, swap32 } from '../wire/bytes.ts';
import { ACK, TCP_ACK, TCP_FLAGS, TCP_HEADER, TCP_SEQUENCE } from '../wire/tcp.ts';
import { isTimestampOnly } from '../wire/tcp-options.ts';
import {
  ASSURED,
  CONFIRMED,
  HELPED,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TIMEOUT_MASK,
  TIMER_SHIFT,
} from './flow-table.ts';
import { CLASS_ACK, ESTABLISHED } from './tcp-states.ts';
import {
  F_MAXACK,
  F_UNACKNOWLEDGED,
  LAST_CLASS,
  LAST_DIRECTION,
  MAX_ACK_WINDOW,
  MAX_REPEATS,
  MAX_WINDOW,
  SCALE_SHIFT,
  SIDE,
  W_END,
  W_FLAGS,
  W_LAST,
  W_LAST_ACK,
  W_LAST_END,
  W_LAST_SEQ,
  W_LAST_WINDOW,
  W_MAXACK,
  W_MAXEND,
  W_MAXWIN,
} from './tcp-window.ts';
import { MAX_RETRANS, TIMER_RETRANS, TIMER_STATE, TIMER_UNACKNOWLEDGED } from './timeouts.ts';

/** plainStep(): not such a segment; nothing was changed. */
export const NOT_PLAIN = 0;

/** SYN, FIN, RST, ACK, URG of the flags byte. */
const DECISIVE = 0x37;
const STATUS = CONFIRMED | SEEN_REPLY | ASSURED | HELPED | STATE_MASK;
const PLAIN_STATUS = CONFIRMED | SEEN_REPLY | ASSURED | (ESTABLISHED << STATE_SHIFT);

/**
 * Steps a connection whose H_STATUS is `status` and whose record is at word `t` of `track` by the whole segment at `l4`,
 * `length` bytes with its header. `nearer`: TimeoutTable.tcpNearer of ESTABLISHED. Returns the new H_STATUS, or NOT_PLAIN.
 */
export function plainStep(
  track: Int32Array,
  t: number,
  direction: number,
  status: number,
  bytes: Bytes,
  l4: number,
  length: number,
  nearer: number,
): number {
  const { i32 } = bytes;
  const word = l4 >> 2;
  // Data offset, flags, and the window in wire order.
  const control = i32[word + (TCP_FLAGS >> 2)]!;
  if (((control >>> 8) & DECISIVE) !== ACK || (status & STATUS) !== PLAIN_STATUS) return NOT_PLAIN;
  const header = (control & 0xf0) >>> 2;
  if (header !== TCP_HEADER && !isTimestampOnly(i32, l4, header)) return NOT_PLAIN;
  const s = t + direction * SIDE;
  const r = t + SIDE - direction * SIDE;
  const seq = swap32(i32[word + (TCP_SEQUENCE >> 2)]!);
  const ack = swap32(i32[word + (TCP_ACK >> 2)]!);
  const window = ((control >>> 8) & 0xff00) | (control >>> 24);
  const end = (seq + length - header) | 0;
  const senderEnd = track[s + W_END]!;
  const maxEnd = track[s + W_MAXEND]!;
  const maxWindow = track[s + W_MAXWIN]!;
  const receiverEnd = track[r + W_END]!;
  const receiverWindow = track[r + W_MAXWIN]!;
  const lag = Math.max(maxWindow, MAX_ACK_WINDOW);
  if (
    maxWindow === 0 ||
    receiverWindow === 0 ||
    ((maxEnd - seq) | 0) < 0 ||
    ((receiverEnd - ack) | 0) < 0 ||
    ((senderEnd - receiverWindow - 1 - end) | 0) >= 0 ||
    ((receiverEnd - lag - 1 - ack) | 0) >= 0
  ) {
    return NOT_PLAIN;
  }

  let flags = track[s + W_FLAGS]!;
  const scaled = window << ((flags >>> SCALE_SHIFT) & 15);
  if (scaled > maxWindow) track[s + W_MAXWIN] = scaled;
  if (((senderEnd - end) | 0) < 0) {
    track[s + W_END] = end;
    flags |= F_UNACKNOWLEDGED;
  }
  if ((flags & F_MAXACK) === 0 || ((track[s + W_MAXACK]! - ack) | 0) < 0) track[s + W_MAXACK] = ack;
  flags |= F_MAXACK;
  track[s + W_FLAGS] = flags;
  if (((maxEnd - end) | 0) < 0) {
    const wider = (receiverWindow + ((end - maxEnd) | 0)) | 0;
    track[r + W_MAXWIN] = wider < 0 ? MAX_WINDOW : wider;
  }
  const allowed = (ack + scaled) | 0;
  if (((track[r + W_MAXEND]! - 1 - allowed) | 0) < 0) {
    track[r + W_MAXEND] = scaled === 0 ? (allowed + 1) | 0 : allowed;
  }
  let peer = track[r + W_FLAGS]!;
  if (ack === receiverEnd && (peer & F_UNACKNOWLEDGED) !== 0) {
    peer &= ~F_UNACKNOWLEDGED;
    track[r + W_FLAGS] = peer;
  }

  const last = track[t + W_LAST]!;
  let counted = track[t + W_LAST_WINDOW]!;
  if (
    track[t + W_LAST_SEQ] === seq &&
    track[t + W_LAST_ACK] === ack &&
    track[t + W_LAST_END] === end &&
    (counted & 0xffff) === window &&
    (last & LAST_DIRECTION) === direction << 3
  ) {
    if (counted >>> 16 < MAX_REPEATS) counted += 0x10000;
  } else {
    track[t + W_LAST_SEQ] = seq;
    track[t + W_LAST_ACK] = ack;
    track[t + W_LAST_END] = end;
    counted = window;
  }
  track[t + W_LAST_WINDOW] = counted;
  track[t + W_LAST] = (last & ~(LAST_CLASS | LAST_DIRECTION)) | (CLASS_ACK + 1) | (direction << 3);

  let timer = TIMER_STATE;
  if (counted >>> 16 >= MAX_RETRANS && (nearer & (1 << TIMER_RETRANS)) !== 0) timer = TIMER_RETRANS;
  else if (((flags | peer) & F_UNACKNOWLEDGED) !== 0 && (nearer & (1 << TIMER_UNACKNOWLEDGED)) !== 0) {
    timer = TIMER_UNACKNOWLEDGED;
  } else if ((counted & 0xffff) === 0 && (nearer & (1 << TIMER_RETRANS)) !== 0) timer = TIMER_RETRANS;
  return (status & ~TIMEOUT_MASK) | (ESTABLISHED << STATE_SHIFT) | (timer << TIMER_SHIFT);
}
