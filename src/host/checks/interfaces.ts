/** Whether natgate can serve the interfaces it is told to serve. */
import { existsSync } from 'node:fs';
import { formatAddress, formatPrefix, type Prefix } from '../../wire/address.ts';
import { unknownInterface } from '../interfaces.ts';
import { type InterfaceAddress, primaryAddress, readAddresses } from '../netlink/addresses.ts';
import { ARPHRD_ETHER, ARPHRD_PPP, isBare, type Link, readLinks } from '../netlink/links.ts';
import { readSysctl } from '../plan/sysctl.ts';
import { type Check, fail, ok, warn } from './check.ts';

/** Names of natgate's TUNs (plan/tun.ts). */
const OWN_TUN = /^(natgate|ng)-/;
/** A packet of more than this cannot be given an Ethernet header (bpf_skb_change_head). */
export const MAX_MTU = 16_000;

export interface ServedInterfaces {
  private: readonly string[];
  /** What is behind the private interfaces, in their order, where it was said. */
  networks?: readonly (readonly Prefix[])[];
  public: string;
}

/** Each has its row of counters (engine/counters.ts). */
const MAX_PRIVATE = 15;

export function checkInterfaces(served: ServedInterfaces): Check[] {
  const links = readLinks();
  const addresses = readAddresses();
  const names = [...new Set(served.private)];
  const twice = names.filter((name) => served.private.indexOf(name) !== served.private.lastIndexOf(name));
  return [
    ...twice.map(sameInterface),
    ...(names.length > MAX_PRIVATE ? [tooMany(names.length)] : []),
    ...checkArm(served),
    ...names.flatMap((name) => checkInterface('private', name, links, addresses)),
    ...(names.includes(served.public) ? [] : checkInterface('public', served.public, links, addresses)),
  ];
}

function sameInterface(name: string): Check {
  return fail(
    `interface ${name}`,
    'same_interface',
    `${name} is given twice as a private interface`,
    'natgate attaches one program to each',
    'name it once, with all its networks: NAME=NETWORK,NETWORK',
  );
}

function tooMany(count: number): Check {
  return fail(
    'private interfaces',
    'too_many_interfaces',
    `${count} private interfaces are given`,
    `natgate serves ${MAX_PRIVATE} at most`,
    'put some of them on a bridge, or behind a router',
  );
}

/** One interface for both sides: then the networks must say which addresses are private. */
function checkArm({ private: inside, networks, public: outside }: ServedInterfaces): Check[] {
  const at = inside.indexOf(outside);
  if (at < 0) return [];
  const own = networks?.[at] ?? [];
  const name = `interface ${outside}`;
  if (own.length === 0) {
    return [
      fail(
        name,
        'one_armed_without_networks',
        `${outside} is both private and public, and nothing says which addresses are private`,
        'on one interface natgate tells the sides apart by addresses',
        `give its private networks (--private ${outside}=10.0.0.0/16), or another interface as --private; a VLAN interface counts as another`,
      ),
    ];
  }
  const everything = own.find(({ length }) => length === 0);
  if (everything === undefined) return [];
  return [
    fail(
      name,
      'one_armed_everything',
      `${formatPrefix(everything)} on ${outside} leaves no address to the public side`,
      'on one interface natgate tells the sides apart by addresses',
      'give the networks that your private hosts have their addresses from',
    ),
  ];
}

/** All that is wrong with one interface; one `ok` when nothing is. */
export function checkInterface(
  side: 'private' | 'public',
  name: string,
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
): Check[] {
  const label = `interface ${name}`;
  const link = links.find((candidate) => candidate.name === name);
  if (link === undefined) return [unknown(label, name, links)];
  const found: Check[] = [];
  if (link.kind === 'tun' && OWN_TUN.test(name)) {
    found.push(
      fail(
        label,
        'interface_is_natgates',
        `${name} is a device of natgate's own`,
        'it stands for another interface, which natgate serves by it',
        `choose the interface that ${name} is named after for --${side}`,
      ),
    );
  } else if (link.type !== ARPHRD_ETHER && link.type !== ARPHRD_PPP && !isBare(link)) {
    found.push(
      fail(
        label,
        'interface_unusable',
        `${name} is no interface that natgate can serve${link.loopback ? ', it is loopback' : ''}`,
        'natgate knows Ethernet, and interfaces whose packets have no header of the link',
        `choose an Ethernet, VLAN, Wi-Fi, bond, bridge, PPP, tun, WireGuard, ipip, gre or sit interface for --${side}`,
      ),
    );
  }
  if (link.master !== 0) found.push(port(label, link, links));
  found.push(...checkParent(label, link, links));
  if (link.mtu > MAX_MTU && !isBare(link)) {
    found.push(
      fail(
        label,
        'mtu_too_large',
        `${name} has MTU ${link.mtu}`,
        `the kernel cannot prepend a link header to packets of more than ${MAX_MTU} bytes`,
        `\`ip link set dev ${name} mtu 9000\` (${MAX_MTU} at most)`,
      ),
    );
  }
  const address = primaryAddress(addresses, link.index);
  if (address === null) found.push(withoutAddress(label, side, name));
  if (!link.up) {
    found.push(
      warn(
        label,
        `${name} is down`,
        'no packet passes until it is up; natgate starts all the same',
        `\`ip link set dev ${name} up\``,
      ),
    );
  } else if (!link.carrier) {
    found.push(
      warn(label, `${name} has no carrier`, 'no packet passes until it has', 'look at the cable or the peer'),
    );
  }
  if (found.length > 0 || address === null) return found;
  const text = `${formatAddress(address.address)}/${address.prefixLength}`;
  return [ok(label, `${side}, ${text}, MTU ${link.mtu}, up`)];
}

/** The interface under a macvlan answers ARP for its address too, unless it is told not to: then packets come in there. */
function checkParent(label: string, { name, kind, link }: Link, links: readonly Link[]): Check[] {
  const parent = links.find(({ index }) => index === link)?.name;
  // In another network namespace it is another's: then there is no such entry.
  if (kind !== 'macvlan' || parent === undefined || !existsSync(`/sys/class/net/${name}/lower_${parent}`)) {
    return [];
  }
  const ignore = ['all', parent].map((one) => Number(readSysctl(`net/ipv4/conf/${one}/arp_ignore`) ?? 0));
  if (Math.max(...ignore) > 0) return [];
  return [
    warn(
      label,
      `${parent}, on which ${name} stands, answers ARP for the address of ${name} as well`,
      `what its neighbours then send to ${parent} does not come to natgate`,
      `\`sysctl -w net.ipv4.conf.${parent}.arp_ignore=1\``,
    ),
  ];
}

function unknown(label: string, name: string, links: readonly Link[]): Check {
  const { code, message, hint } = unknownInterface(name, links);
  return fail(label, code, message, 'natgate stands between two interfaces of this host', hint);
}

function port(label: string, link: Link, links: readonly Link[]): Check {
  const kind = link.slaveKind || 'other';
  const master = links.find((candidate) => candidate.index === link.master)?.name ?? `#${link.master}`;
  const usable = ['bridge', 'bond', 'team'].includes(kind);
  return fail(
    label,
    'interface_is_port',
    `${link.name} is a ${kind} port of ${master}`,
    `its packets belong to ${master}, which has the addresses`,
    usable ? `serve ${master} instead` : `\`ip link set dev ${link.name} nomaster\``,
  );
}

function withoutAddress(label: string, side: 'private' | 'public', name: string): Check {
  const what = `${name} has no IPv4 address`;
  if (side === 'public') {
    return warn(
      label,
      what,
      'natgate starts, and waits for one: private hosts have no internet until then',
      `\`ip address add ADDRESS/LENGTH dev ${name}\`, or start the DHCP client on it`,
    );
  }
  return fail(
    label,
    'private_without_address',
    what,
    'private hosts need an address of the gateway as their next hop',
    `\`ip address add 192.168.1.1/24 dev ${name}\`, or what suits your network`,
  );
}
