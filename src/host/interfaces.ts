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
  /** Of a private interface: what the operator says is behind it, besides its own network or, one-armed, instead of it. */
  networks: readonly Prefix[];
}

/** As `readInterfaces`, with null for one that is not there. */
export function findInterfaces(
  names: readonly string[],
  networks: readonly (readonly Prefix[])[] = [],
): (InterfaceFacts | null)[] {
  return find(names, networks, readLinks());
}

/**
 * Reads the named interfaces, in that order; `networks` has the same order. Of several addresses the one in the subnet of the interface's default
 * gateway is taken, as for masquerade. Throws NatgateError `interface_unknown`.
 */
export function readInterfaces(
  names: readonly string[],
  networks: readonly (readonly Prefix[])[] = [],
): InterfaceFacts[] {
  const links = readLinks();
  return find(names, networks, links).map((facts, i) => {
    if (facts === null) throw unknownInterface(names[i]!, links);
    return facts;
  });
}

function find(
  names: readonly string[],
  networks: readonly (readonly Prefix[])[],
  links: readonly Link[],
): (InterfaceFacts | null)[] {
  const addresses = readAddresses();
  const defaults = readRoutes().filter((route) => route.length === 0 && route.table === TABLE_MAIN);
  return names.map((name, i) => {
    const link = links.find((candidate) => candidate.name === name);
    if (link === undefined) return null;
    const primary = primaryAddress(addresses, link.index, defaultGateway(defaults, link.index));
    return {
      ...link,
      address: primary?.address ?? 0,
      prefixLength: primary?.prefixLength ?? 0,
      addresses: addresses.filter((address) => address.interface === link.index),
      networks: networks[i] ?? [],
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

/** Whether a private device is the public interface as well: then addresses tell the sides apart (docs/topologies.md). */
export function isOneArmed(inside: Pick<Link, 'index'>, outside: Pick<Link, 'index'>): boolean {
  return inside.index === outside.index;
}

/** Networks of the private interfaces, in their order; `served`: private interfaces first, the public one last. */
export function privateNetworks(served: readonly InterfaceFacts[]): Prefix[] {
  return served.slice(0, -1).flatMap((inside) => networksOf(inside, served.at(-1)!));
}

function networksOf(inside: InterfaceFacts, outside: InterfaceFacts): readonly Prefix[] {
  if (isOneArmed(inside, outside)) return inside.networks;
  const { address, prefixLength } = inside;
  return [{ address: address & prefixMask(prefixLength), length: prefixLength }, ...inside.networks];
}

/**
 * The private network that shares addresses with the public interface's own (RFC 4787 REQ-7), or null. Of two nodes with one
 * address, on either side, only one could be reached. One-armed, there is one link and no such node.
 */
export function conflictingNetwork(served: readonly InterfaceFacts[]): Prefix | null {
  const outside = served.at(-1)!;
  if (outside.address === 0) return null;
  const network = { address: outside.address, length: outside.prefixLength };
  return (
    served
      .slice(0, -1)
      .filter((inside) => !isOneArmed(inside, outside))
      .flatMap((inside) => networksOf(inside, outside))
      .find((inside) => inside.address !== 0 && overlaps(inside, network)) ?? null
  );
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
