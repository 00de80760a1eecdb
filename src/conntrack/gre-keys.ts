/**
 * Which call a packet of enhanced GRE (RFC 2637 4.1) belongs to. It carries only the call id that its receiver has
 * chosen; the sender's was told on the control connection. With both, GRE has tuples as TCP has, and two hosts may
 * have calls with the same server.
 *
 *     (source, destination, receiver's id)  →  ports word: sender's id | receiver's id << 16, in wire order
 *
 * Limits: 4096 entries, four a call (two directions, as they come and as they leave). Empty, it costs nothing but the look at `count`.
 */
import { PROTO_GRE } from '../wire/ipv4.ts';
import { TagIndex } from './tag-index.ts';
import { hashTuple } from './tuple.ts';

const MAX_KEYS = 4096;
const ENTRY = 4;

/** Offset from the GRE header. */
export const GRE_CALL_ID = 6;
const GRE_HEADER = 8;
/** Key present, version 1; protocol PPP. */
const KEY_AND_VERSION = 0x2007;
const ENHANCED = 0x2001;
const PPP = 0x0b88;

/** The receiver's call id (wire order) of the GRE packet of `length` bytes at `l4`; -1 when it is no enhanced GRE. */
export function callIdOf(u8: Uint8Array, u16: Uint16Array, l4: number, length: number): number {
  if (length < GRE_HEADER || u16[(l4 + 2) >> 1] !== PPP) return -1;
  const flags = (u8[l4]! << 8) | u8[l4 + 1]!;
  return (flags & KEY_AND_VERSION) === ENHANCED ? u16[(l4 + GRE_CALL_ID) >> 1]! : -1;
}

export class GreKeys {
  count = 0;
  private readonly entries = new Int32Array(MAX_KEYS * ENTRY);
  private readonly free = Array.from({ length: MAX_KEYS }, (_, i) => MAX_KEYS - 1 - i);
  private readonly index = new TagIndex(new Int32Array(TagIndex.slots(MAX_KEYS)), MAX_KEYS);
  private readonly key0: number;
  private readonly key1: number;
  private readonly hashOf = (entry: number) =>
    this.hash(
      this.entries[entry * ENTRY]!,
      this.entries[entry * ENTRY + 1]!,
      this.entries[entry * ENTRY + 2]!,
    );

  constructor(seed: readonly [number, number]) {
    this.key0 = seed[0];
    this.key1 = seed[1];
  }

  /** Tells the sender's id of a direction. False when there is no room. */
  add(source: number, destination: number, receiverId: number, senderId: number): boolean {
    const known = this.find(source, destination, receiverId);
    const entry = known >= 0 ? known : this.free.pop();
    if (entry === undefined) return false;
    this.entries.set([source, destination, receiverId, senderId | (receiverId << 16)], entry * ENTRY);
    if (known >= 0) return true;
    this.index.insert(this.hash(source, destination, receiverId), entry);
    this.count++;
    return true;
  }

  remove(source: number, destination: number, receiverId: number): void {
    const entry = this.find(source, destination, receiverId);
    if (entry < 0) return;
    this.index.remove(this.hash(source, destination, receiverId), entry, this.hashOf);
    this.free.push(entry);
    this.count--;
  }

  /** The ports word of a packet; 0 for a call that nobody told of. */
  portsOf(source: number, destination: number, receiverId: number): number {
    const entry = this.find(source, destination, receiverId);
    return entry < 0 ? 0 : this.entries[entry * ENTRY + 3]!;
  }

  private find(source: number, destination: number, receiverId: number): number {
    const { entries, index } = this;
    const hash = this.hash(source, destination, receiverId);
    let slot = index.seek(hash, hash);
    while (slot >= 0) {
      const entry = index.valueAt(slot);
      const at = entry * ENTRY;
      if (entries[at] === source && entries[at + 1] === destination && entries[at + 2] === receiverId) {
        return entry;
      }
      slot = index.seek(hash, slot + 1);
    }
    return -1;
  }

  private hash(source: number, destination: number, receiverId: number): number {
    return hashTuple(source, destination, receiverId, PROTO_GRE, this.key0, this.key1);
  }
}
