/**
 * The firewall: whether a new flow may cross. Asked once per flow, with its first packet; established flows never come here.
 *
 *     packet     the row to fill (packet.ts), then
 *     verdict()  walks the program: first match decides, chains as iptables walks them, else the direction's default
 *     begun()    the flow was made: it counts for the connection limits that it came to
 *     ended()    it counts no more
 *
 * A rule that matches counts the flow and the bytes of its first packet, and may have a line logged. Matches with memory are asked last and
 * in this order: schedule, connections, rate; so a token is taken only by what meets everything else.
 *
 * Invariant: between a begun() and its ended() a flow is counted once for each connection limit that it came to, no matter how
 * often the rules led there. No clock, no device: time is handed in, lines are handed out.
 * Limits: 32 devices, 8189 rules; of logged lines 10 a second for each rule.
 */
import type { FirewallConfig } from '../firewall-config.ts';
import { TokenBucket } from '../token-bucket.ts';
import { compileFirewall, DIRECTIONS } from './compile.ts';
import { ConnectionCounts, NOWHERE } from './connection-counts.ts';
import { contains, SIGN } from './intervals.ts';
import {
  ACCEPT,
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
  PACKET_WORDS,
  REJECT,
  REJECTS,
} from './packet.ts';
import {
  A_ARGUMENT,
  A_CONNECTIONS,
  A_COUNTER,
  A_KIND,
  A_LIMIT,
  A_LOG,
  A_PACKETS,
  A_SCHEDULE,
  ACTION,
  COUNTER,
  DO_ACCEPT,
  DO_CONTINUE,
  DO_DROP,
  DO_GOTO,
  DO_JUMP,
  DO_REJECT,
  LISTS,
  type Program,
  R_DESTINATION,
  R_DESTINATION_LIST,
  R_DESTINATION_PORT_LIST,
  R_DESTINATION_PORTS,
  R_DESTINATION_SPAN,
  R_FIRST,
  R_FLAGS,
  R_IN,
  R_OUT,
  R_PROTOCOLS,
  R_SOURCE,
  R_SOURCE_LIST,
  R_SOURCE_PORT_LIST,
  R_SOURCE_PORTS,
  R_SOURCE_SPAN,
  R_STATE,
  RARE,
  RULE,
} from './program.ts';
import { RateLimits } from './rate-limits.ts';
import { indexRules, type RuleIndex } from './rule-index.ts';
import { Schedules } from './schedules.ts';
import { SharedCounts } from './shared-counts.ts';

/** Log lines per second and rule, and at once. */
const LOG_RATE = 10;
const NOTHING = -1;

export interface FirewallOptions {
  /** Names of the served interfaces, by device number. */
  devices: readonly string[];
  /** Of the hashes. */
  seed: readonly [number, number];
  /** ms. */
  now: number;
  /** Several workers: which one this is, and the memory for connection counts (shared-counts.ts). */
  seat?: { number: number; workers: number; counts: Int32Array };
}

export class Firewall {
  /** What the next verdict() is about. */
  readonly packet = new Int32Array(PACKET_WORDS);
  /** What the rows of `counters` are about: `rule`, `chain/rule`, `default/direction`. */
  readonly names: readonly string[];
  /** By row: flows, bytes of their first packets. May be put elsewhere (share()). */
  counters: Float64Array;
  /** Whether verdict() looks at STATE_SNAT. */
  readonly asksSnat: boolean;
  /** There are no rules, and everything is accepted: passed() is enough. */
  readonly isOpen: boolean;
  /** After ACCEPT: the rate limit of the flow's packets, -1 for none. */
  packetLimit = NOTHING;
  /** Told of a packet that is to be logged: prefix, and how many of the rule's lines before it were left out. */
  onLog: (prefix: string, suppressed: number) => void = () => {};
  readonly rates: RateLimits;
  private readonly program: Program;
  private readonly index: RuleIndex | null;
  private readonly connections: ConnectionCounts;
  private readonly schedules: Schedules;
  private readonly defaults: readonly number[];
  private readonly returns: Int32Array;
  private readonly logs: readonly TokenBucket[];
  private readonly suppressed: Int32Array;
  /** What the packet came to (connection-counts.ts). */
  private reached = NOWHERE;
  /** A flow is walked through the rules that has begun already: nothing is counted, logged or taken. */
  private isRehearsal = false;
  /** In a rehearsal, what is not known of the flow, or changes from one to the next, is as it were best for it. */
  private isInFavour = false;
  /** The row of the counters that the last verdict() is of. */
  decidedBy = NOTHING;

  /** Throws NatgateError for what cannot be compiled (compile.ts), `bad_zone`. */
  constructor(config: FirewallConfig, { devices, seed, now, seat }: FirewallOptions) {
    const program = compileFirewall(config, devices);
    this.program = program;
    this.index = indexRules(program);
    this.names = program.names;
    this.counters = new Float64Array(program.names.length * COUNTER);
    this.asksSnat = program.asksSnat;
    const hasCounts = program.connections.length > 0;
    const shared =
      seat === undefined || !hasCounts ? null : new SharedCounts(seat.counts, seat.workers, seat.number);
    this.rates = new RateLimits(program.rates, seat?.workers ?? 1, seed);
    this.connections = new ConnectionCounts(program.connections, seed, shared);
    this.schedules = new Schedules(program.schedules);
    this.defaults = DIRECTIONS.map((direction) => {
      const policy = config.policies[direction];
      if (policy.kind === 'reject') return REJECT + REJECTS.indexOf(policy.with);
      return policy.kind === 'accept' ? ACCEPT : DROP;
    });
    this.isOpen = config.rules.length === 0 && this.defaults.every((verdict) => verdict === ACCEPT);
    this.returns = new Int32Array(program.depth + 1);
    this.logs = program.prefixes.map(() => new TokenBucket(LOG_RATE, LOG_RATE, now));
    this.suppressed = new Int32Array(program.prefixes.length);
  }

  /** Whether flows that live must be told of: there are limits that count them, or their packets. */
  get countsFlows(): boolean {
    return this.program.connections.length > 0 || this.program.limitsPackets;
  }

  /** Whether look() must be called, once a second or so. */
  get hasSchedules(): boolean {
    return this.schedules.count > 0;
  }

  /** Brings the schedules up to date. `wall`: ms since 1970. */
  look(wall: number): void {
    this.schedules.look(wall);
  }

  /** Puts the counters into memory that others read; what it holds goes on. */
  share(counters: Float64Array): void {
    this.counters = counters.subarray(0, this.names.length * COUNTER);
  }

  /** ACCEPT, DROP, or REJECT + a number of REJECTS, for the flow that `packet` would begin. */
  verdict(now: number): number {
    const { packet, returns, index } = this;
    const { rules, actions } = this.program;
    const word = packet[P_DIRECTION]! | classOfProtocol(packet[P_PROTOCOL]!);
    const source = packet[P_SOURCE]!;
    const destination = packet[P_DESTINATION]!;
    const sourcePort = packet[P_SOURCE_PORT]!;
    const destinationPort = packet[P_DESTINATION_PORT]!;
    this.reached = NOWHERE;
    this.packetLimit = NOTHING;
    let depth = 0;
    let r = 0;
    index?.begin(packet, word);
    for (;;) {
      if (index !== null) r = index.next(r);
      const first = rules[r + R_FIRST]!;
      const sourcePorts = rules[r + R_SOURCE_PORTS]!;
      const destinationPorts = rules[r + R_DESTINATION_PORTS]!;
      if (
        (first & word) !== word ||
        ((source - rules[r + R_SOURCE]!) ^ SIGN) > rules[r + R_SOURCE_SPAN]! ||
        ((destination - rules[r + R_DESTINATION]!) ^ SIGN) > rules[r + R_DESTINATION_SPAN]! ||
        destinationPort < (destinationPorts & 0xffff) ||
        destinationPort > destinationPorts >>> 16 ||
        sourcePort < (sourcePorts & 0xffff) ||
        sourcePort > sourcePorts >>> 16 ||
        ((first & LISTS) !== 0 && !this.isListed(r)) ||
        ((first & RARE) !== 0 && !this.isRare(r, now))
      ) {
        r += RULE;
        continue;
      }
      const a = (r / RULE) * ACTION;
      const counter = actions[a + A_COUNTER]!;
      if (counter >= 0) this.count(counter);
      if (actions[a + A_LOG] !== NOTHING) this.log(actions[a + A_LOG]!, now);
      const kind = actions[a + A_KIND]!;
      if (kind === DO_CONTINUE) {
        r += RULE;
      } else if (kind === DO_ACCEPT) {
        this.packetLimit = actions[a + A_PACKETS]!;
        this.decidedBy = counter;
        return ACCEPT;
      } else if (kind === DO_DROP) {
        this.decidedBy = counter;
        return DROP;
      } else if (kind === DO_REJECT) {
        this.decidedBy = counter;
        return REJECT + actions[a + A_ARGUMENT]!;
      } else if (kind === DO_JUMP) {
        returns[depth++] = r + RULE;
        r = actions[a + A_ARGUMENT]!;
      } else if (kind === DO_GOTO) {
        r = actions[a + A_ARGUMENT]!;
      } else {
        if (depth === 0) return this.byDefault();
        r = returns[--depth]!;
      }
    }
  }

  /** In place of verdict() where isOpen: a flow in this direction, its first packet of so many bytes. */
  passed(direction: number, length: number): void {
    this.decidedBy = this.names.length - DIRECTIONS.length + rowOf(direction);
    const row = this.decidedBy * COUNTER;
    this.counters[row]!++;
    this.counters[row + 1]! += length;
  }

  /** The flow that the last verdict() let in was made. */
  begun(flow: number): void {
    const { packet } = this;
    this.connections.begun(flow, this.reached, packet[P_SOURCE]!, packet[P_DESTINATION]!);
  }

  /** A flow ends; its original source and its translated destination, host order. */
  ended(flow: number, source: number, destination: number): void {
    this.connections.ended(flow, source, destination);
  }

  /** verdict() for a flow that lives already: what it would be now; rates have tokens, nothing is counted or logged. */
  rehearse(now: number): number {
    this.isRehearsal = true;
    const verdict = this.verdict(now);
    this.isRehearsal = false;
    return verdict;
  }

  /** The rule or default that would refuse the flow of `packet` if it began now, all limits aside; null: it may begin. */
  refusal(now: number): string | null {
    this.isInFavour = true;
    const verdict = this.rehearse(now);
    this.isInFavour = false;
    return verdict === ACCEPT ? null : (this.names[this.decidedBy] ?? '');
  }

  private byDefault(): number {
    const row = rowOf(this.packet[P_DIRECTION]!);
    this.decidedBy = this.names.length - DIRECTIONS.length + row;
    this.count(this.decidedBy);
    return this.defaults[row]!;
  }

  private count(row: number): void {
    if (this.isRehearsal) return;
    const { counters } = this;
    counters[row * COUNTER]!++;
    counters[row * COUNTER + 1]! += this.packet[P_LENGTH]!;
  }

  private isListed(r: number): boolean {
    const { rules, data } = this.program;
    const { packet } = this;
    return (
      isIn(data, rules[r + R_SOURCE_LIST]!, packet[P_SOURCE]! ^ SIGN) &&
      isIn(data, rules[r + R_DESTINATION_LIST]!, packet[P_DESTINATION]! ^ SIGN) &&
      isIn(data, rules[r + R_SOURCE_PORT_LIST]!, packet[P_SOURCE_PORT]!) &&
      isIn(data, rules[r + R_DESTINATION_PORT_LIST]!, packet[P_DESTINATION_PORT]!)
    );
  }

  private isRare(r: number, now: number): boolean {
    const { rules, actions, data } = this.program;
    const { packet } = this;
    if (((rules[r + R_IN]! >>> packet[P_IN]!) & 1) === 0) return false;
    if (((rules[r + R_OUT]! >>> packet[P_OUT]!) & 1) === 0) return false;
    const state = rules[r + R_STATE]!;
    if (((state & packet[P_STATE]!) !== 0) === (state >>> 8 !== 0)) return false;
    const flags = rules[r + R_FLAGS]!;
    const isFlagged = (packet[P_FLAGS]! & flags & 0xff) === ((flags >>> 8) & 0xff);
    if (isFlagged === (flags >>> 16 !== 0)) return false;
    const protocols = rules[r + R_PROTOCOLS]!;
    const protocol = packet[P_PROTOCOL]!;
    if (protocols !== 0 && ((data[protocols + (protocol >> 5)]! >>> (protocol & 31)) & 1) === 0) return false;
    return this.isRemembered((r / RULE) * ACTION, actions, now);
  }

  /** Matches that go by more than the packet. */
  private isRemembered(a: number, actions: Int32Array, now: number): boolean {
    const schedule = actions[a + A_SCHEDULE]!;
    if (schedule !== NOTHING && this.schedules.isOn[schedule] === 0) return false;
    const source = this.packet[P_SOURCE]!;
    const destination = this.packet[P_DESTINATION]!;
    const limit = actions[a + A_CONNECTIONS]!;
    if (limit !== NOTHING) {
      this.reached = this.connections.reach(this.reached, limit);
      const isAbove = this.connections.isAbove(limit);
      if (this.isInFavour ? isAbove : !this.connections.matches(limit, source, destination)) return false;
    }
    const rate = actions[a + A_LIMIT]!;
    if (rate === NOTHING) return true;
    if (this.isRehearsal) return !this.rates.isAbove(rate);
    return this.rates.matches(rate, source, destination, now);
  }

  private log(number: number, now: number): void {
    if (this.isRehearsal) return;
    if (!this.logs[number]!.take(now)) {
      this.suppressed[number]!++;
      return;
    }
    const left = this.suppressed[number]!;
    this.suppressed[number] = 0;
    this.onLog(this.program.prefixes[number]!, left);
  }
}

/** Place of a direction in DIRECTIONS. */
function rowOf(direction: number): number {
  return direction === OUTBOUND ? 0 : direction === INBOUND ? 1 : 2;
}

function isIn(data: Int32Array, place: number, value: number): boolean {
  return place === 0 || contains(data, place, value);
}
