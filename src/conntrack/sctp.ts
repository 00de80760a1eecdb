/**
 * SCTP tracking (RFC 9260): each packet's chunks step the state machine of sctp-states.ts, after the verification tag has
 * been checked. As nf_conntrack_sctp_packet() of net/netfilter/nf_conntrack_proto_sctp.c behaves.
 *
 * A verification tag is the receiver's: what INIT and INIT ACK say their sender wants to see is the tag of the other
 * direction (8.5). Exceptions are 8.5.1's: an INIT has tag 0; ABORT and SHUTDOWN COMPLETE may reflect the sender's own, with
 * flag T. A HEARTBEAT on a path that has no association yet is a second path of a multi-homed one: tags are learned from it. One with another tag
 * than was learned may come after a restart: it passes, and when the answer agrees the new tags hold.
 *
 * Words of FlowTable.track: 0, 1 the tags of packets of the original and of the reply direction, in wire order (0: not known);
 * 2 flags. Limits: the CRC32c is not verified; of a packet in fragments the chunks of the first count. Ports are not translated.
 */
import { INVALID_SCTP, OK } from '../core/reasons.ts';
import { type Bytes, be16 } from '../wire/bytes.ts';
import { M_L4, M_LENGTH, M_OFFSET } from '../wire/parse.ts';
import {
  ABORT,
  CHUNK_FLAGS,
  CHUNK_HEADER,
  CHUNK_LENGTH,
  COOKIE_ACK,
  COOKIE_ECHO,
  DATA,
  HEARTBEAT,
  HEARTBEAT_ACK,
  INIT,
  INIT_ACK,
  INIT_LENGTH,
  INIT_TAG,
  SCTP_HEADER,
  SCTP_TAG,
  SHUTDOWN_ACK,
  SHUTDOWN_COMPLETE,
  TAG_REFLECTED,
} from '../wire/sctp.ts';
import {
  ASSURED,
  CONFIRMED,
  type FlowTable,
  H_STATUS,
  HOT,
  STATE_MASK,
  STATE_SHIFT,
  TRACK,
} from './flow-table.ts';
import { nextSctpState, SCTP_CLOSED, SCTP_ESTABLISHED, SCTP_INVALID } from './sctp-states.ts';
import { PASSED } from './tcp-tracker.ts';

const W_TAG = 0;
const W_FLAGS = 2;
/** A HEARTBEAT had another tag; the next bit is its direction. */
const TAG_FAILED = 1;
const TAG_FAILED_REPLY = 2;

/** Bits of the chunk types that matter, as scan() finds them; types from 31 on share the last one. */
const BAD = 1 << 31;
function bit(type: number): number {
  return 1 << Math.min(type, 30);
}
/** Packets with one of these have rules of their own for the tag. */
const OWN_RULE =
  bit(INIT) |
  bit(SHUTDOWN_COMPLETE) |
  bit(COOKIE_ECHO) |
  bit(ABORT) |
  bit(SHUTDOWN_ACK) |
  bit(HEARTBEAT) |
  bit(HEARTBEAT_ACK);

export class SctpTracker {
  private readonly table: FlowTable;

  constructor(table: FlowTable) {
    this.table = table;
  }

  /** Whether the packet of row `m` may begin a flow: an INIT, or HEARTBEATs of a second path. */
  mayBegin(bytes: Bytes, meta: Int32Array, m: number): boolean {
    const l4 = meta[m + M_L4]!;
    const end = meta[m + M_OFFSET]! + meta[m + M_LENGTH]!;
    const chunks = scan(bytes.u8, l4, end);
    if (chunks === bit(HEARTBEAT)) return true;
    if (chunks !== bit(INIT)) return false;
    return bytes.i32[(l4 + SCTP_TAG) >> 2] === 0 && l4 + SCTP_HEADER + INIT_LENGTH <= end;
  }

  /** Steps the flow of `handle`: OK, PASSED or INVALID_SCTP. Tags learned from a packet that proves INVALID are kept, as in the kernel. */
  step(handle: number, bytes: Bytes, meta: Int32Array, m: number): number {
    const { hot, track } = this.table;
    const { u8, i32 } = bytes;
    const direction = handle & 1;
    const h = (handle >> 1) * HOT;
    const t = (handle >> 1) * TRACK;
    const own = t + W_TAG + direction;
    const l4 = meta[m + M_L4]!;
    const end = meta[m + M_OFFSET]! + meta[m + M_LENGTH]!;
    const tag = i32[(l4 + SCTP_TAG) >> 2]!;
    const chunks = scan(u8, l4, end);
    if ((chunks & BAD) !== 0) return INVALID_SCTP;
    const confirmed = (hot[h + H_STATUS]! & CONFIRMED) !== 0;
    if ((chunks & OWN_RULE) === 0 && tag !== track[own]) return INVALID_SCTP;
    let passed = false;
    for (let at = l4 + SCTP_HEADER; at + CHUNK_HEADER <= end; at += (be16(u8, at + CHUNK_LENGTH) + 3) & ~3) {
      const type = u8[at]!;
      const outcome = this.checkTag(t, direction, type, u8[at + CHUNK_FLAGS]!, tag, chunks, passed);
      if (outcome === INVALID_SCTP) return INVALID_SCTP;
      if (outcome === PASSED) {
        passed = true;
        continue;
      }
      const status = hot[h + H_STATUS]!;
      const state = (status & STATE_MASK) >>> STATE_SHIFT;
      const next = nextSctpState(direction, type, state);
      if (next === SCTP_INVALID) return INVALID_SCTP;
      if (type === INIT || type === INIT_ACK) {
        if (at + INIT_LENGTH > end) return INVALID_SCTP;
        track[t + W_TAG + (direction ^ 1)] = i32[(at + INIT_TAG) >> 2]!;
        // An INIT that is sent again, unanswered, does not prolong.
        if (state === SCTP_CLOSED && next === SCTP_CLOSED && confirmed) passed = true;
      }
      let changed = (status & ~STATE_MASK) | (next << STATE_SHIFT);
      if (next === SCTP_ESTABLISHED && state !== next) changed |= ASSURED;
      hot[h + H_STATUS] = changed;
    }
    return passed ? PASSED : OK;
  }

  /** The rules of RFC 9260 8.5.1 for one chunk: OK, PASSED (it changes nothing) or INVALID_SCTP. */
  private checkTag(
    t: number,
    direction: number,
    type: number,
    flags: number,
    tag: number,
    chunks: number,
    passed: boolean,
  ): number {
    const { track } = this.table;
    const own = track[t + W_TAG + direction]!;
    if (type === INIT) return tag === 0 ? OK : INVALID_SCTP;
    if (type === COOKIE_ECHO) return tag === own ? OK : INVALID_SCTP;
    if (type === ABORT || type === SHUTDOWN_COMPLETE) {
      const expected = (flags & TAG_REFLECTED) !== 0 ? track[t + W_TAG + (direction ^ 1)]! : own;
      return tag === expected ? OK : INVALID_SCTP;
    }
    if (type !== HEARTBEAT && type !== HEARTBEAT_ACK) return OK;
    if (own === 0) {
      track[t + W_TAG + direction] = tag;
      return OK;
    }
    const failed = track[t + W_FLAGS]!;
    if (tag === own) {
      track[t + W_FLAGS] = failed & ~TAG_FAILED;
      return OK;
    }
    if ((chunks & bit(DATA)) !== 0 || passed) return INVALID_SCTP;
    const mine = direction === 0 ? TAG_FAILED : TAG_FAILED | TAG_FAILED_REPLY;
    if (type === HEARTBEAT) {
      track[t + W_FLAGS] = mine;
      return PASSED;
    }
    if ((failed & TAG_FAILED) === 0 || failed === mine) return INVALID_SCTP;
    track[t + W_FLAGS] = 0;
    track[t + W_TAG + direction] = tag;
    track[t + W_TAG + (direction ^ 1)] = 0;
    return OK;
  }
}

/**
 * The set of chunk types of a packet, or BAD: none at all, one without length, or one in company that must be alone (INIT, INIT ACK,
 * SHUTDOWN COMPLETE) or first (COOKIE ECHO, COOKIE ACK).
 */
function scan(u8: Uint8Array, l4: number, end: number): number {
  let found = 0;
  let alone = false;
  for (let at = l4 + SCTP_HEADER; at + CHUNK_HEADER <= end; ) {
    const type = u8[at]!;
    const length = be16(u8, at + CHUNK_LENGTH);
    if (type === INIT || type === INIT_ACK || type === SHUTDOWN_COMPLETE) alone = true;
    const follows = found !== 0;
    if (length < CHUNK_HEADER) return BAD;
    if (follows && (alone || type === COOKIE_ACK || type === COOKIE_ECHO)) return BAD;
    found |= bit(type);
    at += (length + 3) & ~3;
  }
  return found === 0 ? BAD : found;
}
