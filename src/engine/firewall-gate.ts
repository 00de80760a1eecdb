/**
 * Where the engine asks the firewall (policy/firewall/): once for each flow that would begin, after its destination and its way are
 * known, before any mapping or record is made. So nothing has to be taken back of a flow that is refused.
 *
 *     isSpoofed()   whether the source can be where the packet came from
 *     admit…()      the verdict, with the answer of a reject
 *     begun()       the flow was made; ended by the sessions' onCountedEnd
 *     isOver()      of flows under a packet limit, each packet
 *
 * A flow under a packet limit has the flag HELPED, which takes it off the fast path; others pay nothing. Which limit it has is known
 * here only: after a restart, or with other rules, the flows that live are walked through the rules again (rebuild()).
 */
import type { Expectation } from '../conntrack/expectations.ts';
import { H_STATUS, HELPED, HOT, TUPLE } from '../conntrack/flow-table.ts';
import { FIREWALL_DROP, FIREWALL_REJECT, OK, PACKET_RATE } from '../core/reasons.ts';
import { D_DESTINATION, D_KIND, D_PORTS, DIRECT, RESOLVER } from '../nat/decide.ts';
import { isWithin } from '../nat/rules.ts';
import { PUBLIC } from '../policy/admission.ts';
import { Bogons } from '../policy/firewall/bogons.ts';
import { Firewall } from '../policy/firewall/firewall.ts';
import {
  ACCEPT,
  BETWEEN,
  CLASS_PORTS,
  classOfProtocol,
  DROP,
  INBOUND,
  OUTBOUND,
  P_DESTINATION,
  P_DESTINATION_PORT,
  P_DIRECTION,
  P_FLAGS,
  P_IN,
  P_LENGTH,
  P_OUT,
  P_PROTOCOL,
  P_SOURCE,
  P_SOURCE_PORT,
  P_STATE,
  REJECT,
  STATE_DNAT,
  STATE_NEW,
  STATE_RELATED,
  STATE_SNAT,
} from '../policy/firewall/packet.ts';
import { defaultFirewall, type FirewallConfig, isSameFirewall } from '../policy/firewall-config.ts';
import { hostOrder, type Prefix } from '../wire/address.ts';
import { type Bytes, swap16 } from '../wire/bytes.ts';
import { PROTO_ICMP, PROTO_TCP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_DEVICE, M_L4, M_LENGTH, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { TCP_FLAGS } from '../wire/tcp.ts';
import type { EngineConfig } from './config.ts';
import type { Devices } from './devices.ts';
import { logLine } from './firewall-log.ts';
import { describeFlow } from './first-packet.ts';
import type { EndCause } from './flow-judge.ts';
import type { OutList } from './out-list.ts';
import type { Path } from './path.ts';
import { Rejects } from './rejects.ts';
import { type RuleCount, RuleCounters, readRuleCounters } from './rule-counters.ts';
import type { Sessions } from './sessions.ts';
import type { State } from './state.ts';

/** How often schedules are looked at. */
const LOOK_MS = 1000;

export interface FirewallGateParts {
  devices: Devices;
  path: Path;
  sessions: Sessions;
  out: OutList;
  meta: Int32Array;
  counters: Float64Array;
}

export class FirewallGate {
  private firewall: Firewall;
  private present: FirewallConfig;
  private bogons: Bogons;
  private antiSpoofing: boolean;
  private readonly config: EngineConfig;
  private readonly names: readonly string[];
  private readonly networks: readonly (readonly Prefix[])[];
  private readonly devices: Devices;
  private readonly path: Path;
  private readonly sessions: Sessions;
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;
  private readonly rejects: Rejects;
  private readonly ruleCounters: RuleCounters;
  private readonly seed: readonly [number, number];
  /** By flow: the rate limit of its packets. */
  private readonly limits = new Map<number, number>();
  private isBuilt = false;
  private lookAt: number;
  /** Row of the packet that the firewall is asked about. */
  private row = 0;

  constructor(config: EngineConfig, state: State, parts: FirewallGateParts) {
    this.config = config;
    this.names = config.devices.map((device, i) => device.name ?? `${i}`);
    this.networks = config.devices.map((device) => device.networks ?? []);
    this.devices = parts.devices;
    this.path = parts.path;
    this.sessions = parts.sessions;
    this.bytes = parts.out.bytes;
    this.meta = parts.meta;
    this.seed = state.seed;
    this.rejects = new Rejects(parts.out, parts.path, parts.meta, parts.counters, config.now);
    this.ruleCounters = new RuleCounters(state);
    this.lookAt = config.now;
    const firewall = config.firewall ?? defaultFirewall;
    this.antiSpoofing = firewall.antiSpoofing;
    this.bogons = new Bogons(firewall.trustedOutside);
    this.present = firewall;
    this.firewall = this.make(firewall, config.now);
    this.ruleCounters.adopt(this.firewall);
    this.follow();
  }

  /** The public interface's address may have changed. */
  follow(): void {
    this.bogons.setExternal(this.devices.external);
  }

  /** Routes are known (anew): with the first ones, the flows that lived on are told to the firewall. */
  routed(now: number): void {
    if (!this.isBuilt) this.rebuild(now);
  }

  /**
   * Other rules, from now on; whether they differ. Flows that live stay as they are; refusal() says which of them the new rules would
   * not let in. Throws NatgateError for what cannot be compiled, and nothing has changed.
   */
  setFirewall(config: FirewallConfig, now: number): boolean {
    if (isSameFirewall(config, this.present)) return false;
    const next = this.make(config, now);
    this.present = config;
    this.ruleCounters.replace(this.firewall, next);
    this.firewall = next;
    this.antiSpoofing = config.antiSpoofing;
    this.bogons = new Bogons(config.trustedOutside);
    this.follow();
    this.rebuild(now);
    return true;
  }

  /** The row of the counters that the last verdict is of; -1: it was not asked since that was set. */
  get decidedBy(): number {
    return this.firewall.decidedBy;
  }

  set decidedBy(row: number) {
    this.firewall.decidedBy = row;
  }

  /** What each rule, and each default, has matched. */
  ruleCounts(): RuleCount[] {
    return readRuleCounters(this.firewall.names, [this.firewall.counters]);
  }

  /** What would refuse the flow, which lives, if it began now; null: nothing. */
  refusal(flow: number, now: number): EndCause | null {
    const { table } = this.sessions;
    if (this.antiSpoofing && table.sideOf(flow << 1) === PUBLIC && this.bogons.has(table.hot[flow * HOT]!)) {
      return { kind: 'anti-spoofing', name: '' };
    }
    this.describe(flow);
    const name = this.firewall.refusal(now);
    return name === null ? null : { kind: 'firewall', name };
  }

  tick(now: number): void {
    const { wallClock } = this.config;
    if (!this.firewall.hasSchedules || wallClock === undefined || ((now - this.lookAt) | 0) < 0) return;
    this.lookAt = (now + LOOK_MS) | 0;
    this.firewall.look(wallClock());
  }

  /**
   * Whether the source of the packet of row `m`, which belongs to no flow, cannot be where it comes from. `back`: route class
   * of the way back to a private one.
   */
  isSpoofed(m: number, isInside: boolean, back: number): boolean {
    if (!this.antiSpoofing) return false;
    const { meta, path, devices } = this;
    const source = meta[m + M_SOURCE]!;
    const device = meta[m + M_DEVICE]!;
    if (isInside) return path.deviceOf(back) !== device && !isWithin(this.networks[device]!, source);
    if (this.bogons.has(source)) return true;
    const route = path.deviceOf(path.routes.classOf(source));
    return (route >= 0 && devices.side[route] !== PUBLIC) || devices.address.includes(source);
  }

  /**
   * Whether the flow that the packet of row `m` begins may do so, towards where the decider said, by route class `egress`. `isRelated`:
   * another flow announced it. OK, or a drop reason; the sender has been told what he is to know.
   */
  admitNew(m: number, isInside: boolean, isRelated: boolean, egress: number, now: number): number {
    const { meta, sessions } = this;
    const { decider } = sessions;
    const { decision } = decider;
    const protocol = meta[m + M_PROTOCOL]!;
    let state = isRelated ? STATE_RELATED : STATE_NEW;
    if (decision[D_KIND] !== DIRECT) state |= STATE_DNAT;
    if (this.firewall.asksSnat) {
      const ports = meta[m + M_PORTS]!;
      // From one private network to another nothing is translated.
      const isAnywhere = decision[D_KIND] === DIRECT || decision[D_KIND] === RESOLVER;
      const stays =
        isAnywhere && !decider.turnsBack && this.devices.side[this.path.deviceOf(egress)] !== PUBLIC;
      const isTranslated = isInside
        ? decider.turnsBack ||
          (!stays && decider.translatesSource(protocol, meta[m + M_SOURCE]!, meta[m + M_DESTINATION]!, ports))
        : decider.isTwice;
      if (isTranslated) state |= STATE_SNAT;
    }
    return this.admit(m, state, decision[D_DESTINATION]!, decision[D_PORTS]! >>> 16, egress, now);
  }

  /** The same for a flow that is translated as its master. */
  admitExpected(m: number, expected: Expectation, egress: number, now: number): number {
    const { meta } = this;
    let state = STATE_RELATED;
    if (expected.address !== meta[m + M_DESTINATION]) state |= STATE_DNAT;
    if (expected.from !== 0 && expected.from !== meta[m + M_SOURCE]) state |= STATE_SNAT;
    return this.admit(m, state, expected.address, expected.port, egress, now);
  }

  /** The flow that was admitted last has been made. */
  begun(handle: number): number {
    const { firewall } = this;
    if (!firewall.countsFlows) return handle;
    firewall.begun(handle >> 1);
    this.limit(handle >> 1);
    return handle;
  }

  /** Whether a packet of a flow with the flag HELPED is above the rate of its rule. */
  isOver(handle: number, now: number): boolean {
    const limit = this.limits.get(handle >> 1);
    if (limit === undefined) return false;
    const { hot } = this.sessions.table;
    const h = (handle >> 1) * HOT;
    return !this.firewall.rates.take(limit, hostOrder(hot[h]!), hostOrder(hot[h + TUPLE]!), now);
  }

  private admit(
    m: number,
    state: number,
    destination: number,
    port: number,
    egress: number,
    now: number,
  ): number {
    const { meta, firewall, devices } = this;
    const { u8 } = this.bytes;
    const { packet } = firewall;
    const protocol = meta[m + M_PROTOCOL]!;
    const l4 = meta[m + M_L4]!;
    const from = meta[m + M_DEVICE]!;
    const out = this.path.deviceOf(egress);
    const isPublicOut = devices.side[out] === PUBLIC;
    const direction = devices.side[from] === PUBLIC ? INBOUND : isPublicOut ? OUTBOUND : BETWEEN;
    if (firewall.isOpen) {
      firewall.passed(direction, meta[m + M_LENGTH]!);
      return OK;
    }
    packet[P_DIRECTION] = direction;
    packet[P_IN] = from;
    packet[P_OUT] = out;
    packet[P_SOURCE] = hostOrder(meta[m + M_SOURCE]!);
    packet[P_DESTINATION] = hostOrder(destination);
    packet[P_PROTOCOL] = protocol;
    const hasPorts = (classOfProtocol(protocol) & CLASS_PORTS) !== 0;
    packet[P_SOURCE_PORT] = hasPorts ? swap16(meta[m + M_PORTS]! & 0xffff) : 0;
    packet[P_DESTINATION_PORT] = hasPorts
      ? swap16(port)
      : protocol === PROTO_ICMP
        ? (u8[l4]! << 8) | u8[l4 + 1]!
        : 0;
    packet[P_FLAGS] = protocol === PROTO_TCP ? u8[l4 + TCP_FLAGS]! : 0;
    packet[P_STATE] = state;
    packet[P_LENGTH] = meta[m + M_LENGTH]!;
    this.row = m;
    const verdict = firewall.verdict(now);
    if (verdict === ACCEPT) {
      const { packetLimit } = firewall;
      if (packetLimit < 0) return OK;
      const source = packet[P_SOURCE]!;
      return firewall.rates.has(packetLimit, source, packet[P_DESTINATION]!, now) ? OK : PACKET_RATE;
    }
    if (verdict === DROP) return FIREWALL_DROP;
    this.rejects.send(m, verdict - REJECT, now);
    return FIREWALL_REJECT;
  }

  private limit(flow: number): void {
    const { packetLimit } = this.firewall;
    if (packetLimit < 0) return;
    this.limits.set(flow, packetLimit);
    const { hot } = this.sessions.table;
    hot[flow * HOT + H_STATUS] = hot[flow * HOT + H_STATUS]! | HELPED;
  }

  private ended(flow: number): void {
    const { hot } = this.sessions.table;
    const h = flow * HOT;
    this.limits.delete(flow);
    this.firewall.ended(flow, hostOrder(hot[h]!), hostOrder(hot[h + TUPLE]!));
  }

  /** Tells the firewall of the flows that live, as if they began now. */
  private rebuild(now: number): void {
    const { firewall, sessions } = this;
    const { table } = sessions;
    this.isBuilt = true;
    this.limits.clear();
    sessions.onCountedEnd = firewall.countsFlows ? (flow) => this.ended(flow) : null;
    if (!firewall.countsFlows) return;
    for (let flow = 0; flow < table.capacity; flow++) {
      if (!table.isLive(flow)) continue;
      this.describe(flow);
      firewall.rehearse(now);
      firewall.begun(flow);
      this.limit(flow);
    }
  }

  /** Makes a live flow the packet that the firewall is asked about. */
  private describe(flow: number): void {
    const { path, firewall } = this;
    const { table } = this.sessions;
    const handle = flow << 1;
    const from = path.exitOf(handle | 1);
    const to = path.exitOf(handle);
    const isFromPublic = table.sideOf(handle) === PUBLIC;
    const isToPublic = table.sideOf(handle | 1) === PUBLIC;
    describeFlow(firewall.packet, table.hot, flow, isFromPublic, isToPublic, from, to);
  }

  private make(config: FirewallConfig, now: number): Firewall {
    const { seat, wallClock } = this.config;
    const firewall = new Firewall(config, {
      devices: this.names,
      seed: this.seed,
      now,
      ...(seat && {
        seat: {
          number: seat.number,
          workers: seat.hub.workers,
          counts: new Int32Array(seat.hub.connections),
        },
      }),
    });
    if (wallClock !== undefined) firewall.look(wallClock());
    firewall.onLog = (prefix, suppressed) => this.log(prefix, suppressed);
    return firewall;
  }

  private log(prefix: string, suppressed: number): void {
    const { log } = this.config;
    if (log === undefined) return;
    if (suppressed > 0) log(`${prefix}(${suppressed} lines left out)`);
    log(prefix + logLine(this.bytes.u8, this.meta, this.row, this.firewall.packet, this.names));
  }
}
