/** Putting a packet and what is said of it into a ring of the tap. */
import type { Bytes } from '../wire/bytes.ts';
import { M_LENGTH, M_REASON } from '../wire/parse.ts';
import { BATCH, IN_LIST, LINEAR_BYTES, overflowOffset, packetOffset } from './arena.ts';
import { isRead } from './tap-facts.ts';
import { T_KIND, T_SNAP, T_TIME, TAP_HEADER } from './tap-record.ts';
import type { TapRing } from './tap-ring.ts';

/** Bytes of the packet of row `m` in `slot`, as far as it is known. */
export function lengthOf(bytes: Bytes, meta: Int32Array, slot: number, m: number): number {
  if (slot >= BATCH || isRead(meta[m + M_REASON]!)) return meta[m + M_LENGTH]!;
  return bytes.i32[(IN_LIST >> 2) + slot * 2 + 1]!;
}

/** A record of these facts with room for `snap` bytes: its first word. */
export function write(ring: TapRing, facts: Int32Array, kind: number, snap: number): number {
  const { words } = ring;
  const at = ring.claim(TAP_HEADER + ((snap + 7) >> 3) * 2);
  words[at + T_KIND] = kind;
  for (let i = T_TIME; i < TAP_HEADER; i++) words[at + i] = facts[i]!;
  words[at + T_SNAP] = snap;
  return at;
}

/** Copies the first `length` bytes of the packet in `slot` behind the header of the record at word `at`. */
export function copyPacket(bytes: Bytes, slot: number, words: Int32Array, at: number, length: number): void {
  const { i32 } = bytes;
  const linear = (Math.min(length, LINEAR_BYTES) + 3) >> 2;
  const from = packetOffset(slot) >> 2;
  let to = at + TAP_HEADER;
  for (let i = 0; i < linear; i++) words[to + i] = i32[from + i]!;
  if (length <= LINEAR_BYTES) return;
  to += LINEAR_BYTES >> 2;
  const rest = overflowOffset(slot) >> 2;
  const left = (length - LINEAR_BYTES + 3) >> 2;
  for (let i = 0; i < left; i++) words[to + i] = i32[rest + i]!;
}
