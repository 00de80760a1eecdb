/**
 * The bytes of fragments that came before the first one of their datagram, until it comes (RFC 4787 REQ-14).
 *
 * 4 MiB (net.ipv4.ipfrag_high_thresh) in 8192 blocks of 512 bytes. A held fragment is a chain of blocks, and its first block's
 * number is its name; a datagram is a chain of held fragments in order of arrival. Datagrams are counted to 256 sources
 * by a keyed hash of the address, and each source has its datagrams in the order in which they began, which is that of their expiry.
 *
 * Who needs room displaces (victim()): its own source's oldest datagram when that source has a quarter of the
 * store, else the oldest of the source that has most. So whoever floods it displaces himself, and a fragment that is
 * merely late finds room. Two sources may share a count; then they share its quarter.
 *
 * Invariant: blocks are free or in exactly one chain. Which datagram a number means is the caller's (conntrack/fragments.ts).
 */
import { DATAGRAMS } from '../conntrack/fragments.ts';
import { hashTuple } from '../conntrack/tuple.ts';
import type { Bytes } from '../wire/bytes.ts';
import { loadWords, saveWords } from './slot-bytes.ts';

export const BLOCK_BYTES = 512;
export const BLOCKS = 8192;
/** Blocks that one source can have: a quarter. */
export const SOURCE_BLOCKS = BLOCKS / 4;
const BLOCK_WORDS = BLOCK_BYTES / 4;
const SOURCES = 256;
export const NONE = -1;

export class FragmentStore {
  /** Fragments held. */
  count = 0;
  private free = 0;
  private used = 0;
  private readonly words = new Int32Array(BLOCKS * BLOCK_WORDS);
  private readonly nextBlock = Int32Array.from({ length: BLOCKS }, (_, i) => (i + 1 < BLOCKS ? i + 1 : NONE));
  /** By the first block of a fragment. */
  private readonly nextFragment = new Int32Array(BLOCKS);
  private readonly length = new Int32Array(BLOCKS);
  private readonly device = new Int32Array(BLOCKS);
  /** By datagram. */
  private readonly head = new Int32Array(DATAGRAMS).fill(NONE);
  private readonly tail = new Int32Array(DATAGRAMS);
  private readonly source = new Int32Array(DATAGRAMS);
  private readonly newer = new Int32Array(DATAGRAMS);
  private readonly older = new Int32Array(DATAGRAMS);
  /** By source. */
  private readonly oldest = new Int32Array(SOURCES).fill(NONE);
  private readonly newest = new Int32Array(SOURCES).fill(NONE);
  private readonly blocks = new Int32Array(SOURCES);
  private readonly key0: number;
  private readonly key1: number;

  constructor(seed: readonly [number, number]) {
    this.key0 = seed[0];
    this.key1 = seed[1];
  }

  /** Bytes of blocks in use. */
  get bytes(): number {
    return this.used * BLOCK_BYTES;
  }

  /** The datagram that must be cleared before `length` bytes from `address` can be held, or NONE when there is room. */
  victim(address: number, length: number): number {
    const need = blocksFor(length);
    const source = this.sourceOf(address);
    if (this.blocks[source]! + need > SOURCE_BLOCKS) return this.oldest[source]!;
    return this.used + need <= BLOCKS ? NONE : this.oldest[this.fullest()]!;
  }

  /** Holds the packet of `length` bytes in `slot`, behind what is held of its datagram. victim() was NONE. */
  hold(datagram: number, address: number, bytes: Bytes, slot: number, length: number, device: number): void {
    const fragment = this.free;
    let block = fragment;
    for (let position = 0; ; ) {
      saveWords(bytes, slot, position, this.words, block * BLOCK_WORDS, wordsIn(length - position));
      position += BLOCK_BYTES;
      if (position >= length) break;
      block = this.nextBlock[block]!;
    }
    this.free = this.nextBlock[block]!;
    this.nextBlock[block] = NONE;
    this.length[fragment] = length;
    this.device[fragment] = device;
    this.nextFragment[fragment] = NONE;
    if (this.head[datagram] === NONE) {
      this.head[datagram] = fragment;
      this.link(datagram, this.sourceOf(address));
    } else {
      this.nextFragment[this.tail[datagram]!] = fragment;
    }
    this.tail[datagram] = fragment;
    this.take(this.source[datagram]!, blocksFor(length));
    this.count++;
  }

  /** The fragment of a datagram that came first, or NONE. */
  next(datagram: number): number {
    return this.head[datagram]!;
  }

  lengthOf(fragment: number): number {
    return this.length[fragment]!;
  }

  /** The device it came from. */
  deviceOf(fragment: number): number {
    return this.device[fragment]!;
  }

  /** Puts a held fragment into a slot. */
  load(fragment: number, bytes: Bytes, slot: number): void {
    const length = this.length[fragment]!;
    for (let position = 0, block = fragment; position < length; position += BLOCK_BYTES) {
      loadWords(bytes, slot, position, this.words, block * BLOCK_WORDS, wordsIn(length - position));
      block = this.nextBlock[block]!;
    }
  }

  /** The first `words` words of a held fragment, of its first block at most. */
  copyHead(fragment: number, to: Int32Array, at: number, words: number): void {
    for (let i = 0; i < words; i++) to[at + i] = this.words[fragment * BLOCK_WORDS + i]!;
  }

  /** Forgets the fragment of a datagram that came first. */
  drop(datagram: number): void {
    const fragment = this.head[datagram]!;
    let block = fragment;
    while (this.nextBlock[block] !== NONE) block = this.nextBlock[block]!;
    this.nextBlock[block] = this.free;
    this.free = fragment;
    this.take(this.source[datagram]!, -blocksFor(this.length[fragment]!));
    this.count--;
    this.head[datagram] = this.nextFragment[fragment]!;
    if (this.head[datagram] === NONE) this.unlink(datagram);
  }

  /** Forgets all that is held of a datagram. Returns how many fragments that were. */
  clear(datagram: number): number {
    const before = this.count;
    while (this.head[datagram] !== NONE) this.drop(datagram);
    return before - this.count;
  }

  /** The oldest datagram of source `source` (0 to SOURCES - 1), or NONE: for expiry. */
  oldestOf(source: number): number {
    return this.oldest[source]!;
  }

  get sources(): number {
    return SOURCES;
  }

  private take(source: number, blocks: number): void {
    this.used += blocks;
    this.blocks[source]! += blocks;
  }

  private link(datagram: number, source: number): void {
    const before = this.newest[source]!;
    this.source[datagram] = source;
    this.older[datagram] = before;
    this.newer[datagram] = NONE;
    this.newest[source] = datagram;
    if (before === NONE) this.oldest[source] = datagram;
    else this.newer[before] = datagram;
  }

  private unlink(datagram: number): void {
    const source = this.source[datagram]!;
    const older = this.older[datagram]!;
    const newer = this.newer[datagram]!;
    if (older === NONE) this.oldest[source] = newer;
    else this.newer[older] = newer;
    if (newer === NONE) this.newest[source] = older;
    else this.older[newer] = older;
  }

  private fullest(): number {
    let fullest = 0;
    for (let source = 1; source < SOURCES; source++) {
      if (this.blocks[source]! > this.blocks[fullest]!) fullest = source;
    }
    return fullest;
  }

  private sourceOf(address: number): number {
    return hashTuple(address, 0, 0, 0, this.key0, this.key1) & (SOURCES - 1);
  }
}

function blocksFor(length: number): number {
  return Math.ceil(length / BLOCK_BYTES);
}

/** Words of a block that `left` bytes take. */
function wordsIn(left: number): number {
  return left >= BLOCK_BYTES ? BLOCK_WORDS : (left + 3) >> 2;
}
