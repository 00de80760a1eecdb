/**
 * ICMP errors of the gateway's own (RFC 792, RFC 1812 4.3.2): time exceeded, unreachable, fragmentation needed.
 *
 * They are made from the packet as it came, before translation, and go back where it came from, so a quote never
 * shows one side's addresses to the other. None is made about an ICMP error or a later fragment (RFC 1812
 * 4.3.2.7), nor for a source that no host has. All of them share one rate limit, and each destination has a part of it.
 */
import { DestinationLimit } from '../policy/destination-limit.ts';
import { TokenBucket } from '../policy/token-bucket.ts';
import { putBe16 } from '../wire/bytes.ts';
import { checksum } from '../wire/checksum.ts';
import { ICMP_CHECKSUM, ICMP_CODE, ICMP_HEADER, ICMP_MTU } from '../wire/icmp.ts';
import {
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_HEADER,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  isMartian,
  PROTO_ICMP,
} from '../wire/ipv4.ts';
import { VNET_HEADER } from '../wire/vnet.ts';
import { packetOffset } from './arena.ts';
import type { OutList } from './out-list.ts';

/** RFC 1812 4.3.2.3: as much of the packet as fits in an error of 576 bytes. */
const MAX_ERROR = 576;
/** Errors per second, and how many at once: a traceroute or a dead subnet is served, a flood is not. */
export const RATE = 1000;
export const BURST = 200;
/** The same for one destination: what a traceroute needs, a tenth of what all may have. */
export const DESTINATION_RATE = 100;
export const DESTINATION_BURST = 50;
const TTL = 64;
/** Network control, as the kernel sends its errors (RFC 1812 4.3.2.5). */
const PRECEDENCE = 0xc0;
/** The type of service is that of the packet (RFC 1812 4.3.2.5), without the ECN bit that RFC 1349 left out. */
const TOS_BITS = 0x1e;

export class IcmpErrors {
  private readonly out: OutList;
  private readonly bucket: TokenBucket;
  private readonly destinations: DestinationLimit;

  /** `key`: of the hash of destinations. */
  constructor(out: OutList, key: number, now: number) {
    this.out = out;
    this.bucket = new TokenBucket(RATE, BURST, now);
    this.destinations = new DestinationLimit(DESTINATION_RATE, DESTINATION_BURST, key, now);
  }

  /**
   * Sends an error about the packet of `length` bytes at arena offset `offset` back to its source through `device`,
   * from address `from`. `mtu`: for 3/4, else 0. `room`: the MTU of the way back. False when the rate limit, or a lack of
   * slots, forbids it.
   */
  send(
    device: number,
    from: number,
    offset: number,
    length: number,
    type: number,
    code: number,
    mtu: number,
    room: number,
    now: number,
  ): boolean {
    const { out, destinations } = this;
    const { u8, u16, i32 } = out.bytes;
    const to = i32[(offset + IP_SOURCE) >> 2]!;
    if (from === 0 || out.freeSlots === 0 || isMartian(to) || !destinations.mayTake(to, now)) return false;
    if (!this.bucket.take(now)) return false;
    destinations.take(to);
    const slot = out.takeSlot();
    const at = packetOffset(slot);
    const quote = Math.min(length, Math.min(room, MAX_ERROR) - IP_HEADER - ICMP_HEADER);
    const total = IP_HEADER + ICMP_HEADER + quote;
    const icmp = at + IP_HEADER;
    u8.fill(0, at - VNET_HEADER, icmp + ICMP_HEADER);
    u8[at] = 0x45;
    u8[at + 1] = PRECEDENCE | (u8[offset + 1]! & TOS_BITS);
    putBe16(u8, at + IP_LENGTH, total);
    u8[at + IP_TTL] = TTL;
    u8[at + IP_PROTOCOL] = PROTO_ICMP;
    i32[(at + IP_SOURCE) >> 2] = from;
    i32[(at + IP_DESTINATION) >> 2] = to;
    u16[(at + IP_CHECKSUM) >> 1] = checksum(u8, u16, at, IP_HEADER);
    u8[icmp] = type;
    u8[icmp + ICMP_CODE] = code;
    putBe16(u8, icmp + ICMP_MTU, mtu);
    u8.copyWithin(icmp + ICMP_HEADER, offset, offset + quote);
    u16[(icmp + ICMP_CHECKSUM) >> 1] = checksum(u8, u16, icmp, ICMP_HEADER + quote);
    out.send(device, slot, total);
    return true;
  }
}
