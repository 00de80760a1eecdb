/** A packet in one line, from its first bytes: `tcp 10.0.0.2:4000 > 198.18.0.2:80 SYN seq 1 win 64240 mss 1460 length 0 ttl 64`. */
import { formatAddress } from '../../wire/address.ts';
import { be16 } from '../../wire/bytes.ts';
import { protocolName } from '../../wire/protocols.ts';

const TCP_FLAGS: readonly (readonly [number, string])[] = [
  [2, 'SYN'],
  [1, 'FIN'],
  [4, 'RST'],
  [8, 'PSH'],
  [16, 'ACK'],
  [32, 'URG'],
  [64, 'ECE'],
  [128, 'CWR'],
];
const ICMP_TYPES: Record<number, string> = {
  0: 'echo reply',
  3: 'unreachable',
  5: 'redirect',
  8: 'echo request',
  11: 'time exceeded',
  12: 'parameter problem',
  13: 'timestamp request',
  14: 'timestamp reply',
};

/** `length`: of the whole packet, of which `packet` may be the beginning. */
export function packetLine(packet: Uint8Array, length: number): string {
  if (packet.length < 20 || packet[0]! >> 4 !== 4) return `not IPv4, length ${length}`;
  const header = (packet[0]! & 15) * 4;
  const protocol = packet[9]!;
  const fragment = be16(packet, 6);
  const position = (fragment & 0x1fff) * 8;
  const name = protocolName(protocol) ?? `protocol ${protocol}`;
  const [source, destination] = [addressAt(packet, 12), addressAt(packet, 16)];
  const words: string[] = [];
  const hasL4 = position === 0 && header >= 20 && packet.length >= header + 8;
  const ports = hasL4 && [6, 17, 132, 136, 33].includes(protocol);
  const end = (address: string, at: number) => (ports ? `${address}:${be16(packet, at)}` : address);
  words.push(`${name} ${end(source, header)} > ${end(destination, header + 2)}`);
  if (hasL4 && protocol === 6) words.push(tcpWords(packet, header, length));
  else if (hasL4 && protocol === 1) words.push(icmpWords(packet, header), `length ${length - header}`);
  else words.push(`length ${length - header - (ports && protocol === 17 ? 8 : 0)}`);
  if (position > 0 || (fragment & 0x2000) !== 0) {
    words.push(
      `fragment of ${be16(packet, 4)} at ${position}${(fragment & 0x2000) !== 0 ? ', more follow' : ', the last'}`,
    );
  }
  words.push(`ttl ${packet[8]}`);
  return words.join(' ');
}

function tcpWords(packet: Uint8Array, at: number, length: number): string {
  if (packet.length < at + 20) return '(cut off)';
  const flags = packet[at + 13]!;
  const header = (packet[at + 12]! >> 4) * 4;
  const set = TCP_FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  const words = [set.join(',') || 'none', `seq ${be32(packet, at + 4)}`];
  if ((flags & 16) !== 0) words.push(`ack ${be32(packet, at + 8)}`);
  words.push(`win ${be16(packet, at + 14)}`);
  const mss = mssAt(packet, at);
  if (mss !== null) words.push(`mss ${mss}`);
  words.push(`length ${Math.max(length - at - header, 0)}`);
  return words.join(' ');
}

/** The MSS option of the TCP header at `at`; null without one. */
export function mssAt(packet: Uint8Array, at: number): number | null {
  const end = Math.min(at + (packet[at + 12]! >> 4) * 4, packet.length);
  for (let i = at + 20; i + 1 < end; ) {
    const kind = packet[i]!;
    if (kind === 0) return null;
    if (kind === 1) i++;
    else if (kind === 2 && i + 4 <= end) return be16(packet, i + 2);
    else if (packet[i + 1]! < 2) return null;
    else i += packet[i + 1]!;
  }
  return null;
}

function icmpWords(packet: Uint8Array, at: number): string {
  const [type, code] = [packet[at]!, packet[at + 1]!];
  const name = ICMP_TYPES[type] ?? 'type';
  if ([0, 8, 13, 14].includes(type)) return `${name} id ${be16(packet, at + 4)} seq ${be16(packet, at + 6)}`;
  const mtu = type === 3 && code === 4 ? ` mtu ${be16(packet, at + 6)}` : '';
  const quoted = packet.subarray(at + 8);
  const about = quoted.length >= 20 ? ` about (${quoteLine(quoted)})` : '';
  return `${name} ${type}/${code}${mtu}${about}`;
}

function quoteLine(packet: Uint8Array): string {
  const header = (packet[0]! & 15) * 4;
  const protocol = packet[9]!;
  const ports = packet.length >= header + 4 && [6, 17, 132].includes(protocol);
  const end = (at: number, port: number) =>
    `${addressAt(packet, at)}${ports ? `:${be16(packet, header + port)}` : ''}`;
  return `${protocolName(protocol) ?? protocol} ${end(12, 0)} > ${end(16, 2)}`;
}

function addressAt(packet: Uint8Array, at: number): string {
  return formatAddress(new DataView(packet.buffer, packet.byteOffset).getInt32(at, true));
}

function be32(packet: Uint8Array, at: number): number {
  return be16(packet, at) * 65536 + be16(packet, at + 2);
}
