/**
 * Several workers: packets that came to one and are another's business go there by a ring, whole and in order.
 *
 *     PACKET     the flow, or the right to make it, is the receiver's
 *     HAIRPIN    from inside to an external endpoint of the receiver's: what is behind it?
 *     RESOLVED   the answer, with the packet; the sender has taken a reference to its mapping for the flow to come
 *
 * Asked where a packet has no flow here (route(), owner()), so packets of flows that are at home pay nothing. Who makes a flow is
 * the worker of its first packet's class, also for hairpins: the sender's mapping must be the one it has towards everybody
 * (RFC 4787 REQ-1), so the receiver only says what is behind its endpoint. Fragments come to the first worker, which
 * gives a datagram to the owner of its first fragment.
 *
 * Invariant: a packet is handed on at most once for itself, and twice for a hairpin; whoever cannot do anything with it drops it. A
 * reference that another worker holds to a mapping is given back by a note (notes.ts), which waits when the ring is full.
 */
import { EXPECTED, type FlowTable, H_STATUS, HOT } from '../conntrack/flow-table.ts';
import { HANDED } from '../conntrack/fragments.ts';
import { HAND_OFF_FULL, HAND_OFF_LATE, OK } from '../core/reasons.ts';
import { D_DESTINATION, D_KIND, D_PORTS, D_RULE, D_TARGET, MAPPED } from '../nat/decide.ts';
import { NOT_EXTERNAL, SHARED } from '../nat/external-addresses.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import { workerOfWire } from '../nat/port-class.ts';
import { PRIVATE } from '../policy/admission.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  KIND_FLOW,
  M_DESTINATION,
  M_DEVICE,
  M_FRAGMENT,
  M_KIND,
  M_LENGTH,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
} from '../wire/parse.ts';
import { BATCH, IN_LIST } from './arena.ts';
import { DEVICE_COUNTERS, DEVICE_IN_BYTES, DEVICE_IN_PACKETS, DEVICES, HANDED_OFF } from './counters.ts';
import type { Devices } from './devices.ts';
import type { ErrorPath } from './error-path.ts';
import type { FragmentPath } from './fragment-path.ts';
import type { Helpers } from './helpers.ts';
import type { HubMemory, WorkerSeat } from './hub.ts';
import { Notes } from './notes.ts';
import type { OutList } from './out-list.ts';
import type { Ownership } from './ownership.ts';
import { DEFER } from './path.ts';
import { Ring } from './ring.ts';
import type { Sessions } from './sessions.ts';
import { NOBODY } from './shared-keys.ts';

/** route(): the packet is this worker's to handle. */
export const HERE = -2;

const PACKET = 1;
const HAIRPIN = 2;
const RESOLVED = 3;
export interface HandOffParts {
  sessions: Sessions;
  devices: Devices;
  out: OutList;
  meta: Int32Array;
  counters: Float64Array;
  fragments: FragmentPath;
  errors: ErrorPath;
  helpers: Helpers;
}

/** The hand-off of a worker, known to all parts that need it; null where there is one worker only. */
export function handOffOf(seat: WorkerSeat | undefined, parts: HandOffParts): HandOff | null {
  if (seat === undefined) return null;
  const handOff = new HandOff(seat, parts);
  parts.fragments.handOff = handOff;
  parts.errors.handOff = handOff;
  return handOff;
}

export class HandOff {
  private readonly seat: WorkerSeat;
  private readonly hub: HubMemory;
  private readonly number: number;
  private readonly ownership: Ownership;
  private readonly sessions: Sessions;
  private readonly table: FlowTable;
  private readonly devices: Devices;
  private readonly out: OutList;
  private readonly meta: Int32Array;
  private readonly counters: Float64Array;
  private readonly fragments: FragmentPath;
  private readonly notes: Notes;
  /** By other worker; of this one a ring that stays empty. */
  private readonly to: readonly Ring[];
  private readonly from: readonly Ring[];
  private readonly sleeping: Int32Array;
  /** Workers that must be woken, as bits. */
  private told = 0;
  /** Whose turn it is to be heard first. */
  private turn = 0;
  /** Of the packets that were handed to this worker, while they are being handled: what they are, from whom, and what is said. */
  private isHanded = false;
  private readonly kinds = new Uint8Array(BATCH);
  private readonly senders = new Uint8Array(BATCH);
  private readonly said = new Int32Array(BATCH * 3);
  /** Slot of the RESOLVED packet whose flow is being made, -1 for none. */
  private resolving = -1;
  private isAsked = false;
  constructor(seat: WorkerSeat, parts: HandOffParts) {
    const { sessions, devices, out, meta, counters, fragments } = parts;
    const { hub, number } = seat;
    this.seat = seat;
    this.hub = hub;
    this.number = number;
    this.sessions = sessions;
    this.ownership = sessions.ownership!;
    this.table = sessions.table;
    this.devices = devices;
    this.out = out;
    this.meta = meta;
    this.counters = counters;
    this.fragments = fragments;
    const others = Array.from({ length: hub.workers }, (_, worker) => worker);
    this.to = others.map((worker) => new Ring(hub.rings[number * hub.workers + worker]!));
    this.from = others.map((worker) => new Ring(hub.rings[worker * hub.workers + number]!));
    this.notes = new Notes(sessions, parts.helpers.expectations, this.to);
    this.sleeping = new Int32Array(hub.sleeping);
  }

  /**
   * What becomes of the packet of row `m`, which has no flow here: HERE, OK (it is on its way to another worker), or a drop
   * reason. After HERE the caller makes its flow, and tells made().
   */
  route(slot: number, m: number, now: number): number {
    const { meta } = this;
    const kind = this.kindOf(slot);
    if (kind === HAIRPIN) return this.resolve(slot, m, now);
    const owner = this.owner(
      m,
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PROTOCOL]!,
      meta[m + M_PORTS]!,
    );
    if (owner !== this.number) {
      if (kind === RESOLVED) this.giveBack(slot, m);
      return kind === PACKET ? HAND_OFF_LATE : this.pass(PACKET, owner, slot, m, 0, 0, 0);
    }
    if (kind === RESOLVED) {
      this.resolving = slot;
      const at = slot * 3;
      this.sessions.decider.setForeign(this.said[at]!, this.said[at + 1]!, this.said[at + 2]!);
      return HERE;
    }
    const keeper = this.keeperOf(m);
    return keeper === this.number ? HERE : this.pass(HAIRPIN, keeper, slot, m, 0, 0, 0);
  }

  /** The caller did what route() said was HERE, with this outcome, which is returned. */
  made(m: number, reason: number): number {
    const { meta } = this;
    const slot = this.resolving;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    const protocol = meta[m + M_PROTOCOL]!;
    const isInside = this.devices.side[meta[m + M_DEVICE]!] === PRIVATE;
    const announcer = isInside ? this.ownership.announcedBy(protocol, source, destination, ports) : NOBODY;
    const isAnnounced = announcer !== NOBODY && announcer !== this.number;
    if (slot < 0 && !isAnnounced) return reason;
    const handle = this.table.lookup(source, destination, ports, protocol);
    if (handle >= 0 && isAnnounced) {
      const h = (handle >> 1) * HOT;
      this.table.hot[h + H_STATUS] = this.table.hot[h + H_STATUS]! | EXPECTED;
      this.notes.used(announcer, source, destination, ports, protocol);
    }
    if (slot < 0) return reason;
    this.resolving = -1;
    this.sessions.decider.setForeign(0, 0, 0);
    if (handle >= 0) this.notes.addGuest(handle >> 1);
    else if (reason !== DEFER) this.giveBack(slot, m);
    return reason;
  }

  /** Whether another worker's flow announced the flow that the packet of row `m`, from inside, begins here. */
  isAnnounced(m: number): boolean {
    const { meta } = this;
    if (this.devices.side[meta[m + M_DEVICE]!] !== PRIVATE) return false;
    const ports = meta[m + M_PORTS]!;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const announcer = this.ownership.announcedBy(meta[m + M_PROTOCOL]!, source, destination, ports);
    return announcer !== NOBODY && announcer !== this.number;
  }

  /** The worker that has, or would make, the flow of a packet of this tuple that comes from where row `m` came. */
  owner(m: number, source: number, destination: number, protocol: number, ports: number): number {
    const side = this.devices.side[this.meta[m + M_DEVICE]!]!;
    return this.ownership.ownerOf(protocol, source, destination, ports, side);
  }

  /** Gives the packet of row `m` (an ICMP error, a fragment) to its owner: OK, HERE when that is this worker, or a drop reason. */
  give(owner: number, slot: number, m: number): number {
    if (owner === this.number) return HERE;
    return this.kindOf(slot) === PACKET ? HAND_OFF_LATE : this.pass(PACKET, owner, slot, m, 0, 0, 0);
  }

  /** Whether another worker gave what is in `slot`. */
  isGiven(slot: number): boolean {
    return this.kindOf(slot) !== 0;
  }

  /** Whether what is in `slot` is another worker's, which only asks about it. */
  isQuestion(slot: number): boolean {
    return this.kindOf(slot) === HAIRPIN;
  }

  /** Whether the first fragment just handled will come again, with the answer to a question. */
  takeAsked(): boolean {
    const { isAsked } = this;
    this.isAsked = false;
    return isAsked;
  }

  /** Puts what others have handed over into the arena's in list, as the next batch. Returns the number of packets. */
  receive(now: number): number {
    const { bytes } = this.out;
    let count = 0;
    for (let i = 0; i < this.from.length && count < BATCH; i++) {
      const sender = (this.turn + i) % this.from.length;
      const ring = this.from[sender]!;
      for (let record = ring.next(); record >= 0 && count < BATCH; record = ring.next()) {
        if (ring.length(record) === 0) {
          this.notes.hear(ring, record, now);
        } else {
          ring.load(record, bytes, count);
          bytes.i32[(IN_LIST >> 2) + count * 2] = ring.device(record);
          bytes.i32[(IN_LIST >> 2) + count * 2 + 1] = ring.length(record);
          this.kinds[count] = ring.kind(record);
          this.senders[count] = sender;
          for (let word = 0; word < 3; word++) this.said[count * 3 + word] = ring.argument(record, word);
          count++;
        }
        ring.drop(record);
      }
    }
    this.turn = (this.turn + 1) % this.from.length;
    this.isHanded = count > 0;
    return count;
  }

  /** The batch of receive() has been handled. */
  received(): void {
    this.isHanded = false;
  }

  /** Wakes those who have been given something; says again what found no room. Once per turn of the loop. */
  tellAll(): void {
    this.told |= this.notes.flush();
    if (this.told === 0) return;
    for (let worker = 0; worker < this.hub.workers; worker++) {
      const isTold = (this.told & (1 << worker)) !== 0;
      if (isTold && Atomics.load(this.sleeping, worker) !== 0) this.seat.wake(worker);
    }
    this.told = 0;
  }

  /** Before a wait: whether there is nothing to do. Until awake() is called, others wake this worker. */
  maySleep(): boolean {
    Atomics.store(this.sleeping, this.number, 1);
    return this.isIdle;
  }

  awake(): void {
    Atomics.store(this.sleeping, this.number, 0);
  }

  get isIdle(): boolean {
    for (let worker = 0; worker < this.from.length; worker++) if (!this.from[worker]!.isEmpty) return false;
    return true;
  }

  /** The worker that knows what is behind the external endpoint which the packet of row `m` is for; mostly there is none. */
  private keeperOf(m: number): number {
    const { meta } = this;
    const protocol = meta[m + M_PROTOCOL]!;
    if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return this.number;
    const keeper = workerOfWire(meta[m + M_PORTS]! >>> 16, this.hub.workers);
    if (keeper === this.number || this.devices.side[meta[m + M_DEVICE]!] !== PRIVATE) return this.number;
    const { decider, mappings } = this.sessions;
    const number = decider.onlyMapped(meta, m);
    // A port that is the host's is nobody's mapping.
    const isHosts = number === SHARED && !mappings.shared.owns(protocol, meta[m + M_PORTS]! >>> 16);
    return number === NOT_EXTERNAL || isHosts ? this.number : keeper;
  }

  /** Says what is behind an external endpoint of this worker's. HERE: nothing that another may have. */
  private resolve(slot: number, m: number, now: number): number {
    const { decider, mappings } = this.sessions;
    const { decision } = decider;
    const found = decider.destination(this.meta, m, true, now);
    const target = decision[D_TARGET]!;
    if (found !== OK || decision[D_KIND] !== MAPPED || target === NO_MAPPING) return HERE;
    const port = decision[D_PORTS]! >>> 16;
    mappings.refer(target);
    const sender = this.senders[slot]!;
    const passed = this.pass(RESOLVED, sender, slot, m, decision[D_DESTINATION]!, port, decision[D_RULE]!);
    if (passed !== OK) mappings.release(target, now, true);
    return passed;
  }

  private pass(kind: number, to: number, slot: number, m: number, a: number, b: number, c: number): number {
    const { meta, counters } = this;
    const length = meta[m + M_LENGTH]!;
    const device = meta[m + M_DEVICE]!;
    if (!this.to[to]!.putPacket(kind, this.out.bytes, slot, device, length, a, b, c)) return HAND_OFF_FULL;
    this.told |= 1 << to;
    counters[HANDED_OFF]!++;
    if (meta[m + M_FRAGMENT] !== 0 && meta[m + M_KIND] === KIND_FLOW) {
      if (kind === PACKET) this.fragments.decide(HANDED - to, 0);
      else if (kind === HAIRPIN) this.isAsked = true;
    }
    // Who handles it counts it.
    const at = DEVICES + device * DEVICE_COUNTERS;
    counters[at + DEVICE_IN_PACKETS]!--;
    counters[at + DEVICE_IN_BYTES]! -= length;
    return OK;
  }

  private kindOf(slot: number): number {
    return this.isHanded && slot < BATCH ? this.kinds[slot]! : 0;
  }

  /** The RESOLVED packet of row `m` makes no flow: its target is not needed. */
  private giveBack(slot: number, m: number): void {
    const { meta } = this;
    const ports = this.said[slot * 3 + 1]! | (meta[m + M_PORTS]! & ~0xffff);
    const protocol = meta[m + M_PROTOCOL]!;
    this.notes.release(this.senders[slot]!, meta[m + M_DESTINATION]!, this.said[slot * 3]!, ports, protocol);
  }
}
