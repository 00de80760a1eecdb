/**
 * Reads a packet once and leaves what the later stages need in a row of integers.
 *
 * One row per packet of a batch, in one Int32Array (stride META). After parsePacket() returned OK, the IPv4 header
 * and, for KIND_FLOW, the transport header are whole and consistent with their lengths; nobody checks again.
 */
import {
  BAD_FRAGMENT,
  BAD_ICMP,
  BAD_QUOTE,
  BAD_SCTP,
  BAD_TCP,
  BAD_UDP,
  ICMP_TYPE,
  OK,
} from '../core/reasons.ts';
import { type Bytes, be16 } from './bytes.ts';
import { fold } from './checksum.ts';
import { ICMP_CODE, ICMP_HEADER, ICMP_ID, isIcmpError, isIcmpReply, isIcmpRequest } from './icmp.ts';
import {
  checkIpv4,
  FRAGMENT_OFFSET,
  headerLength,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_PROTOCOL,
  IP_SOURCE,
  MORE_FRAGMENTS,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
  totalLength,
} from './ipv4.ts';
import { SCTP_HEADER } from './sctp.ts';
import { TCP_HEADER, tcpHeaderLength } from './tcp.ts';
import { UDP_HEADER, UDP_LENGTH } from './udp.ts';
import { checkVnet, NEEDS_CSUM, VNET_GSO_TYPE, VNET_HEADER } from './vnet.ts';

/** Words per packet. */
export const META = 16;
/** Byte offset of the IPv4 header. */
export const M_OFFSET = 0;
/** Bytes of the IPv4 packet (its total length; link padding is cut). */
export const M_LENGTH = 1;
export const M_DEVICE = 2;
export const M_PROTOCOL = 3;
/** Byte offset of the transport header. */
export const M_L4 = 4;
export const M_SOURCE = 5;
export const M_DESTINATION = 6;
/** The tuple's ports word: see conntrack/tuple.ts. */
export const M_PORTS = 7;
/** KIND_* */
export const M_KIND = 8;
/** Bits MF and offset of the fragment field; 0 for a whole packet. */
export const M_FRAGMENT = 9;
export const M_HASH = 10;
export const M_HANDLE = 11;
/** Drop reason found while parsing, OK otherwise. */
export const M_REASON = 12;
/** What the lookup fetched early (engine/lookup.ts). */
export const M_FETCHED = 13;

/** A packet with a tuple: TCP, UDP, SCTP, ICMP query or another protocol, whole or first fragment. */
export const KIND_FLOW = 0;
/** A later fragment: no transport header. */
export const KIND_FRAGMENT = 1;
/** An ICMP error: it belongs to the flow of the packet it quotes. */
export const KIND_ERROR = 2;

const VERSION_4_IHL_5 = 0x45;
/** MF and fragment offset in the second word of a header. */
const FRAGMENT_WORD = 0xff3f0000 | 0;
/** Longer than any packet. */
const MAX_LENGTH = 0x10000;

/**
 * Reads the packet of `length` bytes at `offset` into row `m` of `meta`. `vnet`: a virtio_net_hdr precedes it.
 *
 * Nearly all packets are whole TCP or UDP packets without IPv4 options; they are read by words here, and all others, and whatever
 * is wrong with one, field by field in parseAny(). Both write the same row (test/wire/parse.test.ts compares them).
 */
export function parsePacket(
  bytes: Bytes,
  offset: number,
  length: number,
  vnet: boolean,
  meta: Int32Array,
  m: number,
): number {
  if (length < IP_HEADER + UDP_HEADER) return parseAny(bytes, offset, length, vnet, meta, m);
  const { u8, i32 } = bytes;
  const word = offset >> 2;
  const first = i32[word]!;
  const second = i32[word + 1]!;
  const third = i32[word + 2]!;
  const source = i32[word + 3]!;
  const destination = i32[word + 4]!;
  const total = ((first >>> 8) & 0xff00) | (first >>> 24);
  const sum =
    (first & 0xffff) +
    (first >>> 16) +
    (second & 0xffff) +
    (second >>> 16) +
    (third & 0xffff) +
    (third >>> 16) +
    (source & 0xffff) +
    (source >>> 16) +
    (destination & 0xffff) +
    (destination >>> 16);
  const protocol = (third >>> 8) & 0xff;
  let transport = MAX_LENGTH;
  if (protocol === PROTO_TCP) {
    if (length >= IP_HEADER + TCP_HEADER) transport = (i32[word + 8]! & 0xf0) >>> 2;
    if (transport < TCP_HEADER) transport = MAX_LENGTH;
  } else if (protocol === PROTO_UDP) {
    const udp = i32[word + 6]!;
    const claimed = ((udp & 0xff) << 8) | ((udp >>> 8) & 0xff);
    if (claimed >= UDP_HEADER && claimed <= total - IP_HEADER) transport = UDP_HEADER;
  }
  if (
    (first & 0xff) !== VERSION_4_IHL_5 ||
    (second & FRAGMENT_WORD) !== 0 ||
    total > length ||
    transport > total - IP_HEADER ||
    fold(sum) !== 0xffff
  ) {
    return parseAny(bytes, offset, length, vnet, meta, m);
  }
  meta[m + M_OFFSET] = offset;
  meta[m + M_LENGTH] = total;
  meta[m + M_PROTOCOL] = protocol;
  meta[m + M_L4] = offset + IP_HEADER;
  meta[m + M_SOURCE] = source;
  meta[m + M_DESTINATION] = destination;
  meta[m + M_PORTS] = i32[word + 5]!;
  meta[m + M_KIND] = KIND_FLOW;
  meta[m + M_FRAGMENT] = 0;
  if (!vnet || ((u8[offset - VNET_HEADER]! & NEEDS_CSUM) | u8[offset - VNET_HEADER + VNET_GSO_TYPE]!) === 0) {
    return OK;
  }
  return checkVnet(bytes, offset - VNET_HEADER, protocol, IP_HEADER, transport);
}

/** parsePacket() for any packet. */
export function parseAny(
  bytes: Bytes,
  offset: number,
  length: number,
  vnet: boolean,
  meta: Int32Array,
  m: number,
): number {
  const u8 = bytes.u8;
  const bad = checkIpv4(bytes, offset, length);
  if (bad !== OK) return bad;
  const total = totalLength(u8, offset);
  const header = headerLength(u8, offset);
  const protocol = u8[offset + IP_PROTOCOL]!;
  const fragment = be16(u8, offset + IP_FRAGMENT) & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
  const l4 = offset + header;
  meta[m + M_OFFSET] = offset;
  meta[m + M_LENGTH] = total;
  meta[m + M_PROTOCOL] = protocol;
  meta[m + M_L4] = l4;
  meta[m + M_SOURCE] = bytes.i32[(offset + IP_SOURCE) >> 2]!;
  meta[m + M_DESTINATION] = bytes.i32[(offset + IP_DESTINATION) >> 2]!;
  meta[m + M_FRAGMENT] = fragment;
  meta[m + M_PORTS] = 0;
  meta[m + M_KIND] = KIND_FLOW;
  let transport = 0;
  if ((fragment & FRAGMENT_OFFSET) !== 0) {
    meta[m + M_KIND] = KIND_FRAGMENT;
  } else if (protocol === PROTO_TCP) {
    const bad = checkTcp(u8, l4, total - header);
    if (bad !== OK) return fragment === 0 ? bad : BAD_FRAGMENT;
    transport = tcpHeaderLength(u8, l4);
    meta[m + M_PORTS] = bytes.i32[l4 >> 2]!;
  } else if (protocol === PROTO_UDP) {
    const bad = checkUdp(u8, l4, total - header, fragment !== 0);
    if (bad !== OK) return fragment === 0 ? bad : BAD_FRAGMENT;
    transport = UDP_HEADER;
    meta[m + M_PORTS] = bytes.i32[l4 >> 2]!;
  } else if (protocol === PROTO_ICMP) {
    const bad = parseIcmp(bytes, l4, total - header, fragment, meta, m);
    if (bad !== OK) return bad;
  } else if (protocol === PROTO_SCTP) {
    if (total - header < SCTP_HEADER) return fragment === 0 ? BAD_SCTP : BAD_FRAGMENT;
    meta[m + M_PORTS] = bytes.i32[l4 >> 2]!;
  }
  if (!vnet) return OK;
  // The checksum of a fragment is not the device's to complete, and a fragment is no super-packet.
  return checkVnet(bytes, offset - VNET_HEADER, fragment === 0 ? protocol : -1, header, transport);
}

function checkTcp(u8: Uint8Array, l4: number, length: number): number {
  if (length < TCP_HEADER) return BAD_TCP;
  const header = tcpHeaderLength(u8, l4);
  return header < TCP_HEADER || header > length ? BAD_TCP : OK;
}

function checkUdp(u8: Uint8Array, l4: number, length: number, fragmented: boolean): number {
  if (length < UDP_HEADER) return BAD_UDP;
  const claimed = be16(u8, l4 + UDP_LENGTH);
  return claimed < UDP_HEADER || (claimed > length && !fragmented) ? BAD_UDP : OK;
}

function parseIcmp(
  bytes: Bytes,
  l4: number,
  length: number,
  fragment: number,
  meta: Int32Array,
  m: number,
): number {
  if (length < ICMP_HEADER) return fragment === 0 ? BAD_ICMP : BAD_FRAGMENT;
  const type = bytes.u8[l4]!;
  if (isIcmpRequest(type) || isIcmpReply(type)) {
    meta[m + M_PORTS] = bytes.u16[(l4 + ICMP_ID) >> 1]! | (type << 16) | (bytes.u8[l4 + ICMP_CODE]! << 24);
    return OK;
  }
  if (!isIcmpError(type)) return ICMP_TYPE;
  if (fragment !== 0) return BAD_FRAGMENT;
  meta[m + M_KIND] = KIND_ERROR;
  return length < ICMP_HEADER + IP_HEADER ? BAD_QUOTE : OK;
}

/**
 * Reads the packet quoted by an ICMP error whose message (of `length` bytes) is at `l4`, as the tuple it had on
 * this side of the gateway, into row `m` of `meta` (M_OFFSET, M_LENGTH as quoted bytes, M_PROTOCOL, M_L4, addresses, M_PORTS).
 * At least 8 bytes behind the quoted header are there afterwards; its checksum is verified (RFC 5508 REQ-3a), its
 * transport checksum is not (REQ-3c), its options are stepped over (REQ-3b).
 */
export function parseQuote(bytes: Bytes, l4: number, length: number, meta: Int32Array, m: number): number {
  const inner = l4 + ICMP_HEADER;
  const quoted = length - ICMP_HEADER;
  const u8 = bytes.u8;
  if (quoted < IP_HEADER || u8[inner]! >> 4 !== 4) return BAD_QUOTE;
  const header = headerLength(u8, inner);
  if (header < IP_HEADER || quoted < header + 8) return BAD_QUOTE;
  const fragment = be16(u8, inner + IP_FRAGMENT);
  if ((fragment & FRAGMENT_OFFSET) !== 0) return BAD_QUOTE;
  if (quoteHeaderSum(bytes, inner, header) !== 0xffff) return BAD_QUOTE;
  const protocol = u8[inner + IP_PROTOCOL]!;
  const innerL4 = inner + header;
  meta[m + M_OFFSET] = inner;
  meta[m + M_LENGTH] = quoted;
  meta[m + M_PROTOCOL] = protocol;
  meta[m + M_L4] = innerL4;
  meta[m + M_SOURCE] = bytes.i32[(inner + IP_SOURCE) >> 2]!;
  meta[m + M_DESTINATION] = bytes.i32[(inner + IP_DESTINATION) >> 2]!;
  if (protocol === PROTO_TCP || protocol === PROTO_UDP || protocol === PROTO_SCTP) {
    meta[m + M_PORTS] = bytes.i32[innerL4 >> 2]!;
  } else if (protocol === PROTO_ICMP) {
    const type = u8[innerL4]!;
    if (!isIcmpRequest(type) && !isIcmpReply(type)) return BAD_QUOTE;
    meta[m + M_PORTS] =
      bytes.u16[(innerL4 + ICMP_ID) >> 1]! | (type << 16) | (u8[innerL4 + ICMP_CODE]! << 24);
  } else {
    meta[m + M_PORTS] = 0;
  }
  return OK;
}

function quoteHeaderSum(bytes: Bytes, inner: number, header: number): number {
  let sum = 0;
  for (let i = inner >> 1; i < (inner + header) >> 1; i++) sum += bytes.u16[i]!;
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}
