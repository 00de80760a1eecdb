/** What natgate asks about an interface, from the tables of links and addresses together. */
import { NatgateError } from '../core/errors.ts';
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

/** The name that is the fewest edits away from the wanted one; null when there are none. */
export function nearestName(wanted: string, names: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const edits = editDistance(wanted, name);
    if (edits < fewest) {
      fewest = edits;
      best = name;
    }
  }
  return best;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
