/**
 * By what a packet is known again that an engine has stumbled over: where it came, its tuple, its length, and a hash of its other bytes.
 *
 * The hash leaves out what differs when the same packet comes again (TTL, IP id, checksums), and what a translation may have changed by the
 * time that the packet is looked at (addresses, ports): those are compared for themselves. It is over the bytes that are in the packet's
 * header slot (arena.ts), so the same function reads an arena and a copy. FNV-1a, 32 bits: not keyed, because who can make packets that
 * an engine stumbles over gains nothing by making others that look like them.
 */
import {
  FRAGMENT_OFFSET,
  headerLength,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_PROTOCOL,
  IP_SOURCE,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { LINEAR_BYTES } from './arena.ts';

/**
 * What must be equal. `packet`: all; `bytes`: all but addresses and ports (of a packet that was copied when it had been translated);
 * `tuple`: device, protocol, addresses, ports, whatever the bytes are.
 */
export type Likeness = 'packet' | 'bytes' | 'tuple';

export interface Signature {
  likeness: Likeness;
  device: number;
  protocol: number;
  /** Wire order. */
  source: number;
  destination: number;
  /** Both, as loaded from the packet; 0 where it has none. */
  ports: number;
  /** Bytes of the packet as it came. */
  length: number;
  hash: number;
  /** ms of CLOCK_MONOTONIC (int32, wraps): until when it is dropped. */
  until: number;
}

/** Of a packet of `length` bytes, at least IP_HEADER; `packet` has the first LINEAR_BYTES of it, if it is that long. */
export function signatureOf(device: number, packet: Uint8Array, length: number, until: number): Signature {
  return {
    likeness: 'packet',
    device,
    protocol: packet[IP_PROTOCOL]!,
    source: word(packet, IP_SOURCE),
    destination: word(packet, IP_DESTINATION),
    ports: portsAt(packet, 0, length),
    length,
    hash: hashPacket(packet, 0, length),
    until,
  };
}

/** Whether two signatures are of one flow's direction. */
export function isSameTuple(a: Signature, b: Signature): boolean {
  return isSameWay(a, b) && a.source === b.source && a.destination === b.destination && a.ports === b.ports;
}

/** Whether two signatures are of the same bytes. */
export function isSameBytes(a: Signature, b: Signature): boolean {
  return isSameWay(a, b) && a.length === b.length && a.hash === b.hash;
}

function isSameWay(a: Signature, b: Signature): boolean {
  return a.device === b.device && a.protocol === b.protocol;
}

/** Ports of the packet at `at`, as loaded (little-endian); 0: none, or in another fragment. */
export function portsAt(u8: Uint8Array, at: number, length: number): number {
  const l4 = headerLength(u8, at);
  if (!hasPorts(u8[at + IP_PROTOCOL]!) || l4 < IP_HEADER || l4 + 4 > length || isLater(u8, at)) return 0;
  return word(u8, at + l4);
}

export function hashPacket(u8: Uint8Array, at: number, length: number): number {
  const end = at + Math.min(length, LINEAR_BYTES);
  const l4 = isLater(u8, at) ? end : at + headerLength(u8, at);
  const protocol = u8[at + IP_PROTOCOL]!;
  let hash = 0x811c9dc5;
  for (let i = at; i < end; i++) {
    if (i < at + IP_HEADER ? isMaskedIp(i - at) : i >= l4 && isMasked(protocol, i - l4)) continue;
    hash = Math.imul(hash ^ u8[i]!, 0x01000193);
  }
  return hash;
}

/** Id, TTL, checksum and addresses. */
function isMaskedIp(i: number): boolean {
  return i === 4 || i === 5 || i === 8 || i >= 10;
}

/** Of a transport header: ports or query id, and the checksum. */
function isMasked(protocol: number, i: number): boolean {
  if (protocol === PROTO_TCP) return i < 4 || i === 16 || i === 17;
  if (protocol === PROTO_UDP) return i < 4 || i === 6 || i === 7;
  if (protocol === PROTO_ICMP) return i >= 2 && i < 6;
  return protocol === PROTO_SCTP && (i < 4 || (i >= 8 && i < 12));
}

function hasPorts(protocol: number): boolean {
  return protocol === PROTO_TCP || protocol === PROTO_UDP || protocol === PROTO_SCTP;
}

function isLater(u8: Uint8Array, at: number): boolean {
  return (((u8[at + IP_FRAGMENT]! << 8) | u8[at + IP_FRAGMENT + 1]!) & FRAGMENT_OFFSET) !== 0;
}

function word(u8: Uint8Array, at: number): number {
  return u8[at]! | (u8[at + 1]! << 8) | (u8[at + 2]! << 16) | (u8[at + 3]! << 24);
}
