/**
 * Segments for the tests of coalescing, and the kernel's part of it: cut() makes of a super-packet what the kernel
 * makes of it (inet_gso_segment, tcp_gso_segment, __udp_gso_segment). Written apart from native/src/coalesce.c, by bytes.
 */
import { pattern, pseudoSum, sum, type VnetFields } from './packets.ts';

export const ACK = 0x10;
export const PSH = 0x08;
const NEEDS_CSUM = 1;
const DATA_VALID = 2;

export interface SegmentFields {
  protocol?: 6 | 17;
  from?: string;
  to?: string;
  ports?: [number, number];
  id?: number;
  /** Flags and fragment offset, as in the header: DF is 0x4000. */
  fragment?: number;
  ttl?: number;
  tos?: number;
  ipOptions?: Uint8Array;
  sequence?: number;
  acknowledgement?: number;
  flags?: number;
  window?: number;
  urgent?: number;
  options?: Uint8Array;
  /** The bits between data offset and flags; accurate ECN uses one. */
  reserved?: number;
  /** Of the UDP header, where it is not that of the datagram. */
  udpLength?: number;
  size?: number;
  /** What the payload is made from. */
  seed?: number;
  /**
   * right: complete, and nobody has verified it. valid: somebody has. partial: the pseudo-header's sum. wrong: complete
   * and damaged. wrong-partial: not the pseudo-header's sum. none: zero. none-valid: zero, and somebody said that was all right.
   */
  checksum?: 'right' | 'valid' | 'partial' | 'wrong' | 'wrong-partial' | 'none' | 'none-valid';
}

export interface Segment {
  packet: Buffer;
  vnet: VnetFields;
}

export const headerBytes = (packet: Uint8Array) => (packet[0]! & 15) * 4;
const checksumField = (packet: Uint8Array) => headerBytes(packet) + (packet[9] === 6 ? 16 : 6);

export function segment(fields: SegmentFields): Segment {
  const { protocol = 6, options = new Uint8Array(0), ipOptions = new Uint8Array(0), size = 100 } = fields;
  const ip = 20 + ipOptions.length;
  const transport = protocol === 6 ? 20 + options.length : 8;
  const packet = Buffer.alloc(ip + transport + size);
  packet[0] = 0x40 | (ip / 4);
  packet[1] = fields.tos ?? 0;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(fields.id ?? 1, 4);
  packet.writeUInt16BE(fields.fragment ?? 0x4000, 6);
  packet[8] = fields.ttl ?? 63;
  packet[9] = protocol;
  packet.set((fields.from ?? '10.1.0.2').split('.').map(Number), 12);
  packet.set((fields.to ?? '10.2.0.2').split('.').map(Number), 16);
  packet.set(ipOptions, 20);
  packet.writeUInt16BE(~sum(packet.subarray(0, ip)) & 0xffff, 10);
  const [source, destination] = fields.ports ?? [1000, 2000];
  packet.writeUInt16BE(source, ip);
  packet.writeUInt16BE(destination, ip + 2);
  if (protocol === 6) {
    packet.writeUInt32BE((fields.sequence ?? 0) >>> 0, ip + 4);
    packet.writeUInt32BE((fields.acknowledgement ?? 7) >>> 0, ip + 8);
    packet[ip + 12] = ((transport / 4) << 4) | (fields.reserved ?? 0);
    packet[ip + 13] = fields.flags ?? ACK;
    packet.writeUInt16BE(fields.window ?? 500, ip + 14);
    packet.writeUInt16BE(fields.urgent ?? 0, ip + 18);
    packet.set(options, ip + 20);
  } else {
    packet.writeUInt16BE(fields.udpLength ?? 8 + size, ip + 4);
  }
  packet.set(pattern(size, fields.seed ?? 1), ip + transport);
  return withChecksum(packet, fields.checksum ?? 'right');
}

function withChecksum(packet: Buffer, kind: NonNullable<SegmentFields['checksum']>): Segment {
  const at = checksumField(packet);
  const vnet = { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 };
  if (kind === 'partial' || kind === 'wrong-partial') {
    packet.writeUInt16BE(pseudoSum(packet) ^ (kind === 'partial' ? 0 : 0x1234), at);
    const checksumStart = headerBytes(packet);
    return {
      packet,
      vnet: { ...vnet, flags: NEEDS_CSUM, checksumStart, checksumOffset: at - checksumStart },
    };
  }
  if (kind === 'none') return { packet, vnet };
  if (kind === 'none-valid') return { packet, vnet: { ...vnet, flags: DATA_VALID } };
  complete(packet);
  if (kind === 'wrong') packet.writeUInt16BE(packet.readUInt16BE(at) ^ 0x0100, at);
  return { packet, vnet: kind === 'valid' ? { ...vnet, flags: DATA_VALID } : vnet };
}

/** Writes the transport checksum, from nothing. */
function complete(packet: Buffer): void {
  const at = checksumField(packet);
  packet.writeUInt16BE(0, at);
  const full = ~sum(packet.subarray(headerBytes(packet)), pseudoSum(packet)) & 0xffff;
  packet.writeUInt16BE(full === 0 && packet[9] === 17 ? 0xffff : full, at);
}

/** Whether the checksum of the IP header is right. */
export const headerHolds = (packet: Uint8Array) => sum(packet.subarray(0, headerBytes(packet))) === 0xffff;

/** What leaves the wire in the end: partial checksums completed (from what the field has), super-packets cut. */
export function cut({ packet, vnet }: Segment): Buffer[] {
  if (vnet.gsoType === 0) return [vnet.flags & NEEDS_CSUM ? finished(packet, vnet) : packet];
  const isTcp = (vnet.gsoType & 0x7f) === 1;
  const ip = headerBytes(packet);
  const headers = isTcp ? ip + (packet[ip + 12]! >> 4) * 4 : ip + 8;
  const pieces: Buffer[] = [];
  for (let at = headers; at < packet.length; at += vnet.gsoSize) {
    const payload = packet.subarray(at, at + vnet.gsoSize);
    const piece = Buffer.concat([packet.subarray(0, headers), payload]);
    piece.writeUInt16BE(piece.length, 2);
    piece.writeUInt16BE((packet.readUInt16BE(4) + pieces.length) & 0xffff, 4);
    piece.writeUInt16BE(0, 10);
    piece.writeUInt16BE(~sum(piece.subarray(0, ip)) & 0xffff, 10);
    if (isTcp) {
      piece.writeUInt32BE((packet.readUInt32BE(ip + 4) + at - headers) >>> 0, ip + 4);
      if (at + vnet.gsoSize < packet.length) piece[ip + 13]! &= ~(PSH | 1);
    } else {
      piece.writeUInt16BE(8 + payload.length, ip + 4);
    }
    complete(piece);
    pieces.push(piece);
  }
  return pieces;
}

/** A partial checksum, completed over what the field has (skb_checksum_help). */
function finished(packet: Buffer, vnet: VnetFields): Buffer {
  const whole = Buffer.from(packet);
  const full = ~sum(whole.subarray(vnet.checksumStart)) & 0xffff;
  whole.writeUInt16BE(full === 0 ? 0xffff : full, vnet.checksumStart + vnet.checksumOffset);
  return whole;
}

/** Without what has no meaning: the identification of a datagram that cannot be fragmented (RFC 6864 4.1). */
export function essence(packet: Buffer): string {
  const copy = Buffer.from(packet);
  if (copy.readUInt16BE(6) === 0x4000) {
    copy.writeUInt16BE(0, 4);
    copy.writeUInt16BE(0, 10);
  }
  return copy.toString('hex');
}
