/**
 * IPv4 options into which routers write their addresses: record route, timestamp (RFC 791 3.1) and traceroute (RFC 1393). What leaves a
 * private network by a translated flow would tell the public side the addresses in there, so it leaves as if it had no such
 * option, which RFC 7126 4.5 to 4.7 allow: the option becomes no-operations. One in which nothing is written yet stays, and so does a timestamp option
 * of times alone.
 *
 * Packets without options do not come here; checkIpv4() has found that these parse.
 */
import type { Bytes } from '../wire/bytes.ts';
import { adjust, fold, sumBytes } from '../wire/checksum.ts';
import { headerLength, IP_CHECKSUM, IP_HEADER } from '../wire/ipv4.ts';

const END = 0;
const NOP = 1;
const RECORD_ROUTE = 7;
const TIMESTAMP = 68;
const TRACEROUTE = 82;
/** Where addresses begin in each, bytes from its type on. */
const ROUTE_DATA = 3;
const TIMESTAMP_DATA = 4;
const TRACEROUTE_DATA = 8;
/** The low half of this byte of a timestamp option is 0 when there are no addresses between the times. */
const TIMESTAMP_FLAG = 3;

/** Takes recorded addresses out of the header at `offset`, and updates its checksum. */
export function concealRoute(bytes: Bytes, offset: number): void {
  const { u8, u16 } = bytes;
  const start = offset + IP_HEADER;
  const length = headerLength(u8, offset) - IP_HEADER;
  const before = fold(sumBytes(u8, u16, start, length));
  if (!fillOut(u8, start, start + length)) return;
  const at = (offset + IP_CHECKSUM) >> 1;
  u16[at] = adjust(u16[at]!, (before ^ 0xffff) + fold(sumBytes(u8, u16, start, length)));
}

/** Whether any option became no-operations. */
function fillOut(u8: Uint8Array, start: number, end: number): boolean {
  let some = false;
  for (let at = start; at < end; ) {
    const type = u8[at]!;
    if (type === END) return some;
    if (type === NOP) {
      at++;
      continue;
    }
    // In the quote of an ICMP error nobody has looked before.
    const length = at + 1 < end ? Math.min(u8[at + 1]!, end - at) : 0;
    if (length < 2) return some;
    if (records(u8, at, length)) {
      u8.fill(NOP, at, at + length);
      some = true;
    }
    at += length;
  }
  return some;
}

/** Whether the option at `at` has addresses. */
function records(u8: Uint8Array, at: number, length: number): boolean {
  let first = length;
  const type = u8[at]!;
  if (type === RECORD_ROUTE) first = ROUTE_DATA;
  else if (type === TRACEROUTE) first = TRACEROUTE_DATA;
  else if (type === TIMESTAMP && length > TIMESTAMP_FLAG && (u8[at + TIMESTAMP_FLAG]! & 15) !== 0) {
    first = TIMESTAMP_DATA;
  }
  for (let i = first; i < length; i++) if (u8[at + i] !== 0) return true;
  return false;
}
