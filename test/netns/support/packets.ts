/**
 * Builds and reads packets for the tests. Written apart from src/wire, from the RFCs' diagrams and with whole
 * checksums only, so that it can judge what the gateway puts on the wire.
 */

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;

/** Flags of the TCP header. */
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

export interface Ipv4Fields {
  src: string;
  dst: string;
  protocol: number;
  ttl?: number;
  id?: number;
  tos?: number;
  /** Don't fragment, more fragments, offset in bytes. */
  df?: boolean;
  mf?: boolean;
  offset?: number;
  /** A multiple of 4 bytes. */
  options?: Buffer;
}

export interface Ipv4Packet {
  src: string;
  dst: string;
  protocol: number;
  ttl: number;
  id: number;
  tos: number;
  df: boolean;
  mf: boolean;
  offset: number;
  headerLength: number;
  totalLength: number;
  headerChecksumOk: boolean;
  payload: Buffer;
  /** The packet from its IP header on, without link-layer padding. */
  bytes: Buffer;
}

/** RFC 1071, over any number of bytes. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function addressBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** RFC 791 section 3.1. */
export function ipv4(fields: Ipv4Fields, payload: Buffer): Buffer {
  const options = fields.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | (header.length / 4);
  header[1] = fields.tos ?? 0;
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 0, 4);
  header.writeUInt16BE((fields.df ? 0x4000 : 0) | (fields.mf ? 0x2000 : 0) | ((fields.offset ?? 0) / 8), 6);
  header[8] = fields.ttl ?? 64;
  header[9] = fields.protocol;
  addressBytes(fields.src).copy(header, 12);
  addressBytes(fields.dst).copy(header, 16);
  options.copy(header, 20);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function pseudoHeader(src: string, dst: string, protocol: number, length: number): Buffer {
  const header = Buffer.alloc(12);
  addressBytes(src).copy(header, 0);
  addressBytes(dst).copy(header, 4);
  header[9] = protocol;
  header.writeUInt16BE(length, 10);
  return header;
}

/** A UDP datagram with its IPv4 header. */
export function udp(
  fields: Omit<Ipv4Fields, 'protocol'> & { sport: number; dport: number },
  data: Buffer = Buffer.alloc(0),
): Buffer {
  const segment = Buffer.concat([Buffer.alloc(8), data]);
  segment.writeUInt16BE(fields.sport, 0);
  segment.writeUInt16BE(fields.dport, 2);
  segment.writeUInt16BE(segment.length, 4);
  const sum = checksum(Buffer.concat([pseudoHeader(fields.src, fields.dst, UDP, segment.length), segment]));
  segment.writeUInt16BE(sum || 0xffff, 6); // RFC 768: 0 means none
  return ipv4({ ...fields, protocol: UDP }, segment);
}

/** A TCP segment with its IPv4 header. */
export function tcp(
  fields: Omit<Ipv4Fields, 'protocol'> & {
    sport: number;
    dport: number;
    flags: number;
    seq?: number;
    ack?: number;
    window?: number;
  },
  data: Buffer = Buffer.alloc(0),
): Buffer {
  const segment = Buffer.concat([Buffer.alloc(20), data]);
  segment.writeUInt16BE(fields.sport, 0);
  segment.writeUInt16BE(fields.dport, 2);
  segment.writeUInt32BE(fields.seq ?? 0, 4);
  segment.writeUInt32BE(fields.ack ?? 0, 8);
  segment[12] = 0x50;
  segment[13] = fields.flags;
  segment.writeUInt16BE(fields.window ?? 65535, 14);
  segment.writeUInt16BE(
    checksum(Buffer.concat([pseudoHeader(fields.src, fields.dst, TCP, segment.length), segment])),
    16,
  );
  return ipv4({ ...fields, protocol: TCP }, segment);
}

/** An ICMP message with its IPv4 header; `rest` is the second word (id and sequence, or MTU). */
export function icmp(
  fields: Omit<Ipv4Fields, 'protocol'> & { type: number; code?: number; rest?: number },
  data: Buffer = Buffer.alloc(0),
): Buffer {
  const message = Buffer.concat([Buffer.alloc(8), data]);
  message[0] = fields.type;
  message[1] = fields.code ?? 0;
  message.writeUInt32BE(fields.rest ?? 0, 4);
  message.writeUInt16BE(checksum(message), 2);
  return ipv4({ ...fields, protocol: ICMP }, message);
}

/** An Ethernet frame; addresses as `02:00:…`. */
export function ethernet(dst: string, src: string, payload: Buffer, etherType = 0x0800): Buffer {
  const header = Buffer.alloc(14);
  Buffer.from(dst.replaceAll(':', ''), 'hex').copy(header, 0);
  Buffer.from(src.replaceAll(':', ''), 'hex').copy(header, 6);
  header.writeUInt16BE(etherType, 12);
  return Buffer.concat([header, payload]);
}

/** Reads an IPv4 packet; null when it is not one. The total length may exceed what was captured. */
export function parseIpv4(bytes: Buffer): Ipv4Packet | null {
  if (bytes.length < 20 || bytes[0]! >> 4 !== 4) return null;
  const headerLength = (bytes[0]! & 15) * 4;
  if (headerLength < 20 || bytes.length < headerLength) return null;
  const totalLength = bytes.readUInt16BE(2);
  const fragment = bytes.readUInt16BE(6);
  const whole = bytes.subarray(0, totalLength);
  return {
    src: [...bytes.subarray(12, 16)].join('.'),
    dst: [...bytes.subarray(16, 20)].join('.'),
    protocol: bytes[9]!,
    ttl: bytes[8]!,
    id: bytes.readUInt16BE(4),
    tos: bytes[1]!,
    df: (fragment & 0x4000) !== 0,
    mf: (fragment & 0x2000) !== 0,
    offset: (fragment & 0x1fff) * 8,
    headerLength,
    totalLength,
    headerChecksumOk: checksum(bytes.subarray(0, headerLength)) === 0,
    payload: whole.subarray(headerLength),
    bytes: whole,
  };
}

/** Whether the checksum of an unfragmented TCP, UDP or ICMP packet is right (a UDP checksum of 0 is). */
export function transportChecksumOk(packet: Ipv4Packet): boolean {
  if (packet.protocol === ICMP) return checksum(packet.payload) === 0;
  if (packet.protocol === UDP && packet.payload.readUInt16BE(6) === 0) return true;
  const pseudo = pseudoHeader(packet.src, packet.dst, packet.protocol, packet.payload.length);
  return checksum(Buffer.concat([pseudo, packet.payload])) === 0;
}

export function ports(packet: Ipv4Packet): { sport: number; dport: number } {
  return { sport: packet.payload.readUInt16BE(0), dport: packet.payload.readUInt16BE(2) };
}

/** One line about a packet, for assertions that should show what they met: `UDP 1.2.3.4:5 > 6.7.8.9:10`. */
export function describePacket(packet: Ipv4Packet): string {
  const first = packet.offset === 0;
  const { sport, dport } = first && packet.payload.length >= 4 ? ports(packet) : { sport: 0, dport: 0 };
  if ((packet.protocol === TCP || packet.protocol === UDP) && first) {
    return `${packet.protocol === TCP ? 'TCP' : 'UDP'} ${packet.src}:${sport} > ${packet.dst}:${dport}`;
  }
  const what = packet.protocol === ICMP && first ? ` ${packet.payload[0]}/${packet.payload[1]}` : '';
  return `protocol ${packet.protocol}${what} ${packet.src} > ${packet.dst}`;
}
