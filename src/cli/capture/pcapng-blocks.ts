/**
 * Cuts a stream of pcapng (gateway/capture/pcapng.ts) into whole blocks, and counts them. Statistics are kept back: they belong at the end,
 * and a capture that is ended by hanging up would have none.
 */
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const ISB_IFDROP = 5;

export interface BlockCounts {
  /** By interface. */
  packets: number[];
  /** As the statistics say. */
  missed: number;
}

export class PcapngBlocks {
  readonly counts: BlockCounts = { packets: [], missed: 0 };
  private rest: Buffer = Buffer.alloc(0);

  /** The blocks that are whole with `part`, but for statistics. */
  take(part: Buffer): Buffer {
    const bytes = this.rest.length === 0 ? part : Buffer.concat([this.rest, part]);
    const kept: Buffer[] = [];
    let at = 0;
    while (at + 12 <= bytes.length) {
      const length = bytes.readUInt32LE(at + 4);
      if (at + length > bytes.length) break;
      if (this.count(bytes, at, length)) kept.push(bytes.subarray(at, at + length));
      at += length;
    }
    this.rest = Buffer.from(bytes.subarray(at));
    return Buffer.concat(kept);
  }

  /** Whether it is to be written. */
  private count(bytes: Buffer, at: number, length: number): boolean {
    const { counts } = this;
    const type = bytes.readUInt32LE(at);
    if (type === INTERFACE_DESCRIPTION) counts.packets.push(0);
    if (type === ENHANCED_PACKET) {
      const number = bytes.readUInt32LE(at + 8);
      counts.packets[number] = (counts.packets[number] ?? 0) + 1;
    }
    if (type !== INTERFACE_STATISTICS) return true;
    const isFirst = bytes.readUInt32LE(at + 8) === 0;
    for (let option = at + 20; option + 4 <= at + length - 4; ) {
      const code = bytes.readUInt16LE(option);
      const size = bytes.readUInt16LE(option + 2);
      if (code === ISB_IFDROP && isFirst) counts.missed = Number(bytes.readBigUInt64LE(option + 4));
      option += 4 + ((size + 3) & ~3);
    }
    return false;
  }
}
