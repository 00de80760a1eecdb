/**
 * IPv4 packets for tests, built field by field and without the project's own wire functions, so that the two
 * can be held against each other.
 */
export interface Ipv4Fields {
  from: string;
  to: string;
  protocol: number;
  ttl?: number;
  id?: number;
}

/** RFC 1071, word by word; an odd last byte counts as the high one. */
export function sum(bytes: Uint8Array, start = 0): number {
  let total = start;
  for (let i = 0; i < bytes.length; i++) total += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

export function ipv4(fields: Ipv4Fields, payload: Uint8Array): Buffer {
  const packet = Buffer.alloc(20 + payload.length);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(fields.id ?? 1, 4);
  packet[6] = 0x40; // DF
  packet[8] = fields.ttl ?? 64;
  packet[9] = fields.protocol;
  packet.set(fields.from.split('.').map(Number), 12);
  packet.set(fields.to.split('.').map(Number), 16);
  packet.writeUInt16BE(~sum(packet.subarray(0, 20)) & 0xffff, 10);
  packet.set(payload, 20);
  return packet;
}

/** Sum of the pseudo-header of TCP and UDP, folded and not inverted: what a partial checksum field holds. */
export function pseudoSum(packet: Uint8Array): number {
  const length = packet.length - 20;
  return sum(packet.subarray(12, 20), packet[9]! + length);
}

/** Whether the TCP, UDP or ICMP checksum of a packet without IP options is right. */
export function checksumHolds(packet: Uint8Array): boolean {
  return sum(packet.subarray(20), packet[9] === 1 ? 0 : pseudoSum(packet)) === 0xffff;
}

export function echoRequest(from: string, to: string, sequence: number, data: Uint8Array): Buffer {
  const message = Buffer.alloc(8 + data.length);
  message[0] = 8;
  message.writeUInt16BE(0x1234, 4);
  message.writeUInt16BE(sequence, 6);
  message.set(data, 8);
  message.writeUInt16BE(~sum(message) & 0xffff, 2);
  return ipv4({ from, to, protocol: 1, id: sequence }, message);
}

export interface TcpFields {
  from: string;
  to: string;
  sourcePort: number;
  destinationPort: number;
  sequence: number;
  acknowledgement: number;
  flags: number;
}

/** `checksum` full: complete; partial: the pseudo-header's sum, for a virtio_net_hdr that says NEEDS_CSUM. */
export function tcp(fields: TcpFields, data: Uint8Array, checksum: 'full' | 'partial'): Buffer {
  const segment = Buffer.alloc(20 + data.length);
  segment.writeUInt16BE(fields.sourcePort, 0);
  segment.writeUInt16BE(fields.destinationPort, 2);
  segment.writeUInt32BE(fields.sequence >>> 0, 4);
  segment.writeUInt32BE(fields.acknowledgement >>> 0, 8);
  segment[12] = 5 << 4;
  segment[13] = fields.flags;
  segment.writeUInt16BE(65535, 14);
  segment.set(data, 20);
  return finish(ipv4({ from: fields.from, to: fields.to, protocol: 6 }, segment), 36, checksum);
}

export function udp(
  from: string,
  to: string,
  sourcePort: number,
  destinationPort: number,
  data: Uint8Array,
  checksum: 'full' | 'partial',
): Buffer {
  const datagram = Buffer.alloc(8 + data.length);
  datagram.writeUInt16BE(sourcePort, 0);
  datagram.writeUInt16BE(destinationPort, 2);
  datagram.writeUInt16BE(datagram.length, 4);
  datagram.set(data, 8);
  return finish(ipv4({ from, to, protocol: 17 }, datagram), 26, checksum);
}

function finish(packet: Buffer, field: number, checksum: 'full' | 'partial'): Buffer {
  const start = pseudoSum(packet);
  packet.writeUInt16BE(checksum === 'partial' ? start : ~sum(packet.subarray(20), start) & 0xffff, field);
  return packet;
}

/** A virtio_net_hdr in its little-endian form. */
export interface VnetFields {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

export const PLAIN: VnetFields = {
  flags: 0,
  gsoType: 0,
  headerLength: 0,
  gsoSize: 0,
  checksumStart: 0,
  checksumOffset: 0,
};

/** Data that shows where a byte came from. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = seed; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}
