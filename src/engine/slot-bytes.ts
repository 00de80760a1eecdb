/**
 * Whole packets in slots: the first 2036 bytes are in the header slot, the rest in the overflow (arena.ts). Only code
 * that must touch payload comes here; positions count from the IPv4 header.
 */
import type { Bytes } from '../wire/bytes.ts';
import { sumBytes } from '../wire/checksum.ts';
import { LINEAR_BYTES, overflowOffset, packetOffset } from './arena.ts';

/** Arena offset of byte `position` of the packet in `slot`. */
function place(slot: number, position: number): number {
  return position < LINEAR_BYTES
    ? packetOffset(slot) + position
    : overflowOffset(slot) + position - LINEAR_BYTES;
}

/** Bytes from `position` to where the packet's memory breaks. */
function run(position: number): number {
  return position < LINEAR_BYTES ? LINEAR_BYTES - position : 0x10000;
}

export function copyBytes(
  bytes: Bytes,
  fromSlot: number,
  from: number,
  toSlot: number,
  to: number,
  length: number,
): void {
  let done = 0;
  while (done < length) {
    const piece = Math.min(length - done, run(from + done), run(to + done));
    const source = place(fromSlot, from + done);
    bytes.u8.copyWithin(place(toSlot, to + done), source, source + piece);
    done += piece;
  }
}

/** One's complement sum, unfolded, of `length` bytes from `position` (even). LINEAR_BYTES is even, so sums of the parts add up. */
export function sumPacket(bytes: Bytes, slot: number, position: number, length: number): number {
  const first = Math.min(length, run(position));
  let sum = sumBytes(bytes.u8, bytes.u16, place(slot, position), first);
  if (first < length) {
    sum += sumBytes(bytes.u8, bytes.u16, place(slot, position + first), length - first);
  }
  return sum;
}

/** Copies `words` words from byte `position` (a multiple of 4) of the packet in `slot` to `to`. Slots break between words. */
export function saveWords(
  bytes: Bytes,
  slot: number,
  position: number,
  to: Int32Array,
  at: number,
  words: number,
): void {
  for (let i = 0; i < words; i++) to[at + i] = bytes.i32[place(slot, position + i * 4) >> 2]!;
}

/** The way back of saveWords(). */
export function loadWords(
  bytes: Bytes,
  slot: number,
  position: number,
  from: Int32Array,
  at: number,
  words: number,
): void {
  for (let i = 0; i < words; i++) bytes.i32[place(slot, position + i * 4) >> 2] = from[at + i]!;
}
