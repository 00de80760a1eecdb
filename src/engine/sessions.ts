/**
 * Where tracking and NAT meet: a new flow has got its addresses and mappings (beginnings.ts), an ending one gives them back.
 *
 * Invariant: a live flow refers to the mapping that gave its external endpoint (C_MAPPING): of its source when it comes from
 * inside, of its destination when it comes from outside. What it has besides (a hairpin's destination, the source of twice
 * NAT) is in `targets`. Counters, quotas and
 * address-dependent filtering are told of every beginning and every end, once each.
 */
import { END_ADDRESS, END_RESOLVER } from '../conntrack/end-reasons.ts';
import {
  C_MAPPING,
  COLD,
  type FlowTable,
  H_DESTINATION,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
} from '../conntrack/flow-table.ts';
import { rfcTimeouts, TimeoutTable } from '../conntrack/timeouts.ts';
import { Tracker } from '../conntrack/tracker.ts';
import { Random } from '../core/random.ts';
import type { NatConfig } from '../nat/config.ts';
import { Decider } from '../nat/decide.ts';
import { Dns, type DnsState } from '../nat/dns.ts';
import { ExternalAddresses, SHARED } from '../nat/external-addresses.ts';
import { Forwards } from '../nat/forwards.ts';
import { Hosts } from '../nat/hosts.ts';
import { Mappings, NO_MAPPING } from '../nat/mappings.ts';
import { ALL_PORTS, classMask } from '../nat/port-class.ts';
import { PrefixPairs } from '../nat/prefixes.ts';
import { Rules } from '../nat/rules.ts';
import { SharedHosts } from '../nat/shared-hosts.ts';
import { setDeltas } from '../nat/translate.ts';
import { adoptFlows } from './adopt.ts';
import type { EngineConfig } from './config.ts';
import { clearFlowGauges, countEnd, countPorts, flowGauge } from './count.ts';
import { FLOWS_LOST } from './counters.ts';
import type { Devices } from './devices.ts';
import { EventLog } from './event-log.ts';
import { EVICT_FAIR, EVICT_NEVER, EVICT_UNASSURED, evictNumber, FairShares, hostOf } from './fair-shares.ts';
import { type FlowLosses, flowsLost } from './losses.ts';
import { Ownership } from './ownership.ts';
import { PortGauges } from './port-gauges.ts';
import { Rekeyer } from './rekeying.ts';
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
  /** Called with a flow that is about to end. */
  onEnd: (flow: number) => void = () => {};
  readonly counters: Float64Array;
  readonly hosts: Hosts;
  readonly rules: Rules;
  private readonly gauges: PortGauges;
  private readonly random: Random;
  /** Who gives way when the table runs short. */
  readonly shares: FairShares;
  readonly yielding: Yielding;
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

  /** A flow has its mappings: what else has to know. `target`: the second one, or NO_MAPPING. */
  begun(flow: number, target: number): void {
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
