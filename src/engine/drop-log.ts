/**
 * The log of dropped packets, always on: first bytes, reason, and for want of what, into a ring that other processes read (tap-ring.ts).
 *
 * In a flood of packets to be dropped only some are written: 4 of a batch, 512 in a tenth of a second; the others are counted as left
 * out. So what it costs is bounded however many come (docs/decisions.md has the figures). What the device dropped is not here: only its
 * counters know.
 */
import { FIREWALL_DROP, FIREWALL_REJECT } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import type { FirewallGate } from './firewall-gate.ts';
import type { FragmentStore } from './fragment-store.ts';
import { copyPacket, lengthOf, write } from './tap-copy.ts';
import { TapFacts, type TapFactsParts } from './tap-facts.ts';
import { KIND_DROP, T_DESTINATION, T_HANDLE, T_PROTOCOL, T_SOURCE, TAP_HEADER } from './tap-record.ts';
import { TapRing, tapPlaces, tapWordsOf } from './tap-ring.ts';

/** Bytes of a dropped packet. */
export const DROP_SNAP = 96;
const PER_BATCH = 4;
const WINDOW_MS = 100;
const PER_WINDOW = 512;

export class DropLog {
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;
  private readonly clock: () => number;
  private readonly gate: FirewallGate;
  private readonly record: TapFacts;
  private readonly ring: TapRing;
  private budget = PER_BATCH;
  private windowFrom: number;
  private window = PER_WINDOW;
  private timedAt: number;
  /** Since the last tick(). */
  private leftOut = 0;

  /** `memory`: a formatted tap; `clock`: ms since 1970; `now`: ms of the engine's clock. */
  constructor(memory: ArrayBuffer, parts: TapFactsParts, clock: () => number, now: number) {
    this.bytes = parts.bytes;
    this.meta = parts.meta;
    this.clock = clock;
    this.gate = parts.gate;
    this.record = new TapFacts(parts);
    this.ring = new TapRing(memory, tapPlaces(tapWordsOf(new Int32Array(memory, 0, 16))).drops);
    this.windowFrom = now;
    this.timedAt = (now - 1) | 0;
  }

  /** A batch begins. */
  refill(now: number): void {
    if (((now - this.windowFrom) | 0) >= WINDOW_MS) {
      this.windowFrom = now;
      this.window = PER_WINDOW;
    }
    this.budget = Math.min(PER_BATCH, this.window);
  }

  /** Whether one more packet is written. Small, for it is asked in the hot loop; what is written is apart, and rare in a flood. */
  mayWrite(): boolean {
    if (this.budget > 0) return true;
    this.leftOut++;
    return false;
  }

  /** The packet of row `m` in `slot` has been dropped, and mayWrite(). */
  write(slot: number, m: number, reason: number, now: number): void {
    this.spend(now);
    const { record, ring } = this;
    const length = lengthOf(this.bytes, this.meta, slot, m);
    record.packet(m, slot, length);
    const isBarred = reason === FIREWALL_DROP || reason === FIREWALL_REJECT;
    record.outcome(m, reason, false, isBarred ? this.gate.decidedBy : -1);
    record.before(record.facts[T_HANDLE]!);
    const snap = Math.min(length, DROP_SNAP);
    const at = write(ring, record.facts, KIND_DROP, snap);
    copyPacket(this.bytes, slot, ring.words, at, snap);
    ring.publish();
  }

  /** A fragment that waited for its first one will not leave, and mayWrite(). */
  writeHeld(store: FragmentStore, fragment: number, reason: number, now: number): void {
    this.spend(now);
    const { record, ring } = this;
    const length = store.lengthOf(fragment);
    const snap = Math.min(length, DROP_SNAP);
    record.held(store.deviceOf(fragment), length, reason);
    const at = write(ring, record.facts, KIND_DROP, snap);
    store.copyHead(fragment, ring.words, at + TAP_HEADER, (snap + 3) >> 2);
    addressesOf(ring.words, at);
    ring.publish();
  }

  /** Once a batch. */
  tick(): void {
    if (this.leftOut === 0) return;
    this.ring.leaveOut(this.leftOut);
    this.leftOut = 0;
  }

  private spend(now: number): void {
    this.budget--;
    this.window--;
    if (now === this.timedAt) return;
    this.timedAt = now;
    this.record.time(this.clock());
  }
}

/** Puts the addresses of the packet behind the header of a record into it. */
function addressesOf(words: Int32Array, at: number): void {
  const packet = at + TAP_HEADER;
  words[at + T_PROTOCOL] = (words[packet + 2]! >>> 8) & 0xff;
  words[at + T_SOURCE] = words[packet + 3]!;
  words[at + T_DESTINATION] = words[packet + 4]!;
}
