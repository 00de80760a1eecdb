/** Further namespaces and cables for tests whose network is another than the usual one. */
import { run } from './process.ts';
import { ip, Namespace, type Topology } from './topology.ts';

/** An end of a cable: `address` with its prefix length, where it has one. */
export interface CableEnd {
  ns: Namespace;
  device: string;
  address?: string;
  /** Hardware address of the device, where it is to be a certain one. */
  mac?: string;
}

/** A namespace `NAME` of this topology, removed with it. */
export async function addNamespace(t: Topology, name: string): Promise<Namespace> {
  const ns = new Namespace(`${t.server.name}-${name}`);
  await run(['ip', 'netns', 'add', ns.name]);
  t.extra.push(ns);
  await ns.exec('sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.icmp_ratemask=0');
  await ip(ns, 'link set lo up');
  return ns;
}

/** A veth pair between the two, up. */
export async function cable(a: CableEnd, b: CableEnd): Promise<void> {
  const words = ({ device, ns, mac }: CableEnd) =>
    `name ${device} netns ${ns.name}${mac === undefined ? '' : ` address ${mac}`}`;
  await run(['ip', 'link', 'add', ...words(a).split(' '), 'type', 'veth', 'peer', ...words(b).split(' ')]);
  for (const { ns, device, address } of [a, b]) {
    if (address !== undefined) await ip(ns, `addr add ${address} dev ${device}`);
    await ip(ns, `link set ${device} up`);
  }
}
