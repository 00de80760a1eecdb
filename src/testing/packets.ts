/**
 * Packets for tests: built from a few words, with lengths and checksums filled in, and described in one line.
 * Endpoints are text, `10.0.0.2:5000`.
 */
import { NatgateError } from '../core/errors.ts';
import { formatAddress, parseAddress } from '../wire/address.ts';
import { Bytes, be16, putBe16 } from '../wire/bytes.ts';
import { checksum, fold, pseudoHeaderSum, sumBytes } from '../wire/checksum.ts';
import { ECHO_REPLY, ECHO_REQUEST, isIcmpError } from '../wire/icmp.ts';
import {
  headerLength,
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_ID,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TOS,
  IP_TTL,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';

/** Fields of the IPv4 header that have defaults. */
export interface IpFields {
  /** Time to live, default 64. */
  ttl?: number;
  /** Type of service, default 0. */
  tos?: number;
  /** Identification, default 1. */
  id?: number;
  /** The flags|offset field, e.g. 0x4000 for "don't fragment", which is the default. */
  fragment?: number;
}

/** A UDP datagram. */
export interface UdpFields extends IpFields {
  /** Source, `address:port`. */
  from: string;
  /** Destination, `address:port`. */
  to: string;
  /** What it carries, default nothing. */
  payload?: Uint8Array | string;
}

/** A TCP segment. */
export interface TcpFields extends UdpFields {
  /** Letters of F S R P A U, e.g. 'SA'. */
  flags: string;
  /** Sequence number, default 0. */
  seq?: number;
  /** Acknowledgment number, default 0. */
  ack?: number;
  /** Window, default 65535. */
  window?: number;
  /** Bytes of TCP options, a multiple of 4. */
  options?: Uint8Array;
}

/** An ICMP echo request or reply. */
export interface EchoFields extends IpFields {
  /** Source address. */
  from: string;
  /** Destination address. */
  to: string;
  /** Identifier, 0-65535. */
  identifier: number;
  /** Sequence number, default 1. */
  sequence?: number;
  /** A reply; else a request. */
  reply?: boolean;
  /** What it carries, default nothing. */
  payload?: Uint8Array | string;
}

/** An ICMP message of any type. */
export interface IcmpFields extends IpFields {
  /** Source address. */
  from: string;
  /** Destination address. */
  to: string;
  /** Type, 0-255. */
  type: number;
  /** Code, 0-255. */
  code: number;
  /** What follows the checksum. */
  body: Uint8Array;
}

/** An ICMP error. */
export interface IcmpErrorFields extends Omit<IcmpFields, 'body'> {
  /** The packet that it is about. */
  packet: Uint8Array;
  /** The four bytes before the quote, as a number: of 3/4 the MTU. Default 0. */
  rest?: number;
  /** How many bytes of the packet it quotes, default 548. */
  quote?: number;
}

/** Builds a UDP datagram. Throws NatgateError `bad_endpoint` or `bad_address`. */
export function udpPacket(fields: UdpFields): Uint8Array {
  const [from, to] = [endpoint(fields.from), endpoint(fields.to)];
  const payload = bytesOf(fields.payload);
  const udp = new Uint8Array(8 + payload.length);
  putBe16(udp, 0, from.port);
  putBe16(udp, 2, to.port);
  putBe16(udp, 4, udp.length);
  udp.set(payload, 8);
  const packet = ipPacket({
    ...fields,
    from: from.address,
    to: to.address,
    protocol: PROTO_UDP,
    payload: udp,
  });
  return finishTransport(packet, 6);
}

/** Builds a TCP segment. Throws NatgateError `bad_endpoint`, `bad_address` or `bad_flags`. */
export function tcpPacket(fields: TcpFields): Uint8Array {
  const [from, to] = [endpoint(fields.from), endpoint(fields.to)];
  const payload = bytesOf(fields.payload);
  const options = fields.options ?? new Uint8Array(0);
  const tcp = new Uint8Array(20 + options.length + payload.length);
  const view = new DataView(tcp.buffer);
  view.setUint16(0, from.port);
  view.setUint16(2, to.port);
  view.setUint32(4, fields.seq ?? 0);
  view.setUint32(8, fields.ack ?? 0);
  tcp[12] = (20 + options.length) << 2;
  for (const letter of fields.flags) tcp[13]! |= flagOf(letter);
  view.setUint16(14, fields.window ?? 65535);
  tcp.set(options, 20);
  tcp.set(payload, 20 + options.length);
  const packet = ipPacket({
    ...fields,
    from: from.address,
    to: to.address,
    protocol: PROTO_TCP,
    payload: tcp,
  });
  return finishTransport(packet, 16);
}

/** Builds a ping or its answer. */
export function echoPacket(fields: EchoFields): Uint8Array {
  const payload = bytesOf(fields.payload);
  const body = new Uint8Array(payload.length + 4);
  putBe16(body, 0, fields.identifier);
  putBe16(body, 2, fields.sequence ?? 1);
  body.set(payload, 4);
  return icmpPacket({ ...fields, type: fields.reply ? 0 : 8, code: 0, body });
}

/** Builds an ICMP message. */
export function icmpPacket(fields: IcmpFields): Uint8Array {
  const icmp = new Uint8Array(4 + fields.body.length);
  icmp[0] = fields.type;
  icmp[1] = fields.code;
  icmp.set(fields.body, 4);
  const memory = aligned(icmp);
  new DataView(icmp.buffer).setUint16(2, checksum(memory.u8, memory.u16, 0, icmp.length), true);
  return ipPacket({
    ...fields,
    from: addressOf(fields.from),
    to: addressOf(fields.to),
    protocol: PROTO_ICMP,
    payload: icmp,
  });
}

/** Builds an ICMP error that quotes the first bytes of a packet. */
export function icmpError(fields: IcmpErrorFields): Uint8Array {
  const quoted = fields.packet.subarray(0, fields.quote ?? 548);
  const body = new Uint8Array(4 + quoted.length);
  new DataView(body.buffer).setUint32(0, fields.rest ?? 0);
  body.set(quoted, 4);
  return icmpPacket({ ...fields, body });
}

/** An IPv4 packet of any protocol. Addresses in wire order. */
export function ipPacket(
  fields: IpFields & { from: number; to: number; protocol: number; payload: Uint8Array },
): Uint8Array {
  const packet = new Uint8Array(IP_HEADER + fields.payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  packet[IP_TOS] = fields.tos ?? 0;
  putBe16(packet, IP_LENGTH, packet.length);
  putBe16(packet, IP_ID, fields.id ?? 1);
  putBe16(packet, IP_FRAGMENT, fields.fragment ?? 0x4000);
  packet[IP_TTL] = fields.ttl ?? 64;
  packet[IP_PROTOCOL] = fields.protocol;
  view.setInt32(IP_SOURCE, fields.from, true);
  view.setInt32(IP_DESTINATION, fields.to, true);
  const memory = aligned(packet);
  view.setUint16(IP_CHECKSUM, checksum(memory.u8, memory.u16, 0, IP_HEADER), true);
  packet.set(fields.payload, IP_HEADER);
  return packet;
}

/** One line: `udp 10.0.0.2:5000 > 1.2.3.4:53 ttl 64 length 29`. The packet may be cut short, as quotes are. */
export function describePacket(packet: Uint8Array): string {
  if (packet.length < IP_HEADER) return `${packet.length} bytes`;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const l4 = headerLength(packet, 0);
  const source = formatAddress(view.getInt32(IP_SOURCE, true));
  const destination = formatAddress(view.getInt32(IP_DESTINATION, true));
  const tail = `ttl ${packet[IP_TTL]} length ${be16(packet, IP_LENGTH)}`;
  const protocol = packet[IP_PROTOCOL]!;
  if ((be16(packet, IP_FRAGMENT) & 0x1fff) !== 0) return `fragment ${source} > ${destination} ${tail}`;
  if (protocol === PROTO_TCP || protocol === PROTO_UDP) {
    const name = protocol === PROTO_TCP ? `tcp ${flagLetters(packet[l4 + 13]!)}` : 'udp';
    return `${name} ${source}:${be16(packet, l4)} > ${destination}:${be16(packet, l4 + 2)} ${tail}`;
  }
  if (protocol !== PROTO_ICMP) return `proto ${protocol} ${source} > ${destination} ${tail}`;
  const [type, code] = [packet[l4]!, packet[l4 + 1]!];
  if (type === ECHO_REQUEST || type === ECHO_REPLY) {
    const name = type === ECHO_REQUEST ? 'echo request' : 'echo reply';
    return `icmp ${name} ${source} > ${destination} id ${be16(packet, l4 + 4)} ${tail}`;
  }
  if (!isIcmpError(type)) return `icmp ${type}/${code} ${source} > ${destination} ${tail}`;
  return `icmp ${type}/${code} ${source} > ${destination} [${describePacket(packet.subarray(l4 + 8))}] ${tail}`;
}

/** Whether IPv4 header and transport checksums of a whole packet are right. */
export function verifyChecksums(packet: Uint8Array): boolean {
  const { u8, u16, i32 } = aligned(packet);
  const l4 = headerLength(u8, 0);
  if (fold(sumBytes(u8, u16, 0, l4)) !== 0xffff) return false;
  const length = packet.length - l4;
  const protocol = u8[IP_PROTOCOL]!;
  const sum = sumBytes(u8, u16, l4, length);
  if (protocol === PROTO_ICMP) return fold(sum) === 0xffff;
  if (protocol === PROTO_UDP && be16(u8, l4 + 6) === 0) return true;
  if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return true;
  return (
    fold(sum + pseudoHeaderSum(i32[IP_SOURCE >> 2]!, i32[IP_DESTINATION >> 2]!, protocol, length)) === 0xffff
  );
}

/** Fills in a TCP or UDP checksum, `field` bytes into the transport header. */
function finishTransport(packet: Uint8Array, field: number): Uint8Array {
  const { u8, u16, i32 } = aligned(packet);
  const length = packet.length - IP_HEADER;
  const pseudo = pseudoHeaderSum(i32[IP_SOURCE >> 2]!, i32[IP_DESTINATION >> 2]!, u8[IP_PROTOCOL]!, length);
  const sum = fold(sumBytes(u8, u16, IP_HEADER, length) + pseudo) ^ 0xffff;
  const view = new DataView(packet.buffer);
  view.setUint16(IP_HEADER + field, sum === 0 && packet[IP_PROTOCOL] === PROTO_UDP ? 0xffff : sum, true);
  return packet;
}

function aligned(data: Uint8Array): Bytes {
  const memory = new Bytes(new ArrayBuffer((data.length + 3) & ~3));
  memory.u8.set(data);
  return memory;
}

/** TCP flags in the order of their bits. */
const FLAGS = 'FSRPAU';

function flagOf(letter: string): number {
  const bit = FLAGS.indexOf(letter);
  if (bit < 0) throw new NatgateError('bad_flags', `not a TCP flag: ${letter}`, `use letters of ${FLAGS}`);
  return 1 << bit;
}

export function flagLetters(flags: number): string {
  return [...FLAGS].filter((_, bit) => (flags & (1 << bit)) !== 0).join('') || '-';
}

export function bytesOf(payload: Uint8Array | string | undefined): Uint8Array {
  return typeof payload === 'string' ? new TextEncoder().encode(payload) : (payload ?? new Uint8Array(0));
}

function addressOf(text: string): number {
  const address = parseAddress(text);
  if (address === null)
    throw new NatgateError('bad_address', `not an IPv4 address: ${text}`, 'e.g. 10.0.0.2');
  return address;
}

export function endpoint(text: string): { address: number; port: number } {
  const [address = '', port = ''] = text.split(':');
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) {
    throw new NatgateError(
      'bad_endpoint',
      `not an endpoint: ${text}`,
      'write it as address:port, e.g. 10.0.0.2:5000',
    );
  }
  return { address: addressOf(address), port: Number(port) };
}
