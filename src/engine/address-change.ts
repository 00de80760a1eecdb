/**
 * What becomes of flows when the public interface loses their external address (`on-address-change` of their rule or forward).
 *
 *     end     the flow ends, as with MASQUERADE (net/netfilter/nf_nat_masquerade.c); a private host that has a TCP connection by it
 *             is told with a RST
 *     keep    it stays until its timeout; meanwhile its packets are dropped (`address_gone`), its port is its own; when the address is
 *             back it goes on
 *     remap   as `keep` while there is no address; once there is another one the flow goes on from that, on the same port
 *
 * Only loss counts. A former address that the interface still has carries its flows on, as with MASQUERADE. TCP and SCTP are bound to
 * the endpoints that they began with (RFC 9293 3.3.1; an SCTP association knows the addresses of its INIT, RFC 9260 5.1.2), so the
 * other end would answer a segment from elsewhere with a RST or ABORT: under `remap` these end once another address has come. So do
 * hairpins, both ends of which know the old address. UDP, ICMP and protocols without ports go on: what is above them may know its
 * peer by more than its address (QUIC, WireGuard, IKEv2 with MOBIKE); if it does not, it is no worse off than with a new flow.
 *
 * The table is swept in slices, one a tick, because a large one takes longer than a batch may wait and because RSTs need slots. Until a
 * flow's turn comes it has no way (Path.isLost), so nothing leaves by a lost address in between.
 *
 * Invariant: a flow of an address that is neither the present one nor a former one is of one in Path.lost.
 * Limit: an address that is gone and back between two looks at the host (20 ms) is not missed at all.
 */
import { END_ADDRESS } from '../conntrack/end-reasons.ts';
import {
  C_MAPPING,
  COLD,
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HELPED,
  HOT,
  ORIGINAL,
  ORIGINAL_SIDE,
  REPLY,
  RULE_SHIFT,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import { ON_CHANGE_END, ON_CHANGE_KEEP, ON_CHANGE_REMAP, onChangeOf } from '../nat/rules.ts';
import { setDeltas } from '../nat/translate.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP } from '../wire/ipv4.ts';
import { FLOWS_ADDRESS_GONE, FLOWS_REMAPPED } from './counters.ts';
import type { Devices } from './devices.ts';
import type { Helpers } from './helpers.ts';
import { isHairpin } from './lost-addresses.ts';
import type { OutList } from './out-list.ts';
import type { Path } from './path.ts';
import { RESETS_PER_FLOW, Resets } from './resets.ts';
import type { Sessions } from './sessions.ts';
import { isOver } from './yielding.ts';

/** Records looked at in a slice, and flows that may change in it, at most. */
const LOOKS = 16_384;
const CHANGES = 1024;

export interface AddressChangeParts {
  sessions: Sessions;
  devices: Devices;
  path: Path;
  helpers: Helpers;
  out: OutList;
  counters: Float64Array;
}

export class AddressChange {
  private readonly sessions: Sessions;
  private readonly table: FlowTable;
  private readonly devices: Devices;
  private readonly path: Path;
  private readonly helpers: Helpers;
  private readonly out: OutList;
  private readonly counters: Float64Array;
  private readonly resets: Resets;
  /** The present address, then the former ones. */
  private here: readonly number[];
  /** Where the sweep goes on; the table's capacity when there is none. */
  private next: number;
  /** Lost addresses that flows which stay have, as far as the sweep has come. */
  private readonly used = new Set<number>();

  constructor(parts: AddressChangeParts) {
    const { sessions, devices, path, helpers, out, counters } = parts;
    this.sessions = sessions;
    this.table = sessions.table;
    this.devices = devices;
    this.path = path;
    this.helpers = helpers;
    this.out = out;
    this.counters = counters;
    this.resets = new Resets({ table: sessions.table, path, helpers, out, counters });
    this.here = this.addresses();
    // Flows that lived on though their address was lost meanwhile: with the first tick, when there are routes.
    for (const address of sessions.adoptedLost) path.lost.add(address);
    this.next = path.lost.count > 0 ? 0 : this.table.capacity;
  }

  /** Whether the sweep has not yet seen all flows: tick() wants to be called without a wait. */
  get isSweeping(): boolean {
    return this.next < this.table.capacity;
  }

  /** The public interface may have other addresses. */
  follow(): void {
    const { lost, routes } = this.path;
    const before = this.here;
    const here = this.addresses();
    if (here.length === before.length && here.every((address, i) => address === before[i])) return;
    for (const address of before) if (!here.includes(address)) lost.add(address);
    for (const address of here) lost.delete(address);
    this.here = here;
    // What flows have cached of their way may hold no more, or hold again.
    routes.invalidate();
    this.used.clear();
    this.next = lost.count > 0 ? 0 : this.table.capacity;
    this.sweep();
  }

  /** Rules or forwards are others: flows that wait for a lost address may have to end, or may go on from the present one. */
  reconsider(): void {
    if (this.path.lost.count === 0) return;
    this.used.clear();
    this.next = 0;
  }

  /** The next slice. */
  sweep(): void {
    const { table } = this;
    const { lost } = this.path;
    if (!this.isSweeping) return;
    const end = Math.min(table.capacity, this.next + LOOKS);
    let changes = CHANGES;
    for (; this.next < end; this.next++) {
      const h = this.next * HOT;
      if (!table.isLive(this.next) || !lost.hasFlow(table.hot, h)) continue;
      if (changes-- === 0 || this.out.freeSlots < RESETS_PER_FLOW) return;
      if (this.stays(h)) lost.note(table.hot, h, this.used);
      else if (!this.moves(this.next)) this.end(this.next);
    }
    if (!this.isSweeping) lost.retain(this.used);
  }

  private addresses(): number[] {
    const { external, former } = this.devices;
    return [external, ...former].filter((address) => address !== 0);
  }

  private stays(h: number): boolean {
    if (isOver(this.table.hot[h + H_STATUS]!)) return false;
    const policy = this.policyOf(h);
    return policy === ON_CHANGE_KEEP || (policy === ON_CHANGE_REMAP && this.devices.external === 0);
  }

  /** ON_CHANGE_* of the forward or rule that a flow is by. */
  private policyOf(h: number): number {
    const { rules, decider } = this.sessions;
    const { hot } = this.table;
    const status = hot[h + H_STATUS]!;
    if ((status & ORIGINAL_SIDE) !== 0) {
      const port = hot[h + H_PORTS]! >>> 16;
      const forward = decider.forwardOfShared(status & 0xff, port, hot[h]!);
      if (forward !== null) return onChangeOf(forward.onAddressChange);
    }
    return rules.rules[status >>> RULE_SHIFT]?.onAddressChange ?? ON_CHANGE_END;
  }

  private end(flow: number): void {
    const status = this.table.hot[flow * HOT + H_STATUS]!;
    if ((status & 0xff) === PROTO_TCP && !isOver(status)) this.resets.tell(flow);
    this.counters[FLOWS_ADDRESS_GONE]!++;
    this.sessions.tracker.close(flow, END_ADDRESS);
  }

  /** Lets a flow go on from the present address, if it can. */
  private moves(flow: number): boolean {
    const { sessions, table, helpers } = this;
    const { hot } = table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    if (this.policyOf(h) !== ON_CHANGE_REMAP || isHairpin(status) || isOver(status)) return false;
    if (protocol === PROTO_TCP || protocol === PROTO_SCTP) return false;
    sessions.ownership?.flowEnded(table, flow);
    const isMoved = (status & ORIGINAL_SIDE) === 0 ? this.movesOut(flow) : this.movesIn(flow);
    if (isMoved) setDeltas(hot, flow, protocol);
    sessions.ownership?.flowBegun(table, flow);
    if (!isMoved) return false;
    // What it has announced is expected at the old address.
    if ((status & HELPED) !== 0) helpers.expectations.endOf(flow);
    sessions.events?.moved(flow);
    this.counters[FLOWS_REMAPPED]!++;
    return true;
  }

  /** A flow from inside: its answers come to the present address. */
  private movesOut(flow: number): boolean {
    const { table } = this;
    const { hot } = table;
    const r = flow * HOT + TUPLE;
    const protocol = hot[flow * HOT + H_STATUS]! & 0xff;
    const { external } = this.devices;
    let ports = hot[r + H_PORTS]!;
    if (table.lookup(hot[r]!, external, ports, protocol) >= 0) {
      ports = this.otherPorts(flow);
      if (ports === 0) return false;
    }
    table.retuple((flow << 1) | REPLY, hot[r]!, external, ports);
    return true;
  }

  /** A flow from outside: it came to the present address. */
  private movesIn(flow: number): boolean {
    const { table } = this;
    const { hot } = table;
    const o = flow * HOT;
    const { external } = this.devices;
    const ports = hot[o + H_PORTS]!;
    if (table.lookup(hot[o]!, external, ports, hot[o + H_STATUS]! & 0xff) >= 0) return false;
    table.retuple((flow << 1) | ORIGINAL, hot[o]!, external, ports);
    return true;
  }

  /**
   * Another host talks to the same remote endpoint by the flow's port (an overloaded one) already: takes another mapping. Returns the
   * ports word of its answers, 0 when there is no other port.
   */
  private otherPorts(flow: number): number {
    const { sessions, table } = this;
    const { mappings, decider } = sessions;
    const { hot, cold } = table;
    const o = flow * HOT;
    const r = o + TUPLE;
    const status = hot[o + H_STATUS]!;
    const isIcmp = (status & 0xff) === PROTO_ICMP;
    const before = cold[flow * COLD + C_MAPPING]!;
    const [remote, reply] = [hot[r]!, hot[r + H_PORTS]!];
    const remotePort = isIcmp ? 0 : reply & 0xffff;
    const rule = status >>> RULE_SHIFT;
    if (before === NO_MAPPING) return 0;
    const port = hot[o + H_PORTS]! & 0xffff;
    const mapping = mappings.acquire(rule, status & 0xff, hot[o]!, port, remote, remotePort);
    if (mapping === NO_MAPPING) return 0;
    const external = mappings.externalPort(mapping);
    const ports = isIcmp ? (reply & ~0xffff) | external : (reply & 0xffff) | (external << 16);
    if (mapping === before || table.lookup(remote, this.devices.external, ports, status & 0xff) >= 0) {
      mappings.release(mapping, sessions.now, true);
      return 0;
    }
    cold[flow * COLD + C_MAPPING] = mapping;
    mappings.table.setLastFlow(mapping, flow);
    decider.contact(before, hot[o + H_DESTINATION]!, -1);
    decider.contact(mapping, hot[o + H_DESTINATION]!, 1);
    mappings.release(before, sessions.now, true);
    return ports;
  }
}
