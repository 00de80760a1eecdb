/**
 * Packets larger than the next link (RFC 791 2.3, RFC 4787 REQ-13). The engine is the only one on the path that
 * enforces an MTU, on single packets and on the segments that a super-packet will become.
 *
 * With DF the sender is told (engine.ts); without it
 *   a packet                is cut into IPv4 fragments, its checksum completed first;
 *   a TCP super-packet      gets a smaller gso_size: its segments are made further on anyway;
 *   a UDP super-packet      is cut into its datagrams, and these into fragments: datagram boundaries are the sender's.
 * Pieces are made in engine slots, in order (REQ-13a), so that a deferred packet is still untouched.
 */
import { be16, putBe16 } from '../wire/bytes.ts';
import { checksum, fold, pseudoHeaderSum } from '../wire/checksum.ts';
import {
  FRAGMENT_OFFSET,
  headerLength,
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_ID,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  MORE_FRAGMENTS,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { UDP_CHECKSUM, UDP_HEADER, UDP_LENGTH } from '../wire/udp.ts';
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  NEEDS_CSUM,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_GSO_SIZE,
  VNET_GSO_TYPE,
  VNET_HDR_LEN,
  VNET_HEADER,
} from '../wire/vnet.ts';
import { BATCH, packetOffset, SLOTS } from './arena.ts';
import type { OutList } from './out-list.ts';
import { copyBytes, sumPacket } from './slot-bytes.ts';

/** TCP_MIN_GSO_SIZE of the kernel. */
const MIN_GSO_SIZE = 8;
/** cost(): the packet cannot be sent over this MTU at all. */
export const TOO_MANY = -1;

/** Whether the packet of `length` bytes at `offset`, or a segment of it, is larger than `mtu`. */
export function exceedsMtu(
  u8: Uint8Array,
  u16: Uint16Array,
  offset: number,
  length: number,
  mtu: number,
): boolean {
  const vnet = offset - VNET_HEADER;
  if (u8[vnet + VNET_GSO_TYPE] === GSO_NONE) return length > mtu;
  return u16[(vnet + VNET_HDR_LEN) >> 1]! + u16[(vnet + VNET_GSO_SIZE) >> 1]! > mtu;
}

export class Oversize {
  private readonly out: OutList;

  constructor(out: OutList) {
    this.out = out;
  }

  /** Slots that send() will take for the packet in `slot`, or TOO_MANY. */
  cost(slot: number, length: number, mtu: number): number {
    const { u8, u16 } = this.out.bytes;
    const offset = packetOffset(slot);
    const vnet = offset - VNET_HEADER;
    const gso = u8[vnet + VNET_GSO_TYPE]! & ~GSO_ECN;
    const headers = u16[(vnet + VNET_HDR_LEN) >> 1]!;
    if (gso === GSO_TCPV4) return mtu - headers < MIN_GSO_SIZE ? TOO_MANY : 0;
    const ip = headerLength(u8, offset);
    const piece = (mtu - ip) & ~7;
    if (piece <= 0) return TOO_MANY;
    let slots = Math.ceil((length - ip) / piece);
    if (gso !== GSO_NONE) {
      const size = u16[(vnet + VNET_GSO_SIZE) >> 1]!;
      slots = Math.ceil((length - headers) / size) * (1 + Math.ceil((UDP_HEADER + size) / piece));
    }
    return slots > SLOTS - BATCH ? TOO_MANY : slots;
  }

  /** Sends the translated packet in `slot` in pieces that fit `mtu`. The caller has made sure of cost() free slots. */
  send(device: number, slot: number, length: number, mtu: number): void {
    const { u8, u16 } = this.out.bytes;
    const vnet = packetOffset(slot) - VNET_HEADER;
    const gso = u8[vnet + VNET_GSO_TYPE]! & ~GSO_ECN;
    if (gso === GSO_NONE) {
      this.completeChecksum(slot, length);
      this.fragment(device, slot, length, mtu);
    } else if (gso === GSO_TCPV4) {
      u16[(vnet + VNET_GSO_SIZE) >> 1] = mtu - u16[(vnet + VNET_HDR_LEN) >> 1]!;
      this.out.send(device, slot, length);
    } else {
      this.segmentUdp(device, slot, length, mtu);
    }
  }

  /** Does what the device would have done: sums the packet from csum_start, into a field that holds the pseudo-header's sum. */
  private completeChecksum(slot: number, length: number): void {
    const { u8, u16 } = this.out.bytes;
    const offset = packetOffset(slot);
    const vnet = offset - VNET_HEADER;
    if ((u8[vnet]! & NEEDS_CSUM) === 0) return;
    const start = u16[(vnet + VNET_CSUM_START) >> 1]!;
    const field = (offset + start + u16[(vnet + VNET_CSUM_OFFSET) >> 1]!) >> 1;
    const sum = fold(sumPacket(this.out.bytes, slot, start, length - start)) ^ 0xffff;
    u16[field] = sum === 0 && u8[offset + IP_PROTOCOL] === PROTO_UDP ? 0xffff : sum;
  }

  private fragment(device: number, slot: number, length: number, mtu: number): void {
    const { bytes } = this.out;
    const { u8, u16 } = bytes;
    const offset = packetOffset(slot);
    const header = headerLength(u8, offset);
    const field = be16(u8, offset + IP_FRAGMENT);
    const payload = length - header;
    const piece = (mtu - header) & ~7;
    for (let start = 0; start < payload; start += piece) {
      const size = Math.min(piece, payload - start);
      const to = this.out.takeSlot();
      const at = packetOffset(to);
      u8.fill(0, at - VNET_HEADER, at);
      u8.copyWithin(at, offset, offset + header);
      if (start > 0 && header > IP_HEADER) keepCopiedOptions(u8, at + IP_HEADER, at + header);
      copyBytes(bytes, slot, header + start, to, header, size);
      putBe16(u8, at + IP_LENGTH, header + size);
      const more = start + size < payload ? MORE_FRAGMENTS : field & MORE_FRAGMENTS;
      putBe16(u8, at + IP_FRAGMENT, more | ((field & FRAGMENT_OFFSET) + (start >> 3)));
      setHeaderChecksum(u8, u16, at, header);
      this.out.send(device, to, header + size);
    }
  }

  private segmentUdp(device: number, slot: number, length: number, mtu: number): void {
    const { bytes } = this.out;
    const { u8, u16, i32 } = bytes;
    const offset = packetOffset(slot);
    const vnet = offset - VNET_HEADER;
    const header = headerLength(u8, offset);
    const headers = header + UDP_HEADER;
    const gsoSize = u16[(vnet + VNET_GSO_SIZE) >> 1]!;
    const id = be16(u8, offset + IP_ID);
    for (let start = headers, n = 0; start < length; start += gsoSize, n++) {
      const size = Math.min(gsoSize, length - start);
      const to = this.out.takeSlot();
      const at = packetOffset(to);
      const udp = at + header;
      u8.fill(0, at - VNET_HEADER, at);
      u8.copyWithin(at, offset, offset + headers);
      copyBytes(bytes, slot, start, to, headers, size);
      putBe16(u8, at + IP_LENGTH, headers + size);
      putBe16(u8, at + IP_ID, (id + n) & 0xffff);
      setHeaderChecksum(u8, u16, at, header);
      putBe16(u8, udp + UDP_LENGTH, UDP_HEADER + size);
      u16[(udp + UDP_CHECKSUM) >> 1] = 0;
      const sum =
        pseudoHeaderSum(
          i32[(at + IP_SOURCE) >> 2]!,
          i32[(at + IP_DESTINATION) >> 2]!,
          PROTO_UDP,
          UDP_HEADER + size,
        ) + sumPacket(bytes, to, header, UDP_HEADER + size);
      u16[(udp + UDP_CHECKSUM) >> 1] = fold(sum) ^ 0xffff || 0xffff;
      if (headers + size > mtu) this.fragment(device, to, headers + size, mtu);
      else this.out.send(device, to, headers + size);
    }
  }
}

function setHeaderChecksum(u8: Uint8Array, u16: Uint16Array, at: number, header: number): void {
  u16[(at + IP_CHECKSUM) >> 1] = 0;
  u16[(at + IP_CHECKSUM) >> 1] = checksum(u8, u16, at, header);
}

/** Options without the "copied" bit stand in the first fragment only (RFC 791 3.1); no-operations keep their place. */
function keepCopiedOptions(u8: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end && u8[at] !== 0; ) {
    const length = u8[at] === 1 ? 1 : u8[at + 1]!;
    if ((u8[at]! & 0x80) === 0) u8.fill(1, at, at + length);
    at += length;
  }
}
