/** A line of the firewall's log, in the words of netfilter's LOG target: `IN=eth1 OUT=eth0 SRC=10.0.0.2 DST=… PROTO=TCP SPT=… DPT=… SYN`. */
import {
  CLASS_PORTS,
  classOfProtocol,
  P_DESTINATION,
  P_DESTINATION_PORT,
  P_IN,
  P_LENGTH,
  P_OUT,
  P_PROTOCOL,
  P_SOURCE,
  P_SOURCE_PORT,
} from '../policy/firewall/packet.ts';
import { formatAddress, hostOrder } from '../wire/address.ts';
import { be16 } from '../wire/bytes.ts';
import { ICMP_ID } from '../wire/icmp.ts';
import {
  DONT_FRAGMENT,
  IP_FRAGMENT,
  IP_ID,
  IP_TOS,
  IP_TTL,
  PROTO_ICMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { M_L4, M_OFFSET } from '../wire/parse.ts';
import { TCP_FLAGS, TCP_WINDOW } from '../wire/tcp.ts';

const NAMES = new Map([
  [PROTO_ICMP, 'ICMP'],
  [PROTO_TCP, 'TCP'],
  [PROTO_UDP, 'UDP'],
  [PROTO_SCTP, 'SCTP'],
]);
/** In the order of LOG, with their bits. */
const FLAGS: readonly (readonly [string, number])[] = [
  ['CWR', 128],
  ['ECE', 64],
  ['URG', 32],
  ['ACK', 16],
  ['PSH', 8],
  ['RST', 4],
  ['SYN', 2],
  ['FIN', 1],
];

/** About the packet of row `m`, which the firewall sees as `packet`. `devices`: names by number. */
export function logLine(
  u8: Uint8Array,
  meta: Int32Array,
  m: number,
  packet: Int32Array,
  devices: readonly string[],
): string {
  const offset = meta[m + M_OFFSET]!;
  const l4 = meta[m + M_L4]!;
  const protocol = packet[P_PROTOCOL]!;
  const words = [
    `IN=${devices[packet[P_IN]!]} OUT=${devices[packet[P_OUT]!]}`,
    `SRC=${address(packet[P_SOURCE]!)} DST=${address(packet[P_DESTINATION]!)}`,
    `LEN=${packet[P_LENGTH]} TOS=0x${hex(u8[offset + IP_TOS]!)} TTL=${u8[offset + IP_TTL]} ID=${be16(u8, offset + IP_ID)}`,
  ];
  if ((be16(u8, offset + IP_FRAGMENT) & DONT_FRAGMENT) !== 0) words.push('DF');
  words.push(`PROTO=${NAMES.get(protocol) ?? protocol}`);
  if ((classOfProtocol(protocol) & CLASS_PORTS) !== 0) {
    words.push(`SPT=${packet[P_SOURCE_PORT]} DPT=${packet[P_DESTINATION_PORT]}`);
  }
  if (protocol === PROTO_ICMP) {
    const kind = packet[P_DESTINATION_PORT]!;
    words.push(`TYPE=${kind >> 8} CODE=${kind & 0xff} ID=${be16(u8, l4 + ICMP_ID)}`);
  }
  if (protocol === PROTO_TCP) {
    words.push(`WINDOW=${be16(u8, l4 + TCP_WINDOW)}`);
    for (const [name, bit] of FLAGS) if ((u8[l4 + TCP_FLAGS]! & bit) !== 0) words.push(name);
  }
  return words.join(' ');
}

function address(host: number): string {
  return formatAddress(hostOrder(host));
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0').toUpperCase();
}
