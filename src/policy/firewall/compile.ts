/** Rules as configured → a program (program.ts). Throws NatgateError for chains that are missing or lead in a circle, and for too many rules. */
import { NatgateError } from '../../core/errors.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.ts';
import {
  type Criterion,
  type FirewallConfig,
  type FirewallMatch,
  type FirewallRule,
  matchAnything,
} from '../firewall-config.ts';
import { ADDRESSES, allOf, type IntervalSet, PORTS, SIGN, words } from './intervals.ts';
import {
  BETWEEN,
  CLASS_ALL,
  CLASS_ICMP,
  CLASS_OTHER,
  CLASS_PORTS,
  CLASS_SCTP,
  CLASS_TCP,
  CLASS_UDP,
  INBOUND,
  OUTBOUND,
  REJECTS,
  STATE_DNAT,
  STATE_NEW,
  STATE_RELATED,
  STATE_SNAT,
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
  DO_ACCEPT,
  DO_CONTINUE,
  DO_DROP,
  DO_GOTO,
  DO_JUMP,
  DO_REJECT,
  DO_RETURN,
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

/** Rows of the counters in a gateway's state: rules and policies. */
export const MAX_COUNTERS = 8192;
export const DIRECTIONS = ['outbound', 'inbound', 'between'] as const;
const DIRECTION_BITS = { outbound: OUTBOUND, inbound: INBOUND, between: BETWEEN };
const STATE_BITS = { new: STATE_NEW, related: STATE_RELATED, dnat: STATE_DNAT, snat: STATE_SNAT };
const KINDS = {
  accept: DO_ACCEPT,
  drop: DO_DROP,
  reject: DO_REJECT,
  log: DO_CONTINUE,
  count: DO_CONTINUE,
  jump: DO_JUMP,
  goto: DO_GOTO,
  return: DO_RETURN,
};
/** Protocols of a class of their own. */
const CLASSED = new Map([
  [PROTO_TCP, CLASS_TCP],
  [PROTO_UDP, CLASS_UDP],
  [PROTO_ICMP, CLASS_ICMP],
  [PROTO_SCTP, CLASS_SCTP],
]);
const NOTHING = -1;
/** A range of ports that has all. */
const ANY_PORTS = PORTS << 16;

/** `devices`: names of the served interfaces, by device number. */
export function compileFirewall(config: FirewallConfig, devices: readonly string[]): Program {
  return new Compiler(devices).compile(config);
}

/** What the rows of the counters are about: the rules in the order of the program, then a default for each direction. */
export function ruleNames({ rules, chains }: FirewallConfig): string[] {
  return [
    ...rules.map(({ name }) => name),
    ...Object.entries(chains).flatMap(([chain, list]) => list.map(({ name }) => `${chain}/${name}`)),
    ...DIRECTIONS.map((direction) => `default/${direction}`),
  ];
}

class Compiler {
  private readonly devices: readonly string[];
  private readonly data: number[] = [0];
  private readonly known = new Map<string, number>();
  private count = 0;
  private readonly rates: Program['rates'][number][] = [];
  private readonly connections: Program['connections'][number][] = [];
  private readonly schedules: Program['schedules'][number][] = [];
  private readonly prefixes: string[] = [];
  private asksSnat = false;

  constructor(devices: readonly string[]) {
    this.devices = devices;
  }

  compile(config: FirewallConfig): Program {
    const { rules, chains } = config;
    const all: [name: string | null, rules: readonly FirewallRule[]][] = [
      [null, rules],
      ...Object.entries(chains),
    ];
    const starts = new Map<string, number>();
    let length = 0;
    for (const [name, list] of all) {
      if (name !== null) starts.set(name, length * RULE);
      length += list.length + 1;
    }
    const count = length - all.length + DIRECTIONS.length;
    if (count > MAX_COUNTERS) {
      throw new NatgateError(
        'firewall_rules',
        `${count - DIRECTIONS.length} firewall rules are too many`,
        `at most ${MAX_COUNTERS - DIRECTIONS.length} fit; addresses of one kind can be a set`,
      );
    }
    const depth = depthOf(rules, chains);
    const records = new Int32Array(length * RULE);
    const actions = new Int32Array(length * ACTION).fill(NOTHING);
    let at = 0;
    for (const [, list] of all) {
      for (const rule of list) {
        this.match(rule.match, records.subarray(at * RULE, (at + 1) * RULE));
        this.act(rule, actions.subarray(at * ACTION, (at + 1) * ACTION), starts);
        if (hasRareAction(rule.match)) records[at * RULE + R_FIRST]! |= RARE;
        this.count++;
        at++;
      }
      // The end of a chain: back to where it was called, or to the policy.
      this.match(matchAnything, records.subarray(at * RULE, (at + 1) * RULE));
      actions[at * ACTION + A_KIND] = DO_RETURN;
      at++;
    }
    const names = ruleNames(config);
    const { rates, connections, schedules, prefixes, asksSnat } = this;
    const data = Int32Array.from(this.data);
    const lists = { names, rates, connections, schedules, prefixes };
    const limitsPackets = all.some(([, list]) => list.some((rule) => rule.packetLimit !== null));
    return { rules: records, actions, data, ...lists, depth, asksSnat, limitsPackets };
  }

  private match(match: FirewallMatch, record: Int32Array): void {
    let classes = match.icmp === null ? CLASS_ALL : CLASS_ICMP;
    if (match.sourcePorts.length + match.destinationPorts.length > 0) classes &= CLASS_PORTS;
    if (match.tcpFlags !== null) classes &= CLASS_TCP;
    if (match.protocols !== null) classes &= this.protocols(match.protocols, record);
    let directions = OUTBOUND | INBOUND | BETWEEN;
    if (match.directions !== null) {
      directions = match.directions.reduce((bits, direction) => bits | DIRECTION_BITS[direction], 0);
    }
    record[R_FIRST] = record[R_FIRST]! | directions | classes;

    const sources = allOf(match.sources, ADDRESSES);
    const destinations = allOf(match.destinations, ADDRESSES);
    this.addresses(sources, record, R_SOURCE, R_SOURCE_SPAN, R_SOURCE_LIST);
    this.addresses(destinations, record, R_DESTINATION, R_DESTINATION_SPAN, R_DESTINATION_LIST);
    this.ports(allOf(match.sourcePorts, PORTS), record, R_SOURCE_PORTS, R_SOURCE_PORT_LIST);
    const destinationPorts = match.icmp === null ? match.destinationPorts : [icmpRanges(match.icmp)];
    this.ports(allOf(destinationPorts, PORTS), record, R_DESTINATION_PORTS, R_DESTINATION_PORT_LIST);

    record[R_IN] = this.deviceBits(match.inInterfaces);
    record[R_OUT] = this.deviceBits(match.outInterfaces);
    record[R_STATE] = 1 << 8;
    if (match.states !== null) {
      const bits = match.states.values.reduce((sum, state) => sum | STATE_BITS[state], 0);
      record[R_STATE] = bits | (match.states.not ? 1 << 8 : 0);
      if ((bits & STATE_SNAT) !== 0) this.asksSnat = true;
    }
    if (match.tcpFlags !== null) {
      const { mask, value, not } = match.tcpFlags;
      record[R_FLAGS] = mask | (value << 8) | (not ? 1 << 16 : 0);
    }
    const isPlain =
      record[R_IN] === -1 && record[R_OUT] === -1 && match.states === null && match.tcpFlags === null;
    if (!isPlain) record[R_FIRST]! |= RARE;
  }

  private act(rule: FirewallRule, action: Int32Array, starts: ReadonlyMap<string, number>): void {
    const { match, action: what, log, packetLimit } = rule;
    action[A_KIND] = KINDS[what.kind];
    if (what.kind === 'jump' || what.kind === 'goto') action[A_ARGUMENT] = starts.get(what.chain)!;
    if (what.kind === 'reject') action[A_ARGUMENT] = REJECTS.indexOf(what.with);
    action[A_COUNTER] = this.count;
    if (match.limit !== null) action[A_LIMIT] = this.rates.push(match.limit) - 1;
    if (match.connections !== null) action[A_CONNECTIONS] = this.connections.push(match.connections) - 1;
    if (match.schedule !== null) action[A_SCHEDULE] = this.schedules.push(match.schedule) - 1;
    if (packetLimit !== null) action[A_PACKETS] = this.rates.push(packetLimit) - 1;
    const prefix = log ?? (what.kind === 'log' ? '' : null);
    if (prefix !== null) action[A_LOG] = this.prefixes.push(prefix) - 1;
  }

  /** The classes of these protocols; those without a class of their own as bits in `data`. */
  private protocols({ values, not }: Criterion<number>, record: Int32Array): number {
    const bits = new Int32Array(8).fill(not ? -1 : 0);
    for (const protocol of values) {
      const bit = 1 << (protocol & 31);
      if (not) bits[protocol >> 5]! &= ~bit;
      else bits[protocol >> 5]! |= bit;
    }
    const has = (protocol: number) => ((bits[protocol >> 5]! >>> (protocol & 31)) & 1) !== 0;
    let classes = 0;
    for (const [protocol, bit] of CLASSED) if (has(protocol)) classes |= bit;
    const others = Array.from({ length: 256 }, (_, protocol) => protocol).filter((p) => !CLASSED.has(p));
    if (others.some(has)) classes |= CLASS_OTHER;
    if (others.some(has) && !others.every(has)) {
      record[R_PROTOCOLS] = this.place([...bits]);
      record[R_FIRST]! |= RARE;
    }
    return classes;
  }

  private addresses(set: IntervalSet, record: Int32Array, first: number, span: number, list: number): void {
    const only = set.length === 1 ? set[0]! : { first: 0, last: ADDRESSES };
    record[first] = only.first | 0;
    record[span] = (only.last - only.first) ^ SIGN;
    if (set.length !== 1) this.list(words(set, SIGN), record, list);
  }

  private ports(set: IntervalSet, record: Int32Array, range: number, list: number): void {
    record[range] = set.length === 1 ? set[0]!.first | (set[0]!.last << 16) : ANY_PORTS;
    if (set.length !== 1) this.list(words(set, 0), record, list);
  }

  private list(set: number[], record: Int32Array, field: number): void {
    record[field] = this.place(set);
    record[R_FIRST]! |= LISTS;
  }

  /** Where these words are in `data`; rules that name the same set have one place. */
  private place(set: number[]): number {
    const key = set.join(' ');
    let place = this.known.get(key);
    if (place === undefined) {
      place = this.data.length;
      this.known.set(key, place);
      for (const word of set) this.data.push(word);
    }
    return place;
  }

  private deviceBits(criterion: Criterion<string> | null): number {
    if (criterion === null) return -1;
    let bits = 0;
    for (const [i, name] of this.devices.entries()) if (criterion.values.includes(name)) bits |= 1 << i;
    return criterion.not ? ~bits : bits;
  }
}

function hasRareAction({ limit, connections, schedule }: FirewallMatch): boolean {
  return limit !== null || connections !== null || schedule !== null;
}

function icmpRanges({ values, not }: NonNullable<FirewallMatch['icmp']>) {
  const ranges = values.map(({ type, code }) =>
    code < 0
      ? { first: type << 8, last: (type << 8) | 0xff }
      : { first: (type << 8) | code, last: (type << 8) | code },
  );
  return { values: ranges, not };
}

/** How many jumps can be open at once. */
function depthOf(rules: readonly FirewallRule[], chains: FirewallConfig['chains']): number {
  const depths = new Map<string, number>();
  const visit = (list: readonly FirewallRule[], path: readonly string[]): number => {
    let deepest = 0;
    for (const { name, action } of list) {
      if (action.kind !== 'jump' && action.kind !== 'goto') continue;
      const { chain } = action;
      if (!Object.hasOwn(chains, chain)) {
        throw new NatgateError(
          'firewall_chain',
          `firewall rule ${name}: there is no chain ${chain}`,
          `define it under chains, or take one of: ${Object.keys(chains).join(', ') || 'there are none'}`,
        );
      }
      if (path.includes(chain)) {
        throw new NatgateError(
          'firewall_loop',
          `firewall rule ${name}: the chain ${chain} leads back to itself: ${[...path, chain].join(' → ')}`,
          'a chain may not come round to one that is being walked',
        );
      }
      let depth = depths.get(chain);
      if (depth === undefined) {
        depth = visit(chains[chain]!, [...path, chain]);
        depths.set(chain, depth);
      }
      deepest = Math.max(deepest, depth + 1);
    }
    return deepest;
  };
  const deepest = visit(rules, []);
  for (const [name, list] of Object.entries(chains)) visit(list, [name]);
  return deepest;
}
