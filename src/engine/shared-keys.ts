/**
 * What is not where its port says: a hash in shared memory that says which worker has it. Written by the owner when such a
 * flow, mapping or expectation begins and when it ends; read by a worker that has no flow for a packet, and only while it is
 * not empty.
 *
 *     TUPLE         a direction of a flow whose packets are given to another worker than its owner
 *     SOURCE        an internal endpoint whose mapping another worker has
 *     DESTINATION   an endpoint to which another worker expects a flow
 *     ANNOUNCED     a source address and an endpoint between which one is expected that any worker may make
 *
 * Sets of 8 entries of 4 words; a key may be in either of two sets. The first word is
 * generation << 24 | protocol << 16 | owner << 8 | kind, kind 0 for a free entry and BUSY for one that is being written. Who
 * reads looks at it again afterwards: the generation tells an entry that was replaced meanwhile from the one that was read.
 *
 * Invariant: only its owner removes an entry. Limits: twice as many entries as flows fit; what finds both sets full is not
 * found by others, so its packets are dropped there.
 */
import { hashTuple } from '../conntrack/tuple.ts';

export const TUPLE = 1;
export const SOURCE = 2;
export const DESTINATION = 3;
export const ANNOUNCED = 4;
const BUSY = 5;
const FREE = 0;

const WAYS = 8;
const WORDS = 4;
/** Words before the entries; word 0: live entries. */
const HEADER = 16;
export const NOBODY = -1;

/** Bytes of shared memory where `flows` flows fit over all workers. */
export function sharedKeysBytes(flows: number): number {
  return (HEADER + setsFor(flows) * WAYS * WORDS) * 4;
}

function setsFor(flows: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(flows, 512) / 4));
}

export class SharedKeys {
  private readonly words: Int32Array;
  private readonly sets: number;
  private readonly key0: number;
  private readonly key1: number;

  /** `words`: sharedKeysBytes(), zeros at first; `seed`: the same for all workers. */
  constructor(words: Int32Array, seed: readonly [number, number]) {
    this.words = words;
    this.sets = (words.length - HEADER) / WAYS / WORDS;
    this.key0 = seed[0];
    this.key1 = seed[1];
  }

  get isEmpty(): boolean {
    return Atomics.load(this.words, 0) === 0;
  }

  /** Adds a key; the same one may be there several times. False when there is no room. */
  put(kind: number, owner: number, protocol: number, a: number, b: number, c: number): boolean {
    const { words } = this;
    const hash = this.hash(kind, protocol, a, b, c);
    // The emptier set first: so sets fill evenly, and none overflows before nearly all are full.
    const better = this.used(this.first(hash, 1)) < this.used(this.first(hash, 0)) ? 1 : 0;
    for (let choice = 0; choice < 2; choice++) {
      const first = this.first(hash, choice ^ better);
      for (let at = first; at < first + WAYS * WORDS; at += WORDS) {
        const before = Atomics.load(words, at);
        if ((before & 0xff) !== FREE) continue;
        if (Atomics.compareExchange(words, at, before, (before & ~0xff) | BUSY) !== before) continue;
        Atomics.store(words, at + 1, a);
        Atomics.store(words, at + 2, b);
        Atomics.store(words, at + 3, c);
        const generation = (before + (1 << 24)) & 0xff000000;
        Atomics.store(words, at, generation | (protocol << 16) | (owner << 8) | kind);
        Atomics.add(words, 0, 1);
        return true;
      }
    }
    return false;
  }

  /** Removes a key of this owner, once. */
  remove(kind: number, owner: number, protocol: number, a: number, b: number, c: number): void {
    const { words } = this;
    const at = this.seek(kind, owner, protocol, a, b, c);
    if (at < 0) return;
    Atomics.store(words, at, words[at]! & 0xff000000);
    Atomics.sub(words, 0, 1);
  }

  /** The owner of a key, or NOBODY. */
  find(kind: number, protocol: number, a: number, b: number, c: number): number {
    const at = this.seek(kind, NOBODY, protocol, a, b, c);
    return at < 0 ? NOBODY : this.found;
  }

  /** Owner of what seek() found. */
  private found = NOBODY;

  private seek(kind: number, owner: number, protocol: number, a: number, b: number, c: number): number {
    const { words } = this;
    const hash = this.hash(kind, protocol, a, b, c);
    for (let choice = 0; choice < 2; choice++) {
      const first = this.first(hash, choice);
      for (let at = first; at < first + WAYS * WORDS; at += WORDS) {
        const word = Atomics.load(words, at);
        if ((word & 0xff) !== kind || ((word >>> 16) & 0xff) !== protocol) continue;
        if (owner !== NOBODY && ((word >>> 8) & 0xff) !== owner) continue;
        if (Atomics.load(words, at + 1) !== a || Atomics.load(words, at + 2) !== b) continue;
        if (Atomics.load(words, at + 3) !== c || Atomics.load(words, at) !== word) continue;
        this.found = (word >>> 8) & 0xff;
        return at;
      }
    }
    return -1;
  }

  /** Entries of the set at word `first` that are not free. */
  private used(first: number): number {
    let used = 0;
    for (let at = first; at < first + WAYS * WORDS; at += WORDS) {
      if ((Atomics.load(this.words, at) & 0xff) !== FREE) used++;
    }
    return used;
  }

  private hash(kind: number, protocol: number, a: number, b: number, c: number): number {
    return hashTuple(a, b, c, protocol ^ (kind << 6), this.key0, this.key1);
  }

  /** First word of one of the two sets of a hash. */
  private first(hash: number, choice: number): number {
    const set = choice === 0 ? hash : Math.imul(hash, 0x9e3779b1) >>> 7;
    return HEADER + (set & (this.sets - 1)) * WAYS * WORDS;
  }
}
