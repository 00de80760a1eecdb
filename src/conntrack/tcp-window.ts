/**
 * TCP window tracking: does a segment lie where its connection can use it? Netfilter's rules, as tcp_in_window() of
 * net/netfilter/nf_conntrack_proto_tcp.c has them, after G. van Rooij, "Real Stateful TCP Packet Filtering in IP Filter".
 *
 * Per direction, what its sender has done and what its peer has allowed it:
 *     END      highest sequence number sent, and one: max(seq + len)
 *     MAXEND   highest it may send up to: max(ack + window of the peer); of the peer's SACK the highest edge
 *     MAXWIN   widest window that it has offered itself, scaled; 0: nothing came from this side yet
 *     MAXACK   highest acknowledgement that it has sent
 * A segment of the sender is right when
 *     I    seq       <= sender.MAXEND
 *     II   seq + len >= sender.END - receiver.MAXWIN
 *     III  sack      <= receiver.END
 *     IV   sack      >= receiver.END - max(66000, sender.MAXWIN)
 * Over an upper bound it is INVALID; if only I fails, and by no more than receiver.MAXWIN, it is a TCP that sends more than
 * it may: passed, and END follows it. Under a lower bound it is an old one: passed, without effect. Liberal sides pass in
 * all cases, with effect on the state.
 *
 * The record is 16 words of FlowTable.track, all zero at first:
 *     0-4 original, 5-9 reply: END, MAXEND, MAXWIN, MAXACK, SIDE flags | scale << 8
 *     10-12 SEQ, ACK, END of the last ACK segment, or of a SYN that was let through beside the connection
 *     13    its window | how often it was repeated << 16 (at most 255)
 *     14    LAST: class of the last packet + 1 | its direction << 3 | LAST_* flags | scale of the SYN << 8
 *     15    end of the segment whose fragments are coming, of the side with F_FRAGMENT (extendFragment)
 * All numbers are int32, in host order, compared modulo 2^32. Sequence numbers are those of the sender; where a helper
 * changes lengths (ack - offset) translates the peer's acknowledgements into them before they come here. A super-packet is a segment like any other.
 *
 * Limits: a window counts as 2^31 - 1 at most. A segment that comes in fragments has its first fragment's length until the others have
 * come: their lengths raise END.
 */

import { ACK, RST, SYN } from '../wire/tcp.ts';
import { highestSack, SYN_HAS_SACK, SYN_HAS_SCALE, SYN_SCALE, synOptions } from '../wire/tcp-options.ts';
import { REPLY } from './flow-table.ts';
import { CLASS_ACK, SYN_RECV, SYN_SENT } from './tcp-states.ts';

/** Words of one side; side `d` begins at d * SIDE. */
export const SIDE = 5;
export const W_END = 0;
export const W_MAXEND = 1;
export const W_MAXWIN = 2;
export const W_MAXACK = 3;
export const W_FLAGS = 4;
/** Words of the last packet. */
export const W_LAST_SEQ = 10;
export const W_LAST_ACK = 11;
export const W_LAST_END = 12;
export const W_LAST_WINDOW = 13;
export const W_LAST = 14;
export const W_FRAGMENT_END = 15;

/** Flags of a side; the shift of its windows is above them. */
export const F_SCALE_OFFERED = 1;
export const F_SACK = 2;
/** It sent the first FIN. */
export const F_CLOSE_INIT = 4;
export const F_LIBERAL = 8;
/** It sent data that is not acknowledged yet. */
export const F_UNACKNOWLEDGED = 16;
export const F_MAXACK = 32;
/** The segment whose fragments are coming is of this side. */
export const F_FRAGMENT = 64;
/** Only one direction of the connection may come by here (of the original side): nothing is asked of its segments. */
export const F_ONE_WAY = 128;
export const SCALE_SHIFT = 8;

/** Fields of W_LAST. */
export const LAST_CLASS = 7;
export const LAST_DIRECTION = 8;
/** What the SYN offered that was let through: F_SCALE_OFFERED and F_SACK, shifted. */
export const LAST_SYN_SHIFT = 4;
/** A challenge ACK may come back (RFC 5961 4.2). */
export const LAST_CHALLENGE = 64;
export const LAST_SIMULTANEOUS = 128;
export const LAST_SCALE_SHIFT = 8;

/** Outcomes of checkWindow(). */
export const IN_WINDOW = 0;
export const OLD = 1;
export const OUTSIDE = 2;

/** How far an acknowledgement may lag behind, at least. */
export const MAX_ACK_WINDOW = 66_000;
/** A window counts as this at most. */
export const MAX_WINDOW = 0x7fffffff;
/** W_LAST_WINDOW counts repetitions of an ACK segment up to here. */
export const MAX_REPEATS = 255;

/** Whether sequence number `a` is later than `b`. */
export function after(a: number, b: number): boolean {
  return ((b - a) | 0) < 0;
}

/** Notes what a SYN says of its sender, at word `side`. */
export function beginSide(
  track: Int32Array,
  side: number,
  u8: Uint8Array,
  l4: number,
  header: number,
  end: number,
  window: number,
): void {
  track[side + W_END] = end;
  track[side + W_MAXEND] = end;
  track[side + W_MAXWIN] = window === 0 ? 1 : window;
  if (header <= 20) return;
  const offered = synOptions(u8, l4, header);
  track[side + W_FLAGS] = (track[side + W_FLAGS]! & F_LIBERAL) | sideFlags(offered);
}

/** Flags and shift of a side whose SYN had these options. */
export function sideFlags(offered: number): number {
  let flags = (offered & SYN_SCALE) << SCALE_SHIFT;
  if ((offered & SYN_HAS_SCALE) !== 0) flags |= F_SCALE_OFFERED;
  if ((offered & SYN_HAS_SACK) !== 0) flags |= F_SACK;
  return flags;
}

/** The first packet of a flow came from the middle of a connection: what can be known, and no more is asked of it. */
export function pickUp(track: Int32Array, t: number, direction: number, end: number, window: number): void {
  const side = t + direction * SIDE;
  const most = window === 0 ? 1 : window;
  track[side + W_END] = end;
  track[side + W_MAXWIN] = most;
  track[side + W_MAXEND] = (end + most) | 0;
  track[t + W_FLAGS] = F_SACK | F_LIBERAL;
  track[t + SIDE + W_FLAGS] = F_SACK | F_LIBERAL;
}

/**
 * Checks the segment that travels in `direction` against the record at word `t`, and takes it into account: IN_WINDOW, OLD
 * (pass it and change nothing) or OUTSIDE. `state`: of the connection before it; `offset`: how much longer the peer's data was made (0 without a
 * helper); `end`: seq + length, SYN and FIN counted; `window`: as in the header.
 */
export function checkWindow(
  track: Int32Array,
  t: number,
  direction: number,
  state: number,
  liberal: boolean,
  u8: Uint8Array,
  i32: Int32Array,
  l4: number,
  header: number,
  kind: number,
  flags: number,
  seq: number,
  ack: number,
  offset: number,
  end: number,
  window: number,
): number {
  const s = t + direction * SIDE;
  const r = t + SIDE - direction * SIDE;
  let sack = ack;
  if (header > 20 && (track[r + W_FLAGS]! & F_SACK) !== 0) {
    sack = (highestSack(u8, i32, l4, header, (ack + offset) | 0) - offset) | 0;
  }
  if (track[s + W_MAXWIN] === 0) {
    if ((flags & SYN) !== 0) {
      beginSide(track, s, u8, l4, header, end, window);
      agreeOnScale(track, t, direction);
      if ((flags & ACK) === 0) return IN_WINDOW;
    } else {
      beginMidway(track, s, r, sack, end, window);
    }
  } else if (
    (flags & SYN) !== 0 &&
    after(end, track[s + W_END]!) &&
    (state === SYN_SENT || state === SYN_RECV)
  ) {
    // A later attempt of the same endpoint: other numbers, perhaps other options.
    beginSide(track, s, u8, l4, header, end, window);
    agreeOnScale(track, t, direction);
    if (direction === REPLY && (flags & ACK) === 0) return IN_WINDOW;
  }

  const receiverEnd = track[r + W_END]!;
  // Without ACK there is nothing to check; some put 0 into the ACK of a RST.
  if ((flags & ACK) === 0 || ((flags & RST) !== 0 && ack === 0)) {
    ack = receiverEnd;
    sack = receiverEnd;
  }
  // A RST in answer to a SYN may have no number of its own.
  if ((flags & RST) !== 0 && seq === 0 && state === SYN_SENT) {
    seq = track[s + W_END]!;
    end = seq;
  }

  const senderEnd = track[s + W_END]!;
  const maxEnd = track[s + W_MAXEND]!;
  const maxWindow = track[s + W_MAXWIN]!;
  const receiverWindow = track[r + W_MAXWIN]!;
  const lag = Math.max(maxWindow, MAX_ACK_WINDOW);
  const early = receiverWindow !== 0 && !after(end, (senderEnd - receiverWindow - 1) | 0);
  const stale = !after(sack, (receiverEnd - lag - 1) | 0);
  if (after(seq, maxEnd)) {
    if (receiverWindow !== 0 && !early && !stale && !after(sack, receiverEnd)) {
      const overshoot = (end - maxEnd + 1) | 0;
      if (overshoot >= 0 && overshoot <= receiverWindow) {
        track[s + W_END] = end;
        track[s + W_FLAGS] = track[s + W_FLAGS]! | F_UNACKNOWLEDGED;
        return isLiberal(track, s, liberal) ? IN_WINDOW : OLD;
      }
    }
    return isLiberal(track, s, liberal) ? IN_WINDOW : OUTSIDE;
  }
  if (after(sack, receiverEnd)) return isLiberal(track, s, liberal) ? IN_WINDOW : OUTSIDE;
  if (early || stale) return isLiberal(track, s, liberal) ? IN_WINDOW : OLD;

  // The windows of SYNs are never scaled (RFC 7323 2.2).
  const scaled = (flags & SYN) !== 0 ? window : window << ((track[s + W_FLAGS]! >>> SCALE_SHIFT) & 15);
  const offered = (scaled + ((sack - ack) | 0)) | 0;
  if (offered < 0) track[s + W_MAXWIN] = MAX_WINDOW;
  else if (offered > maxWindow) track[s + W_MAXWIN] = offered;
  let senderFlags = track[s + W_FLAGS]!;
  if (after(end, senderEnd)) {
    track[s + W_END] = end;
    senderFlags |= F_UNACKNOWLEDGED;
  }
  if ((flags & ACK) !== 0) {
    if ((senderFlags & F_MAXACK) === 0 || after(ack, track[s + W_MAXACK]!)) track[s + W_MAXACK] = ack;
    senderFlags |= F_MAXACK;
  }
  track[s + W_FLAGS] = senderFlags;

  if (receiverWindow !== 0 && after(end, maxEnd)) {
    const wider = (receiverWindow + ((end - maxEnd) | 0)) | 0;
    track[r + W_MAXWIN] = wider < 0 ? MAX_WINDOW : wider;
  }
  const allowed = (sack + scaled) | 0;
  if (after(allowed, (track[r + W_MAXEND]! - 1) | 0)) {
    track[r + W_MAXEND] = scaled === 0 ? (allowed + 1) | 0 : allowed;
  }
  if (ack === receiverEnd) track[r + W_FLAGS] = track[r + W_FLAGS]! & ~F_UNACKNOWLEDGED;
  if (kind === CLASS_ACK) noteAck(track, t, direction, seq, ack, end, window);
  return IN_WINDOW;
}

/** Windows are scaled only if both SYNs offered it (RFC 7323 2.2); the second decides. */
function agreeOnScale(track: Int32Array, t: number, direction: number): void {
  if (direction !== REPLY) return;
  const original = track[t + W_FLAGS]!;
  const reply = track[t + SIDE + W_FLAGS]!;
  if ((original & reply & F_SCALE_OFFERED) !== 0) return;
  track[t + W_FLAGS] = original & ~(15 << SCALE_SHIFT);
  track[t + SIDE + W_FLAGS] = reply & ~(15 << SCALE_SHIFT);
}

/** The first that is seen of this sender is no SYN. */
function beginMidway(
  track: Int32Array,
  s: number,
  r: number,
  sack: number,
  end: number,
  window: number,
): void {
  const scaled = window << ((track[s + W_FLAGS]! >>> SCALE_SHIFT) & 15);
  track[s + W_END] = end;
  track[s + W_MAXWIN] = scaled === 0 ? 1 : scaled;
  track[s + W_MAXEND] = (end + track[s + W_MAXWIN]!) | 0;
  if (track[r + W_MAXWIN] === 0) {
    track[r + W_END] = sack;
    track[r + W_MAXEND] = sack;
  } else if (sack === ((track[r + W_END]! + 1) | 0)) {
    // The answer to a keepalive.
    track[r + W_END] = sack;
  }
}

/** Counts how often the same ACK segment comes. */
function noteAck(
  track: Int32Array,
  t: number,
  direction: number,
  seq: number,
  ack: number,
  end: number,
  window: number,
): void {
  const last = track[t + W_LAST]!;
  const counted = track[t + W_LAST_WINDOW]!;
  if (
    (last & LAST_DIRECTION) === direction << 3 &&
    track[t + W_LAST_SEQ] === seq &&
    track[t + W_LAST_ACK] === ack &&
    track[t + W_LAST_END] === end &&
    (counted & 0xffff) === window
  ) {
    if (counted >>> 16 < MAX_REPEATS) track[t + W_LAST_WINDOW] = counted + 0x10000;
    return;
  }
  track[t + W_LAST] = (last & ~LAST_DIRECTION) | (direction << 3);
  track[t + W_LAST_SEQ] = seq;
  track[t + W_LAST_ACK] = ack;
  track[t + W_LAST_END] = end;
  track[t + W_LAST_WINDOW] = window;
}

/** A segment that ends at `end` so far has come, and fragments will follow. */
export function beginFragment(track: Int32Array, t: number, direction: number, end: number): void {
  const s = t + direction * SIDE;
  const r = t + SIDE - direction * SIDE;
  track[t + W_FRAGMENT_END] = end;
  track[s + W_FLAGS] = track[s + W_FLAGS]! | F_FRAGMENT;
  track[r + W_FLAGS] = track[r + W_FLAGS]! & ~F_FRAGMENT;
}

/** A later fragment of the latest segment of `direction` brought `length` more bytes of it. */
export function extendFragment(track: Int32Array, t: number, direction: number, length: number): void {
  // Both sides send fragments at once: this one's segment is not known any more.
  if ((track[t + direction * SIDE + W_FLAGS]! & F_FRAGMENT) === 0) {
    track[t + direction * SIDE + W_END] = (track[t + direction * SIDE + W_END]! + length) | 0;
    return;
  }
  const end = (track[t + W_FRAGMENT_END]! + length) | 0;
  track[t + W_FRAGMENT_END] = end;
  const side = t + direction * SIDE;
  if (after(end, track[side + W_END]!)) track[side + W_END] = end;
}

function isLiberal(track: Int32Array, side: number, liberal: boolean): boolean {
  return liberal || (track[side + W_FLAGS]! & F_LIBERAL) !== 0;
}
