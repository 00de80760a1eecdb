/**
 * The way out: where a packet goes, whether it may go there as it is, and what its sender is told when it may not.
 *
 * Where is a route class (routes.ts), cached in the flow for both directions and looked up again when routes have
 * changed. check() comes before anything is changed, so that an ICMP error quotes the packet as its sender knows it;
 * send() comes after translation.
 */
import { type FlowTable, H_ROUTE, HOT, ORIGINAL, TUPLE } from '../conntrack/flow-table.ts';
import { NO_ROUTE, NO_SLOT, NOT_PUBLIC, OK, TOO_BIG, TTL_EXCEEDED } from '../core/reasons.ts';
import { PRIVATE } from '../policy/admission.ts';
import { be16 } from '../wire/bytes.ts';
import {
  FRAGMENTATION_NEEDED,
  HOST_UNREACHABLE,
  UNREACHABLE as ICMP_UNREACHABLE,
  NET_UNREACHABLE,
  TIME_EXCEEDED,
} from '../wire/icmp.ts';
import { DONT_FRAGMENT, FRAGMENT_OFFSET, IP_FRAGMENT, IP_TTL } from '../wire/ipv4.ts';
import {
  KIND_ERROR,
  M_DESTINATION,
  M_DEVICE,
  M_FRAGMENT,
  M_KIND,
  M_LENGTH,
  M_OFFSET,
} from '../wire/parse.ts';
import {
  DEVICE_COUNTERS,
  DEVICE_OUT_BYTES,
  DEVICE_OUT_PACKETS,
  DEVICES,
  FRAGMENTED,
  HANDED_BACK,
  ICMP_SENT,
  ICMP_SUPPRESSED,
  NEIGHBOUR_FAILED,
} from './counters.ts';
import type { Devices } from './devices.ts';
import { IcmpErrors } from './icmp-errors.ts';
import { LostAddresses } from './lost-addresses.ts';
import type { OutList } from './out-list.ts';
import { exceedsMtu, Oversize, TOO_MANY } from './oversize.ts';
import { NO_ROUTE_CLASS, RouteTable, TO_HOST } from './routes.ts';

/** check(): the packet needs more slots than are free; write the out list and come again. */
export const DEFER = -1;

export class Path {
  readonly routes = new RouteTable();
  /** Flows of these have no way until their address is back, or they have another one. */
  readonly lost = new LostAddresses();
  /** The gateway's private addresses are shared with the host too: twice NAT makes them sources. */
  usesTwice = false;
  /** They answer DNS. */
  answersDns = false;
  /** Keys the hash by which answers are limited (policy/destination-limit.ts): nobody outside knows it. */
  readonly answerKey: number;
  private readonly devices: Devices;
  private readonly table: FlowTable;
  private readonly out: OutList;
  private readonly meta: Int32Array;
  private readonly counters: Float64Array;
  private readonly errors: IcmpErrors;
  private readonly oversize: Oversize;
  /** What check() found: whether the packet fits its path as it is. */
  private fits = true;

  constructor(
    devices: Devices,
    table: FlowTable,
    out: OutList,
    meta: Int32Array,
    counters: Float64Array,
    now: number,
  ) {
    this.devices = devices;
    this.table = table;
    this.out = out;
    this.meta = meta;
    this.counters = counters;
    this.answerKey = table.hash(1, 2, 3, 4);
    this.errors = new IcmpErrors(out, this.answerKey, now);
    this.oversize = new Oversize(out);
  }

  /** Route class of the direction of `handle`. */
  egressOf(handle: number): number {
    const { table } = this;
    const { hot } = table;
    const h = (handle >> 1) * HOT;
    let cached = hot[h + H_ROUTE]!;
    if (cached >>> 16 !== this.routes.epoch) {
      // Not cached: it may have another address before routes change.
      if (this.isLost(handle)) return NO_ROUTE_CLASS;
      const original = this.classTowards(table.sideOf(handle | 1), hot[h + TUPLE]!);
      const reply = this.classTowards(table.sideOf(handle & ~1), hot[h]!);
      cached = (this.routes.epoch << 16) | (original << 8) | reply;
      hot[h + H_ROUTE] = cached;
    }
    return (handle & 1) === ORIGINAL ? (cached >>> 8) & 0xff : cached & 0xff;
  }

  /** The device where packets of a handle leave, negative for none; of a flow without its address, where they would. */
  exitOf(handle: number): number {
    if (!this.isLost(handle)) return this.deviceOf(this.egressOf(handle));
    const side = this.table.sideOf(handle ^ 1);
    if (side !== PRIVATE) return this.devices.public;
    return this.deviceOf(this.classTowards(side, this.destinationOf(handle)));
  }

  /** Whether the flow's external address is none of the host's now. */
  isLost(handle: number): boolean {
    return this.lost.count !== 0 && this.lost.hasFlow(this.table.hot, (handle >> 1) * HOT);
  }

  /** Route classes of a new flow, as found when it was made: of the original and of the reply direction. */
  remember(handle: number, original: number, reply: number): void {
    this.table.hot[(handle >> 1) * HOT + H_ROUTE] = (this.routes.epoch << 16) | (original << 8) | reply;
  }

  /**
   * Class of the way to `address` on `side` of the gateway. Where the routes lead to the other side there is none: a
   * packet that turned round would show one side's addresses to the other.
   */
  classTowards(side: number, address: number): number {
    const found = this.routes.classOf(address);
    const device = this.routes.device[found]!;
    return device >= 0 && this.devices.side[device] !== side ? NO_ROUTE_CLASS : found;
  }

  /** Where a packet of this handle goes: the source of the other tuple. */
  destinationOf(handle: number): number {
    return this.table.hot[(handle >> 1) * HOT + TUPLE - (handle & 1) * TUPLE]!;
  }

  /** The device of a route class; negative for none. */
  deviceOf(egress: number): number {
    return this.routes.device[egress]!;
  }

  /**
   * TTL, route, MTU and next hop of the packet of row `m` in `slot` that is to go by class `egress` to `destination`.
   * OK, DEFER, or a drop reason; the sender of a dropped packet has been told.
   */
  check(slot: number, m: number, egress: number, destination: number, now: number): number {
    const { meta, out } = this;
    const { u8, u16 } = out.bytes;
    const offset = meta[m + M_OFFSET]!;
    if (u8[offset + IP_TTL]! <= 1) {
      this.answer(m, TIME_EXCEEDED, 0, 0, now);
      return TTL_EXCEEDED;
    }
    const device = this.routes.device[egress]!;
    if (device < 0) {
      if (device === TO_HOST) return NOT_PUBLIC;
      this.answer(m, ICMP_UNREACHABLE, NET_UNREACHABLE, 0, now);
      return NO_ROUTE;
    }
    const mtu = this.mtuOf(egress);
    this.fits = !exceedsMtu(u8, u16, offset, meta[m + M_LENGTH]!, mtu);
    if (!this.fits) {
      const blocked = this.checkOversize(slot, m, mtu, now);
      if (blocked !== OK) return blocked;
    }
    if (this.devices.failedCount !== 0) this.checkNeighbour(m, egress, destination, now);
    return OK;
  }

  private checkOversize(slot: number, m: number, mtu: number, now: number): number {
    const { meta, out } = this;
    if ((be16(out.bytes.u8, meta[m + M_OFFSET]! + IP_FRAGMENT) & DONT_FRAGMENT) !== 0) {
      this.answer(m, ICMP_UNREACHABLE, FRAGMENTATION_NEEDED, mtu, now);
      return TOO_BIG;
    }
    const cost = this.oversize.cost(slot, meta[m + M_LENGTH]!, mtu);
    if (cost === TOO_MANY) return NO_SLOT;
    return cost > out.freeSlots ? DEFER : OK;
  }

  /** The packet goes on nevertheless: it makes the kernel ask again, and is dropped there if nobody answers. */
  private checkNeighbour(m: number, egress: number, destination: number, now: number): void {
    const gateway = this.routes.gateway[egress]!;
    if (!this.devices.isFailed(this.routes.device[egress]!, gateway === 0 ? destination : gateway)) return;
    this.answer(m, ICMP_UNREACHABLE, HOST_UNREACHABLE, 0, now);
    this.counters[NEIGHBOUR_FAILED]!++;
  }

  /** The route's or the device's MTU, whichever is lower. */
  mtuOf(egress: number): number {
    const ofDevice = this.devices.mtu[this.routes.device[egress]!]!;
    const ofRoute = this.routes.mtu[egress]!;
    return ofRoute === 0 ? ofDevice : Math.min(ofDevice, ofRoute);
  }

  /** The smaller MTU of the ways of a flow's two directions, as far as there are routes. */
  mtuBothWays(handle: number): number {
    const there = this.egressOf(handle);
    const back = this.egressOf(handle ^ 1);
    const mtu = this.mtuOf(there);
    return this.deviceOf(back) < 0 ? mtu : Math.min(mtu, this.mtuOf(back));
  }

  /** The side of the gateway where the packet of row `m` came in. */
  sideOf(m: number): number {
    return this.devices.side[this.meta[m + M_DEVICE]!]!;
  }

  /** Slots of the engine's own that are left. */
  get freeSlots(): number {
    return this.out.freeSlots;
  }

  /** The packet has another length, or is a super-packet, since check(). False when there are not slots enough to send it. */
  refit(slot: number, m: number, egress: number): boolean {
    const { u8, u16 } = this.out.bytes;
    const length = this.meta[m + M_LENGTH]!;
    const mtu = this.mtuOf(egress);
    this.fits = !exceedsMtu(u8, u16, this.meta[m + M_OFFSET]!, length, mtu);
    if (this.fits) return true;
    const cost = this.oversize.cost(slot, length, mtu);
    return cost !== TOO_MANY && cost <= this.out.freeSlots;
  }

  /** Sends the translated packet in `slot`, for which check() was OK, whole or in pieces. */
  send(egress: number, slot: number, length: number): void {
    if (this.fits) {
      this.sendWhole(egress, slot, length);
    } else {
      this.count(egress, length);
      this.counters[FRAGMENTED]!++;
      this.oversize.send(this.routes.device[egress]!, slot, length, this.mtuOf(egress));
    }
  }

  /** Sends a packet that is known to fit. */
  sendWhole(egress: number, slot: number, length: number): void {
    this.count(egress, length);
    this.out.send(this.routes.device[egress]!, slot, length);
  }

  private count(egress: number, length: number): void {
    const at = DEVICES + this.routes.device[egress]! * DEVICE_COUNTERS;
    this.counters[at + DEVICE_OUT_PACKETS]!++;
    this.counters[at + DEVICE_OUT_BYTES]! += length;
  }

  /** Sends an ICMP error about the packet of row `m` to its sender, unless it is one that gets none (RFC 1812 4.3.2.7). */
  answer(m: number, type: number, code: number, mtu: number, now: number): void {
    const { meta } = this;
    if (meta[m + M_KIND] === KIND_ERROR || (meta[m + M_FRAGMENT]! & FRAGMENT_OFFSET) !== 0) return;
    const device = meta[m + M_DEVICE]!;
    const from = this.devices.address[device]!;
    const sent = this.errors.send(
      device,
      from,
      meta[m + M_OFFSET]!,
      meta[m + M_LENGTH]!,
      type,
      code,
      mtu,
      this.devices.mtu[device]!,
      now,
    );
    this.counters[sent ? ICMP_SENT : ICMP_SUPPRESSED]!++;
  }

  /** Whether a packet of either side is for an address that natgate shares with the host. */
  isForHost(m: number): boolean {
    return this.devices.isShared(this.meta[m + M_DESTINATION]!) || this.isForLocal(m);
  }

  /** Whether a packet is for the gateway's address on the private interface where it came in, and that one is shared. */
  isForLocal(m: number): boolean {
    const { meta, devices } = this;
    const device = meta[m + M_DEVICE]!;
    if (!(this.usesTwice || this.answersDns) || devices.side[device] !== PRIVATE) return false;
    const local = devices.address[device]!;
    // One-armed it is the external address, and what is behind that is asked for first.
    return local !== 0 && local !== devices.external && meta[m + M_DESTINATION] === local;
  }

  /** Gives a packet to the host, as it came, on the side where it came. */
  handBack(slot: number, m: number): number {
    this.counters[HANDED_BACK]!++;
    this.out.send(this.meta[m + M_DEVICE]!, slot, this.meta[m + M_LENGTH]!);
    return OK;
  }
}
