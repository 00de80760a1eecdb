/**
 * Identifications of datagrams that leave with a shared source address (RFC 6864 5.3.1, RFC 7857, IP identification): two private hosts that
 * choose the same one for the same destination would have their fragments mixed up there.
 *
 * A non-atomic datagram (it may be, or is, fragmented) gets the next number of a counter that it shares with all others of
 * its (source, destination, protocol). 4096 counters chosen by a keyed hash, begun at random, like the kernel's ip_idents; the
 * number is the counter plus an offset from the hash, so that destinations which share a counter do not see the same numbers. An
 * identification comes again after 65536 datagrams of one counter, never before; of several workers each has its part of
 * the numbers.
 *
 * Atomic datagrams keep what they have (RFC 6864 4.1): one branch, needsId(). (Where several leave as one super-packet, whose
 * segments are numbered in order, that may change: native/src/coalesce.c. Those that are not atomic are merged in order only.)
 *
 * Limits: what the host itself sends is numbered by its kernel, out of reach. Above 65536 non-atomic datagrams per MSL to one
 * destination no numbering is unique (RFC 6864 5.2).
 */
import { hashTuple } from '../conntrack/tuple.ts';
import type { Random } from '../core/random.ts';
import { type Bytes, swap16 } from '../wire/bytes.ts';
import { adjust, delta16 } from '../wire/checksum.ts';
import { IP_CHECKSUM, IP_DESTINATION, IP_FRAGMENT, IP_ID, IP_PROTOCOL, IP_SOURCE } from '../wire/ipv4.ts';
import { GSO_NONE, VNET_GSO_SIZE, VNET_GSO_TYPE, VNET_HDR_LEN, VNET_HEADER } from '../wire/vnet.ts';
import { ALL_PORTS, type PortClass } from './port-class.ts';

const COUNTERS = 4096;
/** Bits of the flags byte: DF and MF. */
const DF = 0x40;
const DF_OR_MF = 0x60;

export class IpIds {
  private readonly counters = new Uint16Array(COUNTERS);
  private readonly key0: number;
  private readonly key1: number;
  /** With several workers: the highest bits of an identification name the one that gave it. */
  private readonly mask: number;
  private readonly base: number;

  constructor(seed: readonly [number, number], random: Random, own: PortClass = ALL_PORTS) {
    this.key0 = seed[0];
    this.key1 = seed[1];
    this.mask = 0x10000 / own.workers - 1;
    this.base = own.number * (this.mask + 1);
    for (let i = 0; i < COUNTERS; i++) this.counters[i] = random.next() >>> 16;
  }

  /** `count` consecutive identifications for datagrams from `source`; returns the first, in wire order. */
  take(source: number, destination: number, protocol: number, count: number): number {
    // The hash mixes its third word best.
    const hash = hashTuple(source, destination, protocol, 0, this.key0, this.key1);
    const at = hash & (COUNTERS - 1);
    const id = this.counters[at]!;
    this.counters[at] = id + count;
    return swap16(this.base | ((id + (hash >>> 16)) & this.mask));
  }

  /**
   * Numbers the translated packet of `length` bytes at `offset`, a super-packet for all the segments it becomes over `mtu`:
   * their maker counts up. Returns the first identification, in wire order.
   */
  renumber(bytes: Bytes, offset: number, length: number, mtu: number): number {
    const { i32 } = bytes;
    const id = this.take(
      i32[(offset + IP_SOURCE) >> 2]!,
      i32[(offset + IP_DESTINATION) >> 2]!,
      bytes.u8[offset + IP_PROTOCOL]!,
      segments(bytes, offset, length, mtu),
    );
    setIpId(bytes, offset, id);
    return id;
  }
}

/** Whether the packet at `offset`, whole or a first fragment, is not atomic (RFC 6864 4). */
export function needsId(u8: Uint8Array, offset: number): boolean {
  return (u8[offset + IP_FRAGMENT]! & DF_OR_MF) !== DF;
}

/** Datagrams that a packet becomes: gso_size is lowered where it exceeds the MTU (TCP; UDP segments are the sender's). */
function segments({ u8, u16 }: Bytes, offset: number, length: number, mtu: number): number {
  const vnet = offset - VNET_HEADER;
  if (u8[vnet + VNET_GSO_TYPE] === GSO_NONE) return 1;
  const headers = u16[(vnet + VNET_HDR_LEN) >> 1]!;
  const size = u16[(vnet + VNET_GSO_SIZE) >> 1]!;
  return Math.max(1, Math.ceil((length - headers) / Math.max(1, Math.min(size, mtu - headers))));
}

/** Writes an identification (wire order) and keeps the header checksum right. */
export function setIpId(bytes: Bytes, offset: number, id: number): void {
  const { u16 } = bytes;
  const at = (offset + IP_ID) >> 1;
  const sum = (offset + IP_CHECKSUM) >> 1;
  u16[sum] = adjust(u16[sum]!, delta16(u16[at]!, id));
  u16[at] = id;
}
