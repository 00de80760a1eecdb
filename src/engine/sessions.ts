/**
 * Where tracking and NAT meet: a new flow gets its addresses and mappings, an ending one gives them back.
 *
 * Invariant: a live flow refers to the mapping that gave its external endpoint (C_MAPPING): of its source when it comes from
 * inside, of its destination when it comes from outside. What it has besides (a hairpin's destination, the source of twice
 * NAT) is in `targets`. Counters, quotas and
 * address-dependent filtering are told of every beginning and every end, once each.
 */
import { END_ADDRESS, END_EVICTED, END_REUSED } from '../conntrack/end-reasons.ts';
import {
  ASSURED,
  C_MAPPING,
  COLD,
  FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HOT,
  ORIGINAL,
  ORIGINAL_SIDE,
  REPLY_SIDE,
  RULE_SHIFT,
  STATE_MASK,
  STATE_SHIFT,
  TRACK,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { TIME_WAIT } from '../conntrack/tcp-states.ts';
import { after, W_END } from '../conntrack/tcp-window.ts';
import { rfcTimeouts, TimeoutTable } from '../conntrack/timeouts.ts';
import { FULL, Tracker } from '../conntrack/tracker.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import { Random } from '../core/random.ts';
import { HOST_FLOW_LIMIT, OK, TABLE_FULL, TUPLE_IN_USE } from '../core/reasons.ts';
import type { NatConfig } from '../nat/config.ts';
import {
  D_DESTINATION,
  D_KIND,
  D_MAPPING,
  D_PORTS,
  D_RULE,
  D_SOURCE,
  D_TARGET,
  Decider,
  MAPPED,
} from '../nat/decide.ts';
import { ExternalAddresses, ICMP, LOCAL, SHARED, TCP } from '../nat/external-addresses.ts';
import { Forwards } from '../nat/forwards.ts';
import { HOST_FLOWS, Hosts } from '../nat/hosts.ts';
import { Mappings, NO_MAPPING } from '../nat/mappings.ts';
import { PrefixPairs } from '../nat/prefixes.ts';
import { Rules } from '../nat/rules.ts';
import { setDeltas } from '../nat/translate.ts';
import { type Bytes, swap32 } from '../wire/bytes.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_L4, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { TCP_SEQUENCE } from '../wire/tcp.ts';
import { adoptFlows } from './adopt.ts';
import type { EngineConfig } from './config.ts';
import {
  FLOWS_ENDED,
  FLOWS_EVICTED,
  FLOWS_ICMP,
  FLOWS_LOST,
  FLOWS_OTHER,
  FLOWS_STARTED,
  FLOWS_TCP,
  FLOWS_UDP,
  IDS_ICMP,
  PORTS_OVERLOADED,
  PORTS_RECYCLED,
  PORTS_TCP,
  PORTS_UDP,
  QUARANTINE_CUT,
} from './counters.ts';
import { Shortages } from './shortages.ts';
import type { State } from './state.ts';

/** Mappings beyond one per flow, for ports that are reserved before a flow comes. */
const SPARE_MAPPINGS = 4096;
/** Records looked at for a flow that may make room. */
const EVICTION_LOOKS = 128;

export class Sessions {
  readonly table: FlowTable;
  readonly tracker: Tracker;
  readonly mappings: Mappings;
  readonly prefixes: PrefixPairs;
  readonly decider: Decider;
  /** Told of each refusal for want of something: host (wire order), rule number, drop reason. */
  onShortage: (host: number, rule: number, reason: number) => void = () => {};
  private readonly counters: Float64Array;
  private readonly hosts: Hosts;
  private readonly rules: Rules;
  private readonly shortages: Shortages;
  private readonly random: Random;
  private readonly evicts: boolean;
  /** By flow: the second mapping, where there is one. */
  readonly targets: Map<number, number> = new Map();
  private now: number;
  /** Of the SYN that begins a flow just now. */
  private sequence = 0;

  /** `nat`: as configured; `shared`, `local`: the public and the private interface's address, wire order. */
  constructor(config: EngineConfig, nat: NatConfig, state: State, shared: number, local: number) {
    this.counters = state.counters;
    this.now = config.now;
    this.table = new FlowTable(state.buffer, state.tableOffset, state.capacity, state.seed);
    this.tracker = new Tracker(
      this.table,
      new TimeoutTable({ ...rfcTimeouts, ...config.timeouts }),
      config.now,
    );
    this.shortages = new Shortages(state.shortages);
    this.random = new Random(config.seed);
    this.evicts = config.evict === 'unassured';

    const externals = new ExternalAddresses(shared, local, config.ports.first, config.ports.last);
    this.rules = new Rules(nat.rules, config.ports, (address) => externals.add(address));
    const { rules } = this.rules;
    const quotas = rules.some((rule) => rule.portsPerHost > 0 || rule.flowsPerHost > 0);
    this.hosts = new Hosts(quotas || this.evicts);
    this.mappings = new Mappings({
      owned: new Uint8Array(config.owned),
      externals,
      rules,
      forwards: nat.forwards,
      held: config.held ?? { tcp: [], udp: [] },
      capacity: state.capacity + SPARE_MAPPINGS,
      hosts: this.hosts,
      flows: {
        isTaken: (table, remote, remotePort, external, externalPort) =>
          this.isTaken(table, remote, remotePort, external, externalPort),
        endFinished: (mapping, remote, remotePort) => this.endFinished(mapping, remote, remotePort),
      },
      random: this.random,
      seed: state.seed,
    });
    this.prefixes = new PrefixPairs(nat.prefixes);
    const { prefixes } = this;
    this.decider = new Decider(
      this.rules,
      new Forwards(nat.forwards),
      prefixes,
      this.mappings,
      this.rules.twice,
    );
    for (const gauge of [FLOWS_TCP, FLOWS_UDP, FLOWS_ICMP, FLOWS_OTHER]) this.counters[gauge] = 0;
    this.counters[FLOWS_LOST]! += adoptFlows(
      this.tracker,
      { mappings: this.mappings, rules: this.rules, forwards: nat.forwards, prefixes },
      config.now,
      (flow, target) => this.begun(flow, target),
    );
    this.tracker.onClose = (flow, why) => this.ended(flow, why);
  }

  /**
   * Makes the flow that the packet of row `m` begins, in state `state`, to where decider.destination() said. `isInside`: it
   * comes from the private side; `leaves`: towards the public side. `flags`: further bits of H_STATUS. Returns its handle,
   * or the negative of a drop reason.
   */
  begin(
    bytes: Bytes,
    meta: Int32Array,
    m: number,
    state: number,
    isInside: boolean,
    leaves: boolean,
    flags: number,
    now: number,
  ): number {
    this.now = now;
    const { decider } = this;
    const { decision } = decider;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    if (protocol === PROTO_TCP) this.sequence = swap32(bytes.i32[(meta[m + M_L4]! + TCP_SEQUENCE) >> 2]!);
    let refused = OK;
    if (isInside) refused = decider.source(protocol, source, destination, ports);
    else if (decider.isTwice) refused = decider.twiceSource(protocol, source);
    const host = isInside ? source : decision[D_DESTINATION]!;
    if (refused !== OK) return this.refuse(host, refused, now);
    const mapping = decision[D_MAPPING]!;
    const rule = this.rules.rules[decision[D_RULE]!]!;
    if (isInside && rule.flowsPerHost > 0 && this.hosts.count(host, HOST_FLOWS) >= rule.flowsPerHost) {
      if (mapping !== NO_MAPPING) this.mappings.release(mapping, now, true);
      return this.refuse(host, HOST_FLOW_LIMIT, now);
    }
    const replyPorts = invertPorts(protocol, decision[D_PORTS]!);
    const replySource = decision[D_DESTINATION]!;
    const replyDestination = decision[D_SOURCE]!;
    if (this.table.lookup(replySource, replyDestination, replyPorts, protocol) >= 0) {
      if (mapping !== NO_MAPPING) this.mappings.release(mapping, now, true);
      return -TUPLE_IN_USE;
    }
    const sides = (isInside ? 0 : ORIGINAL_SIDE) | (leaves ? REPLY_SIDE : 0);
    const bits = flags | sides | (decision[D_RULE]! << RULE_SHIFT);
    let flow = this.tracker.open(meta, m, state, replySource, replyDestination, replyPorts, bits, now);
    if (flow === FULL && this.evicts && this.makeRoom()) {
      flow = this.tracker.open(meta, m, state, replySource, replyDestination, replyPorts, bits, now);
    }
    if (flow === FULL) {
      if (mapping !== NO_MAPPING) this.mappings.release(mapping, now, true);
      return this.refuse(host, TABLE_FULL, now);
    }
    const target = decision[D_KIND] === MAPPED ? decision[D_TARGET]! : NO_MAPPING;
    if (target !== NO_MAPPING) this.mappings.refer(target);
    this.table.cold[flow * COLD + C_MAPPING] = isInside ? mapping : target;
    this.begun(flow, isInside ? target : mapping);
    this.counters[FLOWS_STARTED]!++;
    return (flow << 1) | ORIGINAL;
  }

  /** Ends the flows of an external address that is gone, as MASQUERADE does. */
  endFlowsOf(address: number): void {
    const { table } = this;
    const { hot } = table;
    for (let flow = 0; flow < table.capacity; flow++) {
      const h = flow * HOT;
      if (!table.isLive(flow)) continue;
      const isOf = hot[h + TUPLE + H_DESTINATION] === address || hot[h + H_DESTINATION] === address;
      if (isOf) this.tracker.close(flow, END_ADDRESS);
    }
  }

  /** Expiry, quarantines, gauges; once a batch. */
  tick(now: number): void {
    this.now = now;
    const { counters, mappings } = this;
    const { externals, allocator } = mappings;
    this.tracker.expire(now);
    mappings.expire(now);
    counters[PORTS_RECYCLED] = allocator.recycled;
    counters[QUARANTINE_CUT] = allocator.quarantineCut;
    counters[PORTS_OVERLOADED] = allocator.overloaded;
    counters[PORTS_TCP] = counters[PORTS_UDP] = counters[IDS_ICMP] = 0;
    externals.each((space, _number, table) => {
      counters[PORTS_TCP + table]! += space.inUse;
    });
  }

  private refuse(host: number, reason: number, now: number): number {
    const rule = this.decider.decision[D_RULE]!;
    this.shortages.note(host, rule, reason, now);
    this.onShortage(host, rule, reason);
    return -reason;
  }

  /** A flow has its mappings: what else has to know. `target`: the second one, or NO_MAPPING. */
  private begun(flow: number, target: number): void {
    const { table, hosts, decider } = this;
    const { hot, cold } = table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    setDeltas(hot, flow, protocol);
    if (target !== NO_MAPPING) this.targets.set(flow, target);
    hosts.add(this.hostOf(h), HOST_FLOWS);
    const mapping = cold[flow * COLD + C_MAPPING]!;
    if (mapping !== NO_MAPPING) {
      this.mappings.table.setLastFlow(mapping, flow);
      if ((status & ORIGINAL_SIDE) === 0) decider.contact(mapping, hot[h + H_DESTINATION]!, 1);
    }
    this.counters[flowGauge(protocol)]!++;
  }

  private ended(flow: number, why: number): void {
    const { table, mappings, now } = this;
    const { hot } = table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    const mapping = table.cold[flow * COLD + C_MAPPING]!;
    const isQuiet = why === END_ADDRESS || isOver(status);
    if (mapping !== NO_MAPPING) {
      if ((status & ORIGINAL_SIDE) === 0) this.decider.contact(mapping, hot[h + H_DESTINATION]!, -1);
      mappings.release(mapping, now, isQuiet);
    }
    const target = this.targets.get(flow);
    if (target !== undefined) {
      this.targets.delete(flow);
      mappings.release(target, now, isQuiet);
    }
    this.hosts.remove(this.hostOf(h), HOST_FLOWS);
    this.counters[FLOWS_ENDED]!++;
    this.counters[flowGauge(protocol)]!--;
  }

  /** The internal host of the flow record at `h`: who began it, or whom it is for. */
  private hostOf(h: number): number {
    const { hot } = this.table;
    return (hot[h + H_STATUS]! & ORIGINAL_SIDE) === 0 ? hot[h]! : hot[h + TUPLE]!;
  }

  private isTaken(
    table: number,
    remote: number,
    remotePort: number,
    external: number,
    externalPort: number,
  ): boolean {
    if (table === ICMP) {
      // Queries of all types share an id; the one that is answered most decides.
      return this.table.lookup(remote, external, externalPort, PROTO_ICMP) >= 0;
    }
    const protocol = table === TCP ? PROTO_TCP : PROTO_UDP;
    return this.table.lookup(remote, external, remotePort | (externalPort << 16), protocol) >= 0;
  }

  /** RFC 5382 REQ-5, netfilter's early eviction: a connection in TIME_WAIT gives its port to a new one elsewhere. */
  private endFinished(mapping: number, remote: number, remotePort: number): boolean {
    const flow = this.mappings.table.lastFlow(mapping);
    if (flow < 0 || !this.table.isLive(flow)) return false;
    if (this.table.cold[flow * COLD + C_MAPPING] !== mapping) return false;
    const h = flow * HOT;
    const { hot } = this.table;
    if (!isOver(hot[h + H_STATUS]!)) return false;
    // The same remote endpoint might take late segments of the old connection for the new one's, unless its numbers lie
    // beyond them (RFC 9293 3.6.1).
    const isSame = hot[h + TUPLE] === remote && (hot[h + TUPLE + H_PORTS]! & 0xffff) === remotePort;
    if (isSame && !after(this.sequence, this.table.track[flow * TRACK + W_END]!)) return false;
    this.tracker.close(flow, END_REUSED);
    return true;
  }

  /** Ends a flow that is not ASSURED, of the host that has most of those looked at; false when there is none. */
  private makeRoom(): boolean {
    const { table, hosts } = this;
    let victim = -1;
    let most = 0;
    let flow = (this.random.next() >>> 1) % table.capacity;
    for (let looks = 0; looks < EVICTION_LOOKS; looks++) {
      flow = flow + 1 === table.capacity ? 0 : flow + 1;
      const h = flow * HOT;
      if (!table.isLive(flow) || (table.hot[h + H_STATUS]! & ASSURED) !== 0) continue;
      const flows = hosts.count(this.hostOf(h), HOST_FLOWS);
      if (flows <= most) continue;
      most = flows;
      victim = flow;
    }
    if (victim < 0) return false;
    this.tracker.close(victim, END_EVICTED);
    this.counters[FLOWS_EVICTED]!++;
    return true;
  }

  /** The host's own addresses, where they may have changed. */
  setHostAddresses(shared: number, local: number): void {
    const { externals } = this.mappings;
    if (externals.addressOf(SHARED) !== shared) {
      externals.each((space, number) => {
        if (number === SHARED) space.endQuarantines();
      });
    }
    externals.setHost(SHARED, shared);
    externals.setHost(LOCAL, local);
  }
}

/** Whether nothing of a flow with this status can still be on its way: TCP in TIME_WAIT or CLOSE. */
function isOver(status: number): boolean {
  return (status & 0xff) === PROTO_TCP && (status & STATE_MASK) >>> STATE_SHIFT >= TIME_WAIT;
}

function flowGauge(protocol: number): number {
  if (protocol === PROTO_TCP) return FLOWS_TCP;
  if (protocol === PROTO_UDP) return FLOWS_UDP;
  return protocol === PROTO_ICMP ? FLOWS_ICMP : FLOWS_OTHER;
}
