/**
 * A record of the tap ring: what happened to one packet, and its first bytes. Written by the engine (tap.ts), read by other processes.
 *
 *     36 words, see T_*; then the packet from its IPv4 header, T_SNAP bytes, up to a multiple of 8
 *
 * Kinds: a packet that came in, as it came, with all that was decided about it; one that left, as it left (its T_CAUSE is the sequence of
 * the one that came in); one that was dropped. Addresses and tuples are in wire order, as everywhere.
 */
import { reasonNames } from '../core/reasons.ts';
import { swap16 } from '../wire/bytes.ts';

/** Words of the record; negative: nothing, up to the end of the ring. */
export const T_WORDS = 0;
export const T_KIND = 1;
/** Low and high half. */
export const T_SEQUENCE = 2;
/** A float64: ms since 1970. Records begin at even words. */
export const T_TIME = 4;
export const T_DEVICE = 6;
/** TAP_* */
export const T_FLAGS = 7;
/** Drop reason, 0 for none. */
export const T_REASON = 8;
/** Flow << 1 | direction, -1 for none; and which life of the record it is (H_SEQUENCE). */
export const T_HANDLE = 9;
export const T_LIFE = 10;
/** Numbers of the NAT rule and of the row of the firewall's counters, -1 for none. */
export const T_RULE = 11;
export const T_FIREWALL = 12;
/** The packet as it came. */
export const T_SOURCE = 13;
export const T_DESTINATION = 14;
export const T_PORTS = 15;
export const T_PROTOCOL = 16;
/** The same as it leaves; zeros when it does not, or is not known. */
export const T_TO_SOURCE = 17;
export const T_TO_DESTINATION = 18;
export const T_TO_PORTS = 19;
/** Bytes of the packet, and how many of them follow. */
export const T_LENGTH = 20;
export const T_SNAP = 21;
/** Of a packet that left: low half of the sequence of the one that came. */
export const T_CAUSE = 22;
/** H_STATUS of the flow before and after the packet; 0 where there was none. */
export const T_BEFORE = 23;
export const T_AFTER = 24;
/** How the destination was found (nat/decide.ts D_KIND), -1: not asked. */
export const T_FOUND_BY = 25;
/** MAP_* */
export const T_MAPPING = 26;
/** Of the mapping, or of the ports that are short: the external address; port | the internal port << 16, host order. */
export const T_EXTERNAL = 27;
export const T_EXTERNAL_PORTS = 28;
/** Whose the internal port is at the external address, when that is why it was not kept. */
export const T_HOLDER = 29;
/** Where it went: the next hop (0: the destination itself), the MTU of the way. */
export const T_GATEWAY = 30;
export const T_MTU = 31;
/** Of a drop for want of something: how much of it there is. */
export const T_LIMIT = 32;
/** The internal host, 0 when there is none. */
export const T_CLIENT = 33;
/** Flags, GSO type << 8 and GSO size << 16 of the virtio_net_hdr. */
export const T_VNET = 34;
/** Place of the helper that reads the flow among the kinds of helpers, -1 for none. */
export const T_HELPER = 35;
export const TAP_HEADER = 36;

export const KIND_IN = 1;
export const KIND_OUT = 2;
export const KIND_DROP = 3;

/** The device is a public one. */
export const TAP_PUBLIC = 1;
/** Another worker gave it to this one. */
export const TAP_FROM_WORKER = 2;
/** Given to another worker, which writes what becomes of it. */
export const TAP_TO_WORKER = 4;
/** Given to the host. */
export const TAP_TO_HOST = 8;
/** Kept until the first fragment of its datagram comes. */
export const TAP_HELD = 16;
/** Its flow began with it. */
export const TAP_NEW = 32;
/** Of a packet that left: the engine made it (an ICMP error, a RST, a fragment). */
export const TAP_MADE = 64;
/** An ICMP error about the flow. */
export const TAP_RELATED = 128;

/** T_MAPPING: there is one; it was there before. Then, from bit 4, why the port is another one than the internal (WHY_*). */
export const MAP_SOURCE = 1;
export const MAP_KEPT = 2;
/** All ports of the rule were taken: it is shared with another host, or was somebody's a moment ago. */
export const MAP_OVERLOADED = 4;
export const WHY_SHIFT = 4;
export const WHY_PRESERVED = 0;
export const WHY_CHOICE = 1;
export const WHY_RANGE = 2;
export const WHY_HOST = 3;
export const WHY_FORWARD = 4;
export const WHY_TAKEN = 5;
export const WHY_WAITING = 6;
export const WHY_BLOCK = 7;
export const WHY_RELEASED = 8;

/** A tuple as people read it: ports in host order, of ICMP queries the id in both, 0 without ports. */
export interface TapTuple {
  /** Wire order. */
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
}

export interface TapRecord {
  kind: number;
  sequence: number;
  /** ms since 1970. */
  time: number;
  worker: number;
  device: number;
  flags: number;
  /** Number, and name: `ok` when it was not dropped. */
  reason: number;
  reasonName: string;
  /** -1 for none. */
  handle: number;
  life: number;
  rule: number;
  firewall: number;
  protocol: number;
  /** The ports words as they are (conntrack/tuple.ts). */
  ports: number;
  from: TapTuple;
  /** null: it did not leave, or not translated. */
  to: TapTuple | null;
  /** Of the whole packet. */
  length: number;
  cause: number;
  before: number;
  after: number;
  foundBy: number;
  mapping: number;
  external: number;
  externalPort: number;
  internalPort: number;
  holder: number;
  gateway: number;
  mtu: number;
  limit: number;
  client: number;
  vnet: number;
  helper: number;
  /** Its first bytes. */
  packet: Uint8Array;
}

const PROTO_ICMP = 1;

/** Of a Date: more would throw where it is made a text. */
const MOST_MS = 8.64e15;

/**
 * The record that begins at word `at` of a copy of (a part of) the ring; `size`: its words, TAP_HEADER at least. Whatever they are, it does
 * not throw, and what others count and index by is in its range.
 */
export function decodeTapRecord(
  memory: ArrayBuffer,
  at: number,
  worker: number,
  size = memory.byteLength / 4 - at,
): TapRecord {
  const words = new Int32Array(memory);
  const time = new DataView(memory).getFloat64((at + T_TIME) * 4, true);
  const w = (field: number): number => words[at + field]!;
  const protocol = w(T_PROTOCOL);
  const first = (at + TAP_HEADER) * 4;
  const last = (size - TAP_HEADER) * 4;
  const hasTo = w(T_TO_SOURCE) !== 0 || w(T_TO_DESTINATION) !== 0;
  return {
    kind: w(T_KIND),
    sequence: sequenceAt(words, at),
    time: Math.abs(time) <= MOST_MS ? time : 0,
    worker,
    device: w(T_DEVICE) & 0xff,
    flags: w(T_FLAGS),
    reason: w(T_REASON),
    reasonName: reasonNames[w(T_REASON)] ?? 'unknown',
    handle: w(T_HANDLE),
    life: w(T_LIFE),
    rule: w(T_RULE),
    firewall: w(T_FIREWALL),
    protocol,
    ports: w(T_PORTS),
    from: tupleOf(protocol, w(T_SOURCE), w(T_DESTINATION), w(T_PORTS)),
    to: hasTo ? tupleOf(protocol, w(T_TO_SOURCE), w(T_TO_DESTINATION), w(T_TO_PORTS)) : null,
    length: w(T_LENGTH) & 0xffffff,
    cause: w(T_CAUSE),
    before: w(T_BEFORE),
    after: w(T_AFTER),
    foundBy: w(T_FOUND_BY),
    mapping: w(T_MAPPING),
    external: w(T_EXTERNAL),
    externalPort: w(T_EXTERNAL_PORTS) & 0xffff,
    internalPort: w(T_EXTERNAL_PORTS) >>> 16,
    holder: w(T_HOLDER),
    gateway: w(T_GATEWAY),
    mtu: w(T_MTU),
    limit: w(T_LIMIT),
    client: w(T_CLIENT),
    vnet: w(T_VNET),
    helper: w(T_HELPER),
    packet: new Uint8Array(memory.slice(first, first + Math.min(Math.max(w(T_SNAP), 0), last))),
  };
}

export function sequenceAt(words: Int32Array, at: number): number {
  return (words[at + T_SEQUENCE]! >>> 0) + (words[at + T_SEQUENCE + 1]! >>> 0) * 2 ** 32;
}

function tupleOf(protocol: number, source: number, destination: number, ports: number): TapTuple {
  const first = swap16(ports & 0xffff);
  const second = protocol === PROTO_ICMP ? first : swap16(ports >>> 16);
  return { source, destination, sourcePort: first, destinationPort: second };
}
