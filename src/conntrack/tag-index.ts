/**
 * An open-addressing hash index of int32 words, for tables whose records are elsewhere.
 *
 *     word = hash tag (high bits) | value + 1 (low bits)          0 = empty
 *
 * A value is a small integer that names a record. The tag keeps most false candidates from costing a look at
 * their record, so that a lookup is one cache miss here and one there. Linear probing; deletion shifts later
 * entries back, so there are no tombstones and a lookup ends at the first empty word. The index never knows keys:
 * callers compare candidates, and hand in `hashOf` where entries have to move.
 *
 * Who knows the key of the hashes can make entries collide, and lookups long. So insert() notes an entry that lands farther than FAR from
 * its home, in `farthest`, until clear(). Whoever has the key then draws another one (rekey.ts). Entries with equal tags lie in one
 * such run as well, so that one limit bounds both the words and the records that a lookup has to look at.
 *
 * Invariant: every value is reachable from its home slot (hash & mask) over non-empty words.
 * Limits: values below `values`; load stays at or below one half by construction. An index of FAR slots or fewer never notes any.
 */

/**
 * Places between an entry and its home that no hash which nobody aims at gives. An entry lands D or farther from its home only if it
 * ends a run of L >= D full slots, whose L entries all have their homes in these slots. With load a there are a * L homes in L slots on
 * average, and L of them with a probability of at most (a * e^(1 - a))^L (Chernoff), which is 0.8244^L for one half. The sum over all
 * L >= D is 5.7 * 0.8244^D, whatever the number of slots: for 256 places 2e-21 for each insert. Ten years of 200 000 inserts a
 * second into a table that is always full see one with a probability of 1 in 8 million.
 */
export const FAR = 256;

export class TagIndex {
  readonly words: Int32Array;
  readonly mask: number;
  /** Low bits that hold value + 1. */
  readonly valueMask: number;
  readonly tagMask: number;
  /** The farthest from its home that an entry has landed, where it is over FAR; else FAR. */
  farthest = FAR;

  /** Slots for `values` distinct values: the smallest power of two that keeps the load at or below one half. */
  static slots(values: number): number {
    let slots = 16;
    while (slots < values * 2) slots *= 2;
    return slots;
  }

  /** `words` has slots(values) entries, all zero when the index is empty. */
  constructor(words: Int32Array, values: number) {
    this.words = words;
    this.mask = words.length - 1;
    let bits = 1;
    while (2 ** bits <= values) bits++;
    this.valueMask = 2 ** bits - 1;
    this.tagMask = ~this.valueMask;
  }

  /**
   * Slot of the first candidate at or after `slot`; -1 - the empty slot that ended the search when there is none: put() may have it.
   * Start with `hash & mask`.
   */
  seek(hash: number, slot: number): number {
    const words = this.words;
    const mask = this.mask;
    const tagMask = this.tagMask;
    let i = slot & mask;
    for (;;) {
      const word = words[i]!;
      if (word === 0) return -1 - i;
      if (((word ^ hash) & tagMask) === 0) return i;
      i = (i + 1) & mask;
    }
  }

  /** insert() into the empty slot at which a search for the hash has ended. */
  put(slot: number, hash: number, value: number): void {
    this.words[slot] = (hash & this.tagMask) | (value + 1);
    const distance = (slot - hash) & this.mask;
    if (distance > this.farthest) this.farthest = distance;
  }

  /** Brings the place of a hash into the cache. */
  touch(hash: number): number {
    return this.words[hash & this.mask]!;
  }

  valueAt(slot: number): number {
    return (this.words[slot]! & this.valueMask) - 1;
  }

  insert(hash: number, value: number): void {
    const words = this.words;
    const home = hash & this.mask;
    let i = home;
    while (words[i] !== 0) i = (i + 1) & this.mask;
    words[i] = (hash & this.tagMask) | (value + 1);
    const distance = (i - home) & this.mask;
    if (distance > this.farthest) this.farthest = distance;
  }

  /** Removes `value`, which is there under `hash`. `hashOf` gives the hash of any other value. */
  remove(hash: number, value: number, hashOf: (value: number) => number): void {
    const { words, mask } = this;
    const word = (hash & this.tagMask) | (value + 1);
    let hole = hash & mask;
    while (words[hole] !== word) hole = (hole + 1) & mask;
    let i = hole;
    for (;;) {
      i = (i + 1) & mask;
      const moved = words[i]!;
      if (moved === 0) break;
      const home = hashOf((moved & this.valueMask) - 1) & mask;
      // An entry may fill the hole only if its home is not behind the hole: else it would become unreachable.
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        words[hole] = moved;
        hole = i;
      }
    }
    words[hole] = 0;
  }

  clear(): void {
    this.words.fill(0);
    this.farthest = FAR;
  }
}
