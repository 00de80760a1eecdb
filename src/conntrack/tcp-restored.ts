/**
 * The window record of a TCP flow (tcp-window.ts) after its process died: can it be, and if not, how does the connection go on?
 *
 * A record that cannot be is forgotten, and both sides are liberal from then on, as for a connection that was first seen from its
 * middle (nf_conntrack_tcp_loose): each side begins anew with its next segment.
 */

import { TRACK } from './flow-table.ts';
import {
  F_LIBERAL,
  F_MAXACK,
  F_SACK,
  LAST_CLASS,
  MAX_REPEATS,
  SCALE_SHIFT,
  SIDE,
  W_END,
  W_FLAGS,
  W_LAST,
  W_LAST_WINDOW,
  W_MAXACK,
  W_MAXEND,
  W_MAXWIN,
} from './tcp-window.ts';

/** RFC 7323 2.3. */
const MAX_SCALE = 14;
/** Flags and scale of a side; class, direction, flags and scale of the last packet. */
const SIDE_BITS = 0xfff;
const LAST_BITS = 0xfff;
/** Classes of packets, and one: tcp-states.ts. */
const CLASSES = 6;
/** Numbers of one connection are no further apart: the widest window and a bit. */
const FAR = 0x41000000;

export function isPossible(track: Int32Array, t: number): boolean {
  const last = track[t + W_LAST]!;
  if ((last & ~LAST_BITS) !== 0 || (last & LAST_CLASS) > CLASSES) return false;
  if (track[t + W_LAST_WINDOW]! >>> 16 > MAX_REPEATS) return false;
  return isPossibleSide(track, t, t + SIDE) && isPossibleSide(track, t + SIDE, t);
}

function isPossibleSide(track: Int32Array, s: number, peer: number): boolean {
  const flags = track[s + W_FLAGS]!;
  const end = track[s + W_END]!;
  if ((flags & ~SIDE_BITS) !== 0 || flags >>> SCALE_SHIFT > MAX_SCALE) return false;
  if (track[s + W_MAXWIN]! < 0) return false;
  if (track[s + W_MAXWIN] === 0) return true;
  if (isFar(track[s + W_MAXEND]!, end)) return false;
  return (track[peer + W_FLAGS]! & F_MAXACK) === 0 || !isFar(track[peer + W_MAXACK]!, end);
}

function isFar(a: number, b: number): boolean {
  const distance = (a - b) | 0;
  return distance > FAR || distance < -FAR;
}

/** Forgets the record: each side begins anew with its next segment, and is liberal. */
export function pickUpBoth(track: Int32Array, t: number): void {
  track.fill(0, t, t + TRACK);
  track[t + W_FLAGS] = F_SACK | F_LIBERAL;
  track[t + SIDE + W_FLAGS] = F_SACK | F_LIBERAL;
}
