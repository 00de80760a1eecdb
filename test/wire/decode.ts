/**
 * A second reader of packets, for tests: slow, plain, big-endian, and without a line in common with src/wire. It
 * sums every checksum whole.
 */
export interface Decoded {
  src: string;
  dst: string;
  protocol: number;
  ttl: number;
  tos: number;
  id: number;
  /** Don't fragment, more fragments, offset in bytes. */
  df: boolean;
  mf: boolean;
  offset: number;
  options: Uint8Array;
  length: number;
  headerChecksumOk: boolean;
  /** TCP, UDP (not of later fragments). */
  sport: number;
  dport: number;
  /** ICMP. */
  type: number;
  code: number;
  icmpId: number;
  /** Behind the transport header; of later fragments behind the IPv4 header. */
  payload: Uint8Array;
  /** Behind the IPv4 header. */
  body: Uint8Array;
  /** The transport checksum of a whole packet is right, or is a UDP checksum of 0. */
  checksumOk: boolean;
}

/** One's complement sum of 16-bit big-endian words, folded; an odd byte counts as if followed by zero. */
export function onesSum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

export function pseudoHeader(packet: Uint8Array, length: number): Uint8Array {
  return Uint8Array.from([...packet.subarray(12, 20), 0, packet[9]!, length >> 8, length & 255]);
}

export function decode(packet: Uint8Array): Decoded {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const text = (at: number) => Array.from(packet.subarray(at, at + 4)).join('.');
  const header = (packet[0]! & 15) * 4;
  const length = view.getUint16(2);
  const field = view.getUint16(6);
  const protocol = packet[9]!;
  const body = packet.subarray(header, length);
  const offset = (field & 0x1fff) * 8;
  const first = offset === 0;
  const ports = first && (protocol === 6 || protocol === 17) && body.length >= 4;
  const word = (at: number) => body[at]! * 256 + body[at + 1]!;
  let transport = 0;
  if (first && protocol === 17) transport = 8;
  if (first && protocol === 6) transport = (body[12]! >> 4) * 4;
  if (first && protocol === 1) transport = 8;
  return {
    src: text(12),
    dst: text(16),
    protocol,
    ttl: packet[8]!,
    tos: packet[1]!,
    id: view.getUint16(4),
    df: (field & 0x4000) !== 0,
    mf: (field & 0x2000) !== 0,
    offset,
    options: packet.subarray(20, header),
    length,
    headerChecksumOk: onesSum(packet.subarray(0, header)) === 0xffff,
    sport: ports ? word(0) : 0,
    dport: ports ? word(2) : 0,
    type: protocol === 1 && first ? body[0]! : -1,
    code: protocol === 1 && first ? body[1]! : -1,
    icmpId: protocol === 1 && first ? word(4) : 0,
    payload: body.subarray(transport),
    body,
    checksumOk: transportSum(packet, protocol, body) === 0xffff,
  };
}

function transportSum(packet: Uint8Array, protocol: number, body: Uint8Array): number {
  if (protocol === 1) return onesSum(body);
  if (protocol === 17 && body[6] === 0 && body[7] === 0) return 0xffff;
  if (protocol !== 6 && protocol !== 17) return 0xffff;
  return onesSum(body, onesSum(pseudoHeader(packet, body.length)));
}

/** Puts fragments of one datagram together again; throws when bytes are missing, doubled or out of order. */
export function reassemble(fragments: readonly Uint8Array[]): Uint8Array {
  const parts = fragments.map(decode);
  let at = 0;
  for (const [i, part] of parts.entries()) {
    if (part.offset !== at) throw new Error(`fragment ${i} begins at ${part.offset}, not at ${at}`);
    if (part.mf !== i < parts.length - 1) throw new Error(`fragment ${i} has MF ${part.mf}`);
    if (!part.headerChecksumOk) throw new Error(`fragment ${i} has a wrong header checksum`);
    at += part.body.length;
  }
  const first = fragments[0]!;
  const header = first.slice(0, (first[0]! & 15) * 4);
  const whole = new Uint8Array(header.length + at);
  whole.set(header);
  for (const part of parts) whole.set(part.body, header.length + part.offset);
  const view = new DataView(whole.buffer);
  view.setUint16(2, whole.length);
  view.setUint16(6, 0);
  view.setUint16(10, 0);
  view.setUint16(10, 0xffff - onesSum(whole.subarray(0, header.length)));
  return whole;
}
