/**
 * A tuple: who sends to whom, as the packets of one direction look on the side where natgate receives them.
 *
 * Three words and the protocol: source, destination (wire order), and the *ports word*
 *   TCP, UDP, SCTP   source port | destination port << 16, each in wire order (one load from the header)
 *   ICMP             identifier (wire order) | type << 16 | code << 24
 *   others           0: tracked by address
 */
import { swap16 } from '../wire/bytes.ts';
import { oppositeIcmpType } from '../wire/icmp.ts';
import { PROTO_ICMP } from '../wire/ipv4.ts';

/** The ports word of the opposite direction, without translation. */
export function invertPorts(protocol: number, ports: number): number {
  if (protocol === PROTO_ICMP) {
    return (ports & 0xff00ffff) | (oppositeIcmpType((ports >>> 16) & 0xff) << 16);
  }
  return (ports >>> 16) | (ports << 16);
}

/** The ports word of a tuple for people: ports, or the id of an ICMP query as `sport`, in host order. */
export function portsWord(
  protocol: number,
  tuple: { sport?: number; dport?: number; icmpType?: number; icmpCode?: number },
): number {
  const low = swap16((tuple.sport ?? 0) & 0xffff);
  if (protocol !== PROTO_ICMP) return low | (swap16((tuple.dport ?? 0) & 0xffff) << 16);
  return low | (((tuple.icmpType ?? 0) & 0xff) << 16) | ((tuple.icmpCode ?? 0) << 24);
}

/** What a hash is keyed with. */
export type HashKey = readonly [number, number];

/**
 * Keyed hash of a tuple (murmur3 rounds over the three words; `key0`, `key1` random per table, so that nobody outside can
 * aim at one bucket).
 */
export function hashTuple(
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  key0: number,
  key1: number,
): number {
  let h = Math.imul(source ^ key0, 0xcc9e2d51);
  h = Math.imul((h << 15) | (h >>> 17), 0x1b873593);
  h = Math.imul(h ^ destination ^ (h >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ ports ^ (h >>> 13), 0xc2b2ae35);
  h = Math.imul(h ^ (protocol << 24) ^ key1 ^ (h >>> 16), 0x27d4eb2f);
  return h ^ (h >>> 15);
}
