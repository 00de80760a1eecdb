/**
 * The tap rings of a worker: packets that the engine wrote down for whoever wants to look, in a memory file that other processes read.
 *
 *     0       header, int32 words: magic, version, size of the second ring; from word 8 the drops' ring, from word 24 the tap's:
 *             head (2 words), tail (2), sequence (2), left out (2)
 *     4096    the ring of dropped packets, DROPS_WORDS
 *     ...     the ring of captures and traces, which has memory only once somebody has asked for one
 *
 * One writer, which never waits and knows no reader; any number of readers. Positions are words since the beginning of time, 64 bits. The
 * writer moves the tail over the oldest records before it writes where they are, and the head after records are whole. A reader copies
 * what is between the two, looks at the tail again, and throws away what it has passed (gateway/observe/tap-reader.ts). Records have
 * sequence numbers, so what a reader missed it knows exactly.
 *
 * Invariant: between tail and head are whole records, each beginning at an even word; tail and head are MARGIN short of each other the
 * long way round, so that stores which become visible late never touch what a reader may take for valid.
 * Limits: a record is at most half a ring long.
 */
import { NatgateError } from '../core/errors.ts';
import { T_SEQUENCE, T_WORDS } from './tap-record.ts';

const MAGIC = 0x6e677470;
const VERSION = 1;
const H_MAGIC = 0;
const H_VERSION = 1;
const H_SIZE = 2;
export const TAP_HEADER_BYTES = 4096;
/** Words of the header that belong to a ring, from its first one. */
export const R_HEAD = 0;
export const R_TAIL = 2;
export const R_NEXT = 4;
/** Dropped packets that were counted and not written, because there were too many. */
export const R_LEFT_OUT = 6;
export const RING_STATE = 8;

/** 1 MiB: some four thousand packets. */
export const DROPS_WORDS = 2 ** 18;
const MARGIN = 1024;

/** Bytes that must be there always, and for captures of `words` words (a power of two). */
export const TAP_DROPS_BYTES = TAP_HEADER_BYTES + DROPS_WORDS * 4;
export function tapBytes(words: number): number {
  return TAP_DROPS_BYTES + words * 4;
}
/** 16 MiB: a tenth of a second at a gigabit, both sides. */
export const TAP_WORDS = 2 ** 22;

export interface RingPlace {
  /** First word of its state in the header. */
  state: number;
  /** First word of its records. */
  first: number;
  words: number;
}

/** Where the two rings of a tap memory are. */
export function tapPlaces(words: number): { drops: RingPlace; tap: RingPlace } {
  const first = TAP_HEADER_BYTES / 4;
  return {
    drops: { state: 8, first, words: DROPS_WORDS },
    tap: { state: 24, first: first + DROPS_WORDS, words },
  };
}

/** Makes zeroed memory of tapBytes(words) a tap without records. */
export function formatTap(memory: ArrayBuffer, words: number): void {
  const header = new Int32Array(memory, 0, 16);
  header[H_VERSION] = VERSION;
  header[H_SIZE] = words;
  header[H_MAGIC] = MAGIC;
}

/** Words of the second ring. Throws NatgateError `tap_foreign`. */
export function tapWordsOf(header: Int32Array): number {
  if (header[H_MAGIC] !== MAGIC || header[H_VERSION] !== VERSION) {
    throw new NatgateError(
      'tap_foreign',
      'the tap memory is not one of natgate’s, or of another version',
      'ask with the natgate that runs the gateway',
    );
  }
  const words = header[H_SIZE]!;
  if (words <= 0 || words > TAP_WORDS || (words & (words - 1)) !== 0) {
    throw new NatgateError('tap_foreign', `the tap memory says that it has ${words} words`);
  }
  return words;
}

/** Where the writer is, claims included. */
const AT_HEAD = 0;
const AT_TAIL = 1;
const AT_NEXT = 2;
/** Before the last claim(), for cancel(). */
const AT_BEFORE = 3;

export class TapRing {
  readonly words: Int32Array;
  readonly floats: Float64Array;
  private readonly at = new Float64Array(4);
  private readonly state: number;
  private readonly first: number;
  private readonly size: number;

  /** `memory`: formatted; what an earlier engine has written stays. */
  constructor(memory: ArrayBuffer, { state, first, words }: RingPlace) {
    this.words = new Int32Array(memory);
    this.floats = new Float64Array(memory);
    this.state = state;
    this.first = first;
    this.size = words;
    this.at[AT_HEAD] = this.read(R_HEAD);
    this.at[AT_TAIL] = this.read(R_TAIL);
    this.at[AT_NEXT] = this.read(R_NEXT);
  }

  /** Room for a record of `need` words (even), with its length and sequence set: its first word. Readers see it after publish(). */
  claim(need: number): number {
    const { words, size, at } = this;
    const head = at[AT_HEAD]!;
    const place = head & (size - 1);
    const skip = place + need > size ? size - place : 0;
    this.makeRoom(head + skip + need + MARGIN - size);
    at[AT_BEFORE] = head;
    if (skip > 0) words[this.first + place + T_WORDS] = -skip;
    const record = this.first + (skip > 0 ? 0 : place);
    words[record + T_WORDS] = need;
    const next = at[AT_NEXT]!;
    words[record + T_SEQUENCE] = next;
    words[record + T_SEQUENCE + 1] = next / 2 ** 32;
    at[AT_NEXT] = next + 1;
    at[AT_HEAD] = head + skip + need;
    return record;
  }

  /** The record claimed last is not wanted. */
  cancel(): void {
    const { at } = this;
    at[AT_HEAD] = at[AT_BEFORE]!;
    at[AT_NEXT] = at[AT_NEXT]! - 1;
  }

  /** Readers may have what was claimed. */
  publish(): void {
    this.write(R_NEXT, this.at[AT_NEXT]!);
    this.write(R_HEAD, this.at[AT_HEAD]!);
  }

  /** So many packets more were not written, for the sake of speed. */
  leaveOut(count: number): void {
    this.write(R_LEFT_OUT, this.read(R_LEFT_OUT) + count);
  }

  /** Moves the tail to `until`, or the next record behind it. */
  private makeRoom(until: number): void {
    const { words, at } = this;
    let tail = at[AT_TAIL]!;
    if (tail >= until) return;
    while (tail < until) {
      const length = words[this.first + (tail & (this.size - 1))]!;
      tail += length < 0 ? -length : length;
    }
    at[AT_TAIL] = tail;
    this.write(R_TAIL, tail);
  }

  private read(field: number): number {
    const at = this.state + field;
    return (this.words[at]! >>> 0) + (this.words[at + 1]! >>> 0) * 2 ** 32;
  }

  /** The high half first: a reader that sees the new low half sees what was written before it. */
  private write(field: number, value: number): void {
    const at = this.state + field;
    this.words[at + 1] = value / 2 ** 32;
    Atomics.store(this.words, at, value | 0);
  }
}
