/**
 * IPv4 header (RFC 791).
 *
 *     0 version|ihl   1 tos     2 total length
 *     4 identification          6 flags|fragment offset
 *     8 ttl           9 protocol  10 header checksum
 *     12 source                 16 destination          20 options
 *
 * After checkIpv4() returned OK the accessors are in bounds and check nothing.
 */
import {
  BAD_FRAGMENT,
  BAD_HEADER_CHECKSUM,
  BAD_HEADER_LENGTH,
  BAD_OPTIONS,
  BAD_TOTAL_LENGTH,
  NOT_IPV4,
  OK,
  SHORT_PACKET,
  SOURCE_ROUTE,
} from '../core/reasons.ts';
import { type Bytes, be16 } from './bytes.ts';
import { fold } from './checksum.ts';

export const IP_TOS = 1;
export const IP_LENGTH = 2;
export const IP_ID = 4;
export const IP_FRAGMENT = 6;
export const IP_TTL = 8;
export const IP_PROTOCOL = 9;
export const IP_CHECKSUM = 10;
export const IP_SOURCE = 12;
export const IP_DESTINATION = 16;
export const IP_HEADER = 20;

/** Bits of the 16-bit flags|offset field. */
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;
export const FRAGMENT_OFFSET = 0x1fff;

export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_GRE = 47;
export const PROTO_SCTP = 132;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_LSRR = 131;
const OPTION_SSRR = 137;

export function headerLength(u8: Uint8Array, offset: number): number {
  return (u8[offset]! & 15) << 2;
}

export function totalLength(u8: Uint8Array, offset: number): number {
  return be16(u8, offset + IP_LENGTH);
}

/** Checks the header of a packet of which `length` bytes came. */
export function checkIpv4(bytes: Bytes, offset: number, length: number): number {
  if (length < IP_HEADER) return SHORT_PACKET;
  const u8 = bytes.u8;
  const first = u8[offset]!;
  if (first >> 4 !== 4) return NOT_IPV4;
  const header = (first & 15) << 2;
  if (header < IP_HEADER || header > length) return BAD_HEADER_LENGTH;
  const total = be16(u8, offset + IP_LENGTH);
  if (total < header || total > length) return BAD_TOTAL_LENGTH;
  const i32 = bytes.i32;
  const word = offset >> 2;
  let sum = 0;
  for (let i = 0; i < header >> 2; i++) {
    const value = i32[word + i]!;
    sum += (value & 0xffff) + (value >>> 16);
  }
  if (fold(sum) !== 0xffff) return BAD_HEADER_CHECKSUM;
  const fragment = be16(u8, offset + IP_FRAGMENT);
  if ((fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) !== 0) {
    const bad = checkFragment(fragment, u8[offset + IP_PROTOCOL]!, total - header);
    if (bad !== OK) return bad;
  }
  return header === IP_HEADER ? OK : checkOptions(u8, offset + IP_HEADER, offset + header);
}

/** Pieces that no sender makes: empty, unaligned, past 64 KiB, or one that could overlay a TCP header (RFC 1858). */
function checkFragment(fragment: number, protocol: number, payload: number): number {
  const start = (fragment & FRAGMENT_OFFSET) << 3;
  if (payload === 0 || start + payload > 65535 - IP_HEADER) return BAD_FRAGMENT;
  if ((fragment & MORE_FRAGMENTS) !== 0 && (payload & 7) !== 0) return BAD_FRAGMENT;
  if (protocol === PROTO_TCP && start === 8) return BAD_FRAGMENT;
  return OK;
}

/** Options must parse to their end; source routes are refused, as routers do (RFC 7126 4.3, 4.4). */
function checkOptions(u8: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const type = u8[at]!;
    if (type === OPTION_END) return OK;
    if (type === OPTION_NOP) {
      at++;
      continue;
    }
    if (type === OPTION_LSRR || type === OPTION_SSRR) return SOURCE_ROUTE;
    const length = at + 1 < end ? u8[at + 1]! : 0;
    if (length < 2 || at + length > end) return BAD_OPTIONS;
    at += length;
  }
  return OK;
}

const LINK_LOCAL = 169 | (254 << 8);

/**
 * Addresses that are neither source nor destination of a forwarded packet (RFC 1812 5.3.7): 0/8, 127/8,
 * 169.254/16, multicast, class E and broadcast.
 */
export function isMartian(address: number): boolean {
  const first = address & 0xff;
  return first === 0 || first === 127 || first >= 224 || (address & 0xffff) === LINK_LOCAL;
}
