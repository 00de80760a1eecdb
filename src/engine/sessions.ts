/**
 * Where tracking and NAT meet: a new flow gets its addresses and mappings, an ending one gives them back.
 *
 * Invariant: a live flow refers to the mapping that gave its external endpoint (C_MAPPING): of its source when it comes from
 * inside, of its destination when it comes from outside. What it has besides (a hairpin's destination, the source of twice
 * NAT) is in `targets`. Counters, quotas and
 * address-dependent filtering are told of every beginning and every end, once each.
 */
import { END_ADDRESS, END_RESOLVER } from '../conntrack/end-reasons.ts';
import { ANY, type Expectation } from '../conntrack/expectations.ts';
import {
  C_MAPPING,
  COLD,
  EXPECTED,
  type FlowTable,
  H_DESTINATION,
  H_STATUS,
  HOT,
  ORIGINAL,
  ORIGINAL_SIDE,
  REPLY_SIDE,
  RULE_SHIFT,
} from '../conntrack/flow-table.ts';
import { INVALID } from '../conntrack/tcp-states.ts';
import { rfcTimeouts, TimeoutTable } from '../conntrack/timeouts.ts';
import { FULL, Tracker } from '../conntrack/tracker.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import { Random } from '../core/random.ts';
import { HOST_FLOW_LIMIT, INVALID_TCP, OK, TABLE_FULL, TUPLE_IN_USE } from '../core/reasons.ts';
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
  DIRECT,
  MAPPED,
  RESOLVER,
} from '../nat/decide.ts';
import { Dns, type DnsState } from '../nat/dns.ts';
import { ExternalAddresses, SHARED } from '../nat/external-addresses.ts';
import { Forwards } from '../nat/forwards.ts';
import { HOST_FLOWS, Hosts } from '../nat/hosts.ts';
import { Mappings, NO_MAPPING } from '../nat/mappings.ts';
import { ALL_PORTS, classMask } from '../nat/port-class.ts';
import { PrefixPairs } from '../nat/prefixes.ts';
import { Rules } from '../nat/rules.ts';
import { SharedHosts } from '../nat/shared-hosts.ts';
import { setDeltas } from '../nat/translate.ts';
import { type Bytes, swap32 } from '../wire/bytes.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_L4, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { TCP_SEQUENCE } from '../wire/tcp.ts';
import { adoptFlows } from './adopt.ts';
import type { EngineConfig } from './config.ts';
import { clearFlowGauges, countEnd, countPorts, flowGauge } from './count.ts';
import { FLOWS_LOST, FLOWS_STARTED } from './counters.ts';
import type { Devices } from './devices.ts';
import { EventLog } from './event-log.ts';
import { EVICT_FAIR, EVICT_NEVER, EVICT_UNASSURED, evictNumber, FairShares, hostOf } from './fair-shares.ts';
import { type FlowLosses, flowsLost } from './losses.ts';
import { Ownership } from './ownership.ts';
import { PortGauges } from './port-gauges.ts';
import { Rekeyer } from './rekeying.ts';
import { Shortages } from './shortages.ts';
import { flowTableOf, type State } from './state.ts';
import { isOver, Yielding } from './yielding.ts';

/** Mappings beyond one per flow, for ports that are reserved before a flow comes. */
const SPARE_MAPPINGS = 4096;

/** Addresses that natgate shares with the host. */
type HostAddresses = Pick<Devices, 'external' | 'locals' | 'former'>;

export class Sessions {
  readonly table: FlowTable;
  readonly tracker: Tracker;
  readonly mappings: Mappings;
  readonly prefixes: PrefixPairs;
  readonly decider: Decider;
  readonly dns: Dns;
  /** Null: nobody wants to know. */
  readonly events: EventLog | null;
  /** Flows of an earlier engine that could not be taken over. */
  readonly lost: FlowLosses;
  /** Told of each refusal for want of something: host (wire order), rule number, drop reason. */
  onShortage: (host: number, rule: number, reason: number) => void = () => {};
  /** Called with a flow that is about to end. */
  onEnd: (flow: number) => void = () => {};
  private readonly counters: Float64Array;
  readonly hosts: Hosts;
  readonly rules: Rules;
  private readonly shortages: Shortages;
  private readonly gauges: PortGauges;
  private readonly random: Random;
  /** Who gives way when the table runs short. */
  readonly shares: FairShares;
  private readonly yielding: Yielding;
  readonly rekeyer: Rekeyer;
  /** By flow: the second mapping, where there is one. */
  readonly targets: Map<number, number> = new Map();
  /** Several workers: who has what. */
  readonly ownership: Ownership | null;
  /** Flows that lived on whose destination is behind another worker's mapping. */
  readonly guests: number[] = [];
  /** Several workers: called with each flow that is about to end. */
  onGuestEnd: (flow: number) => void = () => {};
  /** The firewall counts flows: called with each that is about to end. */
  onCountedEnd: ((flow: number) => void) | null = null;
  /** ms, of the last begin() or tick(). */
  now: number;
  /** Flows are left whose time is up: tick() should come again without a wait. */
  isBehind = false;
  /** External addresses of flows that lived on, though the public interface has lost them. */
  readonly adoptedLost: Set<number> = new Set();
  /** The public interface's address when it had one last: quarantined ports are of that. */
  private lastShared: number;

  /** `nat`: as configured; the devices: for their addresses. */
  constructor(
    config: EngineConfig,
    nat: NatConfig,
    state: State,
    { external: shared, locals, former }: HostAddresses,
  ) {
    this.counters = state.counters;
    this.lastShared = shared;
    this.now = config.now;
    this.table = flowTableOf(state);
    this.tracker = new Tracker(
      this.table,
      new TimeoutTable({ ...rfcTimeouts, ...config.timeouts }),
      config.now,
    );
    this.shortages = new Shortages(state.shortages);
    this.random = new Random(config.seed);
    const evict = evictNumber(config.evict);

    const { seat } = config;
    this.ownership = seat === undefined ? null : new Ownership(seat);
    const own = this.ownership?.class ?? ALL_PORTS;
    const { first, last } = config.ports;
    const externals = new ExternalAddresses(shared, locals, first, last, classMask(own));
    externals.setFormer(former);
    this.rules = new Rules(nat.rules, config.ports, (address) => externals.add(address));
    const { rules } = this.rules;
    const quotas = this.rules.deciding.some((rule) => rule.portsPerHost > 0 || rule.flowsPerHost > 0);
    const isCounting = quotas || evict !== EVICT_NEVER;
    this.hosts =
      seat === undefined
        ? new Hosts(isCounting)
        : new SharedHosts(isCounting, new Int32Array(seat.hub.hosts), own.workers, own.number);
    this.hosts.isShown = quotas || evict === EVICT_UNASSURED;
    this.hosts.isFair = evict === EVICT_FAIR;
    this.shares = new FairShares(evict, this.table, this.hosts, this.random);
    this.yielding = new Yielding(this.tracker, this.shares, this.counters);
    this.mappings = new Mappings({
      owned: new Uint8Array(config.owned),
      externals,
      rules,
      forwards: nat.forwards,
      held: config.held ?? { tcp: [], udp: [] },
      capacity: state.capacity + SPARE_MAPPINGS,
      hosts: this.hosts,
      flows: this.yielding,
      random: this.random,
      seed: state.seed,
      own,
      ...(seat && { protocols: new Int32Array(seat.hub.protocols) }),
    });
    this.mappings.table.rekey(state.keys.key);
    this.gauges = new PortGauges(state.ports, state.counters, externals);
    this.mappings.onForeign = (table, address, port, begins) =>
      this.ownership!.mapping(table, address, port, begins);
    this.prefixes = new PrefixPairs(nat.prefixes);
    const { prefixes } = this;
    this.dns = new Dns(externals, config.dns ?? null);
    this.decider = new Decider(
      this.rules,
      new Forwards(nat.forwards, own.workers > 1),
      prefixes,
      this.mappings,
      this.rules.twice,
      this.dns,
    );
    clearFlowGauges(this.counters);
    this.events = config.events === undefined ? null : new EventLog(config.events, this.table, this);
    this.tracker.onClose = (flow, why) => this.ended(flow, why);
    this.lost = adoptFlows(
      this.tracker,
      {
        mappings: this.mappings,
        rules: this.rules,
        forwards: nat.forwards,
        prefixes,
        dns: this.dns,
        own,
        guest: (flow) => this.guests.push(flow),
        lost: (address) => this.adoptedLost.add(address),
        events: this.events,
      },
      config.now,
      (flow, target) => this.begun(flow, target),
    );
    this.rekeyer = new Rekeyer(state, this.table, this.mappings.table, config.log);
    this.counters[FLOWS_LOST]! += flowsLost(this.lost);
    this.events?.slots.settle(this.mappings);
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
    const { decision } = this.decider;
    const target = decision[D_KIND] === MAPPED ? decision[D_TARGET]! : NO_MAPPING;
    // Held from the start: a flow that makes room or gives up its port for this one may be the mapping's last.
    if (target !== NO_MAPPING) this.mappings.refer(target);
    const handle = this.make(bytes, meta, m, state, isInside, leaves, flags, target, now);
    if (handle < 0 && target !== NO_MAPPING) this.mappings.release(target, now, true);
    return handle;
  }

  /** begin(), where the mapping that it leads to has its reference. */
  private make(
    bytes: Bytes,
    meta: Int32Array,
    m: number,
    state: number,
    isInside: boolean,
    leaves: boolean,
    flags: number,
    target: number,
    now: number,
  ): number {
    const { decider } = this;
    const { decision } = decider;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    if (protocol === PROTO_TCP)
      this.yielding.sequence = swap32(bytes.i32[(meta[m + M_L4]! + TCP_SEQUENCE) >> 2]!);
    const host = isInside ? source : decision[D_DESTINATION]!;
    let refused = OK;
    if (this.shares.isCrowded) refused = this.yielding.mayBegin(host, isInside);
    if (refused !== OK) return this.refuse(host, refused, now);
    // Between private networks nothing is translated.
    const kind = decision[D_KIND]!;
    const stays = isInside && !leaves && (kind === DIRECT || kind === RESOLVER);
    if (isInside && !stays) refused = decider.source(protocol, source, destination, ports);
    else if (isInside ? decider.turnsBack : decider.isTwice) refused = decider.twiceSource(protocol, source);
    if (refused !== OK) return this.refuse(host, refused, now);
    const mapping = decision[D_MAPPING]!;
    const quota = this.rules.rules[decision[D_RULE]!]?.flowsPerHost ?? 0;
    if (isInside && quota > 0 && this.hosts.count(host, HOST_FLOWS) >= quota) {
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
    if (flow === FULL && this.yielding.makeRoom(host, isInside)) {
      flow = this.tracker.open(meta, m, state, replySource, replyDestination, replyPorts, bits, now);
    }
    if (flow === FULL) {
      if (mapping !== NO_MAPPING) this.mappings.release(mapping, now, true);
      return this.refuse(host, TABLE_FULL, now);
    }
    this.table.cold[flow * COLD + C_MAPPING] = isInside ? mapping : target;
    this.begun(flow, isInside ? target : mapping);
    this.events?.begin(flow);
    this.counters[FLOWS_STARTED]!++;
    return (flow << 1) | ORIGINAL;
  }

  /** Makes the flow that an expectation lets in, translated as it says. Returns its handle, or the negative of a drop reason. */
  beginExpected(bytes: Bytes, meta: Int32Array, m: number, expected: Expectation, now: number): number {
    this.now = now;
    const state = this.tracker.firstState(bytes, meta, m);
    if (state === INVALID) return -INVALID_TCP;
    const { table, mappings } = this;
    const { address, port, mapping } = expected;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const ports = meta[m + M_PORTS]!;
    const from = expected.from === ANY ? source : expected.from;
    const fromPort = expected.fromPort === ANY ? ports & 0xffff : expected.fromPort;
    const replyPorts = port | (fromPort << 16);
    if (table.lookup(address, from, replyPorts, protocol) >= 0) return -TUPLE_IN_USE;
    const sides = (expected.side === 1 ? ORIGINAL_SIDE : 0) | (expected.toSide === 1 ? REPLY_SIDE : 0);
    const rule = mapping < 0 ? 0 : mappings.table.ruleOf(mapping);
    const bits = EXPECTED | sides | (rule << RULE_SHIFT);
    const flow = this.tracker.open(meta, m, state, address, from, replyPorts, bits, now);
    if (flow === FULL) return this.refuse(expected.side === 1 ? address : source, TABLE_FULL, now);
    // The mapping that was reserved for it lives on with it: of its source where that is the internal endpoint.
    if (mapping >= 0) mappings.refer(mapping);
    const isSource = mapping >= 0 && mappings.table.internalAddress(mapping) === source;
    const isFirst = expected.side === 1 ? !isSource : isSource;
    table.cold[flow * COLD + C_MAPPING] = isFirst ? mapping : NO_MAPPING;
    this.begun(flow, isFirst ? NO_MAPPING : mapping);
    this.events?.begin(flow);
    this.counters[FLOWS_STARTED]!++;
    return (flow << 1) | ORIGINAL;
  }

  /** Another resolver is in force, or DNS was switched; flows to one that may not go on end. */
  setDns(state: DnsState | null): void {
    const { table, dns } = this;
    dns.set(state);
    for (let flow = 0; flow < table.capacity; flow++) {
      if (!table.isLive(flow) || !dns.isFlow(table, flow) || dns.mayGoOn(table, flow)) continue;
      this.tracker.close(flow, END_RESOLVER);
    }
  }

  /** Expiry, quarantines, gauges; once a batch. */
  tick(now: number): void {
    this.now = now;
    const { counters, mappings } = this;
    this.events?.tick(now);
    this.isBehind = !this.tracker.expire(now);
    mappings.expire(now);
    countPorts(counters, mappings.allocator);
    this.rekeyer.tick(now);
    this.gauges.tick(now);
  }

  private refuse(host: number, reason: number, now: number): number {
    const rule = this.decider.decision[D_RULE]!;
    this.shortages.note(host, rule, reason, now);
    this.events?.refused(host, rule, reason, now);
    this.onShortage(host, rule, reason);
    return -reason;
  }

  /** A flow has its mappings: what else has to know. `target`: the second one, or NO_MAPPING. */
  private begun(flow: number, target: number): void {
    const { table, decider } = this;
    const { hot, cold } = table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    setDeltas(hot, flow, protocol);
    if (target !== NO_MAPPING) this.targets.set(flow, target);
    this.shares.count(hostOf(hot, h), (status & ORIGINAL_SIDE) !== 0, 1);
    const mapping = cold[flow * COLD + C_MAPPING]!;
    if (mapping !== NO_MAPPING) {
      this.mappings.table.setLastFlow(mapping, flow);
      if ((status & ORIGINAL_SIDE) === 0) decider.contact(mapping, hot[h + H_DESTINATION]!, 1);
    }
    this.counters[flowGauge(protocol)]!++;
    this.ownership?.flowBegun(table, flow);
  }

  private ended(flow: number, why: number): void {
    const { table, mappings, now } = this;
    const { hot } = table;
    const h = flow * HOT;
    const status = hot[h + H_STATUS]!;
    const protocol = status & 0xff;
    const mapping = table.cold[flow * COLD + C_MAPPING]!;
    this.onEnd(flow);
    if (this.onCountedEnd !== null) this.onCountedEnd(flow);
    if (this.ownership !== null) {
      this.ownership.flowEnded(table, flow);
      this.onGuestEnd(flow);
    }
    // Nothing comes to an address that is gone; but the same one may be back, with what is still on its way to it.
    const isElsewhere = why === END_ADDRESS && mappings.externals.addressOf(SHARED) !== 0;
    const isQuiet = isElsewhere || why === END_RESOLVER || isOver(status);
    if (mapping !== NO_MAPPING) {
      if ((status & ORIGINAL_SIDE) === 0) this.decider.contact(mapping, hot[h + H_DESTINATION]!, -1);
      mappings.release(mapping, now, isQuiet);
    }
    const target = this.targets.get(flow);
    if (target !== undefined) {
      this.targets.delete(flow);
      mappings.release(target, now, isQuiet);
    }
    this.shares.count(hostOf(hot, h), (status & ORIGINAL_SIDE) !== 0, -1);
    this.events?.end(flow, why);
    countEnd(this.counters, protocol, why);
  }

  /** The host's own addresses, where they may have changed. `former`: of the public interface, which has them still. */
  setHostAddresses({ external: shared, locals, former }: HostAddresses): void {
    const { externals } = this.mappings;
    if (shared !== 0 && shared !== this.lastShared) {
      const isFormer = former.includes(this.lastShared);
      if (!isFormer) externals.each((space, number) => number === SHARED && space.endQuarantines());
      this.lastShared = shared;
    }
    externals.setHost(shared, locals);
    externals.setFormer(former);
  }
}
