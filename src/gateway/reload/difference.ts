/**
 * What is different between the configuration that is in force and another one: for people (`natgate plan`, the result of a reload),
 * and what of it a running gateway cannot take over.
 */
import { isDeepStrictEqual } from 'node:util';
import type { NatConfig, NatRule, PortRange, Prefix } from '../../nat/config.ts';
import { dedicatedPrefixes } from '../../nat/dedicated.ts';
import { ruleNumber } from '../../nat/rules.ts';
import type { FirewallConfig } from '../../policy/firewall-config.ts';
import { formatAddress, formatPrefix } from '../../wire/address.ts';
import type { RunOptions } from '../options.ts';

/** Names. */
export interface ListChange {
  added: string[];
  removed: string[];
  changed: string[];
}

export interface Difference {
  /** NAT rules, exemptions among them. */
  rules: ListChange;
  forwards: ListChange;
  /** 1:1 NAT. */
  pairs: ListChange;
  /** `rule`, or `chain/rule`; `defaults`, `order`, `anti-spoofing` where these are others. */
  firewall: ListChange;
  /** External addresses that are natgate's alone. */
  addresses: ListChange;
  /** What else is different: keys of the file. */
  settings: string[];
  /** What a running gateway cannot take over: keys of the file. */
  restart: string[];
}

/** Keys of the file whose change needs a restart. */
const RESTART: readonly (readonly [string, (options: RunOptions) => unknown])[] = [
  ['private', (options) => options.private],
  ['public', (options) => options.public],
  ['ports', (options) => options.ports],
  ['limits.flows', (options) => options.flows],
  ['engine.workers', (options) => options.workers],
  ['engine.user', (options) => options.user],
  ['engine.txqueuelen', (options) => options.txQueueLength],
  ['engine.standby', (options) => options.standby],
  ['control', (options) => options.control],
  ['metrics', (options) => options.metrics],
];

const SETTINGS: readonly (readonly [string, (options: RunOptions) => unknown])[] = [
  ['timeouts', (options) => options.timeouts],
  ['helpers', (options) => options.helpers],
  ['clamp-mss', (options) => options.clampMss],
  ['evict', (options) => options.evict],
  ['unsolicited', (options) => options.unsolicited],
  ['dns', (options) => options.dns],
  ['events', (options) => options.events],
  ['log', (options) => options.log],
  ['engine.linger', (options) => options.lingerSeconds],
];

/** `after` has the rule numbers that go with those of `before` (rule-numbers.ts). */
export function difference(before: RunOptions, after: RunOptions): Difference {
  const differing = (keys: typeof RESTART) =>
    keys.filter(([, of]) => !isDeepStrictEqual(of(before), of(after))).map(([key]) => key);
  return {
    rules: rulesChange(before.nat.rules, after.nat.rules),
    forwards: listChange(before.nat.forwards, after.nat.forwards, forwardName),
    pairs: listChange(before.nat.prefixes, after.nat.prefixes, ({ name }) => name),
    firewall: firewallChange(before.firewall, after.firewall),
    addresses: listChange(dedicatedPrefixes(before.nat), dedicatedPrefixes(after.nat), prefixText),
    settings: differing(SETTINGS),
    restart: [...differing(RESTART), ...blockChanges(before.nat, after.nat)],
  };
}

/** Whether there is nothing different at all. */
export function isNothing({ settings, restart, ...lists }: Difference): boolean {
  return [
    settings,
    restart,
    ...Object.values(lists).flatMap((list) => Object.values(list as ListChange)),
  ].every((names: string[]) => names.length === 0);
}

function rulesChange(before: readonly NatRule[], after: readonly NatRule[]): ListChange {
  const byNumber = (rules: readonly NatRule[]) =>
    new Map(rules.map((rule, i) => [ruleNumber(rule, i), rule] as const));
  const was = byNumber(before);
  const is = byNumber(after);
  const bare = ({ number: _, ...rule }: NatRule) => rule;
  const name = ({ name }: NatRule) => name;
  return {
    added: [...is].filter(([number]) => !was.has(number)).map(([, rule]) => name(rule)),
    removed: [...was].filter(([number]) => !is.has(number)).map(([, rule]) => name(rule)),
    changed: [...is]
      .filter(([number, rule]) => was.has(number) && !isDeepStrictEqual(bare(rule), bare(was.get(number)!)))
      .map(([, rule]) => name(rule)),
  };
}

function listChange<T>(before: readonly T[], after: readonly T[], nameOf: (item: T) => string): ListChange {
  const was = new Map(before.map((item) => [nameOf(item), item]));
  const is = new Map(after.map((item) => [nameOf(item), item]));
  return {
    added: [...is.keys()].filter((name) => !was.has(name)),
    removed: [...was.keys()].filter((name) => !is.has(name)),
    changed: [...is]
      .filter(([name, item]) => was.has(name) && !isDeepStrictEqual(item, was.get(name)))
      .map(([name]) => name),
  };
}

function firewallChange(before: FirewallConfig, after: FirewallConfig): ListChange {
  const named = ({ rules, chains }: FirewallConfig) => [
    ...rules.map((rule) => ({ ...rule, name: rule.name })),
    ...Object.entries(chains).flatMap(([chain, list]) =>
      list.map((rule) => ({ ...rule, name: `${chain}/${rule.name}` })),
    ),
  ];
  const was = named(before);
  const is = named(after);
  const change = listChange(was, is, ({ name }) => name);
  const isBoth = (list: typeof was, other: typeof was) =>
    list.map(({ name }) => name).filter((name) => other.some((rule) => rule.name === name));
  if (!isDeepStrictEqual(isBoth(was, is), isBoth(is, was))) change.changed.push('order');
  if (!isDeepStrictEqual(before.policies, after.policies)) change.changed.push('defaults');
  const spoofing = ({ antiSpoofing, trustedOutside }: FirewallConfig) => [antiSpoofing, trustedOutside];
  if (!isDeepStrictEqual(spoofing(before), spoofing(after))) change.changed.push('anti-spoofing');
  return change;
}

/** Blocks are laid over the ports of an address as a whole: those that hosts have cannot be cut anew under them. */
function blockChanges(before: NatConfig, after: NatConfig): string[] {
  const layouts = ({ rules }: NatConfig) => {
    const all = new Map<number, string>();
    for (const { action, addresses, behaviour, ports } of rules) {
      if (action === 'none') continue;
      const { blockSize, deterministic } = behaviour;
      const layout =
        blockSize === 0 ? '' : `${blockSize} of ${range(ports)}${deterministic ? ' by host' : ''}`;
      for (const address of action === 'pool' ? addresses : [0]) {
        if (layout !== '' || !all.has(address)) all.set(address, layout);
      }
    }
    return all;
  };
  const was = layouts(before);
  const differs = [...layouts(after)].some(
    ([address, layout]) => was.has(address) && was.get(address) !== layout,
  );
  return differs ? ['nat.block-size'] : [];
}

function forwardName({ name, protocol, address, ports }: NatConfig['forwards'][number]): string {
  const at = address === 0 ? '' : ` ${formatAddress(address)}`;
  return `${name} (${protocol === 6 ? 'tcp' : 'udp'}${at} ${range(ports)})`;
}

function range({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

function prefixText(prefix: Prefix): string {
  return prefix.length === 32 ? formatAddress(prefix.address) : formatPrefix(prefix);
}
