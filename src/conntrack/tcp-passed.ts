/**
 * Packets that pass beside a TCP connection, and what they may turn out to have been: W_LAST and its neighbours of the track record
 * (tcp-window.ts). A SYN on a live connection, an ACK instead of a SYN/ACK, a SYN in TIME_WAIT: the endpoints know better than we do, so
 * such a packet goes through, is remembered, and the answer says what it was.
 */

import { synOptions } from '../wire/tcp-options.ts';
import { ASSURED, ORIGINAL, REPLY, SEEN_REPLY, STATE_MASK, STATE_SHIFT } from './flow-table.ts';
import { CLASS_ACK, CLASS_RST, CLASS_SYN, CLOSE, LAST_ACK, SYN_SENT } from './tcp-states.ts';
import {
  F_CLOSE_INIT,
  F_LIBERAL,
  LAST_CHALLENGE,
  LAST_CLASS,
  LAST_DIRECTION,
  LAST_SCALE_SHIFT,
  LAST_SYN_SHIFT,
  SCALE_SHIFT,
  SIDE,
  sideFlags,
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

/** W_LAST has the class plus one, so that nothing yet is 0. */
const WAS_SYN = CLASS_SYN + 1;
const WAS_ACK = CLASS_ACK + 1;
const WAS_RST = CLASS_RST + 1;

/** Whether a SYN may take the tuple of this closed connection (RFC 1122 4.2.2.13). */
export function isOver(track: Int32Array, status: number, t: number, direction: number): boolean {
  if (((track[t + W_FLAGS]! | track[t + SIDE + W_FLAGS]!) & F_CLOSE_INIT) !== 0) return true;
  const last = track[t + W_LAST]! & (LAST_CLASS | LAST_DIRECTION);
  if (last === (WAS_RST | (direction << 3))) return true;
  // Ended by a RST before any answer: it only waits to be taken away.
  return (status & (SEEN_REPLY | STATE_MASK)) === CLOSE << STATE_SHIFT;
}

/** Whether a SYN/ACK acknowledges the SYN that was let through before. */
export function answersSyn(track: Int32Array, t: number, direction: number, ack: number): boolean {
  const expected = WAS_SYN | ((direction ^ 1) << 3);
  return (track[t + W_LAST]! & (LAST_CLASS | LAST_DIRECTION)) === expected && track[t + W_LAST_END] === ack;
}

/** Takes over what was remembered of the SYN, and forgets the side that answers. */
export function resynchronise(track: Int32Array, t: number, direction: number): void {
  const other = t + SIDE - direction * SIDE;
  const own = t + direction * SIDE;
  const last = track[t + W_LAST]! & ~LAST_CHALLENGE;
  const window = track[t + W_LAST_WINDOW]! & 0xffff;
  track[t + W_LAST] = last;
  track[other + W_END] = track[t + W_LAST_END]!;
  track[other + W_MAXEND] = track[t + W_LAST_END]!;
  track[other + W_MAXWIN] = window === 0 ? 1 : window;
  track[other + W_FLAGS] =
    ((last >>> LAST_SYN_SHIFT) & 3) | (((last >>> LAST_SCALE_SHIFT) & 15) << SCALE_SHIFT);
  track[own + W_END] = 0;
  track[own + W_MAXEND] = 0;
  track[own + W_MAXWIN] = 0;
  track[own + W_MAXACK] = 0;
  track[own + W_FLAGS] = track[own + W_FLAGS]! & F_LIBERAL;
}

/** A packet passes beside the connection: what it was may explain the next. */
export function remember(
  track: Int32Array,
  t: number,
  direction: number,
  state: number,
  kind: number,
  u8: Uint8Array,
  l4: number,
  header: number,
  seq: number,
  ack: number,
  end: number,
  window: number,
): void {
  let last = (track[t + W_LAST]! & ~(LAST_CLASS | LAST_DIRECTION)) | (kind + 1) | (direction << 3);
  track[t + W_LAST_SEQ] = seq;
  track[t + W_LAST_END] = end;
  track[t + W_LAST_WINDOW] = (track[t + W_LAST_WINDOW]! & ~0xffff) | window;
  if (kind === CLASS_SYN && direction === ORIGINAL) {
    const offered = sideFlags(synOptions(u8, l4, header));
    last = (kind + 1) | ((offered & 3) << LAST_SYN_SHIFT);
    last |= ((offered >>> SCALE_SHIFT) & 15) << LAST_SCALE_SHIFT;
    if (state === LAST_ACK) last |= LAST_CHALLENGE;
  }
  track[t + W_LAST] = last;
  // Perhaps a challenge: a RST with this number would follow.
  if (state === SYN_SENT && kind === CLASS_ACK && direction === REPLY) track[t + W_LAST_ACK] = ack;
}

/** Whether a RST answers a SYN, or in a half-open connection an ACK, of the other side that was let through. */
export function answersPassed(
  track: Int32Array,
  status: number,
  t: number,
  direction: number,
  ack: number,
): boolean {
  const last = track[t + W_LAST]! & (LAST_CLASS | LAST_DIRECTION);
  const other = (direction ^ 1) << 3;
  const passed =
    ((status & SEEN_REPLY) !== 0 && last === (WAS_SYN | other)) ||
    ((status & ASSURED) === 0 && last === (WAS_ACK | other));
  return passed && track[t + W_LAST_END] === ack;
}

/** Whether a RST answers a challenge ACK that came instead of a SYN/ACK. */
export function answersChallenge(track: Int32Array, state: number, t: number, seq: number): boolean {
  return (
    state === SYN_SENT &&
    (track[t + W_LAST]! & (LAST_CLASS | LAST_DIRECTION)) === (WAS_ACK | LAST_DIRECTION) &&
    track[t + W_LAST_ACK] === seq
  );
}
