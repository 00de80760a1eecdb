/** What firewall rules say together: chains that are missing, circular or unused; rules that can never match. */
import { nearestName } from '../../core/nearest.ts';
import type { PortRange } from '../../nat/config.ts';
import type {
  AddressRange,
  Criterion,
  FirewallConfig,
  FirewallMatch,
  FirewallRule,
} from '../../policy/firewall-config.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';

const HAVE_PORTS: readonly number[] = [6, 17, 132];

interface Chain {
  path: Path;
  rules: readonly FirewallRule[];
}

export function findings({ rules, chains }: FirewallConfig, reader: Reader): void {
  const main: Chain = { path: ['firewall', 'rules'], rules };
  const byName = new Map(
    Object.entries(chains).map(([name, list]): [string, Chain] => [
      name,
      { path: ['firewall', 'chains', name], rules: list },
    ]),
  );
  for (const chain of [main, ...byName.values()]) {
    findMissing(chain, byName, reader);
    findContradictory(chain, reader);
    findShadowed(chain, reader);
  }
  findCycles(main, byName, reader);
  const used = new Set([...targets(main), ...[...byName.values()].flatMap(targets)]);
  for (const [name, { path }] of byName) {
    if (!used.has(name))
      reader.warning(path, 'no rule leads to this chain', 'jump to it, or leave it out', 'key');
  }
}

function targets({ rules }: Chain): string[] {
  return rules.flatMap(({ action }) => ('chain' in action ? [action.chain] : []));
}

function findMissing({ path, rules }: Chain, chains: ReadonlyMap<string, Chain>, reader: Reader): void {
  rules.forEach(({ action }, i) => {
    if (!('chain' in action) || chains.has(action.chain)) return;
    const nearest = nearestName(action.chain, [...chains.keys()]);
    reader.error(
      [...path, i, action.kind],
      `there is no chain ${action.chain}`,
      nearest === null ? 'chains are listed under `firewall.chains`' : `did you mean ${nearest}?`,
    );
  });
}

/** Depth first; the rule that closes a circle is named. */
function findCycles(main: Chain, chains: ReadonlyMap<string, Chain>, reader: Reader): void {
  const done = new Set<Chain>();
  const open = new Set<Chain>();
  const visit = (chain: Chain) => {
    open.add(chain);
    chain.rules.forEach(({ action }, i) => {
      const next = 'chain' in action ? chains.get(action.chain) : undefined;
      if (next === undefined || done.has(next)) return;
      if (open.has(next)) {
        const { kind } = action;
        reader.error(
          [...chain.path, i, kind],
          'the chain leads back to itself',
          'take one of the rules of the circle out',
        );
      } else visit(next);
    });
    open.delete(chain);
    done.add(chain);
  };
  for (const chain of [main, ...chains.values()]) if (!done.has(chain)) visit(chain);
}

/** Ports and flags that the rule's protocols do not have. */
function findContradictory({ path, rules }: Chain, reader: Reader): void {
  rules.forEach(({ match }, i) => {
    const { protocols } = match;
    if (protocols === null || protocols.not || protocols.values.length === 0) return;
    const isAny = (wanted: readonly number[]) => protocols.values.some((number) => wanted.includes(number));
    const never = (key: string, what: string) =>
      reader.warning(
        [...path, i, key],
        `${what}: the rule never matches`,
        'name another protocol, or leave this out',
      );
    const keys = (list: readonly Criterion<unknown>[], key: string) => (list[0]?.not ? `not-${key}` : key);
    if (match.destinationPorts.length > 0 && !isAny(HAVE_PORTS))
      never(keys(match.destinationPorts, 'ports'), 'its protocols have no ports');
    if (match.sourcePorts.length > 0 && !isAny(HAVE_PORTS))
      never(keys(match.sourcePorts, 'source-ports'), 'its protocols have no ports');
    if (match.icmp !== null && !isAny([1])) never(keys([match.icmp], 'icmp'), 'its protocols are not ICMP');
    if (match.tcpFlags !== null && !isAny([6])) {
      never(match.tcpFlags.not ? 'not-tcp-flags' : 'tcp-flags', 'its protocols are not TCP');
    }
  });
}

/** A rule after one that decides about all that it matches. Of every two, most are told apart by their bounds. */
function findShadowed({ path, rules }: Chain, reader: Reader): void {
  const deciding: { rule: FirewallRule; bounds: Bounds }[] = [];
  rules.forEach((rule, i) => {
    const bounds = boundsOf(rule.match);
    const earlier = deciding.find(
      (one) => isWithin(bounds, one.bounds) && isWider(one.rule.match, rule.match),
    );
    if (decides(rule)) deciding.push({ rule, bounds });
    if (earlier === undefined) return;
    reader.warning(
      [...path, i],
      `the rule never matches: ${earlier.rule.name} comes before it and decides about all that it matches`,
      'put it before that one, or leave it out',
    );
  });
}

/** Lowest and highest source, destination and port that a rule may match. */
type Bounds = readonly [number, number, number, number, number, number];

function boundsOf({ sources, destinations, destinationPorts }: FirewallMatch): Bounds {
  return [
    ...hull(sources, 0xffff_ffff),
    ...hull(destinations, 0xffff_ffff),
    ...hull(destinationPorts, 0xffff),
  ];
}

function hull(criteria: readonly Criterion<AddressRange | PortRange>[], most: number): [number, number] {
  const [criterion] = criteria;
  if (criterion === undefined || criterion.not) return [0, most];
  return criterion.values.reduce<[number, number]>(
    ([low, high], { first, last }) => [Math.min(low, first), Math.max(high, last)],
    [most, 0],
  );
}

function isWithin(a: Bounds, b: Bounds): boolean {
  return a[0] >= b[0] && a[1] <= b[1] && a[2] >= b[2] && a[3] <= b[3] && a[4] >= b[4] && a[5] <= b[5];
}

/** Whether no flow that the rule matches goes on to the next. */
function decides({ action, match }: FirewallRule): boolean {
  const isSometimes = match.limit !== null || match.connections !== null || match.schedule !== null;
  return !isSometimes && !['log', 'count', 'jump'].includes(action.kind);
}

/** Whether `wide` certainly matches all that `narrow` does. */
function isWider(wide: FirewallMatch, narrow: FirewallMatch): boolean {
  return (
    (wide.directions === null ||
      (narrow.directions?.every((one) => wide.directions!.includes(one)) ?? false)) &&
    each(wide.inInterfaces, narrow.inInterfaces, same) &&
    each(wide.outInterfaces, narrow.outInterfaces, same) &&
    all(wide.sources, narrow.sources, holds) &&
    all(wide.destinations, narrow.destinations, holds) &&
    each(wide.protocols, narrow.protocols, same) &&
    all(wide.sourcePorts, narrow.sourcePorts, holds) &&
    all(wide.destinationPorts, narrow.destinationPorts, holds) &&
    each(wide.icmp, narrow.icmp, (a, b) => a.type === b.type && (a.code === -1 || a.code === b.code)) &&
    each(wide.states, narrow.states, same) &&
    (wide.tcpFlags === null || JSON.stringify(wide.tcpFlags) === JSON.stringify(narrow.tcpFlags))
  );
}

function each<T>(
  wide: Criterion<T> | null,
  narrow: Criterion<T> | null,
  within: (a: T, b: T) => boolean,
): boolean {
  return all(wide === null ? [] : [wide], narrow === null ? [] : [narrow], within);
}

/** Each criterion of the wider rule follows from one of the narrower. */
function all<T>(
  wide: readonly Criterion<T>[],
  narrow: readonly Criterion<T>[],
  within: (a: T, b: T) => boolean,
): boolean {
  return wide.every((outer) => narrow.some((inner) => follows(outer, inner, within)));
}

/** Whether what `inner` allows `outer` allows. */
function follows<T>(outer: Criterion<T>, inner: Criterion<T>, within: (a: T, b: T) => boolean): boolean {
  const subset = (small: readonly T[], large: readonly T[]) =>
    small.every((value) => large.some((other) => within(other, value)));
  if (!outer.not && !inner.not) return subset(inner.values, outer.values);
  if (outer.not && inner.not) return subset(outer.values, inner.values);
  return false;
}

function same<T>(a: T, b: T): boolean {
  return a === b;
}

function holds(outer: AddressRange | PortRange, inner: AddressRange | PortRange): boolean {
  return outer.first <= inner.first && inner.last <= outer.last;
}
