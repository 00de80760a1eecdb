/**
 * Options that are right each by itself and cannot be meant together. Each is refused with the option at fault and the
 * remedy.
 *
 * Allowed, although it looks like one: `--overload always` with an endpoint-independent mapping. An internal endpoint
 * then still keeps its external port, but may share it with others towards other remote endpoints (RFC 7857 3).
 */
import { NatgateError } from '../core/errors.ts';
import type { Forward, NatConfig, NatRule, PrefixPair } from '../nat/config.ts';
import { contains, dedicatedPrefixes, overlaps } from '../nat/dedicated.ts';
import { formatAddress, formatPrefix } from '../wire/address.ts';

/** Throws NatgateError `usage` for the first contradiction. */
export function refuseContradictions(nat: NatConfig): void {
  refuseRepeatedExemptions(nat.rules);
  refuseBlocks(nat.rules.at(-1)!);
  refusePooling(nat.rules.at(-1)!);
  for (const [i, forward] of nat.forwards.entries()) refuseForward(forward, nat.forwards.slice(0, i));
  for (const [i, pair] of nat.prefixes.entries()) {
    refusePair(pair, nat.prefixes.slice(0, i), nat.rules.at(-1)!);
  }
  refuseOwnTargets(nat);
}

function refuse(what: string, remedy: string): never {
  throw new NatgateError('usage', what, remedy);
}

function refuseRepeatedExemptions(rules: readonly NatRule[]): void {
  const exemptions = rules.filter((rule) => rule.action === 'none');
  exemptions.forEach(({ match: later, name }, i) => {
    const earlier = exemptions.slice(0, i).find(({ match }) => {
      const [source, laterSource] = [match.sources[0], later.sources[0]];
      const sameSources =
        source === undefined || (laterSource !== undefined && contains(source, laterSource));
      return sameSources && contains(match.destinations[0]!, later.destinations[0]!);
    });
    if (earlier === undefined) return;
    refuse(`--${name}: --${earlier.name} says so already`, 'leave it out');
  });
}

function refuseBlocks({ behaviour, ports, addresses, action }: NatRule): void {
  const { blockSize, deterministic, portsPerHost, pairedPooling } = behaviour;
  const size = ports.last - ports.first + 1;
  if (deterministic && blockSize === 0) {
    refuse(
      '--deterministic: it says which block of ports a host has, and there are no blocks',
      'give --block-size as well, e.g. --block-size 128',
    );
  }
  if (blockSize > size) {
    refuse(
      `--block-size ${blockSize}: larger than the ${size} ports ${ports.first}-${ports.last}`,
      action === 'masquerade' ? 'give a smaller block, or more --ports' : 'give a smaller block',
    );
  }
  if (deterministic && !pairedPooling) {
    refuse(
      '--pooling arbitrary: with --deterministic the block of a host is on one address',
      'leave one of the two out',
    );
  }
  if (deterministic && portsPerHost > blockSize) {
    refuse(
      `--ports-per-host ${portsPerHost}: with --deterministic a host never has more than its block of ${blockSize}`,
      'give a larger --block-size, or leave --ports-per-host out',
    );
  }
  if (portsPerHost > 0 && portsPerHost < blockSize) {
    refuse(
      `--ports-per-host ${portsPerHost}: less than a block of ${blockSize}, the rest of which nobody could use`,
      'give --block-size that many ports at most',
    );
  }
  const most = size * Math.max(1, addresses.length);
  if (portsPerHost > most) {
    refuse(`--ports-per-host ${portsPerHost}: there are ${most} ports`, 'leave it out for no limit');
  }
}

function refusePooling({ behaviour, addresses }: NatRule): void {
  if (behaviour.pairedPooling || addresses.length > 1) return;
  refuse(
    '--pooling arbitrary: there is one external address',
    'give several, e.g. --external 203.0.113.8-203.0.113.15, or leave it out',
  );
}

function refuseForward(forward: Forward, earlier: readonly Forward[]): void {
  const clash = earlier.find(
    (other) =>
      other.protocol === forward.protocol &&
      other.address === forward.address &&
      other.ports.first <= forward.ports.last &&
      forward.ports.first <= other.ports.last,
  );
  if (clash === undefined) return;
  const first = Math.max(clash.ports.first, forward.ports.first);
  refuse(
    `--forward ${forward.name}: port ${first} is forwarded by --forward ${clash.name} already`,
    'give it another external port or address; several hosts that take turns go into one forward: =HOST,HOST',
  );
}

function refusePair(pair: PrefixPair, earlier: readonly PrefixPair[], rule: NatRule): void {
  const external = earlier.find((other) => overlaps(other.external, pair.external));
  if (external !== undefined) {
    refuse(
      `--${pair.name}: ${formatPrefix(pair.external)} and ${formatPrefix(external.external)} of --${external.name} overlap`,
      'an external address belongs to one internal host',
    );
  }
  const internal = earlier.find((other) => overlaps(other.internal, pair.internal));
  if (internal !== undefined) {
    refuse(
      `--${pair.name}: ${formatPrefix(pair.internal)} and ${formatPrefix(internal.internal)} of --${internal.name} overlap`,
      'an internal host has one external address of its own; further ones can be a --forward',
    );
  }
  const pooled = rule.addresses.find((address) => contains(pair.external, { address, length: 32 }));
  if (pooled !== undefined) {
    refuse(
      `--${pair.name}: ${formatAddress(pooled)} is in the pool of --external as well`,
      'an address belongs to the pool or to one host',
    );
  }
}

/** Inside must be inside: a target or an internal prefix that is external comes back for ever. */
function refuseOwnTargets(nat: NatConfig): void {
  const dedicated = dedicatedPrefixes(nat);
  for (const { name, targets } of nat.forwards) {
    for (const { address } of targets) {
      if (!dedicated.some((prefix) => contains(prefix, { address, length: 32 }))) continue;
      refuse(
        `--forward ${name}: ${formatAddress(address)} is an external address of the gateway`,
        'name the address that the host has on the private network',
      );
    }
  }
  for (const { name, internal } of nat.prefixes) {
    const clash = dedicated.find((prefix) => overlaps(prefix, internal));
    if (clash === undefined) continue;
    refuse(
      `--${name}: ${formatPrefix(internal)} is external as well (${formatPrefix(clash)})`,
      'name the addresses that the hosts have on the private network',
    );
  }
}
