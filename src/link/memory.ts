/**
 * A link without devices: packets go in from JavaScript, and what the engine sends is kept until it is taken. It
 * shares the arena's layout with the addon's exchange (link/addon.ts), so an engine cannot tell them apart.
 */
import {
  ARENA_BYTES,
  BATCH,
  IN_LIST,
  LINEAR_BYTES,
  OUT_LIST,
  overflowOffset,
  packetOffset,
} from '../engine/arena.ts';
import { VNET_HEADER } from '../wire/vnet.ts';

export interface SentPacket {
  device: number;
  packet: Uint8Array;
  /** The 10 bytes of virtio_net_hdr it was sent with. */
  vnet: Uint8Array;
}

const NO_OFFLOAD = new Uint8Array(VNET_HEADER);

export class MemoryLink {
  readonly arena = new ArrayBuffer(ARENA_BYTES);
  private readonly u8 = new Uint8Array(this.arena);
  private readonly i32 = new Int32Array(this.arena);
  private received = 0;

  /** Adds a packet to the next batch. False when the batch is full. */
  receive(device: number, packet: Uint8Array, vnet: Uint8Array = NO_OFFLOAD): boolean {
    if (this.received === BATCH) return false;
    const slot = this.received++;
    const at = packetOffset(slot);
    this.u8.set(vnet, at - VNET_HEADER);
    this.u8.set(packet.subarray(0, LINEAR_BYTES), at);
    if (packet.length > LINEAR_BYTES) this.u8.set(packet.subarray(LINEAR_BYTES), overflowOffset(slot));
    this.i32[(IN_LIST >> 2) + slot * 2] = device;
    this.i32[(IN_LIST >> 2) + slot * 2 + 1] = packet.length;
    return true;
  }

  /** Ends the batch: the number of packets in it. */
  takeBatch(): number {
    const count = this.received;
    this.received = 0;
    return count;
  }

  /** Copies of the first `count` packets of the out list. */
  sent(count: number): SentPacket[] {
    return Array.from({ length: count }, (_, i) => {
      const entry = this.i32[(OUT_LIST >> 2) + i * 2]!;
      const length = this.i32[(OUT_LIST >> 2) + i * 2 + 1]!;
      const slot = entry & 0xffff;
      const at = packetOffset(slot);
      const packet = new Uint8Array(length);
      packet.set(this.u8.subarray(at, at + Math.min(length, LINEAR_BYTES)));
      if (length > LINEAR_BYTES) {
        const rest = overflowOffset(slot);
        packet.set(this.u8.subarray(rest, rest + length - LINEAR_BYTES), LINEAR_BYTES);
      }
      return { device: entry >>> 16, packet, vnet: this.u8.slice(at - VNET_HEADER, at) };
    });
  }
}
