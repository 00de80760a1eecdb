/**
 * A ring from one worker to another in shared memory: packets and what is to be said about mappings, in order. One writer,
 * one reader, no lock: each moves its own end.
 *
 *     word 0    where the reader is, words from the beginning of time (wraps)
 *     word 16   where the writer is
 *     word 32   the records, a power of two of words: {words, kind, device, length, a, b, c, d, the slot's bytes up to the packet's end}
 *
 * A record lies in one piece; what is left at the end for it is skipped by a record of a negative length.
 *
 * Invariant: the writer's end moves after a record is whole, the reader's after it has been copied out. Limits: packets leave
 * RESERVE words for what must not be lost.
 */
import type { Bytes } from '../wire/bytes.ts';
import {
  HEADER_BYTES,
  HEADERS,
  LINEAR_BYTES,
  OVERFLOW_BYTES,
  overflowOffset,
  PACKET_OFFSET,
} from './arena.ts';

const READER = 0;
const WRITER = 16;
const DATA = 32;
const RECORD = 8;
const RESERVE = 4096;
const R_KIND = 1;
const R_DEVICE = 2;
const R_LENGTH = 3;
const R_ARGUMENTS = 4;
/**
 * Room for records, words. A TUN has a thousand packets of up to 64 KiB for a worker that is not on a processor; here are 64 of
 * these, or 16 where there would be many rings.
 */
const LARGE = 2 ** 20;
const SMALL = 2 ** 18;
const MANY = 4;

/** Bytes of a ring where there are so many workers. Memory that is never written to costs nothing. */
export function ringBytes(workers: number): number {
  return (DATA + (workers <= MANY ? LARGE : SMALL)) * 4;
}

export class Ring {
  private readonly words: Int32Array;
  private readonly size: number;

  /** `memory`: ringBytes(), zeros at first. */
  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory);
    this.size = this.words.length - DATA;
  }

  /** Writes a packet of `length` bytes from a slot, virtio_net_hdr included. False: no room. */
  putPacket(
    kind: number,
    bytes: Bytes,
    slot: number,
    device: number,
    length: number,
    a: number,
    b: number,
    c: number,
  ): boolean {
    const linear = linearWords(length);
    const rest = overflowWords(length);
    const at = this.claim(RECORD + linear + rest, RESERVE);
    if (at < 0) return false;
    const { words } = this;
    copy(bytes.i32, (HEADERS + slot * HEADER_BYTES) >> 2, words, at + RECORD, linear);
    if (rest > 0) copy(bytes.i32, overflowOffset(slot) >> 2, words, at + RECORD + linear, rest);
    words[at + R_DEVICE] = device;
    words[at + R_LENGTH] = length;
    this.finish(at, kind, RECORD + linear + rest, a, b, c, 0);
    return true;
  }

  /** Writes a record without a packet. False: no room. */
  putNote(kind: number, a: number, b: number, c: number, d: number): boolean {
    const at = this.claim(RECORD, 0);
    if (at < 0) return false;
    this.words[at + R_LENGTH] = 0;
    this.finish(at, kind, RECORD, a, b, c, d);
    return true;
  }

  get isEmpty(): boolean {
    return Atomics.load(this.words, WRITER) === this.words[READER];
  }

  /** The record at the reader's end, as its first word; -1 when there is none. */
  next(): number {
    const { words } = this;
    const writer = Atomics.load(words, WRITER);
    while (words[READER] !== writer) {
      const at = DATA + (words[READER]! & (this.size - 1));
      if (words[at]! > 0) return at;
      Atomics.store(words, READER, (words[READER]! - words[at]!) | 0);
    }
    return -1;
  }

  kind(record: number): number {
    return this.words[record + R_KIND]!;
  }

  device(record: number): number {
    return this.words[record + R_DEVICE]!;
  }

  /** Bytes of the record's packet. */
  length(record: number): number {
    return this.words[record + R_LENGTH]!;
  }

  argument(record: number, i: number): number {
    return this.words[record + R_ARGUMENTS + i]!;
  }

  /** Puts the record's packet into a slot. */
  load(record: number, bytes: Bytes, slot: number): void {
    const { words } = this;
    const length = this.length(record);
    const linear = linearWords(length);
    const rest = overflowWords(length);
    copy(words, record + RECORD, bytes.i32, (HEADERS + slot * HEADER_BYTES) >> 2, linear);
    if (rest > 0) copy(words, record + RECORD + linear, bytes.i32, overflowOffset(slot) >> 2, rest);
  }

  /** Done with the record at the reader's end. */
  drop(record: number): void {
    const { words } = this;
    Atomics.store(words, READER, (words[READER]! + words[record]!) | 0);
  }

  private claim(need: number, reserve: number): number {
    const { words } = this;
    const writer = words[WRITER]!;
    const used = (writer - Atomics.load(words, READER)) | 0;
    const at = writer & (this.size - 1);
    const skip = at + need > this.size ? this.size - at : 0;
    if (used + skip + need + reserve > this.size) return -1;
    if (skip > 0) {
      words[DATA + at] = -skip;
      Atomics.store(words, WRITER, (writer + skip) | 0);
      return DATA;
    }
    return DATA + at;
  }

  private finish(at: number, kind: number, size: number, a: number, b: number, c: number, d: number): void {
    const { words } = this;
    words[at] = size;
    words[at + R_KIND] = kind;
    words[at + R_ARGUMENTS] = a;
    words[at + R_ARGUMENTS + 1] = b;
    words[at + R_ARGUMENTS + 2] = c;
    words[at + R_ARGUMENTS + 3] = d;
    Atomics.store(words, WRITER, (words[WRITER]! + size) | 0);
  }
}

function linearWords(length: number): number {
  return (PACKET_OFFSET + Math.min(length, LINEAR_BYTES) + 3) >> 2;
}

function overflowWords(length: number): number {
  return length <= LINEAR_BYTES ? 0 : Math.min(OVERFLOW_BYTES, length - LINEAR_BYTES + 3) >> 2;
}

function copy(from: Int32Array, start: number, to: Int32Array, at: number, words: number): void {
  for (let i = 0; i < words; i++) to[at + i] = from[start + i]!;
}
