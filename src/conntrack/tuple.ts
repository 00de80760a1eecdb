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

/** Added to each half of a word: no factor is a multiple of 2^17, so words that differ in one half have different products. */
const BASE = 0x20001;

/**
 * Keyed hash of a tuple; `key0`, `key1` random per table, so that nobody outside can aim at one bucket.
 *
 * Each word is hidden by the key, and its halves are multiplied with each other (NH: Black et al., UMAC, section 4): what a difference of
 * one word makes depends on bits of the key, so nobody without it can make up for it in another word. Then two rounds of
 * murmur3's last ones, for the low bits. A chain of multiplications by constants, one for each word, will not do: a difference in
 * the highest bits comes through it as it is, whatever the key.
 */
export function hashTuple(
  source: number,
  destination: number,
  ports: number,
  protocol: number,
  key0: number,
  key1: number,
): number {
  const a = source ^ key0;
  const b = destination ^ key1;
  const c = (ports + key0) ^ key1;
  let h = Math.imul((a & 0xffff) + BASE, (a >>> 16) + BASE);
  h = (h + Math.imul((b & 0xffff) + BASE, (b >>> 16) + BASE)) | 0;
  h = (h + Math.imul((c & 0xffff) + BASE, (c >>> 16) + BASE)) | 0;
  h = Math.imul(h ^ (protocol << 24) ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
