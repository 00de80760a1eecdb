/** What natgate reads over netlink, beside what iproute2 says of the same namespace. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InterfaceAddress } from '../../src/host/netlink/addresses.ts';
import type { Link } from '../../src/host/netlink/links.ts';
import type { Neighbour } from '../../src/host/netlink/neighbours.ts';
import type { KernelRoute } from '../../src/host/netlink/routes.ts';
import type { HostSocket } from '../../src/host/netlink/sock-diag.ts';
import type { Filter } from '../../src/host/netlink/tc.ts';
import { formatAddress, parsePrefix } from '../../src/wire/address.ts';
import { evaluate } from './host-evaluate.ts';
import { createTopology, ip, type Namespace, type Topology } from './support/topology.ts';

let topology: Topology;
let ns: Namespace;

/** The JSON of an `ip` command; iproute2 prints nothing at all for an empty list. */
async function ipJson<T>(command: string): Promise<T[]> {
  const { stdout } = await ns.exec(`ip -j ${command}`);
  return stdout.trim() === '' ? [] : JSON.parse(stdout);
}

beforeAll(async () => {
  topology = await createTopology();
  ns = topology.gateway;
  for (const command of [
    'link add br0 type bridge',
    'link add p0 type veth peer name p1',
    'link set p0 master br0 mtu 9000',
    'link add link g1 name mv0 type macvlan',
    'link set mv0 up',
    'addr add 10.77.0.9/24 dev g0 label g0:second',
    'addr add 10.78.0.1 peer 10.78.0.2/32 dev g0',
    'addr add 192.0.2.1/24 broadcast 192.0.2.255 scope link dev mv0',
    'route add 203.0.113.0/24 nexthop via 198.18.0.8 weight 1 nexthop via 10.77.0.8 weight 2',
    'route add 203.0.112.0/24 via 198.18.0.8 metric 7 mtu 1280',
    'route add blackhole 100.64.0.0/10',
    'route add prohibit 100.64.1.0/24 table 77',
    'route add local 192.168.7.0/24 dev lo table local',
    'route add 198.51.100.0/24 via inet6 fe80::1 dev g1',
    'rule add from 10.0.0.0/8 lookup 77 priority 100',
    'neigh add 10.77.0.8 lladdr 02:00:00:00:00:08 dev g0 nud permanent',
  ]) {
    await ip(ns, command);
  }
});
afterAll(() => topology.destroy());

it('reads links as `ip link` does', async () => {
  interface IpLink {
    ifindex: number;
    ifname: string;
    mtu: number;
    flags: string[];
    address?: string;
    txqlen?: number;
    linkinfo?: { info_kind?: string; info_slave_kind?: string };
    master?: string;
    link?: string;
  }
  const mine = await evaluate<Link[]>(ns, `print((await load('netlink/links')).readLinks())`);
  const nameOf = (index: number) => mine.find((link) => link.index === index)?.name;
  // The peers of these two are in other namespaces: their index means nothing here.
  const crosses = (name: string) => name === 'g0' || name === 'g1';
  const theirs = await ipJson<IpLink>('-d link');
  expect(
    mine.map((link) => ({
      ifindex: link.index,
      ifname: link.name,
      mtu: link.mtu,
      txqlen: link.txQueueLength,
      up: link.up,
      carrier: link.carrier,
      address: link.mac,
      kind: link.kind,
      slaveKind: link.slaveKind,
      master: nameOf(link.master),
      link: crosses(link.name) ? undefined : nameOf(link.link),
    })),
  ).toEqual(
    theirs.map((link) => ({
      ifindex: link.ifindex,
      ifname: link.ifname,
      mtu: link.mtu,
      txqlen: link.txqlen,
      up: link.flags.includes('UP'),
      carrier: link.flags.includes('LOWER_UP'),
      address: link.address,
      kind: link.linkinfo?.info_kind ?? '',
      slaveKind: link.linkinfo?.info_slave_kind ?? '',
      master: link.master,
      link: crosses(link.ifname) ? undefined : link.link,
    })),
  );
  expect(mine.find((link) => link.name === 'p0')?.slaveKind).toBe('bridge');
});

it('reads addresses as `ip address` does', async () => {
  interface IpAddress {
    ifindex: number;
    addr_info: {
      local: string;
      address?: string;
      prefixlen: number;
      broadcast?: string;
      scope: string;
      label?: string;
      secondary?: boolean;
    }[];
  }
  const mine = await evaluate<InterfaceAddress[]>(
    ns,
    `print((await load('netlink/addresses')).readAddresses())`,
  );
  const scopes: Record<number, string> = { 0: 'global', 253: 'link', 254: 'host' };
  expect(
    mine.map((address) => ({
      ifindex: address.interface,
      local: formatAddress(address.address),
      peer: formatAddress(address.peer),
      prefixlen: address.prefixLength,
      broadcast: address.broadcast === 0 ? undefined : formatAddress(address.broadcast),
      scope: scopes[address.scope],
      label: address.label,
      secondary: address.secondary,
    })),
  ).toEqual(
    (await ipJson<IpAddress>('-4 address')).flatMap(({ ifindex, addr_info }) =>
      addr_info.map((address) => ({
        ifindex,
        local: address.local,
        peer: address.address ?? address.local,
        prefixlen: address.prefixlen,
        broadcast: address.broadcast,
        scope: address.scope,
        label: address.label,
        secondary: address.secondary ?? false,
      })),
    ),
  );
  expect(mine.filter((address) => address.secondary)).toHaveLength(1);
});

it('reads routes as `ip route` does', async () => {
  interface IpRoute {
    dst: string;
    type?: string;
    dev?: string;
    gateway?: string;
    via?: { family: string; host: string };
    metric?: number;
    metrics?: { mtu?: number }[];
    table?: string;
    nexthops?: { gateway: string; dev: string }[];
  }
  const { routes, links } = await evaluate<{ routes: KernelRoute[]; links: Link[] }>(
    ns,
    `print({ routes: (await load('netlink/routes')).readRoutes(), links: (await load('netlink/links')).readLinks() })`,
  );
  const types = [
    '',
    'unicast',
    'local',
    'broadcast',
    'anycast',
    'multicast',
    'blackhole',
    'unreachable',
    'prohibit',
  ];
  const tables: Record<number, string> = { 254: 'main', 255: 'local' };
  const device = (index: number) => links.find((link) => link.index === index)?.name;
  expect(
    routes.map((route) => ({
      dst: `${formatAddress(route.prefix)}/${route.length}`,
      type: types[route.type],
      table: tables[route.table] ?? String(route.table),
      metric: route.metric,
      mtu: route.mtu,
      hops: route.nextHops.map((hop) => [
        device(hop.interface),
        hop.foreign ? 'inet6' : hop.gateway === 0 ? undefined : formatAddress(hop.gateway),
      ]),
    })),
  ).toEqual(
    (await ipJson<IpRoute>('-4 -d route show table all')).map((route) => {
      const prefix = parsePrefix(route.dst === 'default' ? '0.0.0.0/0' : route.dst)!;
      return {
        dst: `${formatAddress(prefix.address)}/${prefix.length}`,
        type: route.type ?? 'unicast',
        table: route.table ?? 'main',
        metric: route.metric ?? 0,
        mtu: route.metrics?.[0]?.mtu ?? 0,
        hops: (route.nexthops ?? [route]).map((hop: Partial<IpRoute>) => [
          // A blackhole is listed on lo by some versions of iproute2, and on nothing by the kernel.
          ['blackhole', 'prohibit'].includes(route.type ?? '') ? undefined : hop.dev,
          hop.via?.family ?? hop.gateway,
        ]),
      };
    }),
  );
});

it('reads neighbours as `ip neighbour` does', async () => {
  await ns.exec('ping -c1 -W2 10.77.0.2');
  const mine = await evaluate<Neighbour[]>(ns, `print((await load('netlink/neighbours')).readNeighbours())`);
  const theirs = await ipJson<{ dst: string; lladdr?: string }>('-4 neighbour show nud all');
  const sorted = (pairs: string[]) => pairs.filter((pair) => !/^(127|224|239)\./.test(pair)).sort();
  const mac = (text: string | undefined) => (text === '00:00:00:00:00:00' ? '' : (text ?? ''));
  expect(
    sorted(mine.map((neighbour) => `${formatAddress(neighbour.address)} ${mac(neighbour.mac)}`)),
  ).toEqual(sorted(theirs.map(({ dst, lladdr }) => `${dst} ${mac(lladdr)}`)));
  expect(mine.length).toBeGreaterThanOrEqual(2);
});

describe('tc', () => {
  it('attaches, replaces, lists and removes a program', async () => {
    const result = await evaluate<{
      ids: number[];
      listed: Filter[];
      shown: string;
      after: Filter[];
      qdiscs: unknown[];
    }>(
      ns,
      `
      const tc = await load('netlink/tc');
      const { linkNamed } = await load('netlink/links');
      const index = linkNamed('g0').index;
      const program = (action) => addon().bpfProgLoad(
        3, Uint8Array.from([0xb7, 0, 0, 0, action, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 'test');
      const qdiscs = [tc.readIngressQdisc(index)];
      tc.addClsact(index);
      qdiscs.push(tc.readIngressQdisc(index));
      const place = { interface: index, priority: 1000, handle: 1 };
      const ids = [];
      for (const action of [0, 2]) {
        tc.attachProgram(place, program(action), 'natgate:test');
        ids.push(tc.readFilters(index)[0].programId);
      }
      const listed = tc.readFilters(index);
      const { execSync } = await import('node:child_process');
      const shown = execSync('tc filter show dev g0 ingress').toString();
      tc.detachProgram(place);
      const after = tc.readFilters(index);
      tc.deleteClsact(index);
      qdiscs.push(tc.readIngressQdisc(index));
      print({ ids, listed, shown, after, qdiscs });
    `,
    );
    expect(result.qdiscs).toEqual([null, { kind: 'clsact', block: 0 }, null]);
    expect(result.ids[0]).not.toBe(result.ids[1]);
    expect(result.listed).toEqual([
      {
        hook: 'ingress',
        priority: 1000,
        handle: 1,
        kind: 'bpf',
        name: 'natgate:test',
        programId: result.ids[1],
      },
    ]);
    expect(result.shown).toMatch(/pref 1000 bpf .* handle 0x1 natgate:test direct-action /);
    expect(result.after).toEqual([]);
  });

  it('sees filters as `tc` made them, on both hooks', async () => {
    await ns.shell(`tc qdisc add dev g1 clsact
      tc filter add dev g1 ingress protocol ip prio 7 u32 match u32 0 0 flowid 1:1
      tc filter add dev g1 egress protocol ip prio 9 u32 match u32 0 0 flowid 1:1`);
    const filters = await evaluate<Filter[]>(
      ns,
      `const index = (await load('netlink/links')).linkNamed('g1').index;
       print((await load('netlink/tc')).readFilters(index))`,
    );
    await ns.exec('tc qdisc del dev g1 clsact');
    expect(filters.map(({ hook, priority, kind }) => [hook, priority, kind])).toContainEqual([
      'ingress',
      7,
      'u32',
    ]);
    expect(filters.map(({ hook, priority, kind }) => [hook, priority, kind])).toContainEqual([
      'egress',
      9,
      'u32',
    ]);
  });
});

it('takes the address that masquerade would take', async () => {
  interface Facts {
    name: string;
    address: number;
    prefixLength: number;
  }
  const read = async () => {
    const facts = await evaluate<Facts[]>(
      ns,
      `print((await load('interfaces')).readInterfaces(['g1', 'g0', 'mv0']))`,
    );
    return facts.map((each) => `${each.name} ${formatAddress(each.address)}/${each.prefixLength}`);
  };
  expect(await read()).toEqual(['g1 198.18.0.1/24', 'g0 10.77.0.1/24', 'mv0 0.0.0.0/0']);
  await ip(ns, 'addr add 198.19.0.1/28 dev g1');
  await ip(ns, 'route replace default via 198.19.0.2');
  expect((await read())[0]).toBe('g1 198.19.0.1/28');
});

it('finds the ports that sockets hold', async () => {
  const sockets = ns.spawn([
    'python3',
    '-uc',
    `
import socket, time
def make(family, kind, address, port, **options):
    s = socket.socket(family, kind)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, options.get('only', 0))
    s.bind((address, port))
    if options.get('listen'): s.listen()
    return s
T, U, F4, F6 = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.AF_INET, socket.AF_INET6
held = [make(F4, T, '0.0.0.0', 40001, listen=1), make(F4, T, '10.77.0.1', 40002, listen=1), make(F6, T, '::', 40003, listen=1),
        make(F6, T, '::', 40004, listen=1, only=1), make(F4, U, '127.0.0.1', 40005), make(F6, U, '::', 40006),
        make(F6, U, '::', 40007, only=1), make(F6, U, '::1', 40008), make(F4, T, '0.0.0.0', 30000, listen=1)]
client = socket.socket(F4, T); client.bind(('198.18.0.1', 40009)); client.connect(('10.77.0.1', 40002))
mapped = socket.socket(F6, U); mapped.bind(('::ffff:198.18.0.1', 40010)); mapped.connect(('::ffff:198.18.0.2', 53))
print('ready'); time.sleep(60)
`,
  ]);
  await sockets.shows(/ready/);
  const found = await evaluate<{ held: object; services: object; tcp: HostSocket[] }>(
    ns,
    `const { heldPorts, servicePorts } = await load('sockets');
     const { readSockets, TCP } = await load('netlink/sock-diag');
     print({ held: heldPorts(32768, 65535), services: servicePorts(32768, 65535), tcp: readSockets(TCP) })`,
  );
  await sockets.stop('SIGKILL');
  expect(found.held).toEqual({ tcp: [40001, 40002, 40003, 40009], udp: [40005, 40006, 40010] });
  expect(found.services).toEqual({ tcp: [40001, 40002, 40003], udp: [40005, 40006] });
  expect(found.tcp.find((socket) => socket.port === 40009)).toMatchObject({ state: 1, interface: 0 });
});
