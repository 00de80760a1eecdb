/** What the checks of the NAT options know of the host, and how they look at it and put it into words. */
import { readFileSync } from 'node:fs';
import { type Route, UNREACHABLE } from '../../engine/routes.ts';
import type { Prefix } from '../../nat/config.ts';
import { contains } from '../../nat/dedicated.ts';
import { formatAddress, formatPrefix } from '../../wire/address.ts';
import { type InterfaceFacts, readInterfaces } from '../interfaces.ts';
import { type InterfaceAddress, readAddresses } from '../netlink/addresses.ts';
import { readLinks } from '../netlink/links.ts';
import { type HostSocket, readSockets, TCP, UDP } from '../netlink/sock-diag.ts';
import { readSysctl } from '../plan/sysctl.ts';
import { readServedRoutes } from '../routes.ts';
import type { ServedInterfaces } from './interfaces.ts';

export interface NatFacts {
  /** Private interfaces first, the public one last. */
  served: readonly InterfaceFacts[];
  /** Of the whole host. */
  addresses: readonly InterfaceAddress[];
  nameOf(interfaceIndex: number): string;
  routes: readonly Route[];
  sockets: { tcp: readonly HostSocket[]; udp: readonly HostSocket[] };
  /** net.ipv4.conf.*.arp_ignore that holds for the public interface. */
  arpIgnore: number;
  /** May send ARP announcements. */
  rawSockets: boolean;
}

const CAP_NET_RAW = 13n;
/** Words of a list that are shown. */
const SHOWN = 4;

export function readNatFacts({ private: inside, networks, public: outside }: ServedInterfaces): NatFacts {
  const links = readLinks();
  const served = readInterfaces([...inside, outside], networks);
  const arpIgnore = (name: string) => Number(readSysctl(`net/ipv4/conf/${name}/arp_ignore`) ?? 0);
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return {
    served,
    addresses: readAddresses(),
    nameOf: (index) => links.find((link) => link.index === index)?.name ?? `#${index}`,
    routes: readServedRoutes(
      served.map(({ index }) => index),
      networks,
    ),
    sockets: { tcp: readSockets(TCP), udp: readSockets(UDP) },
    arpIgnore: Math.max(arpIgnore('all'), arpIgnore(outside)),
    rawSockets: ((BigInt(`0x${effective}`) >> CAP_NET_RAW) & 1n) === 1n,
  };
}

/** The device of the longest route that covers the address; UNREACHABLE for none. */
export function lookUp(routes: readonly Route[], address: number): number {
  let best: Route | undefined;
  for (const route of routes) {
    if (!contains(networkOf(route), { address, length: 32 })) continue;
    if (best === undefined || route.length > best.length) best = route;
  }
  return best?.device ?? UNREACHABLE;
}

export function networkOf({ prefix, length }: Route): Prefix {
  return { address: prefix, length };
}

/** An address without its /32. */
export function plain(prefix: Prefix): string {
  return prefix.length === 32 ? formatAddress(prefix.address) : formatPrefix(prefix);
}

export function listed(words: readonly string[]): string {
  const more = words.length > SHOWN ? ` and ${words.length - SHOWN} more` : '';
  return `${words.slice(0, SHOWN).join(', ')}${more}`;
}
