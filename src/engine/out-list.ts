/**
 * What a batch decided to send: the arena's out list, and the slots in which the engine makes packets of its own.
 *
 * Slots BATCH..SLOTS-1 are handed out in order and are all free again after clear(), that is, after the list has
 * been written to the devices.
 */
import { Bytes } from '../wire/bytes.ts';
import { BATCH, OUT_LIST, SLOTS } from './arena.ts';

export class OutList {
  readonly bytes: Bytes;
  count = 0;
  private nextSlot = BATCH;

  constructor(arena: ArrayBuffer) {
    this.bytes = new Bytes(arena);
  }

  /** Sends the packet of `length` bytes in `slot` to a device. */
  send(device: number, slot: number, length: number): void {
    const at = (OUT_LIST >> 2) + this.count * 2;
    this.bytes.i32[at] = (device << 16) | slot;
    this.bytes.i32[at + 1] = length;
    this.count++;
  }

  /** Engine slots that are free. No slot is sent twice, so the list has room for all (OUT_ENTRIES > SLOTS). */
  get freeSlots(): number {
    return SLOTS - this.nextSlot;
  }

  /** The next free slot; the caller has asked freeSlots. */
  takeSlot(): number {
    return this.nextSlot++;
  }

  clear(): void {
    this.count = 0;
    this.nextSlot = BATCH;
  }
}
