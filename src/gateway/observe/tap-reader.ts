/**
 * Reads a ring of a tap (engine/tap-ring.ts) from outside: follows the writer by sequence number, and knows exactly what it missed.
 *
 * It copies what is between its place and the head, then looks at the tail: records that the writer may have overwritten meanwhile are
 * thrown away, and counted as missed. The writer is never asked for anything, nor believed: it may be an engine that a stranger has
 * taken over, and this is root. What makes no sense is `tap_foreign`; what is read gets on with each call, or ends. Limits: a chunk of 1 MiB at a time, so that memory is
 * bounded however far behind it is.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import { decodeTapRecord, sequenceAt, TAP_HEADER, type TapRecord } from '../../engine/tap-record.ts';
import {
  R_HEAD,
  R_LEFT_OUT,
  R_NEXT,
  R_TAIL,
  RING_STATE,
  type RingPlace,
  TAP_HEADER_BYTES,
  tapPlaces,
  tapWordsOf,
} from '../../engine/tap-ring.ts';

/** A tap's memory: copies bytes [position, position + target.length) into `target`. */
export interface TapSource {
  read(target: Uint8Array, position: number): void;
  close(): void;
}

export function memorySource(memory: ArrayBuffer): TapSource {
  return {
    read: (target, position) => target.set(new Uint8Array(memory, position, target.length)),
    close: () => {},
  };
}

/** The file of a worker's tap. Throws SystemError. */
export function fileSource(path: string): TapSource {
  const fd = openSync(path, 'r');
  return { read: (target, position) => readAll(fd, target, position), close: () => closeSync(fd) };
}

/** The same of a descriptor, which stays the caller's. */
export function descriptorSource(fd: number): TapSource {
  return { read: (target, position) => readAll(fd, target, position), close: () => {} };
}

function readAll(fd: number, target: Uint8Array, position: number): void {
  for (let at = 0; at < target.length; ) {
    const got = readSync(fd, target, at, target.length - at, position + at);
    if (got === 0) {
      // Memory that nobody has asked for yet.
      target.fill(0, at);
      return;
    }
    at += got;
  }
}

const CHUNK_WORDS = 2 ** 18;
/** Reads of the header until head and tail fit each other. */
const TRIES = 100;

export interface TapBatch {
  records: TapRecord[];
  /** Records that were overwritten before they were read, since the last batch. */
  missed: number;
  /** There is more to read now. */
  more: boolean;
}

function foreignRing(): NatgateError {
  return new NatgateError('tap_foreign', 'the tap’s ring is not one of natgate’s');
}

export class TapReader {
  private readonly source: TapSource;
  private readonly worker: number;
  private readonly place: RingPlace;
  private readonly state = new Int32Array(RING_STATE);
  private position: number;
  private sequence: number;

  /**
   * `which`: dropped packets, or captures. `from`: only what comes, or what is there as well. Throws NatgateError `tap_foreign`.
   */
  constructor(source: TapSource, which: 'drops' | 'tap', from: 'now' | 'oldest', worker = 0) {
    this.source = source;
    this.worker = worker;
    const header = new Int32Array(16);
    source.read(new Uint8Array(header.buffer), 0);
    this.place = tapPlaces(tapWordsOf(header))[which];
    const { head, tail, next } = this.look();
    this.position = from === 'now' ? head : tail;
    this.sequence = from === 'now' ? next : -1;
  }

  /** Dropped packets that were counted and not written, since the gateway began. */
  get leftOut(): number {
    this.look();
    return this.number(R_LEFT_OUT);
  }

  /** What has come since the last call, up to a chunk of it. */
  read(): TapBatch {
    const { first, words } = this.place;
    const before = this.look();
    if (this.position < before.tail) this.position = before.tail;
    const place = this.position & (words - 1);
    const length = Math.min(before.head - this.position, words - place, CHUNK_WORDS);
    if (length <= 0) return { records: [], missed: 0, more: false };
    const memory = new ArrayBuffer(length * 4);
    this.source.read(new Uint8Array(memory), (first + place) * 4);
    const { tail } = this.look();
    const copy = new Int32Array(memory);
    const records: TapRecord[] = [];
    let missed = 0;
    let at = 0;
    if (tail > this.position) {
      // The tail is the beginning of a record, perhaps beyond this chunk.
      at = tail - this.position;
      if (at >= length) {
        this.position = tail;
        return { records, missed, more: true };
      }
    }
    while (at < length) {
      // Records begin at even words.
      if ((at & 1) !== 0) throw foreignRing();
      const size = copy[at]!;
      const isWhole = size < 0 || at + size <= length;
      // The head is behind a whole record, and a chunk is longer than any.
      if (!isWhole && at === 0) throw foreignRing();
      if (!isWhole) break;
      if (size <= 0) {
        if (size === 0) throw foreignRing();
        at -= size;
        continue;
      }
      if (size < TAP_HEADER) throw foreignRing();
      const sequence = sequenceAt(copy, at);
      if (this.sequence >= 0)
        missed = Math.min(missed + Math.max(sequence - this.sequence, 0), Number.MAX_SAFE_INTEGER);
      this.sequence = sequence + 1;
      records.push(decodeTapRecord(memory, at, this.worker, size));
      at += size;
    }
    // Records are whole, so there was one; else this would go on for ever.
    if (at === 0) throw foreignRing();
    this.position += at;
    return { records, missed, more: this.position < before.head };
  }

  close(): void {
    this.source.close();
  }

  /** Head and tail that belong together: a half of one may be newer than the other. */
  private look(): { head: number; tail: number; next: number } {
    for (let tries = 0; tries < TRIES; tries++) {
      this.source.read(new Uint8Array(this.state.buffer), this.place.state * 4);
      const head = this.number(R_HEAD);
      const tail = this.number(R_TAIL);
      if (tail <= head && head - tail <= this.place.words) return { head, tail, next: this.number(R_NEXT) };
    }
    throw new NatgateError('tap_foreign', `the tap’s header (${TAP_HEADER_BYTES} bytes) makes no sense`);
  }

  private number(field: number): number {
    return (this.state[field]! >>> 0) + (this.state[field + 1]! >>> 0) * 2 ** 32;
  }
}
