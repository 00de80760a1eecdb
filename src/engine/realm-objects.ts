/**
 * RFC 4884 extensions of ICMP errors that say where in the private network something happened: which interface, with its address
 * (RFC 5837), or which node. NATs pass an extension as it is or remove it whole (RFC 5837 5); an error that leaves the private side goes
 * without one that has such an object, or that cannot be read. Others, MPLS labels mostly, stay. The quote in front of one has 128 bytes
 * or more (RFC 4884 4); a smaller number is none of a quote, but what somebody has left in an unused field.
 */

import type { Bytes } from '../wire/bytes.ts';
import { be16, putBe16 } from '../wire/bytes.ts';
import { adjust, delta16, fold } from '../wire/checksum.ts';
import { ICMP_CHECKSUM, ICMP_HEADER } from '../wire/icmp.ts';
import { IP_CHECKSUM, IP_LENGTH } from '../wire/ipv4.ts';
import { M_L4, M_LENGTH, M_OFFSET } from '../wire/parse.ts';
import { place, sumPacket } from './slot-bytes.ts';

/** Of the ICMP message: how many words its quote has, when something follows (RFC 4884 4). Destination unreachable, time exceeded and parameter problem have it. */
const QUOTE_WORDS = 5;
const LEAST_WORDS = 32;
const VERSION = 2;
/** Bytes of the extension's header, and of an object's. */
const HEADER = 4;
/** Class numbers: interface information (RFC 5837), interface identification (RFC 8335), node identification. */
const REALM_CLASSES: readonly number[] = [2, 3, 5];

/** Removes the extension of the error of row `m` in `slot`, if it says anything of the private network. The row's length follows. */
export function removeRealmObjects(bytes: Bytes, slot: number, meta: Int32Array, m: number): void {
  const { u8, u16 } = bytes;
  const offset = meta[m + M_OFFSET]!;
  const l4 = meta[m + M_L4]!;
  const length = meta[m + M_LENGTH]!;
  const words = u8[l4 + QUOTE_WORDS]!;
  const end = l4 - offset + ICMP_HEADER + words * 4;
  if (words < LEAST_WORDS || end >= length || !saysRealm(bytes, slot, end, length)) return;
  const removed = fold(sumPacket(bytes, slot, end, length - end));
  const word = (l4 + QUOTE_WORDS) >> 1;
  const before = u16[word]!;
  u8[l4 + QUOTE_WORDS] = 0;
  const sum = (l4 + ICMP_CHECKSUM) >> 1;
  u16[sum] = adjust(u16[sum]!, fold((removed ^ 0xffff) + delta16(before, u16[word]!)));
  const total = (offset + IP_LENGTH) >> 1;
  const had = u16[total]!;
  putBe16(u8, offset + IP_LENGTH, end);
  const header = (offset + IP_CHECKSUM) >> 1;
  u16[header] = adjust(u16[header]!, delta16(had, u16[total]!));
  meta[m + M_LENGTH] = end;
}

function saysRealm(bytes: Bytes, slot: number, start: number, end: number): boolean {
  const { u8 } = bytes;
  if (end - start < HEADER || u8[place(slot, start)]! >> 4 !== VERSION) return true;
  for (let at = start + HEADER; at < end; ) {
    const object = place(slot, at);
    const length = end - at < HEADER ? 0 : be16(u8, object);
    // Objects are whole words; what is not cannot be walked.
    if (length < HEADER || (length & 3) !== 0 || at + length > end) return true;
    if (REALM_CLASSES.includes(u8[object + 2]!)) return true;
    at += length;
  }
  return false;
}
