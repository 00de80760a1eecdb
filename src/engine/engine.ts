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
 * Packets of the public side that turn out to be the host's own (ICMP, fragments and protocols share its address)
 * are handed back: sent unchanged to the public device, whose steering passes them up.
 */
import {
  C_MAPPING,
  COLD,
  FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_ROUTE,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  ORIGINAL,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { DROPPED, FOR_HOST, Fragments, UNKNOWN } from '../conntrack/fragments.ts';
import { INVALID } from '../conntrack/tcp-states.ts';
import { defaultTimeouts, type Timeouts, TimeoutTable } from '../conntrack/timeouts.ts';
import { FULL, REOPEN, Tracker } from '../conntrack/tracker.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import { Random } from '../core/random.ts';
import * as reasons from '../core/reasons.ts';
import {
  BAD_ICMP_CHECKSUM,
  BAD_QUOTE,
  FRAGMENT_FIRST_MISSING,
  INVALID_TCP,
  MARTIAN_DESTINATION,
  MARTIAN_SOURCE,
  NEIGHBOUR_FAILED,
  NO_EXTERNAL_ADDRESS,
  NO_FLOW,
  NO_FREE_PORT,
  NO_RELATED,
  NO_ROUTE,
  NO_SLOT,
  NOT_PUBLIC,
  OK,
  TABLE_FULL,
  TOO_BIG,
  TTL_EXCEEDED,
  TUPLE_IN_USE,
} from '../core/reasons.ts';
import { type HeldPorts, Mappings, NO_MAPPING } from '../nat/mappings.ts';
import { setDeltas, translateHeader, translatePacket } from '../nat/translate.ts';
import { translateError } from '../nat/translate-error.ts';
import { admit, PRIVATE, PUBLIC } from '../policy/admission.ts';
import { type Bytes, be16 } from '../wire/bytes.ts';
import { fold } from '../wire/checksum.ts';
import {
  ADMIN_PROHIBITED,
  FRAGMENTATION_NEEDED,
  HOST_UNREACHABLE,
  UNREACHABLE as ICMP_UNREACHABLE,
  NET_UNREACHABLE,
  TIME_EXCEEDED,
} from '../wire/icmp.ts';
import {
  DONT_FRAGMENT,
  FRAGMENT_OFFSET,
  IP_FRAGMENT,
  IP_ID,
  IP_TTL,
  isMartian,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import {
  KIND_ERROR,
  KIND_FLOW,
  KIND_FRAGMENT,
  M_DESTINATION,
  M_DEVICE,
  M_FRAGMENT,
  M_HANDLE,
  M_HASH,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_REASON,
  M_SOURCE,
  META,
  parsePacket,
  parseQuote,
} from '../wire/parse.ts';
import * as arena from './arena.ts';
import { BATCH, IN_LIST, packetOffset } from './arena.ts';
import {
  BATCHES,
  DEVICE_COUNTERS,
  DEVICE_IN_BYTES,
  DEVICE_IN_PACKETS,
  DEVICE_OUT_BYTES,
  DEVICE_OUT_PACKETS,
  DEVICES,
  DROPS,
  FLOWS_ENDED,
  FLOWS_ICMP,
  FLOWS_LOST,
  FLOWS_OTHER,
  FLOWS_STARTED,
  FLOWS_TCP,
  FLOWS_UDP,
  FRAGMENTED,
  HANDED_BACK,
  ICMP_SENT,
  ICMP_SUPPRESSED,
  ICMP_TRANSLATED,
  IDS_ICMP,
  PORTS_TCP,
  PORTS_UDP,
} from './counters.ts';
import { IcmpErrors } from './icmp-errors.ts';
import { OutList } from './out-list.ts';
import { exceedsMtu, Oversize, TOO_MANY } from './oversize.ts';
import { type Route, RouteTable, TO_HOST } from './routes.ts';
import { sumPacket } from './slot-bytes.ts';
import { openState, S_HEARTBEAT, S_NOW, type State } from './state.ts';

export interface DeviceConfig {
  side: 'private' | 'public';
  /** Own address on the interface, wire order; 0 when it has none. */
  address: number;
  prefixLength: number;
  /** Bytes of an IPv4 packet. */
  mtu: number;
}

export interface EngineConfig {
  arena: ArrayBuffer;
  /** A formatted state (state.ts); flows that it holds are adopted. */
  state: ArrayBuffer;
  /** The owned bitmap (nat/owned.ts), OWNED_BYTES or more. */
  owned: ArrayBuffer;
  /** In the order of the arena's device numbers; one of them public. */
  devices: readonly DeviceConfig[];
  /** External TCP and UDP ports, host order. */
  ports: { first: number; last: number };
  held?: HeldPorts;
  timeouts?: Partial<Timeouts>;
  /** Seed of port searches. */
  seed: number;
  /** ms, int32. */
  now: number;
}

/** Counters of the addon in the arena, and the reasons under which they count. */
const LINK_COUNTERS = [
  [arena.WRITE_REFUSED, reasons.WRITE_REFUSED],
  [arena.WRITE_NO_BUFFER, reasons.WRITE_NO_BUFFER],
  [arena.WRITE_DOWN, reasons.WRITE_DOWN],
  [arena.READ_TRUNCATED, reasons.READ_TRUNCATED],
] as const;

/** forward(): the packet needs more slots than are free; write the out list and come again. */
const DEFER = -1;

export class Engine {
  readonly tracker: Tracker;
  readonly mappings: Mappings;
  private readonly bytes: Bytes;
  private readonly out: OutList;
  private readonly state: State;
  private readonly counters: Float64Array;
  private readonly table: FlowTable;
  private readonly fragments: Fragments;
  private readonly errors: IcmpErrors;
  private readonly oversize: Oversize;
  private readonly routes = new RouteTable();
  /** One row per packet of the batch, and one for the packet that an ICMP error quotes. */
  private readonly meta = new Int32Array((BATCH + 1) * META);
  private readonly side: Int32Array;
  private readonly address: Int32Array;
  private readonly mtu: Int32Array;
  private readonly publicDevice: number;
  /** Next hops that do not answer ARP, per device. */
  private readonly failed: Set<number>[];
  private failedCount = 0;
  /** Of the addon's counters, what has been added to ours. */
  private readonly linkCounted = new Int32Array(LINK_COUNTERS.length);
  /** Set by checkPath(): whether the packet fits its path as it is. */
  private fits = true;

  constructor(config: EngineConfig) {
    const state = openState(config.state);
    this.state = state;
    this.counters = state.counters;
    this.out = new OutList(config.arena);
    this.bytes = this.out.bytes;
    this.side = Int32Array.from(config.devices, (d) => (d.side === 'private' ? PRIVATE : PUBLIC));
    this.address = Int32Array.from(config.devices, (d) => d.address);
    this.mtu = Int32Array.from(config.devices, (d) => d.mtu);
    this.publicDevice = this.side.indexOf(PUBLIC);
    this.failed = config.devices.map(() => new Set<number>());
    this.table = new FlowTable(state.buffer, state.tableOffset, state.capacity, state.seed);
    const timeouts = new TimeoutTable({ ...defaultTimeouts, ...config.timeouts });
    this.tracker = new Tracker(this.table, timeouts, config.now);
    this.fragments = new Fragments(state.seed);
    this.mappings = new Mappings(
      new Uint8Array(config.owned),
      config.ports.first,
      config.ports.last,
      config.held ?? { tcp: [], udp: [] },
      new Random(config.seed),
      state.seed,
    );
    this.errors = new IcmpErrors(this.out, config.now);
    this.oversize = new Oversize(this.out);
    this.adopt(config.now);
    this.tracker.onClose = (flow) => this.flowEnds(flow);
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
    this.tracker.expire(now);
    const header = this.state.header;
    header[S_HEARTBEAT] = header[S_HEARTBEAT]! + 1;
    header[S_NOW] = now;
    const counters = this.counters;
    for (let i = 0; i < LINK_COUNTERS.length; i++) {
      const [word, reason] = LINK_COUNTERS[i]!;
      const value = this.bytes.i32[(arena.CONTROL >> 2) + word]!;
      if (value !== this.linkCounted[i]) {
        counters[DROPS + reason]! += (value - this.linkCounted[i]!) >>> 0;
        this.linkCounted[i] = value;
      }
    }
    const tables = this.mappings.tables;
    counters[PORTS_TCP] = tables[0].inUse;
    counters[PORTS_UDP] = tables[1].inUse;
    counters[IDS_ICMP] = tables[2].inUse;
  }

  /** A device has another address or MTU. Flows of an external address that is gone end, as with MASQUERADE. */
  setDevice(index: number, device: { address: number; mtu: number }): void {
    const before = this.address[index]!;
    this.address[index] = device.address;
    this.mtu[index] = device.mtu;
    if (index !== this.publicDevice || before === device.address) return;
    for (let flow = 0; flow < this.table.capacity; flow++) {
      if (!this.table.isLive(flow)) continue;
      if (this.table.hot[flow * HOT + TUPLE + H_DESTINATION] !== device.address) this.tracker.close(flow);
    }
  }

  setRoutes(routes: readonly Route[]): void {
    this.routes.replace(routes);
  }

  /** Says which ports of the range sockets of the host hold (host order). */
  setHeldPorts(protocol: typeof PROTO_TCP | typeof PROTO_UDP, ports: readonly number[]): void {
    this.mappings.setHeld(protocol, ports);
  }

  /** A next hop stopped, or began, to answer ARP. */
  setNeighbour(device: number, address: number, failed: boolean): void {
    const set = this.failed[device]!;
    if (failed) set.add(address);
    else set.delete(address);
    this.failedCount = this.failed.reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Handles the packets [from, count) of the in list at time `now`. Returns the first that was not handled: `count`, unless the
   * engine's own slots ran out; then the out list must be written and cleared before the rest.
   */
  process(from: number, count: number, now: number): number {
    const { meta, bytes, table } = this;
    const list = IN_LIST >> 2;
    for (let i = from; i < count; i++) {
      const m = i * META;
      const device = bytes.i32[list + i * 2]!;
      const reason = parsePacket(bytes, packetOffset(i), bytes.i32[list + i * 2 + 1]!, true, meta, m);
      meta[m + M_DEVICE] = device;
      meta[m + M_REASON] = reason === OK ? this.checkAddresses(m, device) : reason;
      meta[m + M_HASH] = table.hash(
        meta[m + M_SOURCE]!,
        meta[m + M_DESTINATION]!,
        meta[m + M_PORTS]!,
        meta[m + M_PROTOCOL]!,
      );
    }
    for (let i = from; i < count; i++) {
      const m = i * META;
      if (meta[m + M_REASON] === OK && meta[m + M_KIND] === KIND_FLOW) meta[m + M_HANDLE] = this.findRow(m);
    }
    const found = table.changes;
    for (let i = from; i < count; i++) {
      const m = i * META;
      if (this.out.freeSlots === 0) return i;
      let reason = meta[m + M_REASON]!;
      if (reason === OK) {
        const kind = meta[m + M_KIND]!;
        if (kind === KIND_FLOW) {
          // A packet of this batch may have made or ended the flow since the lookups.
          if (table.changes !== found) meta[m + M_HANDLE] = this.findRow(m);
          reason = this.handleFlow(i, m, now);
        } else if (kind === KIND_FRAGMENT) reason = this.handleFragment(i, m, now);
        else reason = this.handleError(i, m);
      }
      if (reason === DEFER) return i;
      const device = DEVICES + meta[m + M_DEVICE]! * DEVICE_COUNTERS;
      this.counters[device + DEVICE_IN_PACKETS]!++;
      this.counters[device + DEVICE_IN_BYTES]! += bytes.i32[list + i * 2 + 1]!;
      if (reason !== OK) this.counters[DROPS + reason]!++;
    }
    this.counters[BATCHES]!++;
    return count;
  }

  private findRow(m: number): number {
    const meta = this.meta;
    return this.table.find(
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PORTS]!,
      meta[m + M_PROTOCOL]!,
      meta[m + M_HASH]!,
    );
  }

  /** Addresses that cannot cross a gateway, its own as a source among them. */
  private checkAddresses(m: number, device: number): number {
    const source = this.meta[m + M_SOURCE]!;
    if (isMartian(source)) return MARTIAN_SOURCE;
    if (isMartian(this.meta[m + M_DESTINATION]!)) return MARTIAN_DESTINATION;
    if (source === this.address[device] || source === this.address[this.publicDevice]) return MARTIAN_SOURCE;
    return OK;
  }

  /** A packet with a tuple: ESTABLISHED when its flow is known, else NEW. */
  private handleFlow(slot: number, m: number, now: number): number {
    const { meta } = this;
    const handle = meta[m + M_HANDLE]!;
    if (handle < 0) return this.handleNew(slot, m, now);
    // Flows begin on the private side; a tuple of one direction on the other side of the gateway is forged.
    if (this.side[meta[m + M_DEVICE]!] !== (handle & 1)) return MARTIAN_SOURCE;
    const egress = this.egressOf(handle);
    const blocked = this.checkPath(slot, m, egress, this.nextAddress(handle), now);
    return blocked === OK ? this.forward(slot, m, handle, egress, now) : blocked;
  }

  /** A packet whose tuple no flow has. */
  private handleNew(slot: number, m: number, now: number): number {
    const { meta } = this;
    if (this.side[meta[m + M_DEVICE]!] === PUBLIC) return this.handleUninvited(slot, m, now);
    const destination = meta[m + M_DESTINATION]!;
    const egress = this.routes.classOf(destination);
    const blocked = this.checkPath(slot, m, egress, destination, now);
    if (blocked !== OK) return blocked;
    const refused = admit(PRIVATE, this.side[this.routes.device[egress]!]!);
    if (refused !== OK) return refused;
    const state = this.tracker.firstState(this.bytes, meta, m);
    if (state === INVALID) return meta[m + M_PROTOCOL] === PROTO_TCP ? INVALID_TCP : NO_FLOW;
    const handle = this.begin(m, state, now);
    if (handle >= 0) return this.forward(slot, m, handle, egress, now);
    // No session can be had: tell the sender (RFC 5508 REQ-8).
    this.answer(m, ICMP_UNREACHABLE, ADMIN_PROHIBITED, 0, now);
    return -handle;
  }

  /** From outside, and no flow expects it: dropped in silence, or the host's own. */
  private handleUninvited(slot: number, m: number, now: number): number {
    const { meta } = this;
    const protocol = meta[m + M_PROTOCOL]!;
    const whole = meta[m + M_FRAGMENT] === 0;
    const hasPorts = protocol === PROTO_TCP || protocol === PROTO_UDP;
    const ours = hasPorts && (whole || this.mappings.owns(protocol, meta[m + M_PORTS]! >>> 16));
    if (!whole) this.rememberFirst(m, ours ? DROPPED : FOR_HOST, 0, now);
    return ours || !this.isForHost(m) ? NO_FLOW : this.handBack(slot, m);
  }

  /** The part that all packets of a flow share once they may pass. */
  private forward(slot: number, m: number, handle: number, egress: number, now: number): number {
    const { meta } = this;
    const { hot } = this.table;
    const verdict = this.tracker.update(handle, this.bytes, meta, m, now);
    if (verdict === REOPEN) {
      this.tracker.close(handle >> 1);
      return this.handleNew(slot, m, now);
    }
    if (verdict !== OK) return verdict;
    if (meta[m + M_FRAGMENT] !== 0) {
      this.rememberFirst(m, handle, hot[(handle >> 1) * HOT + H_SEQUENCE]!, now);
    }
    translatePacket(this.bytes, meta[m + M_OFFSET]!, meta[m + M_L4]!, hot, handle);
    this.send(egress, slot, meta[m + M_LENGTH]!);
    return OK;
  }

  /** Makes the flow of the packet of row `m`. Returns its handle, or the negative of a drop reason. */
  private begin(m: number, state: number, now: number): number {
    const { meta, table } = this;
    const external = this.address[this.publicDevice]!;
    if (external === 0) return -NO_EXTERNAL_ADDRESS;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    const mapping = this.mappings.acquire(protocol, source, ports & 0xffff);
    if (mapping === NO_MAPPING) return -NO_FREE_PORT;
    const replyPorts = externalReplyPorts(protocol, ports, this.mappings.externalPort(mapping));
    if (table.lookup(destination, external, replyPorts, protocol) >= 0) {
      this.mappings.release(mapping);
      return -TUPLE_IN_USE;
    }
    const flow = this.tracker.open(meta, m, state, destination, external, replyPorts, now);
    if (flow === FULL) {
      this.mappings.release(mapping);
      return -TABLE_FULL;
    }
    table.cold[flow * COLD + C_MAPPING] = mapping;
    setDeltas(table.hot, flow, protocol);
    this.counters[FLOWS_STARTED]!++;
    this.counters[flowGauge(protocol)]!++;
    return (flow << 1) | ORIGINAL;
  }

  private flowEnds(flow: number): void {
    const mapping = this.table.cold[flow * COLD + C_MAPPING]!;
    if (mapping >= 0) this.mappings.release(mapping);
    this.counters[FLOWS_ENDED]!++;
    this.counters[flowGauge(this.table.hot[flow * HOT + H_STATUS]! & 0xff)]!--;
  }

  /** TTL, MTU and next hop of a packet that goes by route class `egress` to `destination`. OK, DEFER, or a drop, answered. */
  private checkPath(slot: number, m: number, egress: number, destination: number, now: number): number {
    const { meta, bytes } = this;
    const offset = meta[m + M_OFFSET]!;
    if (bytes.u8[offset + IP_TTL]! <= 1) {
      this.answer(m, TIME_EXCEEDED, 0, 0, now);
      return TTL_EXCEEDED;
    }
    const device = this.routes.device[egress]!;
    if (device < 0) {
      if (device === TO_HOST) return NOT_PUBLIC;
      this.answer(m, ICMP_UNREACHABLE, NET_UNREACHABLE, 0, now);
      return NO_ROUTE;
    }
    if (this.failedCount !== 0) {
      const gateway = this.routes.gateway[egress]!;
      // The packet goes on nevertheless: it makes the kernel ask again. The steering drops it if nobody answers.
      if (this.failed[device]!.has(gateway === 0 ? destination : gateway)) {
        this.answer(m, ICMP_UNREACHABLE, HOST_UNREACHABLE, 0, now);
        this.counters[DROPS + NEIGHBOUR_FAILED]!++;
      }
    }
    const length = meta[m + M_LENGTH]!;
    const mtu = this.pathMtu(egress);
    this.fits = !exceedsMtu(bytes.u8, bytes.u16, offset, length, mtu);
    if (this.fits) return OK;
    if ((be16(bytes.u8, offset + IP_FRAGMENT) & DONT_FRAGMENT) !== 0) {
      this.answer(m, ICMP_UNREACHABLE, FRAGMENTATION_NEEDED, mtu, now);
      return TOO_BIG;
    }
    const cost = this.oversize.cost(slot, length, mtu);
    if (cost === TOO_MANY) return NO_SLOT;
    return cost > this.out.freeSlots ? DEFER : OK;
  }

  private handleFragment(slot: number, m: number, now: number): number {
    const { meta, bytes } = this;
    const offset = meta[m + M_OFFSET]!;
    const known = this.fragments.find(
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PROTOCOL]!,
      bytes.u16[(offset + IP_ID) >> 1]!,
      now,
    );
    const verdict = known === UNKNOWN ? UNKNOWN : this.fragments.verdict(known);
    if (verdict === DROPPED) return FRAGMENT_FIRST_MISSING;
    // Out of order or the host's: only the host can tell, and what is not its own it will time out.
    if (verdict < 0) return this.isForHost(m) ? this.handBack(slot, m) : FRAGMENT_FIRST_MISSING;
    const { hot } = this.table;
    const h = (verdict >> 1) * HOT;
    if (hot[h + H_SEQUENCE] !== this.fragments.sequence(known)) return FRAGMENT_FIRST_MISSING;
    if (this.side[meta[m + M_DEVICE]!] !== (verdict & 1)) return MARTIAN_SOURCE;
    const egress = this.egressOf(verdict);
    const blocked = this.checkPath(slot, m, egress, this.nextAddress(verdict), now);
    if (blocked !== OK) return blocked;
    this.tracker.touch(h, verdict & 1, meta[m + M_LENGTH]!, now);
    translateHeader(bytes, offset, hot, verdict);
    this.send(egress, slot, meta[m + M_LENGTH]!);
    return OK;
  }

  /** An ICMP error: RELATED to the flow of the packet it quotes, or the host's, or nobody's. */
  private handleError(slot: number, m: number): number {
    const { meta, bytes, table } = this;
    const device = meta[m + M_DEVICE]!;
    const l4 = meta[m + M_L4]!;
    const length = meta[m + M_LENGTH]! - (l4 - meta[m + M_OFFSET]!);
    if (fold(sumPacket(bytes, slot, l4 - meta[m + M_OFFSET]!, length)) !== 0xffff) return BAD_ICMP_CHECKSUM;
    const q = BATCH * META;
    const reason = parseQuote(bytes, l4, length, meta, q);
    if (reason !== OK) return this.isForHost(m) ? this.handBack(slot, m) : BAD_QUOTE;
    const protocol = meta[q + M_PROTOCOL]!;
    // The quoted packet went the other way: its flow is found by the inverse of its tuple.
    const handle = table.lookup(
      meta[q + M_DESTINATION]!,
      meta[q + M_SOURCE]!,
      invertPorts(protocol, meta[q + M_PORTS]!),
      protocol,
    );
    if (handle < 0) return this.isForHost(m) ? this.handBack(slot, m) : NO_RELATED;
    const tuple = (handle >> 1) * HOT + (handle & 1) * TUPLE;
    if (this.side[device] !== (handle & 1) || meta[m + M_DESTINATION] !== table.hot[tuple + H_DESTINATION]) {
      return NO_RELATED;
    }
    const egress = this.egressOf(handle);
    if (this.routes.device[egress]! < 0) return NO_ROUTE;
    if (bytes.u8[meta[m + M_OFFSET]! + IP_TTL]! <= 1) return TTL_EXCEEDED;
    if (meta[m + M_LENGTH]! > this.pathMtu(egress)) return TOO_BIG;
    this.fits = true;
    translateError(bytes, meta, m, q, table.hot, handle);
    this.counters[ICMP_TRANSLATED]!++;
    this.send(egress, slot, meta[m + M_LENGTH]!);
    return OK;
  }

  private isForHost(m: number): boolean {
    const device = this.meta[m + M_DEVICE]!;
    return device === this.publicDevice && this.meta[m + M_DESTINATION] === this.address[device];
  }

  /** Gives a packet of the public side to the host, as it came. */
  private handBack(slot: number, m: number): number {
    this.counters[HANDED_BACK]!++;
    this.out.send(this.meta[m + M_DEVICE]!, slot, this.meta[m + M_LENGTH]!);
    return OK;
  }

  /** Route class of the direction of `handle`, from the flow's cache unless routes have changed. */
  private egressOf(handle: number): number {
    const { hot } = this.table;
    const h = (handle >> 1) * HOT;
    let cached = hot[h + H_ROUTE]!;
    if (cached >>> 16 !== this.routes.epoch) {
      cached =
        (this.routes.epoch << 16) |
        (this.routes.classOf(hot[h + TUPLE]!) << 8) |
        this.routes.classOf(hot[h]!);
      hot[h + H_ROUTE] = cached;
    }
    return (handle & 1) === ORIGINAL ? (cached >>> 8) & 0xff : cached & 0xff;
  }

  /** Where a packet of this handle goes: the source of the other tuple. */
  private nextAddress(handle: number): number {
    return this.table.hot[(handle >> 1) * HOT + TUPLE - (handle & 1) * TUPLE]!;
  }

  private pathMtu(egress: number): number {
    return this.routes.mtu[egress]! || this.mtu[this.routes.device[egress]!]!;
  }

  /** Sends the translated packet in `slot`; checkPath() has found that it fits, or has made sure of slots for its pieces. */
  private send(egress: number, slot: number, length: number): void {
    const device = this.routes.device[egress]!;
    const at = DEVICES + device * DEVICE_COUNTERS;
    this.counters[at + DEVICE_OUT_PACKETS]!++;
    this.counters[at + DEVICE_OUT_BYTES]! += length;
    if (this.fits) {
      this.out.send(device, slot, length);
    } else {
      this.counters[FRAGMENTED]!++;
      this.oversize.send(device, slot, length, this.pathMtu(egress));
    }
  }

  /** Sends an ICMP error about the packet of row `m`, unless it is one that gets none (RFC 1812 4.3.2.7). */
  private answer(m: number, type: number, code: number, mtu: number, now: number): void {
    const { meta } = this;
    if (meta[m + M_KIND] === KIND_ERROR || (meta[m + M_FRAGMENT]! & FRAGMENT_OFFSET) !== 0) return;
    const device = meta[m + M_DEVICE]!;
    const sent = this.errors.send(
      device,
      this.address[device]!,
      meta[m + M_OFFSET]!,
      meta[m + M_LENGTH]!,
      type,
      code,
      mtu,
      now,
    );
    this.counters[sent ? ICMP_SENT : ICMP_SUPPRESSED]!++;
  }

  /** Notes what becomes of the datagram whose first fragment row `m` is. */
  private rememberFirst(m: number, verdict: number, sequence: number, now: number): void {
    const { meta } = this;
    this.fragments.remember(
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PROTOCOL]!,
      this.bytes.u16[(meta[m + M_OFFSET]! + IP_ID) >> 1]!,
      verdict,
      sequence,
      now,
    );
  }

  /** Takes over the flows that the state holds, and their ports; what does not fit the present address ends. */
  private adopt(now: number): void {
    const { table, counters } = this;
    for (const gauge of [FLOWS_TCP, FLOWS_UDP, FLOWS_ICMP, FLOWS_OTHER]) counters[gauge] = 0;
    const lost = this.tracker.adopt(now, (flow) => {
      const h = flow * HOT;
      const { hot } = table;
      const protocol = hot[h + H_STATUS]! & 0xff;
      if (hot[h + TUPLE + H_DESTINATION] !== this.address[this.publicDevice]) return false;
      const ports = hot[h + TUPLE + H_PORTS]!;
      const external = protocol === PROTO_ICMP ? ports & 0xffff : ports >>> 16;
      const mapping = this.mappings.adopt(protocol, hot[h]!, hot[h + H_PORTS]! & 0xffff, external);
      if (mapping === NO_MAPPING) return false;
      table.cold[flow * COLD + C_MAPPING] = mapping;
      hot[h + H_ROUTE] = 0;
      counters[flowGauge(protocol)]!++;
      return true;
    });
    counters[FLOWS_LOST]! += lost;
  }
}

/** The ports word that replies to `ports` carry once the internal port has become `external`. */
function externalReplyPorts(protocol: number, ports: number, external: number): number {
  const inverse = invertPorts(protocol, ports);
  if (protocol === PROTO_ICMP) return (inverse & ~0xffff) | external;
  if (protocol === PROTO_TCP || protocol === PROTO_UDP) return (inverse & 0xffff) | (external << 16);
  return 0;
}

function flowGauge(protocol: number): number {
  if (protocol === PROTO_TCP) return FLOWS_TCP;
  if (protocol === PROTO_UDP) return FLOWS_UDP;
  return protocol === PROTO_ICMP ? FLOWS_ICMP : FLOWS_OTHER;
}
