/**
 * Options that are right each by itself and cannot be meant together, each with the option at fault and the remedy.
 *
 * Allowed, although it looks like one: `overload: always` with an endpoint-independent mapping. An internal endpoint
 * then still keeps its external port, but may share it with others towards other remote endpoints (RFC 7857 3).
 */
import type { Forward, NatConfig, NatMatch, NatRule, PortRange, Prefix, PrefixPair } from '../nat/config.ts';
import { contains, dedicatedPrefixes, overlaps } from '../nat/dedicated.ts';
import { formatAddress, formatPrefix } from '../wire/address.ts';
import { overlappingForwards } from './overlapping-forwards.ts';

/** A key of the behaviour of a rule, as the file and, after two dashes, the command line have it. */
type BehaviourKey = 'block-size' | 'deterministic' | 'pooling' | 'ports-per-host';

/** Which part of the configuration is at fault. */
export type Fault =
  | { of: 'rule'; number: number; key: BehaviourKey | null }
  | { of: 'forward'; number: number }
  | { of: 'pair'; number: number };

export interface Contradiction {
  at: Fault;
  /** The option at fault, as on the command line. */
  subject: string;
  what: string;
  /** Options are named as on the command line. */
  remedy: string;
}

/** In the order of rules, forwards, pairs. */
export function contradictions(nat: NatConfig): Contradiction[] {
  return [
    ...repeatedExemptions(nat.rules),
    ...nat.rules.flatMap((rule, number) => (rule.action === 'none' ? [] : behaviourFaults(rule, number))),
    ...uselessForwards(nat.forwards),
    ...nat.prefixes.flatMap((pair, number) => pairFaults(pair, number, nat)),
    ...ownTargets(nat),
  ];
}

/** Whether every flow that `later` matches is matched by `earlier`. */
export function covers(earlier: NatMatch, later: NatMatch): boolean {
  return (
    isCovered(earlier.sources, later.sources, contains) &&
    isCovered(earlier.destinations, later.destinations, contains) &&
    isCovered(earlier.protocols, later.protocols, (a, b) => a === b) &&
    isCovered(earlier.destinationPorts, later.destinationPorts, holds)
  );
}

/** An empty list is everything. */
function isCovered<T>(wide: readonly T[], narrow: readonly T[], within: (outer: T, inner: T) => boolean) {
  if (wide.length === 0) return true;
  return narrow.length > 0 && narrow.every((inner) => wide.some((outer) => within(outer, inner)));
}

function holds(outer: PortRange, inner: PortRange): boolean {
  return outer.first <= inner.first && inner.last <= outer.last;
}

function repeatedExemptions(rules: readonly NatRule[]): Contradiction[] {
  return rules.flatMap(({ action, match, name }, number) => {
    if (action !== 'none' || !name.startsWith('exempt ')) return [];
    const earlier = rules
      .slice(0, number)
      .find((other) => other.action === 'none' && covers(other.match, match));
    if (earlier === undefined) return [];
    return [
      {
        at: { of: 'rule', number, key: null },
        subject: `--${name}`,
        what: `--${earlier.name} says so already`,
        remedy: 'leave it out',
      },
    ];
  });
}

function behaviourFaults({ behaviour, ports, addresses, action }: NatRule, number: number): Contradiction[] {
  const { blockSize, deterministic, portsPerHost, pairedPooling } = behaviour;
  const size = ports.last - ports.first + 1;
  const most = size * Math.max(1, addresses.length);
  const fault = (key: BehaviourKey, value: string | number, what: string, remedy: string): Contradiction => ({
    at: { of: 'rule', number, key },
    subject: `--${key}${value === '' ? '' : ` ${value}`}`,
    what,
    remedy,
  });
  const found: Contradiction[] = [];
  if (deterministic && blockSize === 0) {
    found.push(
      fault(
        'deterministic',
        '',
        'it says which block of ports a host has, and there are no blocks',
        'give --block-size as well, e.g. --block-size 128',
      ),
    );
  }
  if (blockSize > size) {
    found.push(
      fault(
        'block-size',
        blockSize,
        `larger than the ${size} ports ${ports.first}-${ports.last}`,
        action === 'masquerade' ? 'give a smaller block, or more --ports' : 'give a smaller block',
      ),
    );
  }
  if (deterministic && !pairedPooling) {
    found.push(
      fault(
        'pooling',
        'arbitrary',
        'with --deterministic the block of a host is on one address',
        'leave one of the two out',
      ),
    );
  } else if (!pairedPooling && addresses.length <= 1) {
    found.push(
      fault(
        'pooling',
        'arbitrary',
        'there is one external address',
        'give several, e.g. --external 203.0.113.8-203.0.113.15, or leave it out',
      ),
    );
  }
  if (deterministic && blockSize > 0 && portsPerHost > blockSize) {
    found.push(
      fault(
        'ports-per-host',
        portsPerHost,
        `with --deterministic a host never has more than its block of ${blockSize}`,
        'give a larger --block-size, or leave --ports-per-host out',
      ),
    );
  } else if (portsPerHost > 0 && portsPerHost < blockSize) {
    found.push(
      fault(
        'ports-per-host',
        portsPerHost,
        `less than a block of ${blockSize}, the rest of which nobody could use`,
        'give --block-size that many ports at most',
      ),
    );
  } else if (portsPerHost > most) {
    found.push(fault('ports-per-host', portsPerHost, `there are ${most} ports`, 'leave it out for no limit'));
  }
  return found;
}

function uselessForwards(forwards: readonly Forward[]): Contradiction[] {
  return overlappingForwards(forwards).map(({ number, earlier, port }) => ({
    at: { of: 'forward', number },
    subject: `--forward ${forwards[number]!.name}`,
    what: `port ${port} is forwarded by --forward ${forwards[earlier]!.name} already`,
    remedy:
      'give it another external port or address; several hosts that take turns go into one forward: =HOST,HOST',
  }));
}

function pairFaults(pair: PrefixPair, number: number, { prefixes, rules }: NatConfig): Contradiction[] {
  const earlier = prefixes.slice(0, number);
  const fault = (what: string, remedy: string): Contradiction => ({
    at: { of: 'pair', number },
    subject: `--${pair.name}`,
    what,
    remedy,
  });
  const found: Contradiction[] = [];
  const external = earlier.find((other) => overlaps(other.external, pair.external));
  if (external !== undefined) {
    found.push(
      fault(
        `${formatPrefix(pair.external)} and ${formatPrefix(external.external)} of --${external.name} overlap`,
        'an external address belongs to one internal host',
      ),
    );
  }
  const internal = earlier.find((other) => overlaps(other.internal, pair.internal));
  if (internal !== undefined) {
    found.push(
      fault(
        `${formatPrefix(pair.internal)} and ${formatPrefix(internal.internal)} of --${internal.name} overlap`,
        'an internal host has one external address of its own; further ones can be a --forward',
      ),
    );
  }
  const pooled = rules
    .flatMap(({ action, addresses }) => (action === 'pool' ? addresses : []))
    .find((address) => contains(pair.external, single(address)));
  if (pooled !== undefined) {
    found.push(
      fault(
        `${formatAddress(pooled)} is in the pool of --external as well`,
        'an address belongs to the pool or to one host',
      ),
    );
  }
  return found;
}

/** Inside must be inside: a target or an internal prefix that is external comes back for ever. */
function ownTargets(nat: NatConfig): Contradiction[] {
  const dedicated = dedicatedPrefixes(nat);
  const forwards = nat.forwards.flatMap(({ name, targets }, number): Contradiction[] => {
    const own = targets.find(({ address }) => dedicated.some((prefix) => contains(prefix, single(address))));
    if (own === undefined) return [];
    return [
      {
        at: { of: 'forward', number },
        subject: `--forward ${name}`,
        what: `${formatAddress(own.address)} is an external address of the gateway`,
        remedy: 'name the address that the host has on the private network',
      },
    ];
  });
  const pairs = nat.prefixes.flatMap(({ name, internal }, number): Contradiction[] => {
    const clash = dedicated.find((prefix) => overlaps(prefix, internal));
    if (clash === undefined) return [];
    return [
      {
        at: { of: 'pair', number },
        subject: `--${name}`,
        what: `${formatPrefix(internal)} is external as well (${formatPrefix(clash)})`,
        remedy: 'name the addresses that the hosts have on the private network',
      },
    ];
  });
  return [...forwards, ...pairs];
}

function single(address: number): Prefix {
  return { address, length: 32 };
}
