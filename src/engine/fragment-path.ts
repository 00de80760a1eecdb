/**
 * Fragments on their way through the engine (RFC 4787 REQ-14): the first decides, later ones follow it, and those that came
 * before it are held until it comes.
 *
 *     beginFirst() ─▶ the engine's ways for packets with ports, decide() ─▶ endFirst() ─▶ release()
 *     later()      ─▶ verdict known: pass    not yet: hold    overlapping, contradictory, too many: drop the datagram
 *
 * The first fragment leaves first, then what was held in order of arrival. A release that needs more slots than are
 * free goes on after the out list has been written (Engine.process), before any other packet: so nothing overtakes it.
 *
 * On the public side a datagram may be the host's: its fragments are held as well, and handed back behind the first one. What is
 * the host's is the host's to judge, overlaps included. Held fragments whose first does not come within 30 s are dropped.
 */
import { type FlowTable, H_SEQUENCE, HOT } from '../conntrack/flow-table.ts';
import {
  DROPPED,
  DUPLICATE,
  FOR_HOST,
  FRESH,
  Fragments,
  fragmentKey,
  HANDED,
  NO_ID,
  OVERLAP,
  UNKNOWN,
} from '../conntrack/fragments.ts';
import type { Tracker } from '../conntrack/tracker.ts';
import {
  ADDRESS_GONE,
  FRAGMENT_DUPLICATE,
  FRAGMENT_FIRST_MISSING,
  FRAGMENT_LIMIT,
  FRAGMENT_OVERLAP,
  FRAGMENT_TIMEOUT,
  MARTIAN_SOURCE,
  NO_SLOT,
  OK,
} from '../core/reasons.ts';
import { type IpIds, setIpId } from '../nat/ip-id.ts';
import { translateHeader } from '../nat/translate.ts';
import { PRIVATE, PUBLIC } from '../policy/admission.ts';
import { be16 } from '../wire/bytes.ts';
import {
  FRAGMENT_OFFSET,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_ID,
  IP_PROTOCOL,
  IP_SOURCE,
  MORE_FRAGMENTS,
} from '../wire/ipv4.ts';
import {
  KIND_FRAGMENT,
  M_DESTINATION,
  M_DEVICE,
  M_FRAGMENT,
  M_HANDLE,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PROTOCOL,
  M_SOURCE,
  META,
} from '../wire/parse.ts';
import { VNET_HEADER } from '../wire/vnet.ts';
import { BATCH, packetOffset, SLOTS } from './arena.ts';
import { DROPS, FRAGMENTS_HELD } from './counters.ts';
import type { Devices } from './devices.ts';
import type { DropLog } from './drop-log.ts';
import { adoptFragments } from './fragment-adoption.ts';
import { FragmentStore, NONE } from './fragment-store.ts';
import type { HandOff } from './hand-off.ts';
import type { FragmentLosses } from './losses.ts';
import type { OutList } from './out-list.ts';
import { DEFER, type Path } from './path.ts';
import type { State } from './state.ts';

/** Row of a held fragment while it is released, in the engine's meta. */
export const RELEASE_ROW = BATCH + 1;
/** How often expiry looks, ms. */
const EXPIRY_INTERVAL_MS = 250;

export interface FragmentPathParts {
  devices: Devices;
  tracker: Tracker;
  path: Path;
  out: OutList;
  meta: Int32Array;
  counters: Float64Array;
  /** For what is known of datagrams in flight. */
  state: State;
}

export class FragmentPath {
  private readonly devices: Devices;
  private readonly table: FlowTable;
  private readonly tracker: Tracker;
  private readonly path: Path;
  private readonly out: OutList;
  private readonly meta: Int32Array;
  private readonly counters: Float64Array;
  private readonly fragments: Fragments;
  private readonly store: FragmentStore;
  /** Of an earlier engine, and not taken over. */
  readonly lost: FragmentLosses;
  /** The datagram whose first fragment the engine is handling. */
  private current = UNKNOWN;
  /** The datagram whose held fragments are leaving, and whether that is all there is of it. */
  private releasing = UNKNOWN;
  private complete = false;
  private nextExpiry: number;
  /** Several workers: where the fragments go whose first one was another worker's. */
  handOff: HandOff | null = null;
  /** Writes down what is dropped. */
  drops: DropLog | null = null;
  /** ms, of the packet that is being handled. */
  private now: number;

  constructor(parts: FragmentPathParts, now: number) {
    this.devices = parts.devices;
    this.table = parts.tracker.table;
    this.tracker = parts.tracker;
    this.path = parts.path;
    this.out = parts.out;
    this.meta = parts.meta;
    this.counters = parts.counters;
    const { state } = parts;
    this.fragments = new Fragments(state.seed, state.fragments);
    this.store = new FragmentStore(state.seed);
    this.fragments.onForget = (datagram, expired) => this.forget(datagram, expired);
    this.nextExpiry = now;
    this.now = now;
    // What an earlier process held is lost with it.
    const held = this.counters[FRAGMENTS_HELD]!;
    this.lost = { held, datagrams: adoptFragments(this.fragments, this.table, state, now) };
    this.counters[DROPS + FRAGMENT_TIMEOUT]! += held;
    this.counters[FRAGMENTS_HELD] = 0;
  }

  /** Held fragments are leaving, and slots ran out: release() must be called before any other packet is handled. */
  get isReleasing(): boolean {
    return this.releasing !== UNKNOWN;
  }

  /** Bytes of memory that hold fragments now. */
  get heldBytes(): number {
    return this.store.bytes;
  }

  /** A first fragment is about to be handled: OK, or why it must not be. */
  beginFirst(m: number, now: number): number {
    const { fragments } = this;
    this.now = now;
    if (this.handOff?.isQuestion(m / META) === true) {
      // The datagram is another worker's.
      this.current = UNKNOWN;
      return OK;
    }
    const datagram = this.open(m, now);
    const verdict = fragments.verdict(datagram);
    if (verdict === DROPPED && fragments.sequence(datagram) !== FRAGMENT_FIRST_MISSING) {
      return fragments.sequence(datagram);
    }
    // Nothing of it was sent on, or the host judges: its identification may begin anew.
    if (verdict === DROPPED || verdict === FOR_HOST) fragments.restart(datagram, now);
    const relation = this.examine(datagram, m);
    if (relation === DUPLICATE) return FRAGMENT_DUPLICATE;
    if (relation === OVERLAP) return this.giveUp(datagram, FRAGMENT_OVERLAP);
    this.current = datagram;
    return OK;
  }

  /** What becomes of the datagram whose first fragment is being handled: see Fragments.decide(). */
  decide(verdict: number, sequence: number): void {
    if (this.current !== UNKNOWN) this.fragments.decide(this.current, verdict, sequence);
  }

  /**
   * A datagram that is, or may be, fragmented leaves the public side with an identification of its own (RFC 6864 5.3.1); what follows
   * the first fragment that is being handled will have it, too.
   */
  renumber(m: number, egress: number, ids: IpIds): void {
    const { meta, path } = this;
    if (this.devices.side[path.deviceOf(egress)] !== PUBLIC) return;
    const id = ids.renumber(this.out.bytes, meta[m + M_OFFSET]!, meta[m + M_LENGTH]!, path.mtuOf(egress));
    if (meta[m + M_FRAGMENT] !== 0 && this.current !== UNKNOWN) this.fragments.setId(this.current, id);
  }

  /** The first fragment of row `m` has been handled, with this outcome. */
  endFirst(m: number, reason: number, now: number): void {
    const datagram = this.current;
    if (reason === DEFER || datagram === UNKNOWN || this.handOff?.takeAsked() === true) return;
    if (reason !== OK) {
      // What follows a dropped first fragment is no use to anybody, the host included.
      this.giveUp(datagram, FRAGMENT_FIRST_MISSING);
      return;
    }
    this.complete = this.cover(datagram, m);
    this.releasing = datagram;
    this.release(now);
  }

  /** A later fragment: OK (sent, handed back or held), a drop reason, or DEFER. */
  later(slot: number, m: number, now: number): number {
    const { fragments } = this;
    this.now = now;
    const datagram = this.open(m, now);
    const verdict = fragments.verdict(datagram);
    if (verdict === DROPPED) return fragments.sequence(datagram);
    const relation = this.examine(datagram, m);
    if (relation !== FRESH && verdict !== FOR_HOST) {
      return relation === DUPLICATE ? FRAGMENT_DUPLICATE : this.giveUp(datagram, FRAGMENT_OVERLAP);
    }
    if (verdict === UNKNOWN) return this.hold(datagram, slot, m);
    const reason = this.pass(datagram, slot, m, now);
    if (reason === OK && relation === FRESH && this.cover(datagram, m)) fragments.free(datagram);
    return reason;
  }

  /** Sends what is held of the datagram that is being released. False: slots ran out, come again. */
  release(now: number): boolean {
    const { store, out } = this;
    const datagram = this.releasing;
    let slot = NONE;
    for (let held = store.next(datagram); held !== NONE; held = store.next(datagram)) {
      if (slot === NONE) {
        if (out.freeSlots === 0) return false;
        slot = out.takeSlot();
      }
      this.load(held, slot);
      let reason = this.pass(datagram, slot, RELEASE_ROW * META, now);
      if (reason === DEFER) {
        if (out.freeSlots < SLOTS - BATCH - 1) return false;
        // All slots but its own were free, and they do not suffice.
        reason = NO_SLOT;
      }
      store.drop(datagram);
      if (reason === OK) slot = NONE;
      else {
        this.counters[DROPS + reason]!++;
        if (this.drops?.mayWrite() === true) this.drops.write(slot, RELEASE_ROW * META, reason, now);
      }
    }
    this.releasing = UNKNOWN;
    if (this.complete) this.fragments.free(datagram);
    return true;
  }

  /** Drops what has waited too long for its first fragment; brings the gauge up to date. */
  expire(now: number): void {
    const { store } = this;
    this.now = now;
    if (store.count !== 0 && ((now - this.nextExpiry) | 0) >= 0) {
      this.nextExpiry = (now + EXPIRY_INTERVAL_MS) | 0;
      for (let source = 0; source < store.sources; source++) this.expireSource(source, now);
    }
    this.counters[FRAGMENTS_HELD] = store.count;
  }

  private expireSource(source: number, now: number): void {
    const { store, fragments } = this;
    for (let datagram = store.oldestOf(source); datagram !== NONE; datagram = store.oldestOf(source)) {
      if (((fragments.expires(datagram) - now) | 0) > 0) return;
      this.forget(datagram, true);
      fragments.free(datagram);
    }
  }

  private open(m: number, now: number): number {
    const { meta } = this;
    const id = this.out.bytes.u16[(meta[m + M_OFFSET]! + IP_ID) >> 1]!;
    const side = this.devices.side[meta[m + M_DEVICE]!]!;
    const key = fragmentKey(meta[m + M_PROTOCOL]!, id, side);
    return this.fragments.open(meta[m + M_SOURCE]!, meta[m + M_DESTINATION]!, key, now);
  }

  private examine(datagram: number, m: number): number {
    const { meta } = this;
    const fragment = meta[m + M_FRAGMENT]!;
    const header = meta[m + M_L4]! - meta[m + M_OFFSET]!;
    const start = (fragment & FRAGMENT_OFFSET) << 3;
    const end = start + meta[m + M_LENGTH]! - header;
    return this.fragments.examine(datagram, start, end, (fragment & MORE_FRAGMENTS) !== 0, header);
  }

  private cover(datagram: number, m: number): boolean {
    const { meta } = this;
    const fragment = meta[m + M_FRAGMENT]!;
    const header = meta[m + M_L4]! - meta[m + M_OFFSET]!;
    const start = (fragment & FRAGMENT_OFFSET) << 3;
    const end = start + meta[m + M_LENGTH]! - header;
    return this.fragments.cover(datagram, start, end, (fragment & MORE_FRAGMENTS) !== 0, header);
  }

  private hold(datagram: number, slot: number, m: number): number {
    const { meta, store, path, fragments } = this;
    const source = meta[m + M_SOURCE]!;
    const length = meta[m + M_LENGTH]!;
    // A source that answers could not reach (RFC 1812 5.3.8) gets no memory.
    const isPrivate = this.devices.side[meta[m + M_DEVICE]!] === PRIVATE;
    if (isPrivate && path.deviceOf(path.classTowards(PRIVATE, source)) < 0) {
      if (store.next(datagram) === NONE) fragments.free(datagram);
      return MARTIAN_SOURCE;
    }
    for (;;) {
      const victim = store.victim(source, length);
      if (victim === NONE) break;
      this.giveUp(victim, FRAGMENT_LIMIT);
      if (victim === datagram) return FRAGMENT_LIMIT;
    }
    this.cover(datagram, m);
    store.hold(datagram, source, this.out.bytes, slot, length, meta[m + M_DEVICE]!);
    return OK;
  }

  /** Puts a held fragment into an engine slot, and its row into the meta. */
  private load(held: number, slot: number): void {
    const { meta, store } = this;
    const { bytes } = this.out;
    const offset = packetOffset(slot);
    bytes.u8.fill(0, offset - VNET_HEADER, offset);
    store.load(held, bytes, slot);
    const m = RELEASE_ROW * META;
    meta[m + M_OFFSET] = offset;
    meta[m + M_LENGTH] = store.lengthOf(held);
    meta[m + M_DEVICE] = store.deviceOf(held);
    meta[m + M_HANDLE] = -1;
    meta[m + M_PROTOCOL] = bytes.u8[offset + IP_PROTOCOL]!;
    meta[m + M_SOURCE] = bytes.i32[(offset + IP_SOURCE) >> 2]!;
    meta[m + M_DESTINATION] = bytes.i32[(offset + IP_DESTINATION) >> 2]!;
    meta[m + M_KIND] = KIND_FRAGMENT;
    meta[m + M_FRAGMENT] = be16(bytes.u8, offset + IP_FRAGMENT) & (MORE_FRAGMENTS | FRAGMENT_OFFSET);
  }

  /** Sends a later fragment the way of its first, which is of the same side of the gateway (fragmentKey). */
  private pass(datagram: number, slot: number, m: number, now: number): number {
    const { meta, path, fragments, out } = this;
    const { hot } = this.table;
    const verdict = fragments.verdict(datagram);
    if (verdict <= HANDED) return this.handOff!.give(HANDED - verdict, slot, m);
    const length = meta[m + M_LENGTH]!;
    // The host's address may have changed since the first one came.
    if (verdict === FOR_HOST) return path.isForHost(m) ? path.handBack(slot, m) : FRAGMENT_FIRST_MISSING;
    const h = (verdict >> 1) * HOT;
    if (hot[h + H_SEQUENCE] !== fragments.sequence(datagram)) return FRAGMENT_FIRST_MISSING;
    meta[m + M_HANDLE] = verdict;
    const egress = path.egressOf(verdict);
    if (path.isLost(verdict)) return ADDRESS_GONE;
    const blocked = path.check(slot, m, egress, path.destinationOf(verdict), now);
    if (blocked !== OK) return blocked;
    this.tracker.touch(h, verdict & 1, length, now);
    const offset = meta[m + M_OFFSET]!;
    translateHeader(out.bytes, offset, hot, verdict);
    const id = fragments.idOf(datagram);
    if (id !== NO_ID) setIpId(out.bytes, offset, id);
    path.send(egress, slot, length);
    return OK;
  }

  /** Drops a datagram: what is held of it now, the rest as it comes. Returns the reason. */
  private giveUp(datagram: number, reason: number): number {
    this.clear(datagram, reason);
    this.fragments.decide(datagram, DROPPED, reason);
    return reason;
  }

  private forget(datagram: number, expired: boolean): void {
    this.clear(datagram, expired ? FRAGMENT_TIMEOUT : FRAGMENT_LIMIT);
  }

  private clear(datagram: number, reason: number): void {
    const { store, drops } = this;
    for (let held = store.next(datagram); held !== NONE; held = store.next(datagram)) {
      if (drops?.mayWrite() === true) drops.writeHeld(store, held, reason, this.now);
      store.drop(datagram);
      this.counters[DROPS + reason]!++;
    }
  }
}
