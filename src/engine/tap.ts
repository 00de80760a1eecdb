/**
 * The tap: while somebody captures or traces, it writes the packets that match into a ring (tap-ring.ts), as they came and as they left,
 * with all that was decided about them.
 *
 *     process(), for each packet:   begin() ─▶ the engine handles it ─▶ end();   at last publish
 *
 * A packet is rewritten in its slot, so it is copied before it is handled, and the copy is given up when it turns out not to match. What
 * matches is the packet as it came or as it leaves: that of a flow that is there already is known before. A packet that left belongs to the
 * one during whose handling it was sent: held fragments to the first one, an ICMP error to what it answers.
 *
 * Invariant: it changes nothing that the engine goes by (test/engine/tap.test.ts runs engines with and without). Off, it costs a branch
 * a batch. Limits: 8 subscribers; on, packets are handled one by one, and each is copied unless its flow is known not to match.
 */
import {
  C_CREATED,
  COLD,
  H_DESTINATION,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import { OK } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { KIND_FLOW, KIND_FRAGMENT, M_HANDLE, M_KIND, M_REASON, META } from '../wire/parse.ts';
import { VNET_GSO_SIZE, VNET_GSO_TYPE, VNET_HEADER } from '../wire/vnet.ts';
import { OUT_LIST, packetOffset } from './arena.ts';
import { HANDED_BACK, HANDED_OFF } from './counters.ts';
import type { FirewallGate } from './firewall-gate.ts';
import type { FragmentPath } from './fragment-path.ts';
import type { HandOff } from './hand-off.ts';
import type { Lookup } from './lookup.ts';
import type { OutList } from './out-list.ts';
import { copyPacket, lengthOf, write } from './tap-copy.ts';
import { TapFacts, type TapFactsParts } from './tap-facts.ts';
import { meets, PRIVATE_SIDE, PUBLIC_SIDE, type TapFilter } from './tap-filter.ts';
import {
  KIND_IN,
  KIND_OUT,
  T_CAUSE,
  T_DESTINATION,
  T_DEVICE,
  T_FLAGS,
  T_LENGTH,
  T_PORTS,
  T_PROTOCOL,
  T_SEQUENCE,
  T_SNAP,
  T_SOURCE,
  T_VNET,
  TAP_FROM_WORKER,
  TAP_HEADER,
  TAP_HELD,
  TAP_MADE,
  TAP_NEW,
  TAP_PUBLIC,
  TAP_RELATED,
  TAP_TO_HOST,
  TAP_TO_WORKER,
} from './tap-record.ts';
import { TapRing, tapPlaces, tapWordsOf } from './tap-ring.ts';

/** Subscribers of a tap. */
export const MAX_TAPS = 8;
const NONE = -1;

export interface TapParts {
  out: OutList;
  counters: Float64Array;
  handOff: HandOff | null;
  lookup: Lookup;
  fragments: FragmentPath;
  /** The engine: handles packets [from, count) of the in list; returns the first that was not. */
  handle: (from: number, count: number, now: number) => number;
  /** ms since 1970, with fractions. */
  clock: () => number;
}

export class Tap {
  /** Somebody captures or traces. */
  isOn = false;
  private readonly parts: TapParts;
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;
  private readonly hot: Int32Array;
  private readonly cold: Int32Array;
  private readonly gate: FirewallGate;
  private readonly side: Int32Array;
  /** Of the packet that is being handled. */
  private readonly record: TapFacts;
  private readonly ring: TapRing;
  /** By subscriber. */
  private programs: Int32Array[] = [];
  private droppedOnly: boolean[] = [];
  private sides: number[] = [];
  private snap = 0;
  /** Of the packet that is being handled: its copy's record, who wants it, its flow, what had been counted. */
  private copy = NONE;
  private wanted = 0;
  private handle = NONE;
  private life = 0;
  private reason = OK;
  private cause = NONE;
  private handedBack = 0;
  private handedOff = 0;

  /** `memory`: a formatted tap (tap-ring.ts). */
  constructor(memory: ArrayBuffer, facts: TapFactsParts, parts: TapParts) {
    this.parts = parts;
    this.bytes = facts.bytes;
    this.meta = facts.meta;
    this.gate = facts.gate;
    this.side = facts.devices.side;
    this.hot = facts.sessions.table.hot;
    this.cold = facts.sessions.table.cold;
    this.record = new TapFacts(facts);
    this.ring = new TapRing(memory, tapPlaces(tapWordsOf(new Int32Array(memory, 0, 16))).tap);
  }

  /** Who captures or traces from now on: at most MAX_TAPS. */
  set(filters: readonly TapFilter[]): void {
    const some = filters.slice(0, MAX_TAPS);
    this.programs = some.map(({ program }) => Int32Array.from(program));
    this.droppedOnly = some.map(({ dropped }) => dropped);
    this.sides = some.map(({ sides }) => sides);
    this.snap = Math.max(0, ...some.map(({ snapLength }) => snapLength));
    this.isOn = some.length > 0;
  }

  /** Engine.process(), one packet after the other. */
  process(from: number, count: number, now: number): number {
    const { out, fragments, lookup, handle, clock } = this.parts;
    this.record.time(clock());
    let i = from;
    while (i < count) {
      const m = i * META;
      const sent = out.count;
      const isReleasing = fragments.isReleasing;
      if (!isReleasing) {
        lookup.batch(i, i + 1);
        this.begin(i, m);
      }
      const done = handle(i, i + 1, now);
      if (isReleasing) {
        // The packet had been handled; what waited for it leaves.
        this.more(i, sent);
      } else if (done > i || fragments.isReleasing) {
        this.end(i, m, sent, now);
      } else {
        // It will come again.
        this.undo();
      }
      if (done === i) break;
      i = done;
    }
    this.ring.publish();
    return i;
  }

  /** The packet that is being handled was dropped. */
  dropped(reason: number): void {
    this.reason = reason;
  }

  /** The packet of row `m` in `slot` is about to be handled; it has been looked up. */
  private begin(slot: number, m: number): void {
    const { meta, hot, parts } = this;
    const handle = meta[m + M_REASON] === OK && meta[m + M_KIND] === KIND_FLOW ? meta[m + M_HANDLE]! : NONE;
    this.handle = handle;
    this.life = handle < 0 ? 0 : hot[(handle >> 1) * HOT + H_SEQUENCE]!;
    this.reason = OK;
    this.copy = NONE;
    this.handedBack = parts.counters[HANDED_BACK]!;
    this.handedOff = parts.counters[HANDED_OFF]!;
    this.gate.decidedBy = NONE;
    const length = lengthOf(this.bytes, this.meta, slot, m);
    this.record.packet(m, slot, length);
    this.record.before(handle);
    this.wanted = this.matching(m, handle);
    // Whether a packet without a flow matches as it leaves is not known yet.
    if (handle >= 0 && !this.mayNeedCopy(this.wanted)) return;
    this.copyIn(slot, length);
  }

  /** The packet has been handled. `from`: first entry of the out list that was made meanwhile. */
  private end(slot: number, m: number, from: number, now: number): void {
    const { meta, record, parts, ring } = this;
    const { facts } = record;
    const handle = meta[m + M_REASON] === OK ? meta[m + M_HANDLE]! : NONE;
    const isNew = handle >= 0 && this.isNew(m, handle, now);
    const { reason } = this;
    if (handle >= 0) this.wanted |= this.matchingLeft(m, handle);
    for (let i = 0; i < this.droppedOnly.length; i++) {
      if (reason === OK && this.droppedOnly[i]!) this.wanted &= ~(1 << i);
    }
    if (this.wanted === 0) {
      if (this.copy !== NONE) ring.cancel();
      this.copy = NONE;
      return;
    }
    record.outcome(m, reason, isNew && reason === OK, this.gate.decidedBy);
    const { counters, handOff, out } = parts;
    let flags = facts[T_FLAGS]!;
    if (isNew && reason === OK) flags |= TAP_NEW;
    if (handOff?.isGiven(slot) === true) flags |= TAP_FROM_WORKER;
    if (counters[HANDED_BACK]! > this.handedBack) flags |= TAP_TO_HOST;
    else if (counters[HANDED_OFF]! > this.handedOff) flags |= TAP_TO_WORKER;
    else if (reason === OK && meta[m + M_KIND] === KIND_FRAGMENT && out.count === from) flags |= TAP_HELD;
    facts[T_FLAGS] = flags;
    this.cause = this.finishIn(slot, m);
    this.more(slot, from);
  }

  /** More has left because of the packet of end(): entries of the out list from `from` on. */
  private more(slot: number, from: number): void {
    if (this.wanted === 0) return;
    const { i32 } = this.bytes;
    for (let entry = from; entry < this.parts.out.count; entry++) {
      const at = (OUT_LIST >> 2) + entry * 2;
      this.left(i32[at]! >>> 16, i32[at]! & 0xffff, i32[at + 1]!, slot);
    }
  }

  private undo(): void {
    if (this.copy !== NONE) this.ring.cancel();
    this.copy = NONE;
  }

  /** Which subscribers want the packet as it came; of one with a flow, or as it will leave. */
  private matching(m: number, handle: number): number {
    const { facts } = this.record;
    const hasPorts = this.hasPorts(m);
    let wanted = 0;
    for (let i = 0; i < this.programs.length; i++) {
      const is = meets(
        this.programs[i]!,
        facts[T_PROTOCOL]!,
        facts[T_SOURCE]!,
        facts[T_DESTINATION]!,
        facts[T_PORTS]!,
        hasPorts,
      );
      if (is) wanted |= 1 << i;
    }
    return handle < 0 ? wanted : wanted | this.matchingLeft(m, handle);
  }

  /** Which want the packet of this flow as it leaves; an ICMP error, as what it is about, which went the other way. */
  private matchingLeft(m: number, handle: number): number {
    const h = (handle >> 1) * HOT;
    const other = h + TUPLE - (handle & 1) * TUPLE;
    if ((this.record.facts[T_FLAGS]! & TAP_RELATED) === 0)
      return this.meeting(h, other, true, this.hasPorts(m));
    const own = h + (handle & 1) * TUPLE;
    return this.meeting(h, other, false, true) | this.meeting(h, own, true, true);
  }

  /** Which want a packet of the tuple at `t` of the flow record at `h`, or of its inverse. */
  private meeting(h: number, t: number, isInverse: boolean, hasPorts: boolean): number {
    const { hot } = this;
    const protocol = hot[h + H_STATUS]! & 0xff;
    const source = isInverse ? hot[t + H_DESTINATION]! : hot[t]!;
    const destination = isInverse ? hot[t]! : hot[t + H_DESTINATION]!;
    const ports = isInverse ? invertPorts(protocol, hot[t + H_PORTS]!) : hot[t + H_PORTS]!;
    let wanted = 0;
    for (let i = 0; i < this.programs.length; i++) {
      if (meets(this.programs[i]!, protocol, source, destination, ports, hasPorts)) wanted |= 1 << i;
    }
    return wanted;
  }

  private hasPorts(m: number): boolean {
    return this.meta[m + M_REASON] !== OK || this.meta[m + M_KIND] !== KIND_FRAGMENT;
  }

  /** Whether somebody wants it even if it is not dropped. What is dropped can be copied afterwards. */
  private mayNeedCopy(wanted: number): boolean {
    for (let i = 0; i < this.droppedOnly.length; i++) {
      if ((wanted & (1 << i)) !== 0 && !this.droppedOnly[i]!) return true;
    }
    return false;
  }

  private copyIn(slot: number, length: number): void {
    const snap = Math.min(length, this.snap);
    const at = write(this.ring, this.record.facts, KIND_IN, snap);
    copyPacket(this.bytes, slot, this.ring.words, at, snap);
    this.copy = at;
  }

  /** Completes the record of the packet as it came, or gives it up where nobody wants that side. Its sequence. */
  private finishIn(slot: number, m: number): number {
    const { ring } = this;
    const { facts } = this.record;
    const { words } = ring;
    if (this.copy === NONE) this.copyIn(slot, lengthOf(this.bytes, this.meta, slot, m));
    const at = this.copy;
    const sequence = words[at + T_SEQUENCE]!;
    if (!this.isSideWanted(facts[T_FLAGS]!)) {
      ring.cancel();
      return -1;
    }
    const snap = words[at + T_SNAP]!;
    for (let i = T_DEVICE; i < TAP_HEADER; i++) words[at + i] = facts[i]!;
    words[at + T_SNAP] = snap;
    return sequence;
  }

  /** A packet of `length` bytes in `slot` is to leave by `device`, because of the one that came in `from`. */
  private left(device: number, slot: number, length: number, from: number): void {
    const { ring, bytes } = this;
    const { facts } = this.record;
    const { words } = ring;
    const side = this.side[device] === 1 ? TAP_PUBLIC : 0;
    if (!this.isSideWanted(side)) return;
    const snap = Math.min(length, this.snap);
    const at = write(ring, facts, KIND_OUT, snap);
    const offset = packetOffset(slot);
    const vnet = offset - VNET_HEADER;
    words[at + T_DEVICE] = device;
    words[at + T_FLAGS] = (facts[T_FLAGS]! & ~TAP_PUBLIC) | side | (slot === from ? 0 : TAP_MADE);
    words[at + T_LENGTH] = length;
    words[at + T_CAUSE] = this.cause;
    words[at + T_VNET] =
      bytes.u8[vnet]! |
      (bytes.u8[vnet + VNET_GSO_TYPE]! << 8) |
      (bytes.u16[(vnet + VNET_GSO_SIZE) >> 1]! << 16);
    copyPacket(bytes, slot, words, at, snap);
  }

  private isSideWanted(flags: number): boolean {
    const side = (flags & TAP_PUBLIC) !== 0 ? PUBLIC_SIDE : PRIVATE_SIDE;
    for (let i = 0; i < this.sides.length; i++) {
      if ((this.wanted & (1 << i)) !== 0 && (this.sides[i]! & side) !== 0) return true;
    }
    return false;
  }

  /** The flow of the packet that has been handled was not there before it. */
  private isNew(m: number, handle: number, now: number): boolean {
    if (this.meta[m + M_KIND] !== KIND_FLOW) return false;
    if (handle >> 1 === this.handle >> 1 && this.life === this.hot[(handle >> 1) * HOT + H_SEQUENCE])
      return false;
    return this.cold[(handle >> 1) * COLD + C_CREATED] === now;
  }
}
