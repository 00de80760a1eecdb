/** Whether the dedicated external addresses can be natgate's: nobody else has them, and what is sent to them arrives. */
import type { Prefix } from '../../nat/config.ts';
import { contains, overlaps } from '../../nat/dedicated.ts';
import { formatAddress, formatPrefix, prefixMask } from '../../wire/address.ts';
import { isOneArmed } from '../interfaces.ts';
import { isAnswered } from '../plan/address.ts';
import { type Check, fail, warn } from './check.ts';
import { listed, type NatFacts, networkOf, plain } from './nat-facts.ts';

/** Values of arp_ignore with which a /32 is not answered for: same subnet only; never. */
const DEAF_ARP_IGNORE = [2, 8];

export function checkExternalAddresses(dedicated: readonly Prefix[], facts: NatFacts): Check[] {
  return [...dedicated.flatMap((prefix) => checkAddresses(prefix, facts)), ...checkArp(dedicated, facts)];
}

/** Whether a prefix of dedicated addresses is nobody else's. */
function checkAddresses(prefix: Prefix, { served, addresses, nameOf, routes }: NatFacts): Check[] {
  const outside = served.at(-1)!;
  const name = `external ${plain(prefix)}`;
  const isWithin = (address: number) => contains(prefix, { address, length: 32 });
  const why = 'everything that is sent to a dedicated address goes to natgate, and nothing to the host';
  if (outside.address !== 0 && isWithin(outside.address)) {
    return [
      fail(
        name,
        'external_is_shared',
        `${formatAddress(outside.address)} is the address of ${outside.name} itself`,
        why,
        'leave it out: masquerading and forwards without an address use it together with the host',
      ),
    ];
  }
  const elsewhere = addresses.find((one) => isWithin(one.address) && one.interface !== outside.index);
  if (elsewhere !== undefined) {
    return [
      fail(
        name,
        'external_in_use',
        `${formatAddress(elsewhere.address)} is an address of ${nameOf(elsewhere.interface)}`,
        why,
        `give another address, or \`ip address del ${formatAddress(elsewhere.address)}/${elsewhere.prefixLength} dev ${nameOf(elsewhere.interface)}\``,
      ),
    ];
  }
  const last = served.length - 1;
  // One-armed, an external address may well be one of the link's: the clouds' secondary addresses are.
  const isInside = (device: number) => device >= 0 && device < last && !isOneArmed(served[device]!, outside);
  const inside = routes.find((route) => isInside(route.device) && overlaps(prefix, networkOf(route)));
  if (inside !== undefined) {
    return [
      fail(
        name,
        'external_is_private',
        `it overlaps ${formatPrefix(networkOf(inside))}, a private network behind ${served[inside.device]!.name}`,
        'an address is external or internal',
        'give addresses that the world routes to this gateway',
      ),
    ];
  }
  const router = routes.find(
    (route) =>
      served[route.device]?.index === outside.index && route.gateway !== 0 && isWithin(route.gateway),
  );
  if (router !== undefined) {
    return [
      fail(
        name,
        'external_is_router',
        `${formatAddress(router.gateway)} is the router behind ${outside.name}`,
        why,
        'leave the address of the router out',
      ),
    ];
  }
  const own = addresses.find((one) => isWithin(one.address) && one.scope === 0);
  if (own === undefined) return [];
  return [
    warn(
      name,
      `${outside.name} has ${formatAddress(own.address)} already`,
      'services of this host are not reachable by it while natgate runs',
      'nothing needs to be done if it is meant for natgate; natgate adds the address by itself',
    ),
  ];
}

/** Whether packets to the dedicated addresses come here at all. */
function checkArp(dedicated: readonly Prefix[], { served, arpIgnore, rawSockets }: NatFacts): Check[] {
  const outside = served.at(-1)!;
  const checks: Check[] = [];
  const answered = dedicated.filter(isAnswered);
  const wide = dedicated.filter((prefix) => !isAnswered(prefix));
  const onLink = wide.filter((prefix) =>
    outside.addresses.some((one) =>
      overlaps(prefix, {
        address: one.peer & prefixMask(one.prefixLength),
        length: one.prefixLength,
      }),
    ),
  );
  if (onLink.length > 0) {
    checks.push(
      warn(
        'external addresses',
        `nobody answers ARP for ${listed(onLink.map(plain))}`,
        `they are in the network of ${outside.name}, and natgate takes on 256 addresses of one prefix at most`,
        'give prefixes of /24 or longer, or have the router route them to this host',
      ),
    );
  }
  const routed = wide.filter((prefix) => !onLink.includes(prefix));
  if (routed.length > 0) {
    checks.push(
      warn(
        'external addresses',
        `${listed(routed.map(plain))} must be routed to this host`,
        'prefixes wider than /24 are not answered for by ARP',
        `on the router: ip route add ${plain(routed[0]!)} via ${outside.address === 0 ? `the address of ${outside.name}` : formatAddress(outside.address)}`,
      ),
    );
  }
  if (answered.length > 0 && DEAF_ARP_IGNORE.includes(arpIgnore)) {
    checks.push(
      warn(
        'external addresses',
        `the host does not answer ARP for them (net.ipv4.conf.${outside.name}.arp_ignore is ${arpIgnore})`,
        'the router finds this gateway by ARP, unless it has a route',
        `\`sysctl -w net.ipv4.conf.${outside.name}.arp_ignore=1\` (and net.ipv4.conf.all.arp_ignore)`,
      ),
    );
  }
  if (answered.length > 0 && !rawSockets) {
    checks.push(
      warn(
        'external addresses',
        'they cannot be announced: CAP_NET_RAW is missing',
        'neighbours that know an older owner of an address go on sending to it until their ARP entry ends',
        'run natgate as root; in a container: --cap-add NET_RAW',
      ),
    );
  }
  return checks;
}
