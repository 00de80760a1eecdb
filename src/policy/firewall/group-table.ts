/**
 * What limits remember: a value and a time for each group of a limit, found by (limit, source, destination).
 *
 *     buckets   chains of entries, by a hash of the three
 *     order     a list of all entries, the one that was used longest ago first
 *
 * Grows by doubling, up to `most` entries; then the one that was used longest ago gives way. Whoever counts live things sets `most`
 * to what there can be of them, and removes what has come to zero.
 *
 * Invariant: an entry is in one bucket and in the order, or on the free list.
 */
import { hashTuple } from '../../conntrack/tuple.ts';

const WORDS = 7;
const LIMIT = 0;
const A = 1;
const B = 2;
const NEXT = 3;
const OLDER = 4;
const NEWER = 5;
const BUCKET = 6;
const NONE = -1;
const FIRST_SIZE = 64;

export class GroupTable {
  /** By entry. */
  values = new Float64Array(FIRST_SIZE);
  /** ms, by entry. */
  times = new Int32Array(FIRST_SIZE);
  count = 0;
  private readonly most: number;
  private readonly seed: readonly [number, number];
  private words = new Int32Array(FIRST_SIZE * WORDS);
  private buckets = new Int32Array(FIRST_SIZE).fill(NONE);
  private used = 0;
  private free = NONE;
  private oldest = NONE;
  private newest = NONE;

  /** `seed`: of the hash, which whoever chooses addresses must not know. */
  constructor(most: number, seed: readonly [number, number]) {
    this.most = most;
    this.seed = seed;
  }

  /** The entry of a group, or -1. */
  find(limit: number, a: number, b: number): number {
    const { words } = this;
    let entry = this.buckets[this.bucketOf(limit, a, b)]!;
    while (entry !== NONE) {
      const at = entry * WORDS;
      if (words[at] === limit && words[at + A] === a && words[at + B] === b) return entry;
      entry = words[at + NEXT]!;
    }
    return NONE;
  }

  /** Makes the entry of a group that has none; its value and time are the caller's to set. */
  add(limit: number, a: number, b: number): number {
    if (this.count === this.most) this.remove(this.oldest);
    if (this.free === NONE && this.used === this.values.length) this.grow();
    const entry = this.free === NONE ? this.used++ : this.free;
    const { words } = this;
    const at = entry * WORDS;
    if (this.free !== NONE) this.free = words[at + NEXT]!;
    words[at + LIMIT] = limit;
    words[at + A] = a;
    words[at + B] = b;
    this.hang(entry);
    this.append(entry);
    this.count++;
    return entry;
  }

  /** The entry was used now. */
  touch(entry: number): void {
    if (entry === this.newest) return;
    this.unlink(entry);
    this.append(entry);
  }

  remove(entry: number): void {
    const { words, buckets } = this;
    const at = entry * WORDS;
    const bucket = words[at + BUCKET]!;
    if (buckets[bucket] === entry) buckets[bucket] = words[at + NEXT]!;
    else {
      let before = buckets[bucket]!;
      while (words[before * WORDS + NEXT] !== entry) before = words[before * WORDS + NEXT]!;
      words[before * WORDS + NEXT] = words[at + NEXT]!;
    }
    this.unlink(entry);
    words[at + NEXT] = this.free;
    this.free = entry;
    this.count--;
  }

  private bucketOf(limit: number, a: number, b: number): number {
    return hashTuple(a, b, limit, 0, this.seed[0], this.seed[1]) & (this.buckets.length - 1);
  }

  private hang(entry: number): void {
    const { words } = this;
    const at = entry * WORDS;
    const bucket = this.bucketOf(words[at]!, words[at + A]!, words[at + B]!);
    words[at + BUCKET] = bucket;
    words[at + NEXT] = this.buckets[bucket]!;
    this.buckets[bucket] = entry;
  }

  private append(entry: number): void {
    const { words, newest } = this;
    words[entry * WORDS + OLDER] = newest;
    words[entry * WORDS + NEWER] = NONE;
    if (newest === NONE) this.oldest = entry;
    else words[newest * WORDS + NEWER] = entry;
    this.newest = entry;
  }

  private unlink(entry: number): void {
    const { words } = this;
    const older = words[entry * WORDS + OLDER]!;
    const newer = words[entry * WORDS + NEWER]!;
    if (older === NONE) this.oldest = newer;
    else words[older * WORDS + NEWER] = newer;
    if (newer === NONE) this.newest = older;
    else words[newer * WORDS + OLDER] = older;
  }

  /** All entries are in use: there is room for as many again. */
  private grow(): void {
    const size = this.values.length * 2;
    const { values, times, words } = this;
    this.values = new Float64Array(size);
    this.times = new Int32Array(size);
    this.words = new Int32Array(size * WORDS);
    this.values.set(values);
    this.times.set(times);
    this.words.set(words);
    this.buckets = new Int32Array(size).fill(NONE);
    for (let entry = 0; entry < this.used; entry++) this.hang(entry);
  }
}
