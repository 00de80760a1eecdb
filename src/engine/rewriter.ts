/**
 * Another payload for a packet in its slot: bytes, lengths and checksums. Checksums are updated by the difference, so that
 * one that was wrong stays wrong; a partial one is made anew, since it is of the pseudo-header only, which has the length.
 */
import { type Bytes, be16, putBe16, swap16 } from '../wire/bytes.ts';
import { adjust, delta16, fold, pseudoHeaderSum } from '../wire/checksum.ts';
import {
  DONT_FRAGMENT,
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_ID,
  IP_LENGTH,
  IP_SOURCE,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { M_L4, M_LENGTH, M_OFFSET, M_PROTOCOL } from '../wire/parse.ts';
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM, UDP_LENGTH } from '../wire/udp.ts';
import {
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
import { putText } from './payload.ts';
import { sumPacket } from './slot-bytes.ts';

const MAX_LENGTH = 65535;

export class Rewriter {
  private readonly bytes: Bytes;
  private readonly buffer: Buffer;
  private readonly meta: Int32Array;
  private identification = 1;

  /** `buffer`: over the same memory as `bytes`. */
  constructor(bytes: Bytes, buffer: Buffer, meta: Int32Array) {
    this.bytes = bytes;
    this.buffer = buffer;
    this.meta = meta;
  }

  /** Whether the packet of row `m` may become longer by `growth` bytes. The datagrams of a UDP super-packet have no room. */
  allows(m: number, growth: number): boolean {
    const { meta, bytes } = this;
    const vnet = meta[m + M_OFFSET]! - VNET_HEADER;
    if (meta[m + M_PROTOCOL] === PROTO_UDP && bytes.u8[vnet + VNET_GSO_TYPE] !== GSO_NONE) return false;
    return meta[m + M_LENGTH]! + growth <= MAX_LENGTH;
  }

  /** Puts `text` in the place of the payload, `length` bytes from `start` (counted from the IPv4 header). */
  replace(slot: number, m: number, start: number, length: number, text: string): void {
    const { meta, bytes } = this;
    const { u8, u16 } = bytes;
    const offset = meta[m + M_OFFSET]!;
    const l4 = meta[m + M_L4]!;
    const before = fold(sumPacket(bytes, slot, start, length));
    putText(this.buffer, slot, start, text);
    let delta = (before ^ 0xffff) + fold(sumPacket(bytes, slot, start, text.length));
    const total = start + text.length;
    const segment = total - (l4 - offset);
    const lengths = delta16(swap16(meta[m + M_LENGTH]! - (l4 - offset)), swap16(segment));
    delta += lengths;
    this.setHeaderField(offset, IP_LENGTH, total);
    meta[m + M_LENGTH] = total;
    const isUdp = meta[m + M_PROTOCOL] === PROTO_UDP;
    const at = (l4 + (isUdp ? UDP_CHECKSUM : TCP_CHECKSUM)) >> 1;
    if (isUdp) {
      putBe16(u8, l4 + UDP_LENGTH, segment);
      delta += lengths;
    }
    if ((u8[offset - VNET_HEADER]! & NEEDS_CSUM) !== 0) {
      this.setPartial(m);
    } else if (!isUdp || u16[at] !== 0) {
      const sum = adjust(u16[at]!, fold(delta));
      u16[at] = sum === 0 && isUdp ? 0xffff : sum;
    }
  }

  /**
   * Makes a packet that has grown beyond `mtu` one that can be sent in pieces all the same: its sender could not be told to
   * send less. A segment becomes a super-packet of two, a datagram may be fragmented. `headers`: bytes before the payload.
   */
  fit(m: number, headers: number, mtu: number): void {
    const { meta, bytes } = this;
    const { u8, u16 } = bytes;
    const offset = meta[m + M_OFFSET]!;
    const vnet = offset - VNET_HEADER;
    if (meta[m + M_LENGTH]! <= mtu || u8[vnet + VNET_GSO_TYPE] !== GSO_NONE) return;
    if (meta[m + M_PROTOCOL] === PROTO_TCP) {
      u8[vnet] = NEEDS_CSUM;
      u8[vnet + VNET_GSO_TYPE] = GSO_TCPV4;
      u16[(vnet + VNET_HDR_LEN) >> 1] = headers;
      u16[(vnet + VNET_GSO_SIZE) >> 1] = mtu - headers;
      u16[(vnet + VNET_CSUM_START) >> 1] = meta[m + M_L4]! - offset;
      u16[(vnet + VNET_CSUM_OFFSET) >> 1] = TCP_CHECKSUM;
      this.setPartial(m);
      return;
    }
    const fragment = be16(u8, offset + IP_FRAGMENT);
    if ((fragment & DONT_FRAGMENT) === 0) return;
    // What must not be fragmented needs no identification of its own, so it may have none.
    this.setHeaderField(offset, IP_FRAGMENT, fragment & ~DONT_FRAGMENT);
    this.identification = (this.identification + 1) & 0xffff;
    this.setHeaderField(offset, IP_ID, this.identification);
  }

  private setHeaderField(offset: number, field: number, value: number): void {
    const { u8, u16 } = this.bytes;
    const at = (offset + field) >> 1;
    const before = u16[at]!;
    putBe16(u8, offset + field, value);
    const sum = (offset + IP_CHECKSUM) >> 1;
    u16[sum] = adjust(u16[sum]!, delta16(before, u16[at]!));
  }

  private setPartial(m: number): void {
    const { meta, bytes } = this;
    const offset = meta[m + M_OFFSET]!;
    const l4 = meta[m + M_L4]!;
    const protocol = meta[m + M_PROTOCOL]!;
    const field = protocol === PROTO_UDP ? UDP_CHECKSUM : TCP_CHECKSUM;
    const sum = pseudoHeaderSum(
      bytes.i32[(offset + IP_SOURCE) >> 2]!,
      bytes.i32[(offset + IP_DESTINATION) >> 2]!,
      protocol,
      meta[m + M_LENGTH]! - (l4 - offset),
    );
    bytes.u16[(l4 + field) >> 1] = fold(sum);
  }
}
