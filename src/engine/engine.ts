/**
 * The engine: packets in, packets out. No device, no clock, no random source of its own.
 *
 *     check → track → decide → translate → where to
 *
 * A batch is the arena's in list. It goes through in passes, so that the cache misses of different packets
 * overlap: parse and hash all, look all up, then handle each. What leaves is in the out list; what does not has
 * been counted under a reason (core/reasons.ts). Per packet there is no allocation, no exception, no policy:
 * rules, mappings and routes are asked when a flow begins, and routes again when they changed.
 *
 * Packets of either side that turn out to be the host's own (ICMP, fragments and protocols share its address)
 * are handed back: sent unchanged to the device where they came, whose steering passes them up.
 */
import { END_REUSED } from '../conntrack/end-reasons.ts';
import { type FlowTable, H_SEQUENCE, HOT } from '../conntrack/flow-table.ts';
import { REOPEN, type Tracker } from '../conntrack/tracker.ts';
import { Random } from '../core/random.ts';
import { ADDRESS_GONE, HELPER_FAILED, MARTIAN_SOURCE, OK, PACKET_RATE } from '../core/reasons.ts';
import { masqueradeAll } from '../nat/config.ts';
import type { DnsState } from '../nat/dns.ts';
import { IpIds, needsId } from '../nat/ip-id.ts';
import type { Mappings } from '../nat/mappings.ts';
import { clampMss, MSS_HEADERS } from '../nat/mss.ts';
import { translatePacket } from '../nat/translate.ts';
import type { Bytes } from '../wire/bytes.ts';
import { PROTO_TCP, type PROTO_UDP } from '../wire/ipv4.ts';
import {
  KIND_FLOW,
  KIND_FRAGMENT,
  M_DEVICE,
  M_FRAGMENT,
  M_HANDLE,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PROTOCOL,
  M_REASON,
  META,
} from '../wire/parse.ts';
import { SYN, TCP_FLAGS } from '../wire/tcp.ts';
import { AddressChange } from './address-change.ts';
import { BATCH, HANDLING, IN_LIST, NO_PACKET } from './arena.ts';
import { Beginnings } from './beginnings.ts';
import type { DeviceConfig, EngineConfig } from './config.ts';
import { countBatch } from './count.ts';
import { DEVICE_COUNTERS, DEVICE_IN_BYTES, DEVICE_IN_PACKETS, DEVICES, DROPS } from './counters.ts';
import { damageOf } from './damage.ts';
import { Devices } from './devices.ts';
import type { DropLog } from './drop-log.ts';
import { ErrorPath } from './error-path.ts';
import { FastPath } from './fast-path.ts';
import { FirewallGate } from './firewall-gate.ts';
import { FragmentPath, RELEASE_ROW } from './fragment-path.ts';
import { type HandOff, HERE, handOffOf } from './hand-off.ts';
import { Helpers } from './helpers.ts';
import { LinkCounters } from './link-counters.ts';
import { Lookup } from './lookup.ts';
import { sayLosses } from './losses.ts';
import { Newcomers } from './newcomers.ts';
import { OutList } from './out-list.ts';
import { DEFER, Path } from './path.ts';
import { Reconfigurer } from './reconfigure.ts';
import type { Route } from './routes.ts';
import { sanitised } from './sanitise.ts';
import { Sessions } from './sessions.ts';
import { openState, S_HEARTBEAT, S_NOW } from './state.ts';
import type { Tap } from './tap.ts';
import { Uninvited } from './uninvited.ts';
import { Unsolicited } from './unsolicited.ts';
import { writingDown } from './writing-down.ts';

export type { DeviceConfig, EngineConfig } from './config.ts';

export class Engine {
  readonly tracker: Tracker;
  readonly mappings: Mappings;
  private readonly bytes: Bytes;
  private readonly out: OutList;
  private readonly header: Int32Array;
  private readonly counters: Float64Array;
  private readonly table: FlowTable;
  readonly sessions: Sessions;
  private readonly fragments: FragmentPath;
  private readonly errors: ErrorPath;
  private readonly ids: IpIds;
  clampMss: boolean;
  private readonly devices: Devices;
  readonly path: Path;
  private readonly linkCounters: LinkCounters;
  readonly helpers: Helpers;
  /** Several workers: what goes to the others and comes from them. */
  readonly handOff: HandOff | null;
  readonly unsolicited: Unsolicited;
  private readonly newcomers: Newcomers;
  /** Another configuration, on this engine's state. */
  readonly reconfigurer: Reconfigurer;
  readonly lookup: Lookup;
  readonly fast: FastPath;
  readonly gate: FirewallGate;
  /** While it sweeps, what is in the out list should leave, and tick() come, without a wait. */
  readonly addressChange: AddressChange;
  readonly tap: Tap | null;
  private readonly drops: DropLog | null;
  /** One row per packet of the batch, one for the packet that an ICMP error quotes, one for a held fragment. */
  readonly meta = new Int32Array((RELEASE_ROW + 1) * META);

  constructor(config: EngineConfig) {
    const state = sanitised(openState(config.state));
    this.header = state.header;
    this.counters = state.counters;
    this.out = new OutList(config.arena);
    this.bytes = this.out.bytes;
    this.devices = new Devices(config.devices);
    const nat = config.nat ?? masqueradeAll(config.ports);
    this.sessions = new Sessions(config, nat, state, this.devices);
    this.table = this.sessions.table;
    this.tracker = this.sessions.tracker;
    this.mappings = this.sessions.mappings;
    this.path = new Path(this.devices, this.table, this.out, this.meta, this.counters, config.now);
    this.path.usesTwice = nat.forwards.some((forward) => forward.twice);
    this.path.answersDns = this.sessions.dns.isOn;
    const { devices, tracker, path, out, meta, counters } = this;
    this.fragments = new FragmentPath({ devices, tracker, path, out, meta, counters, state }, config.now);
    this.ids = new IpIds(state.seed, new Random(config.seed), this.sessions.ownership?.class);
    this.helpers = new Helpers(config, this.sessions, this.path, this.bytes, this.meta, state.journal);
    sayLosses(config.log, this.sessions.lost, this.fragments.lost, this.helpers.lost);
    const { table, ids, helpers, bytes } = this;
    this.lookup = new Lookup(bytes, meta, table, devices, helpers);
    this.fast = new FastPath(meta, this.lookup, table, counters, devices, path.routes, out, tracker.timeouts);
    const { prefixes } = this.sessions;
    this.errors = new ErrorPath({ devices, table, path, out, meta, counters, ids, helpers, prefixes });
    const { sessions, fragments, errors } = this;
    const worked = { sessions, devices, out, meta, counters, fragments, errors, helpers };
    this.handOff = handOffOf(config.seat, worked);
    this.gate = new FirewallGate(config, state, { devices, path, sessions, out, meta, counters });
    this.addressChange = new AddressChange({ sessions, devices, path, helpers, out, counters });
    this.clampMss = config.clampMss ?? true;
    this.linkCounters = new LinkCounters(config.arena, this.counters);
    this.unsolicited = new Unsolicited(this.out, this.path, this.table, this.meta, BATCH * META);
    this.unsolicited.isOn = config.unsolicited === 'unreachable';
    const { gate, mappings, unsolicited } = this;
    const uninvited = new Uninvited({ meta, path, gate, mappings, fragments, unsolicited });
    const beginnings = new Beginnings(sessions, bytes, meta, state.shortages);
    const { handOff } = this;
    const asked = { bytes, meta, devices, path, gate, sessions, beginnings, helpers, handOff, uninvited };
    this.newcomers = new Newcomers(asked);
    this.reconfigurer = new Reconfigurer(this, nat);
    const { lookup, processAll } = this;
    const handle = processAll.bind(this);
    const told = { bytes, meta, devices, sessions, path, gate, helpers };
    const parts = Object.assign(told, { out, counters, handOff, lookup, fragments, handle });
    ({ tap: this.tap, drops: this.drops } = writingDown(config.tap, parts, config.now));
  }

  /** Entries in the arena's out list. */
  get outCount(): number {
    return this.out.count;
  }

  /** The out list has been written. */
  clearOut(): void {
    this.out.clear();
  }

  /** Housekeeping, once per exchange: expiry, heartbeat, gauges. */
  tick(now: number): void {
    this.sessions.tick(now);
    this.addressChange.sweep();
    this.fragments.expire(now);
    this.unsolicited.tick(now);
    this.gate.tick(now);
    this.helpers.expectations.expire(now);
    this.header[S_HEARTBEAT]!++;
    this.header[S_NOW] = now;
    this.linkCounters.collect();
    this.reconfigurer.step(now);
    this.lookup.quarantine.tick(now);
    this.drops?.tick();
  }

  /** A device has another address or MTU, the public one perhaps former addresses still: see address-change.ts. */
  setDevice(index: number, device: Pick<DeviceConfig, 'address' | 'mtu' | 'former'>): void {
    this.devices.change(index, device);
    this.sessions.setHostAddresses(this.devices);
    this.gate.follow();
    this.addressChange.follow();
  }

  setRoutes(routes: readonly Route[]): void {
    this.path.routes.replace(routes);
    this.gate.routed(this.sessions.now);
  }

  /** Other resolvers answer what private hosts ask the gateway, or none (null). Flows to one that fails end. */
  setDns(dns: DnsState | null): void {
    this.sessions.setDns(dns);
    this.path.answersDns = dns !== null;
  }

  /** Says which ports of the range sockets of the host hold (host order). */
  setHeldPorts(protocol: typeof PROTO_TCP | typeof PROTO_UDP, ports: readonly number[]): void {
    this.mappings.shared.setHeld(protocol, ports);
  }

  /** A next hop stopped, or began, to answer ARP. */
  setNeighbour(device: number, address: number, failed: boolean): void {
    this.devices.setNeighbour(device, address, failed);
  }

  /**
   * Handles the packets [from, count) of the in list at time `now`. Returns the first that was not handled: `count`,
   * unless the engine's own slots ran out; then the out list must be written and cleared before the rest. (The same
   * number may come again while held fragments leave.)
   */
  process(from: number, count: number, now: number): number {
    const { tap } = this;
    this.drops?.refill(now);
    const done = tap?.isOn === true ? tap.process(from, count, now) : this.processAll(from, count, now);
    this.bytes.i32[HANDLING] = NO_PACKET;
    if (done === count) countBatch(this.counters, count);
    return done;
  }

  private processAll(from: number, count: number, now: number): number {
    let first = from;
    if (this.fragments.isReleasing) {
      if (!this.fragments.release(now)) return from;
      first++;
    }
    this.lookup.batch(first, count);
    const { changes } = this.table;
    for (let i = first; i < count; i++) {
      i = this.fast.run(i, count, changes, now);
      if (i === count) break;
      const m = i * META;
      this.bytes.i32[HANDLING] = i;
      if (this.out.freeSlots === 0) return i;
      // A packet of this batch may have made or ended the flow since the lookups.
      if (this.table.changes !== changes) this.lookup.find(m);
      const reason = this.handle(i, m, now);
      if (reason === DEFER) return i;
      const device = DEVICES + this.meta[m + M_DEVICE]! * DEVICE_COUNTERS;
      this.counters[device + DEVICE_IN_PACKETS]!++;
      this.counters[device + DEVICE_IN_BYTES]! += this.bytes.i32[(IN_LIST >> 2) + i * 2 + 1]!;
      if (reason !== OK) {
        this.counters[DROPS + reason]!++;
        if (this.drops?.mayWrite() === true) this.drops.write(i, m, reason, now);
        this.tap?.dropped(reason);
      }
      if (this.fragments.isReleasing) return i;
    }
    return count;
  }

  /** Returns OK (sent, or handed to the host), a drop reason, or DEFER. */
  private handle(slot: number, m: number, now: number): number {
    const { meta } = this;
    if (meta[m + M_REASON] !== OK) return meta[m + M_REASON]!;
    const kind = meta[m + M_KIND]!;
    if (kind === KIND_FRAGMENT) return this.fragments.later(slot, m, now);
    if (kind !== KIND_FLOW) return this.errors.handle(slot, m);
    const damage = damageOf(this.bytes, slot, meta, m);
    if (damage !== OK) return damage;
    return meta[m + M_FRAGMENT] !== 0 ? this.handleFirst(slot, m, now) : this.handleFlow(slot, m, now);
  }

  private handleFirst(slot: number, m: number, now: number): number {
    const refused = this.fragments.beginFirst(m, now);
    if (refused !== OK) return refused;
    const reason = this.handleFlow(slot, m, now);
    this.fragments.endFirst(m, reason, now);
    return reason;
  }

  private handleFlow(slot: number, m: number, now: number): number {
    const handle = this.meta[m + M_HANDLE]!;
    if (handle >= 0) return this.handleEstablished(slot, m, handle, now);
    const { handOff } = this;
    if (handOff === null) return this.handleNew(slot, m, now);
    const elsewhere = handOff.route(slot, m, now);
    return elsewhere === HERE ? handOff.made(m, this.handleNew(slot, m, now)) : elsewhere;
  }

  private handleEstablished(slot: number, m: number, handle: number, now: number): number {
    const { path } = this;
    // A tuple of one direction on the other side of the gateway is forged.
    if (this.devices.side[this.meta[m + M_DEVICE]!] !== this.table.sideOf(handle)) return MARTIAN_SOURCE;
    const egress = path.egressOf(handle);
    if (path.isLost(handle)) return ADDRESS_GONE;
    const blocked = path.check(slot, m, egress, path.destinationOf(handle), now);
    return blocked === OK ? this.forward(slot, m, handle, egress, now) : blocked;
  }

  /** A packet whose tuple no flow has. */
  private handleNew(slot: number, m: number, now: number): number {
    const { newcomers } = this;
    const reason = newcomers.begin(slot, m, now);
    if (reason !== OK || newcomers.handle < 0) return reason;
    return this.forward(slot, m, newcomers.handle, newcomers.egress, now);
  }

  /** The part that all packets of a flow share once they may pass. */
  private forward(slot: number, m: number, handle: number, egress: number, now: number): number {
    const { meta, bytes, path } = this;
    const { hot } = this.table;
    const helped = this.helpers.reads(handle);
    if (helped && !this.helpers.received(m, handle)) return DEFER;
    if (helped && this.gate.isOver(handle, now)) return PACKET_RATE;
    const verdict = this.tracker.update(handle, this.bytes, meta, m, now);
    if (verdict === REOPEN) {
      this.tracker.close(handle >> 1, END_REUSED);
      return this.handleNew(slot, m, now);
    }
    if (verdict !== OK) return verdict;
    if (meta[m + M_FRAGMENT] !== 0) {
      this.fragments.decide(handle, hot[(handle >> 1) * HOT + H_SEQUENCE]!);
    }
    if (helped && !this.helpers.forwarded(slot, m, handle, egress, now)) return HELPER_FAILED;
    const offset = meta[m + M_OFFSET]!;
    const l4 = meta[m + M_L4]!;
    translatePacket(bytes, offset, l4, hot, handle);
    if (meta[m + M_PROTOCOL] === PROTO_TCP && (bytes.u8[l4 + TCP_FLAGS]! & SYN) !== 0 && this.clampMss) {
      clampMss(bytes, offset, l4, path.mtuBothWays(handle) - MSS_HEADERS);
    }
    if (needsId(bytes.u8, offset)) this.fragments.renumber(m, egress, this.ids);
    path.send(egress, slot, meta[m + M_LENGTH]!);
    return OK;
  }
}
