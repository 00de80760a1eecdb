/**
 * The arena: the memory that the addon and the engine share. One plain ArrayBuffer, packets are slot numbers.
 *
 *     0            control words (int32)                    4 KiB
 *     4096         in list,  64 entries of {device, length}
 *     8192         out list, 512 entries of {device << 16 | slot, length}
 *     16384        256 slots of header bytes, 2 KiB each
 *     540672       256 slots of overflow, 64 KiB each
 *
 * The addon reads packet i of a batch into slot i (0-63); slots 64-255 are the engine's, for packets it makes
 * itself (ICMP errors, fragments). A slot begins with 2 bytes of padding and the 10 bytes of virtio_net_hdr, so
 * that the IPv4 header at byte 12 is 4-byte aligned. Bytes of a packet beyond the 2036 that fit in its header
 * slot are in its overflow, so that the working set of a batch of small packets is small.
 * `length` never counts the virtio_net_hdr. An out entry takes vnet header and packet from its slot.
 *
 * The same numbers stand in native/src/exchange.h; test/link/exchange.test.ts compares them.
 */
export const CONTROL = 0;
export const IN_LIST = 4096;
export const OUT_LIST = 8192;
export const HEADERS = 16384;
export const HEADER_BYTES = 2048;
export const SLOTS = 256;
export const OVERFLOW = HEADERS + SLOTS * HEADER_BYTES;
export const OVERFLOW_BYTES = 65536;
export const ARENA_BYTES = OVERFLOW + SLOTS * OVERFLOW_BYTES;

/** Packets read per exchange, at most; also the first slot that is the engine's own. */
export const BATCH = 64;
/**
 * A batch ends after so many bytes: a super-packet is written while it still is in the second-level cache, and the next
 * one takes its place in the arena. Small packets do not come near it.
 */
export const BATCH_BYTES = 65536;
export const OUT_ENTRIES = 512;

/** Byte of a slot where the virtio_net_hdr and where the IPv4 header begin. */
export const VNET_OFFSET = 2;
export const PACKET_OFFSET = 12;
/** Packet bytes that are in the header slot; the rest is in the overflow. */
export const LINEAR_BYTES = HEADER_BYTES - PACKET_OFFSET;

/** Control words (index into an Int32Array over the arena). */
export const NOW = 0;
/** Counters of the addon, monotonic: packets whose write failed, by cause; and packets read but truncated. */
export const WRITE_REFUSED = 1;
export const WRITE_NO_BUFFER = 2;
export const WRITE_DOWN = 3;
export const READ_TRUNCATED = 4;
/** Errno of the last failed write. */
export const WRITE_ERRNO = 5;
/** Number of waits (poll calls), for batch statistics. */
export const WAITS = 6;
/** Super-packets that the addon made of packets that follow each other in a flow (native/src/coalesce.c), and how many of those. */
export const SUPER_PACKETS = 7;
export const COALESCED = 8;
/**
 * Slot of the packet that the engine is at, or NO_PACKET, or LOOKING_UP less the packets of the batch. Who finds the engine stuck, or
 * catches what it threw, reads it.
 */
export const HANDLING = 9;
/** What the engine does is about no packet. */
export const NO_PACKET = -1;
/** It looks a batch up, all of its packets. */
export const LOOKING_UP = -2;

/** Byte offset in the arena of the IPv4 header of a slot. */
export function packetOffset(slot: number): number {
  return HEADERS + slot * HEADER_BYTES + PACKET_OFFSET;
}

/** Byte offset in the arena of a slot's overflow. */
export function overflowOffset(slot: number): number {
  return OVERFLOW + slot * OVERFLOW_BYTES;
}
