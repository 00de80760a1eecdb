/**
 * Whether what the NAT options ask for can be had on this host: addresses that are free to be natgate's, ports that no
 * socket holds, hosts that are inside, blocks for all of them. Only judges: what the host is like is in NatFacts.
 */
import type { Forward, NatConfig, NatRule, Prefix } from '../../nat/config.ts';
import { dedicatedPrefixes, prefixSize } from '../../nat/dedicated.ts';
import { formatAddress } from '../../wire/address.ts';
import { PROTO_TCP } from '../../wire/ipv4.ts';
import { conflictingNetwork, privateNetworks } from '../interfaces.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { checkExternalAddresses } from './external-addresses.ts';
import { listed, lookUp, type NatFacts, plain } from './nat-facts.ts';

export function checkNat(nat: NatConfig, facts: NatFacts): Check[] {
  const dedicated = dedicatedPrefixes(nat);
  const checks = [
    ...checkNetworks(facts),
    ...checkExternalAddresses(dedicated, facts),
    ...nat.forwards.flatMap((forward) => checkSockets(forward, facts)),
    ...checkInside(nat, facts),
    ...checkBlocks(nat, facts),
  ];
  if (dedicated.length > 0 && checks.length === 0) {
    checks.push(ok('external addresses', `${listed(dedicated.map(plain))} can be natgate's own`));
  }
  return checks;
}

/** No address on both sides (RFC 4787 REQ-7). While natgate runs, the follower of the host sees to it. */
function checkNetworks({ served }: NatFacts): Check[] {
  const outside = served.at(-1)!;
  const conflict = conflictingNetwork(served);
  if (conflict === null || served.some(({ index }, i) => index === outside.index && i < served.length - 1))
    return [];
  const own = `${formatAddress(outside.address)}/${outside.prefixLength}`;
  return [
    fail(
      'networks',
      'networks_overlap',
      `${outside.name} has ${own}, and ${plain(conflict)} is a private network`,
      'an address may be on one side only: of two nodes that have it, one could not be reached',
      'give the private network other addresses, of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16',
    ),
  ];
}

/** A forward of the shared address takes its ports from the host: no socket may wait there. */
function checkSockets(forward: Forward, { served, sockets }: NatFacts): Check[] {
  if (forward.address !== 0) return [];
  const { first, last } = forward.ports;
  const outside = served.at(-1)!;
  const [protocol, list] =
    forward.protocol === PROTO_TCP ? (['TCP', sockets.tcp] as const) : (['UDP', sockets.udp] as const);
  const holder = list.find(
    (socket) =>
      socket.port >= first &&
      socket.port <= last &&
      (socket.address === 0 || socket.address === outside.address) &&
      (socket.interface === 0 || socket.interface === outside.index),
  );
  if (holder === undefined) return [];
  const at = `${holder.address === 0 ? '*' : formatAddress(holder.address)}:${holder.port}`;
  return [
    fail(
      `forward ${forward.name}`,
      'port_in_use',
      `a ${protocol} socket of this host holds port ${holder.port} (${at})`,
      'a port of the shared address is the host’s or leads to a private host',
      `\`ss -${protocol === 'TCP' ? 'ta' : 'ua'}np 'sport = ${holder.port}'\` shows whose it is: end it, bind it to another address, or forward another port`,
    ),
  ];
}

/** Internal hosts should be on a private network: elsewhere they are the public side's, or the host's. */
function checkInside(nat: NatConfig, { served, routes }: NatFacts): Check[] {
  const last = served.length - 1;
  const isInside = (address: number) => {
    const device = lookUp(routes, address);
    return device >= 0 && device < last;
  };
  const stray = [
    ...nat.forwards.flatMap(({ name, targets }) =>
      targets
        .filter(({ address }) => !isInside(address))
        .map(({ address }) => ({ option: `forward ${name}`, what: formatAddress(address) })),
    ),
    ...nat.prefixes
      .filter(({ internal }) => !isInside(internal.address))
      .map(({ name, internal }) => ({ option: name, what: plain(internal) })),
  ];
  return stray.map(({ option, what }) =>
    warn(
      option,
      `${what} is on no private network`,
      'natgate follows the routes of the host, and none leads there through a private interface',
      `look for a slip of the pen; a network behind a router of yours needs a route: \`ip route add ${what} via ROUTER dev ${served[0]!.name}\``,
    ),
  );
}

/** With deterministic blocks every address that the rule is about has one (RFC 7422 2), used or not. */
function checkBlocks(nat: NatConfig, { served }: NatFacts): Check[] {
  return nat.rules
    .filter(({ behaviour, action }) => behaviour.deterministic && action !== 'none')
    .flatMap((rule) => {
      const networks = rule.match.sources.length > 0 ? rule.match.sources : privateNetworks(served);
      return checkBlocksOf(rule, networks);
    });
}

function checkBlocksOf(
  { behaviour, ports, action, addresses }: NatRule,
  networks: readonly Prefix[],
): Check[] {
  const hosts = networks.reduce((sum, network) => sum + prefixSize(network), 0);
  const { blockSize } = behaviour;
  const each = Math.floor((ports.last - ports.first + 1) / blockSize);
  const blocks = each * (action === 'pool' ? addresses.length : 1);
  if (blocks >= hosts) return [];
  const most = Math.floor((blocks * blockSize) / hosts);
  return [
    fail(
      'deterministic',
      'pool_too_small',
      `${blocks} blocks of ${blockSize} ports for ${hosts} private addresses`,
      'each address of the private network has a block of its own',
      `give ${Math.ceil(hosts / each)} addresses with --external, or a --block-size of ${Math.max(most, 1)} at most`,
    ),
  ];
}
