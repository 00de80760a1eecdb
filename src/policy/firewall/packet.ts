/**
 * What a firewall looks at of a packet: one row of integers that the engine fills before it asks. Addresses, ports and the
 * protocol are those of the FORWARD chain: the destination translated already, the source not yet.
 */
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.ts';

/** OUTBOUND, INBOUND or BETWEEN. */
export const P_DIRECTION = 0;
/** Device numbers, 0-31. */
export const P_IN = 1;
export const P_OUT = 2;
/** Host order. */
export const P_SOURCE = 3;
export const P_DESTINATION = 4;
export const P_PROTOCOL = 5;
/** Host order; 0 where the protocol has no ports. */
export const P_SOURCE_PORT = 6;
/** Host order; of ICMP type << 8 | code. */
export const P_DESTINATION_PORT = 7;
/** The flags byte of TCP; 0 of others. */
export const P_FLAGS = 8;
/** STATE_*, as bits. */
export const P_STATE = 9;
/** Bytes of the IPv4 packet. */
export const P_LENGTH = 10;
export const PACKET_WORDS = 11;

/** Directions, as bits. */
export const OUTBOUND = 1;
export const INBOUND = 2;
export const BETWEEN = 4;

/** What protocols are told apart at once, as bits behind the directions. */
export const CLASS_TCP = 8;
export const CLASS_UDP = 16;
export const CLASS_ICMP = 32;
export const CLASS_SCTP = 64;
export const CLASS_OTHER = 128;
export const CLASS_PORTS = CLASS_TCP | CLASS_UDP | CLASS_SCTP;
export const CLASS_ALL = CLASS_PORTS | CLASS_ICMP | CLASS_OTHER;

export const STATE_NEW = 1;
export const STATE_RELATED = 2;
export const STATE_DNAT = 4;
export const STATE_SNAT = 8;

/** Verdicts. REJECT + number of the way (REJECTS). */
export const ACCEPT = 0;
export const DROP = 1;
export const REJECT = 2;
/** In the order of their numbers. */
export const REJECTS = [
  'tcp-reset',
  'net-unreachable',
  'host-unreachable',
  'protocol-unreachable',
  'port-unreachable',
  'net-prohibited',
  'host-prohibited',
  'admin-prohibited',
] as const;

export function classOfProtocol(protocol: number): number {
  if (protocol === PROTO_TCP) return CLASS_TCP;
  if (protocol === PROTO_UDP) return CLASS_UDP;
  if (protocol === PROTO_ICMP) return CLASS_ICMP;
  return protocol === PROTO_SCTP ? CLASS_SCTP : CLASS_OTHER;
}
