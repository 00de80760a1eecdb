/**
 * Flows out of a state file, while the engine writes it: a million of them are read without asking anybody, and without a large buffer.
 *
 *     for each CHUNK of records:   before ← pread   (nothing lives there: next chunk)
 *                                  record, cold ← pread
 *                                  after  ← pread
 *
 * A record is whole when its H_SEQUENCE is the same even number `before` and `after`: then nobody began to write its identity between
 * the end of the first read and the beginning of the last, and `record` was read in between. Which order a pread copies words in does
 * not matter, nor does that another core sees the engine's stores a little late or in another order (JavaScript's plain stores have none
 * on ARM): the reads are system calls apart, which is a thousand times what a store takes to be seen. What was torn is read again,
 * by itself. The high half of a byte counter is taken from the read that fits its low half, so none is ever off by 4 GiB.
 *
 * Invariant: what is given out was one life of one record. Flows that begin or end meanwhile are given out or not.
 * Limits: a record that is torn TRIES times running is left out: it began and ended that often in the meantime.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import {
  C_CREATED,
  C_MAPPING,
  COLD,
  FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  LIVE,
  TRACK,
} from '../../conntrack/flow-table.ts';
import { NatgateError } from '../../core/errors.ts';
import { openState, S_NOW, TABLE_OFFSET } from '../../engine/state.ts';
import { readAt } from '../run/state-reader.ts';

/** Records: 64 KiB. */
const CHUNK = 1024;
const TRIES = 16;

/** A record at one moment. The same object each time: take from it what is needed. */
export interface RawFlow {
  flow: number;
  /** One hot record, at 0. */
  hot: Int32Array;
  /** Time of creation, ms of the engine's clock. */
  created: number;
  mapping: number;
}

export class FlowReader {
  readonly capacity: number;
  private readonly fd: number;
  private readonly before = new Int32Array(CHUNK * HOT);
  private readonly records = new Int32Array(CHUNK * HOT);
  private readonly after = new Int32Array(CHUNK * HOT);
  private readonly cold = new Int32Array(CHUNK * COLD);
  private readonly clock = new Int32Array(1);
  private readonly tracked = new Int32Array(TRACK);
  private readonly raw: RawFlow = { flow: 0, hot: new Int32Array(HOT), created: 0, mapping: 0 };

  /** Throws NatgateError `state_foreign`, or the system's error. */
  constructor(path: string) {
    this.fd = openSync(path, 'r');
    try {
      const { size } = fstatSync(this.fd);
      const head = new Uint8Array(new ArrayBuffer(Math.min(size, TABLE_OFFSET)));
      readAt(this.fd, head, 0);
      this.capacity = openState(head.buffer, size).capacity;
      // The number is the engine's, which is not believed.
      if (this.capacity * HOT * 4 > size) {
        throw new NatgateError('state_truncated', `the state has no room for ${this.capacity} flows`);
      }
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  /** The engine's clock: time of its last exchange, ms of CLOCK_MONOTONIC (int32). */
  now(): number {
    readAt(this.fd, new Uint8Array(this.clock.buffer), S_NOW * 4);
    return this.clock[0]!;
  }

  /** The live flows from number `first` on, in the order of their numbers. */
  *read(first = 0): Generator<RawFlow, void, void> {
    const { capacity, before, records, after } = this;
    for (let chunk = first; chunk < capacity; chunk += CHUNK) {
      const count = Math.min(CHUNK, capacity - chunk);
      this.readHot(before, chunk, count);
      if (!hasLive(before, count)) {
        // Records are first used in the order of their numbers (FlowTable): after a chunk that never was there is none.
        if (isUnused(before, count)) return;
        continue;
      }
      this.readHot(records, chunk, count);
      this.readCold(chunk, count);
      this.readHot(after, chunk, count);
      for (let i = 0; i < count; i++) {
        if (this.take(chunk + i, i) || (this.isTorn(i) && this.retry(chunk + i, i))) yield this.raw;
      }
    }
  }

  /** One flow; null when that number has none. */
  one(flow: number): RawFlow | null {
    if (flow < 0 || flow >= this.capacity) return null;
    return this.retry(flow, 0) ? this.raw : null;
  }

  /** What the tracker remembers of a flow that was just read, one record; it moves on while it is read. The same array each time. */
  track({ flow }: RawFlow): Int32Array {
    const offset = FlowTable.trackOffset(this.capacity) + flow * TRACK * 4;
    readAt(this.fd, new Uint8Array(this.tracked.buffer), TABLE_OFFSET + offset);
    return this.tracked;
  }

  private retry(flow: number, i: number): boolean {
    for (let n = 0; n < TRIES; n++) {
      this.readHot(this.before, flow, 1, i);
      this.readHot(this.records, flow, 1, i);
      this.readCold(flow, 1, i);
      this.readHot(this.after, flow, 1, i);
      if (this.take(flow, i)) return true;
      if (!this.isTorn(i)) return false;
    }
    return false;
  }

  /** Whether record `i` of the chunk is whole and lives; then `raw` has it. */
  private take(flow: number, i: number): boolean {
    const { before, records, after, cold, raw } = this;
    const h = i * HOT;
    if ((records[h + H_STATUS]! & LIVE) === 0 || this.isTorn(i)) return false;
    raw.flow = flow;
    for (let word = 0; word < HOT; word++) raw.hot[word] = records[h + word]!;
    raw.hot[H_BYTES_HIGH] =
      (highOf(records, before, after, h, 0) & 0xffff) | (highOf(records, before, after, h, 1) & ~0xffff);
    raw.created = cold[i * COLD + C_CREATED]!;
    raw.mapping = cold[i * COLD + C_MAPPING]!;
    return true;
  }

  private isTorn(i: number): boolean {
    const at = i * HOT + H_SEQUENCE;
    const sequence = this.before[at]!;
    return (sequence & 1) !== 0 || this.records[at] !== sequence || this.after[at] !== sequence;
  }

  private readHot(into: Int32Array, flow: number, count: number, at = 0): void {
    const bytes = new Uint8Array(into.buffer, at * HOT * 4, count * HOT * 4);
    readAt(this.fd, bytes, TABLE_OFFSET + flow * HOT * 4);
  }

  private readCold(flow: number, count: number, at = 0): void {
    const bytes = new Uint8Array(this.cold.buffer, at * COLD * 4, count * COLD * 4);
    readAt(this.fd, bytes, TABLE_OFFSET + FlowTable.coldOffset(this.capacity) + flow * COLD * 4);
  }
}

function hasLive(hot: Int32Array, count: number): boolean {
  for (let h = 0; h < count * HOT; h += HOT) {
    // One that is being written now may be a flow by the next look.
    if ((hot[h + H_STATUS]! & LIVE) !== 0 || (hot[h + H_SEQUENCE]! & 1) !== 0) return true;
  }
  return false;
}

function isUnused(hot: Int32Array, count: number): boolean {
  for (let h = 0; h < count * HOT; h += HOT) if (hot[h + H_SEQUENCE] !== 0) return false;
  return true;
}

/**
 * The high halves that fit the low half of a direction's bytes: a small one has wrapped, and the carry is there by the read after; a large
 * one has not, and it was not there in the read before.
 */
function highOf(
  records: Int32Array,
  before: Int32Array,
  after: Int32Array,
  h: number,
  direction: number,
): number {
  return (records[h + H_BYTES + direction]! >= 0 ? after : before)[h + H_BYTES_HIGH]!;
}
