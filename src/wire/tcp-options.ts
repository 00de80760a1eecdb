/**
 * TCP options that connection tracking reads (RFC 9293 3.2, RFC 7323 2.2, RFC 2018).
 *
 * Options are walked as the kernel walks them (net/netfilter/nf_conntrack_proto_tcp.c): up to an end of list, a length
 * below 2 or beyond the header; what was read until then counts. The header is whole (parsePacket): `l4` its offset,
 * `header` its length with options.
 */
import { TCP_HEADER } from './tcp.ts';

const END = 0;
const NOP = 1;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;

/** The largest shift there is (RFC 7323 2.3); more counts as this. */
export const MAX_SCALE = 14;

/** Result of synOptions(): the shift in bits 0-3, and which options were there. */
export const SYN_SCALE = 15;
export const SYN_HAS_SCALE = 16;
export const SYN_HAS_SACK = 32;

/** NOP NOP timestamp(10), as a little-endian word: all that most segments carry. */
const TIMESTAMP_ONLY = 0x0a080101;
const TIMESTAMP_BYTES = 12;

/** Whether a header of `header` bytes carries a timestamp and nothing else, as its sender laid it out (RFC 7323 appendix A). */
export function isTimestampOnly(i32: Int32Array, l4: number, header: number): boolean {
  return header === TCP_HEADER + TIMESTAMP_BYTES && i32[(l4 + TCP_HEADER) >> 2] === TIMESTAMP_ONLY;
}

/** What a SYN offers: SYN_* bits. */
export function synOptions(u8: Uint8Array, l4: number, header: number): number {
  const end = l4 + header;
  let found = 0;
  let at = l4 + TCP_HEADER;
  while (at < end) {
    const kind = u8[at]!;
    if (kind === END) break;
    if (kind === NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? u8[at + 1]! : 0;
    if (length < 2 || at + length > end) break;
    if (kind === SACK_PERMITTED && length === 2) found |= SYN_HAS_SACK;
    else if (kind === WINDOW_SCALE && length === 3) {
      const scale = u8[at + 2]!;
      found = (found & ~SYN_SCALE) | SYN_HAS_SCALE | Math.min(scale, MAX_SCALE);
    }
    at += length;
  }
  return found;
}

/** The highest right edge among `ack` and the SACK blocks of the segment. Sequence numbers are int32. */
export function highestSack(
  u8: Uint8Array,
  i32: Int32Array,
  l4: number,
  header: number,
  ack: number,
): number {
  const end = l4 + header;
  let at = l4 + TCP_HEADER;
  if (isTimestampOnly(i32, l4, header)) return ack;
  while (at < end) {
    const kind = u8[at]!;
    if (kind === END) break;
    if (kind === NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? u8[at + 1]! : 0;
    if (length < 2 || at + length > end) break;
    if (kind === SACK && length >= 10 && ((length - 2) & 7) === 0) {
      let highest = ack;
      for (let block = at + 2; block < at + length; block += 8) {
        const right =
          (u8[block + 4]! << 24) | (u8[block + 5]! << 16) | (u8[block + 6]! << 8) | u8[block + 7]!;
        if (((right - highest) | 0) > 0) highest = right;
      }
      return highest;
    }
    at += length;
  }
  return ack;
}
