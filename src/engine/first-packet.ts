/**
 * A live flow as the packet that a firewall would be asked about if it began now: its first one, as far as a flow record tells. Its
 * flags were a SYN's; its length, and the code of an ICMP query, are not known.
 */
import { EXPECTED, H_DESTINATION, H_PORTS, H_STATUS, HOT, TUPLE } from '../conntrack/flow-table.ts';
import {
  BETWEEN,
  CLASS_PORTS,
  classOfProtocol,
  INBOUND,
  OUTBOUND,
  P_DESTINATION,
  P_DESTINATION_PORT,
  P_DIRECTION,
  P_FLAGS,
  P_IN,
  P_LENGTH,
  P_OUT,
  P_PROTOCOL,
  P_SOURCE,
  P_SOURCE_PORT,
  P_STATE,
  STATE_DNAT,
  STATE_NEW,
  STATE_RELATED,
  STATE_SNAT,
} from '../policy/firewall/packet.ts';
import { hostOrder } from '../wire/address.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_ICMP, PROTO_TCP } from '../wire/ipv4.ts';
import { SYN } from '../wire/tcp.ts';

/**
 * Fills `packet` (packet.ts). `fromPublic`, `toPublic`: the sides where the original direction comes in and goes out; `from`,
 * `to`: the devices, by the routes to its ends.
 */
export function describeFlow(
  packet: Int32Array,
  hot: Int32Array,
  flow: number,
  fromPublic: boolean,
  toPublic: boolean,
  from: number,
  to: number,
): void {
  const h = flow * HOT;
  const status = hot[h + H_STATUS]!;
  const protocol = status & 0xff;
  packet[P_DIRECTION] = fromPublic ? INBOUND : toPublic ? OUTBOUND : BETWEEN;
  packet[P_IN] = from;
  packet[P_OUT] = to;
  packet[P_SOURCE] = hostOrder(hot[h]!);
  packet[P_DESTINATION] = hostOrder(hot[h + TUPLE]!);
  packet[P_PROTOCOL] = protocol;
  const ports = hot[h + H_PORTS]!;
  const hasPorts = (classOfProtocol(protocol) & CLASS_PORTS) !== 0;
  packet[P_SOURCE_PORT] = hasPorts ? swap16(ports & 0xffff) : 0;
  packet[P_DESTINATION_PORT] = hasPorts
    ? swap16(hot[h + TUPLE + H_PORTS]! & 0xffff)
    : protocol === PROTO_ICMP
      ? ((ports >>> 16) & 0xff) << 8
      : 0;
  packet[P_FLAGS] = protocol === PROTO_TCP ? SYN : 0;
  packet[P_LENGTH] = 0;
  packet[P_STATE] =
    ((status & EXPECTED) !== 0 ? STATE_RELATED : STATE_NEW) |
    (hot[h + H_DESTINATION] === hot[h + TUPLE] ? 0 : STATE_DNAT) |
    (hot[h] === hot[h + TUPLE + H_DESTINATION] ? 0 : STATE_SNAT);
}
