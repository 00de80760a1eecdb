/** Whether the gateway's private addresses can answer DNS: nobody else does there, and the resolvers can be reached. */
import { TO_HOST, UNREACHABLE } from '../../engine/routes.ts';
import { formatAddress } from '../../wire/address.ts';
import type { HostSocket } from '../netlink/sock-diag.ts';
import { systemResolvers } from '../resolvers/resolv-conf.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { lookUp, type NatFacts } from './nat-facts.ts';

/** What `dns` of the configuration asks for. */
export interface DnsWish {
  /** Wire order. */
  upstream: readonly number[];
  /** Those of resolv.conf instead. */
  system: boolean;
}

const NAME = 'dns';
const PORT = 53;
const TCP_LISTEN = 10;
const TCP_CLOSE = 7;

/** `system`: what resolv.conf names. */
export function checkDns(wish: DnsWish | null, facts: NatFacts, system = systemResolvers): Check[] {
  if (wish === null) return [];
  const own = facts.addresses.map(({ address }) => address);
  const upstream = wish.system ? system().filter((address) => !own.includes(address)) : wish.upstream;
  const found = [
    ...checkSockets(facts),
    ...upstream.flatMap((address) => checkUpstream(address, own, facts)),
  ];
  if (upstream.length === 0) {
    found.push(
      warn(
        NAME,
        '/etc/resolv.conf names no resolver that packets can be sent to',
        'natgate translates queries to a resolver: one on loopback or of IPv6 cannot be one',
        'list resolvers: `dns: [192.0.2.53, 192.0.2.54]` (--dns 192.0.2.53,192.0.2.54)',
      ),
    );
  }
  if (found.length > 0) return found;
  return [ok(NAME, `queries to the gateway go to ${upstream.map(formatAddress).join(', ')}`)];
}

/** A socket of the host that answers at a private address, or at all. */
function checkSockets({ served, sockets, nameOf }: NatFacts): Check[] {
  const insides = served.slice(0, -1);
  const takes = (socket: HostSocket) =>
    socket.port === PORT &&
    insides.some(
      ({ index, address }) =>
        (socket.address === 0 || socket.address === address) &&
        (socket.interface === 0 || socket.interface === index),
    );
  const udp = sockets.udp.filter((socket) => socket.state === TCP_CLOSE && takes(socket));
  const tcp = sockets.tcp.filter((socket) => socket.state === TCP_LISTEN && takes(socket));
  const found = [
    ...udp.map((socket) => ['UDP', socket] as const),
    ...tcp.map((one) => ['TCP', one] as const),
  ];
  return found.slice(0, 1).map(([protocol, socket]) => {
    const device = socket.interface === 0 ? '' : ` (${nameOf(socket.interface)})`;
    return fail(
      NAME,
      'dns_port_in_use',
      `a socket of this host has ${protocol} port ${PORT} of ${socket.address === 0 ? 'every address' : formatAddress(socket.address)}${device}`,
      'natgate would take the queries of private hosts from it',
      '`ss -tulpn sport = :53` shows whose it is: stop it, bind it to other addresses, or leave `dns` off and let it answer',
    );
  });
}

function checkUpstream(address: number, own: readonly number[], { routes }: NatFacts): Check[] {
  const text = formatAddress(address);
  if (own.includes(address)) {
    return [
      fail(
        NAME,
        'dns_own_address',
        `${text} is an address of this host`,
        'natgate sends queries to a resolver elsewhere',
        'name the resolvers that this host itself asks, or leave `dns` off and bind a resolver to the private address',
      ),
    ];
  }
  const device = lookUp(routes, address);
  if (device !== TO_HOST && device !== UNREACHABLE) return [];
  return [
    warn(
      NAME,
      device === TO_HOST
        ? `the way to the resolver ${text} leaves through an interface that natgate does not serve`
        : `this host has no route to the resolver ${text}`,
      'queries are translated and sent through the public or a private interface',
      `\`ip route get ${text}\` shows the way; name another resolver, or add a route`,
    ),
  ];
}
