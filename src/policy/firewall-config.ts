/**
 * What the firewall is asked to do, as checked values. It is asked once, by the first packet of a flow; what a flow's
 * further packets, their answers and the ICMP errors about them do follows from that (netfilter: ESTABLISHED,RELATED).
 *
 * A packet is judged as the FORWARD chain sees it: after the destination has been translated and before the source
 * is. So rules name private addresses and ports, on either side. Chains are walked as iptables walks them: first match
 * decides, `jump` comes back at the end or at `return`, `goto` does not.
 */
import type { PortRange, Prefix } from '../nat/config.ts';

/** From which side to which: private → public, public → private, one private network → another (or hairpin). */
export type Direction = 'outbound' | 'inbound' | 'between';

/** How a refused sender is told: a TCP reset, or the code of an ICMP destination unreachable (iptables REJECT). */
export type RejectWith =
  | 'tcp-reset'
  | 'net-unreachable'
  | 'host-unreachable'
  | 'protocol-unreachable'
  | 'port-unreachable'
  | 'net-prohibited'
  | 'host-prohibited'
  | 'admin-prohibited';

/** Lets the flow begin. */
export interface Accept {
  /** Of FirewallAction. */
  kind: 'accept';
}

/** Refuses it in silence. */
export interface Drop {
  /** Of FirewallAction. */
  kind: 'drop';
}

/** Refuses it, and tells its sender. */
export interface Reject {
  /** Of FirewallAction. */
  kind: 'reject';
  /** How. */
  with: RejectWith;
}

/** Only says, by the rule's `log` or counters, that the rule has matched; the next rule is asked. */
export interface Pass {
  /** Of FirewallAction. */
  kind: 'log' | 'count';
}

/** Goes on in another chain. */
export interface ToChain {
  /** `jump` comes back at the chain's end, `goto` does not. */
  kind: 'jump' | 'goto';
  /** Its name. */
  chain: string;
}

/** Goes back to where the chain was jumped from. */
export interface Return {
  /** Of FirewallAction. */
  kind: 'return';
}

/** What a rule that matches does. `log` and `count` go on to the next rule. */
export type FirewallAction = Accept | Drop | Reject | Pass | ToChain | Return;

/** What becomes of a flow that no rule decides about. */
export type Policy = Accept | Drop | Reject;

/** Bits of a TCP header's flags. */
export interface TcpFlagsMatch {
  /** Those that are looked at. */
  mask: number;
  /** What they must be. */
  value: number;
  /** What they must not be, instead. */
  not: boolean;
}

/** Addresses in host order, unsigned, both ends included. */
export interface AddressRange {
  /** The lowest. */
  first: number;
  /** The highest. */
  last: number;
}

/** Whether a value must be in the list, or must not. */
export interface Criterion<T> {
  /** The list. */
  values: readonly T[];
  /** The rule matches what is not in the list. */
  not: boolean;
}

/** An ICMP type, with any code or one. */
export interface IcmpMatch {
  /** ICMP type. */
  type: number;
  /** -1: any. */
  code: number;
}

/** Over what a limit or a count is kept: one for the rule, or one for each of these. */
export interface Grouping {
  /** What makes a group. */
  by: 'rule' | 'source' | 'destination' | 'source-and-destination';
  /** Addresses with this prefix in common are one (hashlimit-srcmask, connlimit-mask); 32: each its own. */
  prefixLength: number;
}

/** A token bucket (iptables limit, hashlimit). */
export interface RateLimit {
  /** Tokens per second; may be less than one. */
  perSecond: number;
  /** Tokens that are saved up at most. */
  burst: number;
  /** Each group has a bucket. */
  grouping: Grouping;
  /** The rule matches what is above the rate (hashlimit-above), not what is within. */
  above: boolean;
}

/** Live flows at a time (iptables connlimit), the new one counted. */
export interface ConnectionLimit {
  /** How many. */
  count: number;
  /** Each group has a count. */
  grouping: Grouping;
  /** The rule matches when there are more than `count`; else while there are at most so many. */
  above: boolean;
}

/** When a rule is on. All parts must hold (iptables time). */
export interface Schedule {
  /** 0: Sunday; empty: every day. */
  days: readonly number[];
  /** Seconds of the day, the end excluded; from > to: over midnight. Both 0: the whole day. */
  from: number;
  /** The end, see `from`. */
  to: number;
  /** ms since 1970; -Infinity and Infinity: always. */
  notBefore: number;
  /** The same, for the end. */
  notAfter: number;
  /** An IANA name, e.g. Europe/Berlin, or UTC. */
  zone: string;
}

/** All that is given must hold; null: whatever. A list that is empty and not `not` matches nothing. */
export interface FirewallMatch {
  /** One of these. */
  directions: readonly Direction[] | null;
  /** Names of served interfaces. */
  inInterfaces: Criterion<string> | null;
  /** The same, of those that the flow leaves by. */
  outInterfaces: Criterion<string> | null;
  /** Several criteria must all hold (a list and a list of exceptions). */
  sources: readonly Criterion<AddressRange>[];
  /** The same. */
  destinations: readonly Criterion<AddressRange>[];
  /** IP protocol numbers. */
  protocols: Criterion<number> | null;
  /** Of TCP, UDP and SCTP; other protocols match no list, negated or not. */
  sourcePorts: readonly Criterion<PortRange>[];
  /** The same. */
  destinationPorts: readonly Criterion<PortRange>[];
  /** Of the first packet; other protocols match no list. */
  icmp: Criterion<IcmpMatch> | null;
  /**
   * `new`: nothing announced the flow; `related`: a helper expected it; `dnat`: a forward, a 1:1 address or a mapping
   * chose its destination; `snat`: its source will be translated. One of them must hold (or none, with `not`).
   */
  states: Criterion<'new' | 'related' | 'dnat' | 'snat'> | null;
  /** (flags & mask) == value of the first packet (--tcp-flags; --syn is FIN,SYN,RST,ACK SYN). */
  tcpFlags: TcpFlagsMatch | null;
  /** New flows. */
  limit: RateLimit | null;
  /** Flows that live. */
  connections: ConnectionLimit | null;
  /** When. */
  schedule: Schedule | null;
}

/** What is asked of a new flow, and what follows. */
export interface FirewallRule {
  /** For people and counters; unique in its chain. */
  name: string;
  /** Which flows. */
  match: FirewallMatch;
  /** What becomes of them. */
  action: FirewallAction;
  /** Written before each line of the log about a packet that matches; null: not logged. */
  log: string | null;
  /**
   * All packets, either way, of the flows that this rule accepts: those above the rate are dropped. Null: no limit. (The
   * other limit, `match.limit`, is about new flows.)
   */
  packetLimit: RateLimit | null;
}

/** All that the firewall is asked to do. */
export interface FirewallConfig {
  /** The first that matches decides. */
  rules: readonly FirewallRule[];
  /** By name; what `jump` and `goto` lead to. */
  chains: Readonly<Record<string, readonly FirewallRule[]>>;
  /** What becomes of a flow that no rule decides about. Inbound: of those that a forward, 1:1 or mapping lets in. */
  policies: Readonly<Record<Direction, Policy>>;
  /** Private sources only from where their network is; no private or reserved sources from outside (RFC 2827, 6890). */
  antiSpoofing: boolean;
  /** Sources that are taken from outside although reserved. */
  trustedOutside: readonly Prefix[];
}

/** Matches everything. */
export const matchAnything: Readonly<FirewallMatch> = {
  directions: null,
  inInterfaces: null,
  outInterfaces: null,
  sources: [],
  destinations: [],
  protocols: null,
  sourcePorts: [],
  destinationPorts: [],
  icmp: null,
  states: null,
  tcpFlags: null,
  limit: null,
  connections: null,
  schedule: null,
};

/** What the recipe's FORWARD rules say; the rest of what they say is NAT's. */
export const defaultFirewall: Readonly<FirewallConfig> = {
  rules: [],
  chains: {},
  policies: { outbound: { kind: 'accept' }, inbound: { kind: 'accept' }, between: { kind: 'accept' } },
  antiSpoofing: true,
  trustedOutside: [],
};

/** Whether they say the same, word for word. */
export function isSameFirewall(a: FirewallConfig, b: FirewallConfig): boolean {
  return a === b || textOf(a) === textOf(b);
}

/** JSON has no infinite numbers. */
function textOf(config: FirewallConfig): string {
  return JSON.stringify(config, (_, value) => (typeof value === 'number' ? String(value) : value));
}
