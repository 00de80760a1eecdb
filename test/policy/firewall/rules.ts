/** Short words for rules and packets. Addresses and ports as text and numbers, everything else left at its default. */
import { Firewall } from '../../../src/policy/firewall/firewall.ts';
import {
  BETWEEN,
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
  REJECTS,
  STATE_DNAT,
  STATE_NEW,
  STATE_RELATED,
  STATE_SNAT,
} from '../../../src/policy/firewall/packet.ts';
import {
  type AddressRange,
  type Criterion,
  type Direction,
  defaultFirewall,
  type FirewallAction,
  type FirewallConfig,
  type FirewallMatch,
  type FirewallRule,
  matchAnything,
} from '../../../src/policy/firewall-config.ts';
import { hostOrder, parseAddress, parsePrefix, prefixMask } from '../../../src/wire/address.ts';

export const DEVICES = ['lan', 'dmz', 'wan'];
export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;

/** `10.0.0.0/8`, an address, or `first-last`, as unsigned numbers. */
export function range(text: string): AddressRange {
  const [from, to] = text.split('-');
  if (to !== undefined) return { first: host(from!), last: host(to) };
  const { address, length } = parsePrefix(text)!;
  const first = hostOrder(address) >>> 0;
  return { first, last: (first | ~hostOrder(prefixMask(length))) >>> 0 };
}

export function host(text: string): number {
  return hostOrder(parseAddress(text)!) >>> 0;
}

export function is<T>(...values: T[]): Criterion<T> {
  return { values, not: false };
}

export function not<T>(...values: T[]): Criterion<T> {
  return { values, not: true };
}

let number = 0;
export function rule(
  action: FirewallAction | FirewallAction['kind'],
  match: Partial<FirewallMatch> = {},
  more: Partial<FirewallRule> = {},
): FirewallRule {
  return {
    name: `r${number++}`,
    match: { ...matchAnything, ...match },
    action: (typeof action === 'string' ? { kind: action } : action) as FirewallAction,
    log: null,
    packetLimit: null,
    ...more,
  };
}

export const ACCEPT_ALL: FirewallConfig['policies'] = defaultFirewall.policies;
export const DROP_ALL: FirewallConfig['policies'] = {
  outbound: { kind: 'drop' },
  inbound: { kind: 'drop' },
  between: { kind: 'drop' },
};

export function config(rules: readonly FirewallRule[], more: Partial<FirewallConfig> = {}): FirewallConfig {
  return { ...defaultFirewall, rules, ...more };
}

export function firewall(rules: readonly FirewallRule[], more: Partial<FirewallConfig> = {}): Firewall {
  return new Firewall(config(rules, more), { devices: DEVICES, seed: [1, 2], now: 0 });
}

export interface Packet {
  direction: Direction;
  in: string;
  out: string;
  source: string;
  destination: string;
  protocol: number;
  sourcePort: number;
  port: number;
  icmp: [type: number, code: number];
  flags: number;
  states: readonly ('new' | 'related' | 'dnat' | 'snat')[];
  length: number;
}

const USUAL: Packet = {
  direction: 'outbound',
  in: 'lan',
  out: 'wan',
  source: '10.0.0.2',
  destination: '198.51.100.7',
  protocol: TCP,
  sourcePort: 40000,
  port: 443,
  icmp: [8, 0],
  flags: 2,
  states: ['new', 'snat'],
  length: 60,
};
const DIRECTION = { outbound: OUTBOUND, inbound: INBOUND, between: BETWEEN };
const STATE = { new: STATE_NEW, related: STATE_RELATED, dnat: STATE_DNAT, snat: STATE_SNAT };

export function fill(words: Int32Array, packet: Partial<Packet>): void {
  const p = { ...USUAL, ...packet };
  const hasPorts = [TCP, UDP, 132].includes(p.protocol);
  words[P_DIRECTION] = DIRECTION[p.direction];
  words[P_IN] = DEVICES.indexOf(p.in);
  words[P_OUT] = DEVICES.indexOf(p.out);
  words[P_SOURCE] = host(p.source);
  words[P_DESTINATION] = host(p.destination);
  words[P_PROTOCOL] = p.protocol;
  words[P_SOURCE_PORT] = hasPorts ? p.sourcePort : 0;
  words[P_DESTINATION_PORT] = hasPorts ? p.port : p.protocol === ICMP ? (p.icmp[0] << 8) | p.icmp[1] : 0;
  words[P_FLAGS] = p.protocol === TCP ? p.flags : 0;
  words[P_STATE] = p.states.reduce((bits, state) => bits | STATE[state], 0);
  words[P_LENGTH] = p.length;
}

export function nameOf(verdict: number): string {
  return verdict === 0 ? 'accept' : verdict === 1 ? 'drop' : REJECTS[verdict - REJECT]!;
}

/** `accept`, `drop`, or the way of a reject. */
export function ask(asked: Firewall, packet: Partial<Packet> = {}, now = 0): string {
  fill(asked.packet, packet);
  return nameOf(asked.verdict(now));
}

/** Whether a rule with this match would decide about the packet. */
export function matches(match: Partial<FirewallMatch>, packet: Partial<Packet> = {}): boolean {
  return ask(firewall([rule('drop', match)]), packet) === 'drop';
}

/** What rule number `i` has counted. */
export function counted(asked: Firewall, name: string): { flows: number; bytes: number } {
  const i = asked.names.indexOf(name);
  return { flows: asked.counters[i * 2]!, bytes: asked.counters[i * 2 + 1]! };
}
