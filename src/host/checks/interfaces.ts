/** Whether natgate can serve the interfaces it is told to serve. */
import { formatAddress } from '../../wire/address.ts';
import { unknownInterface } from '../interfaces.ts';
import { type InterfaceAddress, primaryAddress, readAddresses } from '../netlink/addresses.ts';
import { ARPHRD_ETHER, type Link, readLinks } from '../netlink/links.ts';
import { type Check, fail, ok, warn } from './check.ts';

/** A packet of more than this cannot be given an Ethernet header (bpf_skb_change_head). */
export const MAX_MTU = 16_000;

export interface ServedInterfaces {
  private: readonly string[];
  public: string;
}

export function checkInterfaces(served: ServedInterfaces): Check[] {
  const links = readLinks();
  const addresses = readAddresses();
  const twice = served.private.find(
    (name, at) => name === served.public || served.private.indexOf(name) !== at,
  );
  return [
    ...(twice === undefined ? [] : [sameInterface(twice)]),
    ...served.private.flatMap((name) => checkInterface('private', name, links, addresses)),
    ...(twice === served.public ? [] : checkInterface('public', served.public, links, addresses)),
  ];
}

function sameInterface(name: string): Check {
  return fail(
    `interface ${name}`,
    'same_interface',
    `${name} is given twice`,
    'private hosts and the internet must be on different interfaces: natgate has no one-armed mode yet',
    'name one interface as --private and another as --public; a VLAN interface counts as another',
  );
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
  if (link.type !== ARPHRD_ETHER || link.kind === 'tun') {
    found.push(
      fail(
        label,
        'interface_not_ethernet',
        `${name} is no Ethernet interface${link.loopback ? ', it is loopback' : ''}`,
        'natgate puts an Ethernet header before each packet it sends',
        `choose an Ethernet, VLAN, Wi-Fi, bond or bridge interface for --${side}`,
      ),
    );
  }
  if (link.master !== 0) found.push(port(label, link, links));
  if (link.mtu > MAX_MTU) {
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
