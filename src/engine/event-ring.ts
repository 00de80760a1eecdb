/**
 * The event ring of a worker: what became of flows, mappings, blocks of ports and refusals, as records in memory that another process
 * reads. The memory outlives the engine; whoever holds it (the supervisor) gives it to the next one.
 *
 *     0        header (H_*), 4 KiB
 *     4096     records of 128 bytes (E_*), a power of two of them: record n lies in place n modulo that
 *     …        marks, 8 bytes a flow of the table: which life of it has been told of (event-log.ts)
 *     …        slots, 32 bytes each: mappings and blocks that have been told of and have not ended (event-log.ts)
 *
 * One writer, which never waits. A record's sequence word (its number + 1, modulo 2^32) is taken away before the record is written and put
 * there last; HEAD, how many records there have ever been, follows. So a reader that finds the word it looks for, copies, and finds it
 * again has a whole record, and a writer that starts anew finds the end of the ring even if the one before was killed between the two.
 * The reader keeps its own place in the header, where the next reader finds it. What was written over before it was read it knows by
 * number: gaps are exact.
 *
 * WANTED is the reader's word to the writer: of which kinds records are wanted, zero for none. Nothing else is ever written for it, so
 * that what nobody wants costs a load and a branch where a flow begins or ends.
 *
 * Limits: 2^53 records; a reader that is more than a ring behind loses the oldest.
 */
import { NatgateError } from '../core/errors.ts';

const MAGIC = 0x6e676576;
const VERSION = 1;
const H_MAGIC = 0;
const H_VERSION = 1;
const H_RECORDS = 2;
const H_FLOWS = 3;
const H_SLOTS = 4;
/** WANT_*, or zero. The reader's. */
export const H_WANTED = 5;
/** Slots from here on were never used. */
export const H_FRESH = 6;
/** Seconds since 1970 when the lives of flows began to be counted: with it, a life has a name that is never used again. */
export const H_EPOCH = 7;
/** How many records there were, modulo 2^32, when the marks were last made to agree with nothing: none of these is done again. */
export const H_SETTLED = 8;
/** A float64: the number of the next record. */
const HEAD = 16;
/** A float64, on a cache line of the reader's own: the record that it wants next. */
const READ = 32;
const HEADER_BYTES = 4096;

/** Words of a record. */
export const EVENT_WORDS = 32;
const RECORD_BYTES = EVENT_WORDS * 4;
export const E_SEQUENCE = 0;
/** kind | protocol << 8 | why << 16: of ends one of end-reasons.ts, of refusals a drop reason. */
export const E_KIND = 1;
/** ms since 1970, a float64. */
export const E_TIME = 2;
/** Which flow, and the H_SEQUENCE that it began with: the two name a life. */
export const E_FLOW = 4;
export const E_LIFE = 5;
/** H_STATUS of the flow. */
export const E_STATUS = 6;
/** Number of the NAT rule. */
export const E_RULE = 7;
/** Flows: both tuples, packets and bytes as in the flow table, age in ms, H_SEQUENCE now. */
export const E_TUPLES = 8;
export const E_PACKETS = 14;
export const E_BYTES = 16;
export const E_BYTES_HIGH = 18;
export const E_AGE = 19;
export const E_LIFE_NOW = 20;
/** Mappings and blocks: as their slot has it (S_*), and which one that is, or -1. */
export const E_OPEN = 8;
export const E_SLOT = 20;
/** Refusals: the host (wire order, 0: several) and how many there were. */
export const E_HOST = 8;
export const E_COUNT = 9;

/** Kinds of records. */
export const FLOW_BEGIN = 1;
export const FLOW_END = 2;
/** The flow has other tuples: its external address changed under it. */
export const FLOW_MOVED = 3;
export const MAPPING_BEGIN = 4;
export const MAPPING_END = 5;
export const BLOCK_BEGIN = 6;
export const BLOCK_END = 7;
export const REFUSED = 8;

/** Bits of WANTED. */
export const WANT_FLOWS = 1;
export const WANT_MAPPINGS = 2;
export const WANT_BLOCKS = 4;
export const WANT_REFUSALS = 8;

/** Words of a mark: the life that was told of (event-log.ts MARK_*), and the one that it began with. */
export const MARK_WORDS = 2;
/** Words of a slot. Ports in host order; zeros where there is none. */
export const SLOT_WORDS = 8;
/** kind (MAPPING_BEGIN or BLOCK_BEGIN) | port table << 8 | rule << 16; 0: free. */
export const S_WHAT = 0;
export const S_INTERNAL = 1;
/** internal port | external port, or the first one, << 16 */
export const S_PORTS = 2;
export const S_EXTERNAL = 3;
/** Of mappings that depend on it. */
export const S_REMOTE = 4;
/** remote port, or the block's last port */
export const S_PORT = 5;
/** Seconds since 1970 when it began. */
export const S_BEGAN = 6;

const LEAST_RECORDS = 2 ** 14;
const MOST_RECORDS = 2 ** 19;
/** Slots beyond one a flow: for reserved mappings, and for blocks. */
const SPARE_SLOTS = 2 ** 16;

export interface EventSizes {
  records: number;
  flows: number;
  slots: number;
}

/** As many records as flows, so that the end of all of them at once is no gap. */
export function eventSizes(flows: number): EventSizes {
  const wanted = 2 ** Math.ceil(Math.log2(flows));
  const records = Math.min(Math.max(wanted, LEAST_RECORDS), MOST_RECORDS);
  return { records, flows, slots: flows + SPARE_SLOTS };
}

export function eventBytes({ records, flows, slots }: EventSizes): number {
  return HEADER_BYTES + records * RECORD_BYTES + flows * MARK_WORDS * 4 + slots * SLOT_WORDS * 4;
}

/** Makes zeroed memory of eventBytes() a ring without records. `time`: ms since 1970. */
export function formatEvents(memory: ArrayBuffer, { records, flows, slots }: EventSizes, time: number): void {
  const header = new Int32Array(memory, 0, 16);
  header[H_VERSION] = VERSION;
  header[H_RECORDS] = records;
  header[H_FLOWS] = flows;
  header[H_SLOTS] = slots;
  header[H_EPOCH] = Math.floor(time / 1000);
  header[H_MAGIC] = MAGIC;
}

/** The sizes in a ring's header; null when it is none of this version. */
export function eventSizesOf(memory: ArrayBuffer): EventSizes | null {
  const header = new Int32Array(memory, 0, 16);
  if (header[H_MAGIC] !== MAGIC || header[H_VERSION] !== VERSION) return null;
  const sizes = { records: header[H_RECORDS]!, flows: header[H_FLOWS]!, slots: header[H_SLOTS]! };
  const { records } = sizes;
  if (records <= 0 || (records & (records - 1)) !== 0 || sizes.flows < 0 || sizes.slots < 0) return null;
  return memory.byteLength < eventBytes(sizes) ? null : sizes;
}

function foreign(): NatgateError {
  return new NatgateError(
    'events_foreign',
    'the event ring is not one of natgate’s, or of another version',
    'remove it with `natgate down` and start anew',
  );
}

/** The memory of a ring, as both sides see it. */
export class EventMemory {
  readonly words: Int32Array;
  readonly records: number;
  readonly marks: Int32Array;
  readonly slots: Int32Array;
  protected readonly floats: Float64Array;

  /** Throws NatgateError `events_foreign`. */
  constructor(memory: ArrayBuffer) {
    const sizes = eventSizesOf(memory);
    if (sizes === null) throw foreign();
    const { records, flows, slots } = sizes;
    const marks = HEADER_BYTES + records * RECORD_BYTES;
    this.words = new Int32Array(memory, 0, marks >> 2);
    this.floats = new Float64Array(memory, 0, marks >> 3);
    this.records = records;
    this.marks = new Int32Array(memory, marks, flows * MARK_WORDS);
    this.slots = new Int32Array(memory, marks + flows * MARK_WORDS * 4, slots * SLOT_WORDS);
  }

  /** How many records there have been. */
  get head(): number {
    return this.floats[HEAD >> 1]!;
  }

  /** The record that the reader wants next. */
  get read(): number {
    return this.floats[READ >> 1]!;
  }

  get wanted(): number {
    return this.words[H_WANTED]!;
  }

  get epoch(): number {
    return this.words[H_EPOCH]!;
  }

  /** First word of record `number`. */
  protected place(number: number): number {
    // As an int32 it is right modulo the records, whatever its size.
    return (HEADER_BYTES >> 2) + (number & (this.records - 1)) * EVENT_WORDS;
  }
}

export class EventRing extends EventMemory {
  /** Goes on where an earlier writer was. */
  constructor(memory: ArrayBuffer) {
    super(memory);
    // The one before may have been killed between the two words that say that a record is there.
    if (this.words[this.place(this.head)] === ((this.head + 1) | 0)) this.floats[HEAD >> 1] = this.head + 1;
  }

  /** Whether the reader is so far behind that the next record would be over one that it has not read. */
  get isFull(): boolean {
    return this.head - this.read >= this.records;
  }

  /** First word of the last record; -1 when there has been none. */
  get last(): number {
    return this.head === 0 ? -1 : this.place(this.head - 1);
  }

  /** The first word of the next record. What it has from an earlier round is still there. `time`: ms since 1970. */
  claim(kind: number, time: number): number {
    const at = this.place(this.floats[HEAD >> 1]!);
    // An exchange, since nothing that follows may be seen before it.
    Atomics.exchange(this.words, at, 0);
    this.words[at + E_KIND] = kind;
    this.floats[(at + E_TIME) >> 1] = time;
    return at;
  }

  /** What was claimed is whole. */
  publish(at: number): void {
    const head = this.floats[HEAD >> 1]! + 1;
    Atomics.store(this.words, at, head | 0);
    this.floats[HEAD >> 1] = head;
  }
}

/** Follows a ring from another process or thread. */
export class EventReader extends EventMemory {
  /** The record read last, copied. */
  readonly record: Int32Array = new Int32Array(EVENT_WORDS);
  readonly recordFloats: Float64Array = new Float64Array(this.record.buffer);
  /** Records that were written over before they were read: since the last call of takeLost(). */
  private lost = 0;

  /** Where it goes on: from where the reader before was. */
  next: number;

  constructor(memory: ArrayBuffer) {
    super(memory);
    this.next = Math.min(this.read, this.head);
    // Of a writer that a stranger has taken over.
    if (!Number.isSafeInteger(this.next) || this.next < 0) this.next = 0;
  }

  want(kinds: number): void {
    Atomics.store(this.words, H_WANTED, kinds);
  }

  /** Copies the next record to `record`. False: there is none yet. Look at takeLost() first: what it says came before this one. */
  take(): boolean {
    const { words, record, records } = this;
    for (let tries = 0; tries < records; tries++) {
      const { head } = this;
      if (!Number.isSafeInteger(head) || this.next >= head) return false;
      // Where the writer is, the next round begins: some more are given up, so that it is not upon us again at once.
      if (head - this.next > records) this.skipTo(head - records + (records >> 4));
      const at = this.place(this.next);
      const sequence = (this.next + 1) | 0;
      if (Atomics.load(words, at) === sequence) {
        for (let i = 0; i < EVENT_WORDS; i++) record[i] = words[at + i]!;
        if (Atomics.load(words, at) === sequence) {
          this.next++;
          return true;
        }
      }
      // Written over just now; or, where memory is seen in another order than it was written, not there yet.
      if (!(this.head - this.next >= records)) return false;
      this.skipTo(this.next + 1);
    }
    return false;
  }

  /** How many records were lost before the one that take() gave. */
  takeLost(): number {
    const { lost } = this;
    this.lost = 0;
    return lost;
  }

  /** All that was taken has arrived where it should: a reader after this one need not take it again. */
  commit(): void {
    this.floats[READ >> 1] = this.next;
  }

  private skipTo(next: number): void {
    this.lost += next - this.next;
    this.next = next;
  }
}
