/**
 * MSS clamping: a SYN may not promise segments that the path behind the gateway cannot take (RFC 4459 3.2). Path MTU
 * discovery would find it out too, where its ICMP errors arrive.
 *
 * The option is lowered, never raised and never added: without one a host sends 536 bytes (RFC 9293 3.7.1). Options that do
 * not parse are left alone; they are the receiver's to judge.
 */

import { type Bytes, be16, putBe16, swap16 } from '../wire/bytes.ts';
import { adjust, delta16 } from '../wire/checksum.ts';
import { TCP_CHECKSUM, TCP_HEADER, tcpHeaderLength } from '../wire/tcp.ts';
import { NEEDS_CSUM, VNET_HEADER } from '../wire/vnet.ts';

/** Headers without options, which MSS does not count (RFC 6691 2). */
export const MSS_HEADERS = 40;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_MSS_LENGTH = 4;

/**
 * Lowers the MSS option of the SYN whose TCP header is at `l4`, behind an IPv4 header at `offset` and a vnet header before
 * that, to `limit` bytes. A partial checksum (NEEDS_CSUM) does not cover it yet.
 */
export function clampMss(bytes: Bytes, offset: number, l4: number, limit: number): void {
  const { u8, u16 } = bytes;
  const option = findMss(u8, l4 + TCP_HEADER, l4 + tcpHeaderLength(u8, l4));
  if (option < 0 || limit <= 0) return;
  const at = option + 2;
  const before = be16(u8, at);
  if (before <= limit) return;
  putBe16(u8, at, limit);
  if ((u8[offset - VNET_HEADER]! & NEEDS_CSUM) !== 0) return;
  // At an odd place the value's bytes are in two words, exchanged.
  const delta = (at & 1) === 0 ? delta16(swap16(before), swap16(limit)) : delta16(before, limit);
  const sum = (l4 + TCP_CHECKSUM) >> 1;
  u16[sum] = adjust(u16[sum]!, delta);
}

/** Where the first MSS option of the options [start, end) is, or -1. */
function findMss(u8: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end && u8[at] !== OPTION_END; ) {
    if (u8[at] === OPTION_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? u8[at + 1]! : 0;
    if (length < 2 || at + length > end) return -1;
    if (u8[at] === OPTION_MSS) return length === OPTION_MSS_LENGTH ? at : -1;
    at += length;
  }
  return -1;
}
