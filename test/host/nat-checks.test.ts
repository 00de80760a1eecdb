import { describe, expect, test } from 'vitest';
import { type Route, TO_HOST } from '../../src/engine/routes.ts';
import { checkNat } from '../../src/host/checks/nat.ts';
import type { NatFacts } from '../../src/host/checks/nat-facts.ts';
import type { InterfaceFacts } from '../../src/host/interfaces.ts';
import type { InterfaceAddress } from '../../src/host/netlink/addresses.ts';
import type { HostSocket } from '../../src/host/netlink/sock-diag.ts';
import {
  defaultBehaviour,
  type Forward,
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type Prefix,
} from '../../src/nat/config.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';

const address = (text: string) => parseAddress(text) as number;
const prefix = (text: string) => parsePrefix(text) as Prefix;

/** eth1 (#3) is private, eth0 (#2) public, docker0 (#9) another one of the host's. */
const has = (index: number, text: string, more: Partial<InterfaceAddress> = {}): InterfaceAddress => {
  const [own, length] = text.split('/') as [string, string];
  return {
    interface: index,
    address: address(own),
    prefixLength: Number(length),
    peer: address(own),
    broadcast: 0,
    scope: 0,
    label: '',
    secondary: false,
    ...more,
  };
};
const ADDRESSES = [has(2, '203.0.113.2/24'), has(3, '192.168.1.1/24'), has(9, '172.17.0.1/16')];
const served = (index: number, name: string, addresses = ADDRESSES): InterfaceFacts => {
  const own = addresses.filter((one) => one.interface === index);
  return {
    index,
    name,
    type: 1,
    mtu: 1500,
    txQueueLength: 1000,
    qdisc: 'fq_codel',
    up: true,
    loopback: false,
    carrier: true,
    mac: '02:00:00:00:00:01',
    kind: '',
    master: 0,
    slaveKind: '',
    link: 0,
    tunQueues: 0,
    address: own[0]?.address ?? 0,
    prefixLength: own[0]?.prefixLength ?? 0,
    addresses: own,
    networks: [],
  };
};
const route = (text: string, device: number, gateway = '0.0.0.0'): Route => {
  const { address: network, length } = prefix(text);
  return { prefix: network, length, device, gateway: address(gateway), mtu: 0 };
};
const socket = (text: string, more: Partial<HostSocket> = {}): HostSocket => {
  const [own, port] = text.split(':') as [string, string];
  return { address: address(own), port: Number(port), state: 10, interface: 0, ...more };
};

const facts = (more: Partial<NatFacts> & { all?: InterfaceAddress[] } = {}): NatFacts => {
  const addresses = more.all ?? ADDRESSES;
  return {
    served: [served(3, 'eth1', addresses), served(2, 'eth0', addresses)],
    addresses,
    nameOf: (index) => ({ 2: 'eth0', 3: 'eth1', 9: 'docker0' })[index] ?? `#${index}`,
    routes: [
      route('0.0.0.0/0', 1, '203.0.113.1'),
      route('203.0.113.0/24', 1),
      route('203.0.113.2/32', TO_HOST),
      route('192.168.1.0/24', 0),
      route('192.168.1.1/32', TO_HOST),
      route('10.50.0.0/16', 0, '192.168.1.254'),
      route('172.17.0.0/16', TO_HOST),
    ],
    sockets: { tcp: [], udp: [] },
    arpIgnore: 0,
    rawSockets: true,
    ...more,
  };
};

const EMPTY: NatConfig = { rules: [], forwards: [], prefixes: [] };
const rule = (behaviour: Partial<NatBehaviour> = {}, ...pool: string[]): NatConfig => ({
  ...EMPTY,
  rules: [
    {
      name: 'pool',
      match: matchAll,
      action: pool.length === 0 ? 'masquerade' : 'pool',
      addresses: pool.map(address),
      ports: { first: 32768, last: 65535 },
      behaviour: { ...defaultBehaviour, ...behaviour },
    },
  ],
});
const pool = (...addresses: string[]) => rule({}, ...addresses);
const netmap = (external: string, internal: string): NatConfig => ({
  ...EMPTY,
  prefixes: [{ name: `netmap ${external}`, external: prefix(external), internal: prefix(internal) }],
});
const forward = (more: Partial<Forward> = {}, ...targets: string[]): NatConfig => ({
  ...EMPTY,
  forwards: [
    {
      name: 'web',
      protocol: 6,
      address: 0,
      ports: { first: 8000, last: 8009 },
      sources: [],
      targets: (targets.length === 0 ? ['192.168.1.10'] : targets).map((text) => ({
        address: address(text),
        port: 8000,
      })),
      affinitySeconds: 0,
      twice: false,
      ...more,
    },
  ],
});
const found = (nat: NatConfig, about = facts()) =>
  checkNat(nat, about).map(({ status, code, name, what }) => `${code || status} ${name}: ${what}`);

test('nothing is said of a configuration without external addresses and forwards', () => {
  expect(found(rule())).toEqual([]);
});

describe('external addresses', () => {
  test('that nobody has are all right', () => {
    expect(found(pool('203.0.113.8', '203.0.113.9'))).toEqual([
      "ok external addresses: 203.0.113.8/31 can be natgate's own",
    ]);
  });

  test.each([
    [
      pool('203.0.113.2'),
      'external_is_shared external 203.0.113.2: 203.0.113.2 is the address of eth0 itself',
    ],
    [forward({ address: address('203.0.113.2') }), 'external_is_shared external 203.0.113.2'],
    [netmap('203.0.113.0/28', '192.168.1.0/28'), 'external_is_shared external 203.0.113.0/28: 203.0.113.2'],
    [pool('172.17.0.1'), 'external_in_use external 172.17.0.1: 172.17.0.1 is an address of docker0'],
    [
      pool('192.168.1.7'),
      'external_is_private external 192.168.1.7: it overlaps 192.168.1.0/24, a private network behind eth1',
    ],
    [pool('10.50.6.7'), 'external_is_private external 10.50.6.7: it overlaps 10.50.0.0/16'],
    [netmap('192.168.1.0/28', '10.50.0.0/28'), 'external_in_use external 192.168.1.0/28'],
    [pool('203.0.113.1'), 'external_is_router external 203.0.113.1: 203.0.113.1 is the router behind eth0'],
  ])('%# are refused: %s', (nat, message) => {
    const [first, ...others] = found(nat as NatConfig);
    expect(first).toContain(message);
    expect(others).toEqual([]);
  });

  test('a second address of the public interface is warned of, not refused', () => {
    const all = [...ADDRESSES, has(2, '203.0.113.9/24', { secondary: true })];
    expect(found(pool('203.0.113.9'), facts({ all }))).toEqual([
      'warn external 203.0.113.9: eth0 has 203.0.113.9 already',
    ]);
    // As natgate itself adds it, and a gateway that died has left it.
    const left = [...ADDRESSES, has(2, '203.0.113.9/32', { scope: 253 })];
    expect(found(pool('203.0.113.9'), facts({ all: left }))).toEqual([
      "ok external addresses: 203.0.113.9 can be natgate's own",
    ]);
  });

  test('wide prefixes must be routed; within the public network nobody answers for them', () => {
    expect(found(netmap('198.51.100.0/23', '192.168.0.0/23'))[0]).toBe(
      'warn external addresses: 198.51.100.0/23 must be routed to this host',
    );
    const wide = [has(2, '203.0.2.2/16'), ...ADDRESSES.slice(1)];
    expect(found(netmap('203.0.120.0/23', '192.168.0.0/23'), facts({ all: wide }))[0]).toBe(
      'warn external addresses: nobody answers ARP for 203.0.120.0/23',
    );
    const [check] = checkNat(netmap('198.51.100.0/23', '192.168.0.0/23'), facts());
    expect(check?.remedy).toBe('on the router: ip route add 198.51.100.0/23 via 203.0.113.2');
  });

  test('ARP that the host would not answer, announcements that it cannot send', () => {
    expect(found(pool('203.0.113.8'), facts({ arpIgnore: 2 }))).toEqual([
      expect.stringContaining('does not answer ARP for them (net.ipv4.conf.eth0.arp_ignore is 2)'),
    ]);
    expect(found(pool('203.0.113.8'), facts({ arpIgnore: 1 }))).toEqual([expect.stringMatching(/^ok/)]);
    expect(found(pool('203.0.113.8'), facts({ rawSockets: false }))).toEqual([
      expect.stringContaining('CAP_NET_RAW is missing'),
    ]);
  });
});

describe('forwards', () => {
  const tcp = (text: string, more: Partial<HostSocket> = {}) =>
    facts({ sockets: { tcp: [socket(text, more)], udp: [] } });

  test.each([
    ['0.0.0.0:8000', 'a TCP socket of this host holds port 8000 (*:8000)'],
    ['203.0.113.2:8009', 'a TCP socket of this host holds port 8009 (203.0.113.2:8009)'],
  ])('a port that a socket at %s holds is refused', (text, message) => {
    expect(found(forward(), tcp(text))).toEqual([`port_in_use forward web: ${message}`]);
  });

  test('also one of a connection, and one bound to the public interface', () => {
    expect(found(forward(), tcp('203.0.113.2:8000', { state: 1 }))).toHaveLength(1);
    expect(found(forward(), tcp('0.0.0.0:8000', { interface: 2 }))).toHaveLength(1);
  });

  test.each<[string, NatFacts]>([
    ['another port', tcp('0.0.0.0:8010')],
    ['the private address', tcp('192.168.1.1:8000')],
    ['loopback', tcp('127.0.0.1:8000')],
    ['another interface', tcp('0.0.0.0:8000', { interface: 9 })],
    ['another protocol', facts({ sockets: { tcp: [], udp: [socket('0.0.0.0:8000')] } })],
  ])('a socket at %s does not matter', (_where, about) => {
    expect(found(forward(), about)).toEqual([]);
  });

  test('UDP sockets matter to UDP, and none to a dedicated address', () => {
    const about = facts({ sockets: { tcp: [], udp: [socket('0.0.0.0:8000', { state: 7 })] } });
    expect(found(forward({ protocol: 17 }), about)).toEqual([
      'port_in_use forward web: a UDP socket of this host holds port 8000 (*:8000)',
    ]);
    expect(found(forward({ address: address('203.0.113.8') }), tcp('0.0.0.0:8000'))).toEqual([
      expect.stringMatching(/^ok/),
    ]);
  });

  test('targets that are on no private network are warned of', () => {
    const targets = ['192.168.1.10', '10.50.1.1', '192.168.1.1', '172.17.0.9', '9.9.9.9'];
    expect(found(forward({}, ...targets))).toEqual([
      'warn forward web: 192.168.1.1 is on no private network',
      'warn forward web: 172.17.0.9 is on no private network',
      'warn forward web: 9.9.9.9 is on no private network',
    ]);
    expect(found(netmap('203.0.113.16/28', '192.168.2.0/28'))).toEqual([
      'warn netmap 203.0.113.16/28: 192.168.2.0/28 is on no private network',
    ]);
  });
});

describe('deterministic blocks', () => {
  test.each([
    [128, [], []],
    [129, [], ['254 blocks of 129 ports for 256 private addresses']],
    [256, [], ['128 blocks of 256 ports for 256 private addresses']],
    [256, ['203.0.113.8', '203.0.113.9'], []],
  ])('%i ports each, addresses %j', (blockSize, addresses, expected) => {
    const checks = checkNat(rule({ blockSize, deterministic: true }, ...addresses), facts());
    expect(checks.filter(({ status }) => status === 'fail').map(({ what }) => what)).toEqual(expected);
  });

  test('of a rule that names its sources, those have blocks; every rule is looked at', () => {
    const nat = rule({ blockSize: 256, deterministic: true });
    const [everything] = nat.rules;
    const own = (text: string) => ({
      ...everything!,
      match: { ...everything!.match, sources: [prefix(text)] },
    });
    const found = (...texts: string[]) =>
      checkNat({ ...nat, rules: texts.map(own) }, facts())
        .filter(({ code }) => code === 'pool_too_small')
        .map(({ what }) => what);
    expect(found('192.168.1.0/25')).toEqual([]);
    expect(found('192.168.1.0/25', '192.168.0.0/23')).toEqual([
      '128 blocks of 256 ports for 512 private addresses',
    ]);
  });

  test('the remedy is enough', () => {
    const [check] = checkNat(rule({ blockSize: 256, deterministic: true }), facts());
    expect(check?.code).toBe('pool_too_small');
    expect(check?.remedy).toBe('give 2 addresses with --external, or a --block-size of 128 at most');
  });
});

describe('addresses on both sides (RFC 4787 REQ-7)', () => {
  const verdicts = (inside: string, outside: string) => {
    const all = [has(3, inside), ...(outside === '' ? [] : [has(2, outside)])];
    return checkNat(EMPTY, facts({ all })).map(({ code, what }) => `${code}: ${what}`);
  };

  test.each([
    ['the same network', '192.168.1.1/24', '192.168.1.77/24'],
    ['the public one within the private one', '10.0.0.1/8', '10.77.0.2/24'],
    ['the private one within the public one', '10.77.0.1/24', '10.0.0.2/8'],
    ['a single public address', '192.168.1.1/24', '192.168.1.77/32'],
  ])('%s: refused', (_, inside, outside) => {
    const network = checkNat(EMPTY, facts({ all: [has(3, inside), has(2, outside)] }))[0]!;
    expect(network).toMatchObject({ status: 'fail', code: 'networks_overlap' });
    expect(network.what).toContain(`eth0 has ${outside}, and `);
    expect(network.remedy).toMatch(/private network/);
  });

  test('neighbours, and no public address yet, are well', () => {
    expect(verdicts('192.168.1.1/24', '192.168.2.77/24')).toEqual([]);
    expect(verdicts('192.168.1.1/24', '')).toEqual([]);
  });
});

describe('several private interfaces', () => {
  const all = (...texts: string[]) => [has(2, '203.0.113.2/24'), ...texts.map((text, i) => has(3 + i, text))];
  const about = (addresses: InterfaceAddress[], routes: Route[] = [], networks: Prefix[] = []) =>
    facts({
      all: addresses,
      served: [
        { ...served(3, 'eth1', addresses), networks },
        served(4, 'eth2', addresses),
        served(2, 'eth0', addresses),
      ],
      routes,
    });

  test('whose networks overlap: refused', () => {
    const [check] = checkNat(EMPTY, about(all('10.1.0.1/16', '10.1.7.1/24')));
    expect(check).toMatchObject({ status: 'fail', code: 'private_networks_overlap' });
    expect(check!.what).toBe('10.1.7.0/24 on eth2 overlaps 10.1.0.0/16 on eth1');
    expect(found(EMPTY, about(all('10.1.0.1/24', '10.1.1.1/24')))).toEqual([]);
  });

  test('networks behind routers: routed there, or a word about it', () => {
    const addresses = all('10.1.0.1/24', '10.2.0.1/24');
    const networks = [prefix('10.7.0.0/16'), prefix('10.8.0.0/16')];
    const way = (text: string, device: number) => route(text, device, '10.1.0.9');
    const routes = [way('0.0.0.0/0', 2), way('10.7.0.0/16', 0), way('10.8.0.0/16', 0)];
    expect(found(EMPTY, about(addresses, routes, networks))).toEqual([]);
    const [check] = checkNat(EMPTY, about(addresses, [...routes, way('10.8.0.0/24', 2)], networks));
    expect(check).toMatchObject({ status: 'warn', what: '10.8.0.0/16 is not reached by eth1' });
    expect(check!.remedy).toBe('`ip route add 10.8.0.0/16 via ROUTER dev eth1`');
    const overlap = checkNat(EMPTY, about(addresses, routes, [prefix('10.0.0.0/8')]));
    expect(overlap.map(({ code }) => code)).toContain('private_networks_overlap');
  });
});

describe('one interface for both sides', () => {
  const addresses = [has(2, '10.0.0.5/24')];
  const networks = [prefix('10.0.0.0/16')];
  const arm = (more: Partial<NatFacts> = {}) =>
    facts({
      all: addresses,
      served: [{ ...served(2, 'eth0', addresses), networks }, served(2, 'eth0', addresses)],
      routes: [
        route('0.0.0.0/0', 1, '10.0.0.1'),
        route('10.0.0.0/16', 0, '10.0.0.1'),
        route('10.0.0.0/24', 0),
        route('10.0.0.5/32', TO_HOST),
      ],
      ...more,
    });

  test('the external address within the private network is as it should be', () => {
    expect(found(EMPTY, arm())).toEqual([]);
  });

  test('so are further external ones; that of the router is not', () => {
    expect(found(pool('10.0.0.6'), arm())).toEqual(["ok external addresses: 10.0.0.6 can be natgate's own"]);
    expect(checkNat(pool('10.0.0.1'), arm()).map(({ code }) => code)).toEqual(['external_is_router']);
  });
});
