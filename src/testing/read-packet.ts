/** Packets read back into the words that build them (packets.ts). */
import { NatgateError } from '../core/errors.ts';
import { formatAddress } from '../wire/address.ts';
import { be16 } from '../wire/bytes.ts';
import {
  headerLength,
  IP_DESTINATION,
  IP_HEADER,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { flagLetters } from './packets.ts';

/** What is in a packet. */
export interface PacketFields {
  /** IP protocol number: 6 TCP, 17 UDP, 1 ICMP. */
  protocol: number;
  /** Source: `address:port` for TCP and UDP, else the address. */
  from: string;
  /** Destination, likewise. */
  to: string;
  /** Time to live. */
  ttl: number;
  /** What follows the TCP, UDP or IP header; of ICMP, what follows the checksum. */
  payload: Uint8Array;
  /** TCP only: letters of F S R P A U. */
  flags: string;
  /** TCP only: sequence number. */
  seq: number;
  /** TCP only: acknowledgment number. */
  ack: number;
  /** ICMP only: type. */
  type: number;
  /** ICMP only: code. */
  code: number;
}

/**
 * Reads a whole IPv4 packet that is no later fragment. Fields that its protocol has not are 0 or empty. Throws NatgateError
 * `bad_packet` when it is too short for its headers.
 */
export function readPacket(packet: Uint8Array): PacketFields {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const protocol = packet[IP_PROTOCOL] ?? 0;
  const l4 = packet.length < IP_HEADER ? IP_HEADER : headerLength(packet, 0);
  const needed = protocol === PROTO_TCP ? 20 : protocol === PROTO_UDP ? 8 : protocol === PROTO_ICMP ? 4 : 0;
  if (packet.length < l4 + needed) {
    throw new NatgateError('bad_packet', `${packet.length} bytes are no packet`, 'pass whole IPv4 packets');
  }
  const end = Math.min(be16(packet, IP_LENGTH), packet.length);
  const [source, destination] = [IP_SOURCE, IP_DESTINATION].map((at) =>
    formatAddress(view.getInt32(at, true)),
  );
  const fields: PacketFields = {
    protocol,
    from: source!,
    to: destination!,
    ttl: packet[IP_TTL]!,
    payload: packet.subarray(l4 + needed, end),
    flags: '',
    seq: 0,
    ack: 0,
    type: 0,
    code: 0,
  };
  if (protocol === PROTO_ICMP) return { ...fields, type: packet[l4]!, code: packet[l4 + 1]! };
  if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return fields;
  fields.from += `:${be16(packet, l4)}`;
  fields.to += `:${be16(packet, l4 + 2)}`;
  if (protocol === PROTO_UDP) return fields;
  return {
    ...fields,
    payload: packet.subarray(l4 + (packet[l4 + 12]! >> 4) * 4, end),
    flags: flagLetters(packet[l4 + 13]!).replace('-', ''),
    seq: view.getUint32(l4 + 4),
    ack: view.getUint32(l4 + 8),
  };
}
