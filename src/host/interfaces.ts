/** What natgate asks about an interface, from the tables of links and addresses together. */
import { NatgateError } from '../core/errors.ts';
import { nearestName } from '../core/nearest.ts';
import { overlaps } from '../nat/dedicated.ts';
import { type Prefix, prefixMask } from '../wire/address.ts';
import { type InterfaceAddress, primaryAddress, readAddresses } from './netlink/addresses.ts';
import { type Link, readLinks } from './netlink/links.ts';
import { type KernelRoute, readRoutes, TABLE_MAIN } from './netlink/routes.ts';

export interface InterfaceFacts extends Link {
  /** The address that masquerade takes, in wire order; 0: none. */
  address: number;
  /** Of that address; 0 without one. */
  prefixLength: number;
  /** All its IPv4 addresses. */
  addresses: InterfaceAddress[];
}

/**
 * Reads the named interfaces, in that order. Of several addresses the one in the subnet of the interface's default
 * gateway is taken, as for masquerade. Throws NatgateError `interface_unknown`.
 */
export function readInterfaces(names: readonly string[]): InterfaceFacts[] {
  const links = readLinks();
  const addresses = readAddresses();
  const defaults = readRoutes().filter((route) => route.length === 0 && route.table === TABLE_MAIN);
  return names.map((name) => {
    const link = links.find((candidate) => candidate.name === name);
    if (link === undefined) throw unknownInterface(name, links);
    const primary = primaryAddress(addresses, link.index, defaultGateway(defaults, link.index));
    return {
      ...link,
      address: primary?.address ?? 0,
      prefixLength: primary?.prefixLength ?? 0,
      addresses: addresses.filter((address) => address.interface === link.index),
    };
  });
}

/** Wire order; 0 without one. */
function defaultGateway(defaults: readonly KernelRoute[], interfaceIndex: number): number {
  const gateways = defaults
    .toSorted((a, b) => a.metric - b.metric)
    .flatMap((route) => route.nextHops)
    .filter((hop) => hop.interface === interfaceIndex && !hop.dead);
  return gateways[0]?.gateway ?? 0;
}

/** Networks of the private interfaces, in their order; `served`: private interfaces first, the public one last. */
export function privateNetworks(served: readonly InterfaceFacts[]): Prefix[] {
  return served.slice(0, -1).map(({ address, prefixLength }) => ({
    address: address & prefixMask(prefixLength),
    length: prefixLength,
  }));
}

/**
 * The private network that shares addresses with the public interface's own (RFC 4787 REQ-7), or null. Of two nodes with one
 * address, on either side, only one could be reached.
 */
export function conflictingNetwork(served: readonly InterfaceFacts[]): Prefix | null {
  const outside = served.at(-1)!;
  if (outside.address === 0) return null;
  const network = { address: outside.address, length: outside.prefixLength };
  return privateNetworks(served).find((inside) => inside.address !== 0 && overlaps(inside, network)) ?? null;
}

export function unknownInterface(name: string, links: readonly Link[]): NatgateError {
  const nearest = nearestName(
    name,
    links.filter((link) => !link.loopback).map((link) => link.name),
  );
  return new NatgateError(
    'interface_unknown',
    `there is no interface ${name}`,
    nearest === null
      ? '`ip -br link` lists the interfaces of this host'
      : `did you mean ${nearest}? (\`ip -br link\` lists them all)`,
  );
}
