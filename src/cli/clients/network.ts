/** What a private host has to know, for each private interface, as the host that is asked says it now. */
import { NatgateError } from '../../core/errors.ts';
import { readInterfaces } from '../../host/interfaces.ts';
import { readNeighbours } from '../../host/netlink/neighbours.ts';
import { systemResolvers } from '../../host/resolvers/resolv-conf.ts';
import { formatAddress, hostOrder, parseAddress, prefixMask } from '../../wire/address.ts';

export interface ClientNetwork {
  /** Of the gateway. */
  interface: string;
  /** Address of the gateway there. */
  gateway: string;
  /** `10.77.0.0/24` */
  network: string;
  netmask: string;
  prefixLength: number;
  /** Resolvers in order of preference; the gateway itself where it answers. */
  dns: string[];
  /** Example, with its prefix length. */
  host: string;
  /** Addresses that a DHCP server may give out. */
  first: string;
  last: string;
}

export interface Wish {
  interfaces: readonly string[];
  /** Whether the gateway answers DNS. */
  dns: boolean;
  /** `--host`. */
  host: string | undefined;
}

/** Examples begin here in networks that are large enough: below are the gateways of habit. */
const FIRST_EXAMPLE = 10;

/** Throws NatgateError: `usage` about `--host`, `interface_unknown`, `private_without_address`. */
export function clientNetworks({ interfaces, dns, host }: Wish): ClientNetwork[] {
  const taken = new Set(readNeighbours().map(({ address }) => numberOf(address)));
  const served = readInterfaces(interfaces);
  const resolvers = systemResolvers().map(formatAddress);
  const wanted = host === undefined ? null : exampleOf(host);
  const networks = served.flatMap(({ name, address, prefixLength, addresses }): ClientNetwork[] => {
    if (address === 0) throw withoutAddress(name);
    const base = numberOf(address & prefixMask(prefixLength));
    const [first, last] = usable(base, prefixLength);
    for (const own of addresses) taken.add(numberOf(own.address));
    const gateway = formatAddress(address);
    if (wanted !== null && !(wanted.address >= first && wanted.address <= last)) return [];
    if (wanted !== null && wanted.address === numberOf(address)) throw isGateway(host!);
    if (wanted !== null && wanted.length !== prefixLength) throw otherLength(host!, name, prefixLength);
    const example = wanted?.address ?? free(base, first, last, taken);
    if (example === null) throw full(name);
    return [
      {
        interface: name,
        gateway,
        network: `${text(base)}/${prefixLength}`,
        netmask: formatAddress(prefixMask(prefixLength)),
        prefixLength,
        dns: dns ? [gateway] : resolvers,
        host: `${text(example)}/${prefixLength}`,
        first: text(example),
        last: text(lastOf(example, last, numberOf(address))),
      },
    ];
  });
  if (wanted !== null && networks.length === 0) throw outside(host!, interfaces);
  return networks;
}

/** First and last address of hosts, host order. A network of two addresses has no others (RFC 3021). */
function usable(base: number, length: number): [number, number] {
  const size = 2 ** (32 - length);
  return size <= 2 ? [base, base + size - 1] : [base + 1, base + size - 2];
}

function free(base: number, first: number, last: number, taken: ReadonlySet<number>): number | null {
  const start = base + FIRST_EXAMPLE <= last ? base + FIRST_EXAMPLE : first;
  for (let at = start; at <= last; at++) if (!taken.has(at)) return at;
  for (let at = first; at < start; at++) if (!taken.has(at)) return at;
  return null;
}

/** The last address of the range from `from` that does not hold the gateway's. */
function lastOf(from: number, last: number, gateway: number): number {
  return gateway > from && gateway <= last ? gateway - 1 : last;
}

function exampleOf(word: string): { address: number; length: number } {
  const [address = '', length = ''] = word.split('/');
  const single = parseAddress(address);
  const bits = Number(length);
  if (single === null || !/^\d{1,2}$/.test(length) || bits > 32) {
    throw new NatgateError(
      'usage',
      `--host ${word}: not an address with a prefix length`,
      'e.g. 10.1.0.5/24',
    );
  }
  return { address: numberOf(single), length: bits };
}

function text(address: number): string {
  return formatAddress(hostOrder(address | 0));
}

/** In an order in which addresses can be counted through. */
function numberOf(address: number): number {
  return hostOrder(address) >>> 0;
}

function withoutAddress(name: string): NatgateError {
  return new NatgateError(
    'private_without_address',
    `${name} has no IPv4 address`,
    `\`ip address add 192.168.1.1/24 dev ${name}\`, or what suits your network`,
  );
}

function isGateway(host: string): NatgateError {
  return new NatgateError('usage', `--host ${host}: that is the gateway's own address`, 'give another one');
}

function otherLength(host: string, name: string, length: number): NatgateError {
  return new NatgateError(
    'usage',
    `--host ${host}: the network on ${name} has the prefix length ${length}`,
    `give ${host.split('/')[0]}/${length}`,
  );
}

function outside(host: string, interfaces: readonly string[]): NatgateError {
  return new NatgateError(
    'usage',
    `--host ${host}: not a host's address in a network of ${interfaces.join(', ')}`,
    'give one that is, or leave it out: a free one is proposed',
  );
}

function full(name: string): NatgateError {
  return new NatgateError(
    'network_full',
    `no address is free in the network on ${name}`,
    'give one with --host ADDRESS/LENGTH, or widen the network',
  );
}
