/**
 * The NAT rules, compiled: which one decides about a flow, and what it says, as numbers that the allocator compares.
 * Asked once per flow that goes out.
 */

import { prefixMask } from '../wire/address.ts';
import { swap16 } from '../wire/bytes.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import {
  type Dependence,
  defaultBehaviour,
  MAX_RULE_NUMBER,
  matchAll,
  type NatMatch,
  type NatRule,
  type OnAddressChange,
  type Overload,
  type PortChoice,
  type PortRange,
  type Prefix,
} from './config.ts';
import { LOCAL } from './external-addresses.ts';

export const ENDPOINT_INDEPENDENT = 0;
export const ADDRESS_DEPENDENT = 1;
export const ADDRESS_AND_PORT_DEPENDENT = 2;
const DEPENDENCES: Record<Dependence, number> = {
  'endpoint-independent': ENDPOINT_INDEPENDENT,
  'address-dependent': ADDRESS_DEPENDENT,
  'address-and-port-dependent': ADDRESS_AND_PORT_DEPENDENT,
};

export const PRESERVE = 0;
export const RANDOM = 1;
export const SEQUENTIAL = 2;
const CHOICES: Record<PortChoice, number> = { preserve: PRESERVE, random: RANDOM, sequential: SEQUENTIAL };

export const OVERLOAD_NEVER = 0;
export const OVERLOAD_EXHAUSTED = 1;
export const OVERLOAD_ALWAYS = 2;
const OVERLOADS: Record<Overload, number> = {
  never: OVERLOAD_NEVER,
  exhausted: OVERLOAD_EXHAUSTED,
  always: OVERLOAD_ALWAYS,
};

export const ON_CHANGE_END = 0;
export const ON_CHANGE_KEEP = 1;
export const ON_CHANGE_REMAP = 2;
const ON_CHANGES: Record<OnAddressChange, number> = {
  end: ON_CHANGE_END,
  keep: ON_CHANGE_KEEP,
  remap: ON_CHANGE_REMAP,
};

/** Number of what a rule or forward says of address changes; `end` where it says nothing. */
export function onChangeOf(said: OnAddressChange | undefined): number {
  return ON_CHANGES[said ?? 'end'];
}

/** ruleOf(): no rule decides; nothing is translated. */
export const NO_RULE = -1;

export interface CompiledRule {
  readonly name: string;
  /** False: flows of this rule are left as they are. */
  readonly translates: boolean;
  /** Numbers of external addresses (external-addresses.ts); 0 is the public interface's own. */
  readonly externals: Int32Array;
  readonly first: number;
  readonly last: number;
  readonly mapping: number;
  readonly filtering: number;
  readonly hairpin: boolean;
  readonly choice: number;
  readonly parity: boolean;
  readonly portClass: boolean;
  readonly paired: boolean;
  readonly overload: number;
  readonly quarantineMs: number;
  readonly portsPerHost: number;
  readonly flowsPerHost: number;
  readonly blockSize: number;
  /** ON_CHANGE_* */
  readonly onAddressChange: number;
  /** Deterministic: the internal prefixes whose addresses are counted through (RFC 7422); else empty. */
  readonly numbered: readonly Prefix[];
}

/** Number of the rule that gives twice NAT its sources. */
export const TWICE_RULE = MAX_RULE_NUMBER + 1;

/** The number of the rule at `position` of a list. */
export function ruleNumber({ number }: NatRule, position: number): number {
  return number ?? position;
}

export class Rules {
  /**
   * By number, not all of which are taken. That of a rule that is no more stays until another takes the number: mappings which
   * are about to end go by it.
   */
  readonly rules: CompiledRule[] = [];
  readonly twice: number = TWICE_RULE;
  private matches: readonly NatMatch[] = [];
  private numbers: readonly number[] = [];

  /** `ports`: natgate's own of the host's addresses. `numberOf` gives the number of a pool's address. */
  constructor(rules: readonly NatRule[], ports: PortRange, numberOf: (address: number) => number) {
    this.rules[TWICE_RULE] = twiceRule(ports);
    this.replace(rules, numberOf);
  }

  /** Other rules decide from now on. Those that were there before have the numbers that they had. */
  replace(rules: readonly NatRule[], numberOf: (address: number) => number): void {
    this.numbers = rules.map(ruleNumber);
    this.matches = rules.map((rule) => rule.match);
    rules.forEach((rule, i) => {
      this.rules[this.numbers[i]!] = compile(rule, numberOf);
    });
  }

  /** The rules that decide, in their order. */
  get deciding(): CompiledRule[] {
    return this.numbers.map((number) => this.rules[number]!);
  }

  /** Number of the first rule, the quotas of which are those of flows that no rule makes; NO_RULE without rules. */
  get first(): number {
    return this.numbers[0] ?? NO_RULE;
  }

  /** Number of the first rule that translates, or NO_RULE. */
  get firstTranslating(): number {
    return this.numbers.find((number) => this.rules[number]!.translates) ?? NO_RULE;
  }

  /** Number of the rule that decides about a packet with this tuple (ports word of conntrack/tuple.ts), or NO_RULE. */
  ruleOf(source: number, destination: number, protocol: number, ports: number): number {
    for (let i = 0; i < this.matches.length; i++) {
      if (applies(this.matches[i]!, source, destination, protocol, ports)) return this.numbers[i]!;
    }
    return NO_RULE;
  }
}

/** Many remote hosts meet at few targets: ports are shared towards different ones from the start. */
function twiceRule(ports: PortRange): CompiledRule {
  const behaviour = {
    ...defaultBehaviour,
    mapping: 'address-and-port-dependent',
    overload: 'always',
  } as const;
  const rule = {
    name: 'twice',
    match: matchAll,
    action: 'masquerade',
    addresses: [],
    ports,
    behaviour,
  } as const;
  return { ...compile(rule, () => LOCAL), externals: Int32Array.of(LOCAL) };
}

function compile(
  { name, action, addresses, ports, behaviour, match, onAddressChange }: NatRule,
  numberOf: (a: number) => number,
) {
  const externals = action === 'pool' ? addresses.map(numberOf) : [0];
  return {
    name,
    translates: action !== 'none',
    externals: Int32Array.from(externals),
    first: ports.first,
    last: ports.last,
    mapping: DEPENDENCES[behaviour.mapping],
    filtering: DEPENDENCES[behaviour.filtering],
    hairpin: behaviour.hairpin,
    choice: CHOICES[behaviour.ports],
    parity: behaviour.parity,
    portClass: behaviour.portClass,
    paired: behaviour.pairedPooling,
    overload: OVERLOADS[behaviour.overload],
    quarantineMs: behaviour.quarantineSeconds * 1000,
    portsPerHost: behaviour.portsPerHost,
    flowsPerHost: behaviour.flowsPerHost,
    blockSize: behaviour.blockSize,
    onAddressChange: onChangeOf(onAddressChange),
    numbered: behaviour.deterministic ? match.sources : [],
  };
}

/** Whether a rule decides about a packet with this tuple, if none before it does. */
export function applies(
  match: NatMatch,
  source: number,
  destination: number,
  protocol: number,
  ports: number,
): boolean {
  if (match.sources.length > 0 && !isWithin(match.sources, source)) return false;
  if (match.destinations.length > 0 && !isWithin(match.destinations, destination)) return false;
  if (match.protocols.length > 0 && !match.protocols.includes(protocol)) return false;
  if (match.destinationPorts.length === 0) return true;
  if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return false;
  const port = swap16(ports >>> 16);
  for (let i = 0; i < match.destinationPorts.length; i++) {
    const range = match.destinationPorts[i]!;
    if (port >= range.first && port <= range.last) return true;
  }
  return false;
}

/** Whether an address lies in one of the prefixes. */
export function isWithin(prefixes: readonly Prefix[], address: number): boolean {
  for (let i = 0; i < prefixes.length; i++) {
    const prefix = prefixes[i]!;
    if (((address ^ prefix.address) & prefixMask(prefix.length)) === 0) return true;
  }
  return false;
}
