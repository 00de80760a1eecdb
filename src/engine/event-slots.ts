/**
 * Mappings and blocks of ports in the event ring (event-ring.ts): each that has been told of and has not ended has a slot there, which
 * outlives the engine.
 *
 *     begin   record ─▶ slot filled, its first word last
 *     end     record ─▶ first word of the slot 0
 *
 * A record names its slot, so a writer that starts anew does again what the last record says (redo), whether it was done or not; then
 * slots and records agree. When it has made the mappings of the flows that it adopted, settle() compares: a slot without a mapping
 * is told of as ended, a mapping without a slot as begun.
 *
 * Limit: where slots run out, what begins has none, and has no end if the engine is killed.
 */
import { END_LOST, END_MOVED, END_UNUSED } from '../conntrack/end-reasons.ts';
import { OTHER } from '../nat/external-addresses.ts';
import type { MappingWatch } from '../nat/mapping-watch.ts';
import type { Mappings } from '../nat/mappings.ts';
import { swap16 } from '../wire/bytes.ts';
import {
  BLOCK_BEGIN,
  BLOCK_END,
  E_KIND,
  E_OPEN,
  E_SLOT,
  type EventRing,
  H_FRESH,
  MAPPING_BEGIN,
  MAPPING_END,
  S_BEGAN,
  S_EXTERNAL,
  S_INTERNAL,
  S_PORT,
  S_PORTS,
  S_REMOTE,
  S_WHAT,
  SLOT_WORDS,
  WANT_BLOCKS,
  WANT_MAPPINGS,
} from './event-ring.ts';

const NO_SLOT = -1;

export class EventSlots implements MappingWatch {
  private readonly ring: EventRing;
  /** Until settle() it is nobody's. */
  private mappings!: Mappings;
  private isSettled = false;
  private readonly time: () => number;
  /** By mapping. Made when the first one is told of. */
  private slotOf: Int32Array | null = null;
  /** By external address and first port. */
  private readonly blockSlots = new Map<number, number>();
  /** Used before, free again; the first `freeCount` of them. */
  private free = new Int32Array(0);
  private freeCount = 0;

  /** `time`: ms since 1970. */
  constructor(ring: EventRing, time: () => number) {
    this.ring = ring;
    this.time = time;
  }

  mapped(mapping: number): void {
    if ((this.ring.wanted & WANT_MAPPINGS) === 0) return;
    const slot = this.takeSlot();
    if (slot !== NO_SLOT) this.slotsOfMappings()[mapping] = slot;
    const at = this.claim(MAPPING_BEGIN, 0);
    this.describe(at, mapping);
    this.begin(at, slot);
  }

  unmapped(mapping: number): void {
    const slot = this.slotOf === null ? NO_SLOT : this.slotOf[mapping]!;
    if (slot !== NO_SLOT) this.slotOf![mapping] = NO_SLOT;
    else if ((this.ring.wanted & WANT_MAPPINGS) === 0) return;
    if (slot !== NO_SLOT) this.end(slot, END_UNUSED);
    else {
      const at = this.claim(MAPPING_END, END_UNUSED);
      this.describe(at, mapping);
      this.ring.words[at + E_SLOT] = NO_SLOT;
      this.ring.publish(at);
    }
  }

  blockGiven(rule: number, host: number, external: number, first: number, size: number): void {
    if ((this.ring.wanted & WANT_BLOCKS) === 0) return;
    const slot = this.takeSlot();
    if (slot !== NO_SLOT) this.blockSlots.set(blockKey(external, first), slot);
    const at = this.claim(BLOCK_BEGIN, 0);
    const { words } = this.ring;
    words[at + E_OPEN + S_WHAT] = BLOCK_BEGIN | (rule << 16);
    words[at + E_OPEN + S_INTERNAL] = host;
    words[at + E_OPEN + S_PORTS] = first << 16;
    words[at + E_OPEN + S_EXTERNAL] = this.mappings.externals.addressOf(external);
    words[at + E_OPEN + S_REMOTE] = 0;
    words[at + E_OPEN + S_PORT] = first + size - 1;
    words[at + E_OPEN + S_BEGAN] = this.time() / 1000;
    this.begin(at, slot);
  }

  blockReturned(external: number, first: number): void {
    const key = blockKey(external, first);
    const slot = this.blockSlots.get(key);
    if (slot === undefined) return;
    this.blockSlots.delete(key);
    this.end(slot, END_UNUSED);
  }

  /** A flow of the mapping goes by another external address now: what has the old one is told of anew. */
  moved(mapping: number): void {
    if (!this.isSettled) return;
    const { slots } = this.ring;
    const { externals, table, allocator } = this.mappings;
    const number = table.external(mapping);
    const external = externals.addressOf(number);
    const slot = this.slotOf === null ? NO_SLOT : this.slotOf[mapping]!;
    if (slot !== NO_SLOT && slots[slot * SLOT_WORDS + S_EXTERNAL] !== external) {
      this.slotOf![mapping] = NO_SLOT;
      this.end(slot, END_MOVED);
      this.mapped(mapping);
    }
    const rule = this.mappings.rules[table.ruleOf(mapping)];
    const blocks = rule === undefined ? undefined : allocator.blocksOf(rule, number);
    if (blocks === undefined) return;
    const first = blocks.firstOf(table.externalPort(mapping));
    const key = blockKey(number, first);
    const block = this.blockSlots.get(key);
    if (block === undefined || slots[block * SLOT_WORDS + S_EXTERNAL] === external) return;
    this.blockSlots.delete(key);
    this.end(block, END_MOVED);
    this.blockGiven(table.ruleOf(mapping), table.internalAddress(mapping), number, first, blocks.size);
  }

  /** Does what the record at `at` says, if it is about mappings or blocks. */
  redo(at: number): void {
    const { words, slots } = this.ring;
    const kind = words[at + E_KIND]! & 0xff;
    const slot = words[at + E_SLOT]!;
    if (kind < MAPPING_BEGIN || kind > BLOCK_END || slot < 0 || slot * SLOT_WORDS >= slots.length) return;
    if (kind === MAPPING_END || kind === BLOCK_END) slots[slot * SLOT_WORDS + S_WHAT] = 0;
    else this.fill(slot, at);
  }

  /** The mappings of adopted flows have been made: tells what is over, and what is not known yet. From now on it is told of all. */
  settle(mappings: Mappings): void {
    const { ring } = this;
    this.mappings = mappings;
    this.isSettled = true;
    mappings.watch = this;
    if (ring.wanted === 0 && ring.head === 0) return;
    const { slots } = ring;
    const { table, allocator, externals } = mappings;
    const fresh = ring.words[H_FRESH]!;
    const known = new Map<string, number>();
    this.free = new Int32Array(slots.length / SLOT_WORDS);
    for (let slot = fresh - 1; slot >= 0; slot--) {
      const s = slot * SLOT_WORDS;
      if (slots[s + S_WHAT] !== 0) known.set(this.keyOf(slots, s), slot);
      else this.free[this.freeCount++] = slot;
    }
    const words = new Int32Array(EVENT_SLOT);
    table.each((mapping) => {
      if (table.tableOf(mapping) === OTHER) return;
      this.describeTo(words, 0, mapping);
      const key = this.keyOf(words, 0);
      const slot = known.get(key);
      if (slot === undefined) this.mapped(mapping);
      else this.slotsOfMappings()[mapping] = slot;
      known.delete(key);
    });
    allocator.eachBlock((external, first, size, host) => {
      words[S_WHAT] = BLOCK_BEGIN;
      words[S_INTERNAL] = host;
      words[S_PORTS] = first << 16;
      words[S_EXTERNAL] = externals.addressOf(external);
      words[S_REMOTE] = 0;
      words[S_PORT] = first + size - 1;
      const key = this.keyOf(words, 0);
      const slot = known.get(key);
      const rule = mappings.rules.findIndex((each) => each?.externals.includes(external) === true);
      if (slot === undefined) this.blockGiven(Math.max(rule, 0), host, external, first, size);
      else this.blockSlots.set(blockKey(external, first), slot);
      known.delete(key);
    });
    for (const slot of known.values()) this.end(slot, END_LOST);
  }

  /** Ends all that is open. `room`: is called before each record. */
  endAll(why: number, room: () => void): void {
    const { slots, words } = this.ring;
    for (let slot = 0; slot < words[H_FRESH]!; slot++) {
      if (slots[slot * SLOT_WORDS + S_WHAT] === 0) continue;
      room();
      this.end(slot, why);
    }
  }

  private begin(at: number, slot: number): void {
    this.ring.words[at + E_SLOT] = slot;
    this.ring.publish(at);
    if (slot !== NO_SLOT) this.fill(slot, at);
  }

  private fill(slot: number, at: number): void {
    const { words, slots } = this.ring;
    const s = slot * SLOT_WORDS;
    for (let i = S_WHAT + 1; i < EVENT_SLOT; i++) slots[s + i] = words[at + E_OPEN + i]!;
    slots[s + S_WHAT] = words[at + E_OPEN + S_WHAT]!;
  }

  /** Tells of the end of what is in a slot, where that is wanted, and frees it. */
  private end(slot: number, why: number): void {
    const { ring } = this;
    const { words, slots, wanted } = ring;
    const s = slot * SLOT_WORDS;
    const isBlock = (slots[s + S_WHAT]! & 0xff) === BLOCK_BEGIN;
    if ((wanted & (isBlock ? WANT_BLOCKS : WANT_MAPPINGS)) !== 0) {
      const at = this.claim(isBlock ? BLOCK_END : MAPPING_END, why);
      for (let i = 0; i < EVENT_SLOT; i++) words[at + E_OPEN + i] = slots[s + i]!;
      words[at + E_SLOT] = slot;
      ring.publish(at);
    }
    slots[s + S_WHAT] = 0;
    if (this.freeCount < this.free.length) this.free[this.freeCount++] = slot;
  }

  private claim(kind: number, why: number): number {
    return this.ring.claim(kind | (why << 16), this.time());
  }

  private describe(at: number, mapping: number): void {
    this.describeTo(this.ring.words, at + E_OPEN, mapping);
    this.ring.words[at + E_OPEN + S_BEGAN] = this.time() / 1000;
  }

  private describeTo(words: Int32Array, at: number, mapping: number): void {
    const { table, externals } = this.mappings;
    words[at + S_WHAT] = MAPPING_BEGIN | (table.tableOf(mapping) << 8) | (table.ruleOf(mapping) << 16);
    words[at + S_INTERNAL] = table.internalAddress(mapping);
    words[at + S_PORTS] = swap16(table.internalPort(mapping)) | (table.externalPort(mapping) << 16);
    words[at + S_EXTERNAL] = externals.addressOf(table.external(mapping));
    words[at + S_REMOTE] = table.remote(mapping);
    words[at + S_PORT] = swap16(table.remotePort(mapping));
  }

  /** All but the rule, whose number may be another in the next engine. */
  private keyOf(words: Int32Array, at: number): string {
    return `${words[at + S_WHAT]! & 0xffff} ${words.subarray(at + S_WHAT + 1, at + S_BEGAN).join(' ')}`;
  }

  private takeSlot(): number {
    if (this.freeCount > 0) return this.free[--this.freeCount]!;
    const { words, slots } = this.ring;
    const fresh = words[H_FRESH]!;
    if ((fresh + 1) * SLOT_WORDS > slots.length) return NO_SLOT;
    if (this.free.length === 0) this.free = new Int32Array(slots.length / SLOT_WORDS);
    words[H_FRESH] = fresh + 1;
    return fresh;
  }

  private slotsOfMappings(): Int32Array {
    this.slotOf ??= new Int32Array(this.mappings.table.capacity).fill(NO_SLOT);
    return this.slotOf;
  }
}

/** Words of a slot that are used. */
const EVENT_SLOT = S_BEGAN + 1;

function blockKey(external: number, first: number): number {
  return external * 65536 + first;
}
