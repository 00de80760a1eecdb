/**
 * virtio_net_hdr (linux/virtio_net.h), 10 bytes little-endian, directly before the packet:
 *
 *     0 flags   1 gso_type   2 hdr_len   4 gso_size   6 csum_start   8 csum_offset
 *
 * It travels from device to device unchanged but for hdr_len, which the kernel gives as a hint only. With
 * NEEDS_CSUM the transport checksum field holds the folded, not inverted, sum of the pseudo-header.
 */
import { BAD_OFFLOAD, OK } from '../core/reasons.ts';
import type { Bytes } from './bytes.ts';
import { PROTO_TCP, PROTO_UDP } from './ipv4.ts';
import { TCP_CHECKSUM } from './tcp.ts';
import { UDP_CHECKSUM } from './udp.ts';

export const VNET_HEADER = 10;
export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
export const VNET_HDR_LEN = 2;
export const VNET_GSO_SIZE = 4;
export const VNET_CSUM_START = 6;
export const VNET_CSUM_OFFSET = 8;

export const NEEDS_CSUM = 1;
/** The checksum has been verified. */
export const DATA_VALID = 2;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP_L4 = 5;
export const GSO_ECN = 0x80;

/**
 * Checks the vnet header at `vnet` against its packet: `header` bytes of IPv4 header, then `transport` bytes of
 * transport header of `protocol` (-1: one without offloads). Sets hdr_len of a super-packet. (Write rules:
 * include/linux/virtio_net.h.)
 */
export function checkVnet(
  bytes: Bytes,
  vnet: number,
  protocol: number,
  header: number,
  transport: number,
): number {
  const u8 = bytes.u8;
  const u16 = bytes.u16;
  const flags = u8[vnet]!;
  const gso = u8[vnet + VNET_GSO_TYPE]!;
  if ((flags & NEEDS_CSUM) !== 0) {
    const field = protocol === PROTO_TCP ? TCP_CHECKSUM : protocol === PROTO_UDP ? UDP_CHECKSUM : -1;
    if (u16[(vnet + VNET_CSUM_START) >> 1] !== header || u16[(vnet + VNET_CSUM_OFFSET) >> 1] !== field) {
      return BAD_OFFLOAD;
    }
  }
  if (gso === GSO_NONE) return OK;
  const expected = protocol === PROTO_TCP ? GSO_TCPV4 : protocol === PROTO_UDP ? GSO_UDP_L4 : -1;
  if ((gso & ~GSO_ECN) !== expected || (flags & NEEDS_CSUM) === 0) return BAD_OFFLOAD;
  if (u16[(vnet + VNET_GSO_SIZE) >> 1] === 0) return BAD_OFFLOAD;
  u16[(vnet + VNET_HDR_LEN) >> 1] = header + transport;
  return OK;
}
