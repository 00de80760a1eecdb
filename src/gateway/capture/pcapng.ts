/**
 * Writes pcapng (draft-ietf-opsawg-pcapng): a section header, an interface description each, enhanced packet blocks, interface statistics
 * at the end. Functions give blocks as bytes; who writes them where is the caller's. Numbers are little-endian, times nanoseconds.
 */
const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/**
 * Packets begin with the IPv4 header. Not LINKTYPE_RAW (101): libpcap takes the second interface of that type for one of another type than
 * the first, since its own number for it is 12, and `tcpdump -r` ends there.
 */
export const LINKTYPE_IPV4 = 228;

const OPT_END = 0;
const OPT_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
const ISB_STARTTIME = 2;
const ISB_ENDTIME = 3;
const ISB_IFRECV = 4;
const ISB_IFDROP = 5;

/** Bits of epb_flags. */
export const INBOUND = 1;
export const OUTBOUND = 2;

const NANOSECONDS = 9;
/** Longest text of an option that is written. */
const MAX_TEXT = 4096;

type Option = readonly [code: number, value: Uint8Array];

export function sectionHeader(application: string): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  body.writeUInt16LE(1, 4);
  // The length of the section is not known: it is written as it comes.
  body.fill(0xff, 8);
  return block(SECTION_HEADER, body, [[SHB_USERAPPL, text(application)]]);
}

/** Interfaces are numbered from 0 in the order of their descriptions. `snapLength`: bytes, 0 for no limit. */
export function interfaceDescription(name: string, description: string, snapLength: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(LINKTYPE_IPV4, 0);
  body.writeUInt32LE(snapLength, 4);
  return block(INTERFACE_DESCRIPTION, body, [
    [IF_NAME, text(name)],
    [IF_DESCRIPTION, text(description)],
    [IF_TSRESOL, Uint8Array.of(NANOSECONDS)],
  ]);
}

export interface CapturedPacket {
  /** Number of the interface. */
  interface: number;
  /** ms since 1970, with fractions. */
  time: number;
  direction: typeof INBOUND | typeof OUTBOUND;
  /** What was captured, and how long the packet was. */
  packet: Uint8Array;
  length: number;
  comments: readonly string[];
}

export function enhancedPacket(captured: CapturedPacket): Buffer {
  const { packet } = captured;
  const body = Buffer.alloc(20 + padded(packet.length));
  const [high, low] = timestamp(captured.time);
  body.writeUInt32LE(captured.interface, 0);
  body.writeUInt32LE(high, 4);
  body.writeUInt32LE(low, 8);
  body.writeUInt32LE(packet.length, 12);
  body.writeUInt32LE(captured.length, 16);
  body.set(packet, 20);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(captured.direction);
  return block(ENHANCED_PACKET, body, [
    ...captured.comments.map((comment): Option => [OPT_COMMENT, text(comment)]),
    [EPB_FLAGS, flags],
  ]);
}

export interface InterfaceCounts {
  interface: number;
  /** ms since 1970. */
  started: number;
  ended: number;
  received: number;
  /** Matched, but were overwritten before they were read. */
  dropped: number;
}

export function interfaceStatistics(counts: InterfaceCounts): Buffer {
  const body = Buffer.alloc(12);
  const [high, low] = timestamp(counts.ended);
  body.writeUInt32LE(counts.interface, 0);
  body.writeUInt32LE(high, 4);
  body.writeUInt32LE(low, 8);
  return block(INTERFACE_STATISTICS, body, [
    [ISB_STARTTIME, timeOption(counts.started)],
    [ISB_ENDTIME, timeOption(counts.ended)],
    [ISB_IFRECV, count(counts.received)],
    [ISB_IFDROP, count(counts.dropped)],
  ]);
}

/** Type, length, body, options, length again. The body's length is a multiple of 4. */
function block(type: number, body: Uint8Array, options: readonly Option[]): Buffer {
  let length = 12 + body.length + 4;
  for (const [, value] of options) length += 4 + padded(value.length);
  const out = Buffer.alloc(length);
  out.writeUInt32LE(type, 0);
  out.writeUInt32LE(length, 4);
  out.set(body, 8);
  let at = 8 + body.length;
  for (const [code, value] of options) {
    out.writeUInt16LE(code, at);
    out.writeUInt16LE(value.length, at + 2);
    out.set(value, at + 4);
    at += 4 + padded(value.length);
  }
  out.writeUInt32LE(OPT_END, at);
  out.writeUInt32LE(length, at + 4);
  return out;
}

function text(value: string): Uint8Array {
  return Buffer.from(value).subarray(0, MAX_TEXT);
}

function count(value: number): Uint8Array {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out;
}

function timeOption(ms: number): Uint8Array {
  const out = Buffer.alloc(8);
  const [high, low] = timestamp(ms);
  out.writeUInt32LE(high, 0);
  out.writeUInt32LE(low, 4);
  return out;
}

/** High and low half of the time in ns. */
function timestamp(ms: number): [number, number] {
  const whole = Math.floor(ms);
  const ns = BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6));
  return [Number(ns >> 32n), Number(ns & 0xffffffffn)];
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
