/** What `doctor` says of clouds, of IPv6, of DNS, and from a private host: judged from files and answers that are given. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UNREACHABLE } from '../../src/engine/routes.ts';
import { checkCloud } from '../../src/host/checks/cloud.ts';
import { checkDns } from '../../src/host/checks/dns.ts';
import { type ClientProbes, checkFromClient, defaultRoute } from '../../src/host/checks/from-client.ts';
import { checkIpv6 } from '../../src/host/checks/ipv6.ts';
import type { NatFacts } from '../../src/host/checks/nat-facts.ts';
import type { InterfaceFacts } from '../../src/host/interfaces.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-checks-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}
const wire = (text: string) => parseAddress(text)!;

describe('clouds', () => {
  test.each([
    [{ sys_vendor: 'Amazon EC2', product_name: 'm5.large' }, '--no-source-dest-check'],
    [{ sys_vendor: 'Xen', bios_version: '4.11.amazon' }, '--no-source-dest-check'],
    [{ sys_vendor: 'Google', product_name: 'Google Compute Engine' }, '--can-ip-forward'],
    [
      {
        sys_vendor: 'Microsoft Corporation',
        product_name: 'Virtual Machine',
        chassis_asset_tag: '7783-7084-3265-9085-8269-3286-77',
      },
      '--ip-forwarding true',
    ],
    [
      { sys_vendor: 'OpenStack Foundation', product_name: 'OpenStack Nova' },
      'openstack port set --allowed-address',
    ],
  ])('%j', (dmi, remedy) => {
    for (const [field, value] of Object.entries(dmi)) write(field, `${value}\n`);
    const [check, ...more] = checkCloud(folder);
    expect([check?.status, more]).toEqual(['warn', []]);
    expect(check?.remedy).toContain(remedy);
  });

  test.each([
    { sys_vendor: 'Dell Inc.', product_name: 'PowerEdge R640' },
    { sys_vendor: 'Microsoft Corporation', product_name: 'Virtual Machine', chassis_asset_tag: '1234' },
    { sys_vendor: 'QEMU', product_name: 'Standard PC' },
    {},
  ])('none: %j', (dmi) => {
    for (const [field, value] of Object.entries(dmi)) write(field, `${value}\n`);
    expect(checkCloud(folder)).toEqual([]);
  });
});

describe('IPv6 round the gateway', () => {
  const zeros = '0'.repeat(32);
  const found = () => checkIpv6(['eth1'], folder).map(({ what }) => what);

  test('nothing to say', () => {
    write('net/if_inet6', 'fe80000000000000021122fffe334455 03 40 20 80     eth1\n');
    write('sys/net/ipv6/conf/all/forwarding', '0\n');
    expect(found()).toEqual([]);
    rmSync(join(folder, 'net'), { recursive: true });
    expect(found()).toEqual([]);
  });

  test('an address, forwarding, advertisements', () => {
    write('net/if_inet6', '20010db8000000000000000000000001 03 40 00 80     eth1\n');
    write('sys/net/ipv6/conf/all/forwarding', '1\n');
    const router = 'fe80000000000000000000000000beef';
    write(
      'net/ipv6_route',
      `${zeros} 00 ${zeros} 00 ${router} 00000400 00000001 00000000 00450003     eth1\n${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo\n`,
    );
    write(
      'net/raw6',
      `  sl  local_address                         remote_address\n   58: ${zeros}:003A ${zeros}:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0\n`,
    );
    expect(found()).toEqual([
      'eth1 has a global IPv6 address',
      'the kernel forwards IPv6 (net.ipv6.conf.all.forwarding is 1)',
      'another router advertises IPv6 on eth1',
      'a program of this host holds an ICMPv6 socket, as those do that send router advertisements',
    ]);
  });

  test('a default route of the public side is nobody’s harm', () => {
    write(
      'net/ipv6_route',
      `${zeros} 00 ${zeros} 00 fe80000000000000000000000000beef 00000400 00000001 00000000 00450003     eth0\n`,
    );
    expect(found()).toEqual([]);
  });
});

describe('DNS', () => {
  const inside = { index: 2, name: 'eth1', address: wire('10.77.0.1') } as InterfaceFacts;
  const outside = { index: 3, name: 'eth0', address: wire('198.18.0.1') } as InterfaceFacts;
  const any = parsePrefix('0.0.0.0/0')!;
  const facts: NatFacts = {
    served: [inside, outside],
    addresses: [inside, outside].map(({ address, index }) => ({ address, interface: index }) as never),
    nameOf: (index) => `#${index}`,
    routes: [{ prefix: any.address, length: 0, device: 1, gateway: 0, mtu: 0 }],
    sockets: { tcp: [], udp: [] },
    arpIgnore: 0,
    rawSockets: true,
  };
  const wish = { upstream: [wire('192.0.2.53')], system: false };
  const socket = (address: string, port = 53, state = 7, device = 0) => ({
    address: wire(address),
    port,
    state,
    interface: device,
  });
  const codes = (more: Partial<NatFacts>, asked = wish) =>
    checkDns(asked, { ...facts, ...more }).map(({ status, code }) => [status, code].join(' ').trim());

  test('off, and well', () => {
    expect(checkDns(null, facts)).toEqual([]);
    expect(codes({})).toEqual(['ok']);
  });

  test.each([
    ['every address', socket('0.0.0.0'), 'fail dns_port_in_use'],
    ['the private address', socket('10.77.0.1'), 'fail dns_port_in_use'],
    ['the private interface', socket('0.0.0.0', 53, 7, 2), 'fail dns_port_in_use'],
    ['loopback', socket('127.0.0.53'), 'ok'],
    ['the public address', socket('198.18.0.1'), 'ok'],
    ['another interface', socket('0.0.0.0', 53, 7, 9), 'ok'],
    ['another port', socket('0.0.0.0', 5353), 'ok'],
    ['every address, connected to one peer', socket('10.77.0.1', 53, 1), 'ok'],
  ])('a socket of %s', (_, udp, expected) => {
    expect(codes({ sockets: { tcp: [], udp: [udp] } })).toEqual([expected]);
  });

  test('a listening TCP socket', () => {
    expect(codes({ sockets: { tcp: [socket('0.0.0.0', 53, 10)], udp: [] } })).toEqual([
      'fail dns_port_in_use',
    ]);
  });

  test('resolvers that cannot be: the host itself, nowhere, behind another interface, none', () => {
    expect(codes({}, { ...wish, upstream: [wire('10.77.0.1')] })).toEqual(['fail dns_own_address']);
    expect(codes({ routes: [] })).toEqual(['warn']);
    expect(codes({ routes: [{ prefix: 0, length: 0, device: UNREACHABLE, gateway: 0, mtu: 0 }] })).toEqual([
      'warn',
    ]);
    expect(codes({ routes: [{ prefix: 0, length: 0, device: -1, gateway: 0, mtu: 0 }] })).toEqual(['warn']);
    expect(checkDns({ upstream: [], system: true }, facts, () => []).map(({ status }) => status)).toEqual([
      'warn',
    ]);
    // Its own address among those of resolv.conf is left out.
    const own = checkDns({ upstream: [], system: true }, facts, () => [wire('10.77.0.1'), wire('192.0.2.1')]);
    expect(own.map(({ what }) => what)).toEqual(['queries to the gateway go to 192.0.2.1']);
  });
});

describe('from a private host', () => {
  const HEADER = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
  const VIA = (gateway: string, metric = 0) =>
    `eth0\t00000000\t${gateway}\t0003\t0\t0\t${metric}\t00000000\t0\t0\t0\n`;
  /** 10.77.0.1 */
  const GATEWAY = '01004D0A';
  const questions = { gateway: '10.77.0.1', outside: '203.0.113.9', name: 'who.test' };
  type Answer = { code: number; text: string };
  const well: Answer = { code: 0, text: '' };
  const silent: Answer = { code: 1, text: '' };

  function probes(
    answers: Partial<Record<'gateway' | 'outside' | 'hop' | 'large', Answer | null>>,
  ): ClientProbes {
    return {
      ping: async (words) => {
        if (words[0] === '-t1') return answers.hop === undefined ? silent : answers.hop;
        if (words[0] === '-M') return answers.large === undefined ? well : answers.large;
        const which = words[0] === '10.77.0.1' ? 'gateway' : 'outside';
        return answers[which] === undefined ? well : answers[which];
      },
      lookUp: async () => ['192.0.2.1'],
      resolvers: () => ['10.77.0.1'],
      proc: folder,
      interfaces: join(folder, 'class'),
    };
  }
  const found = async (one: ClientProbes, asked: Parameters<typeof checkFromClient>[0] = questions) =>
    (await checkFromClient(asked, one)).map(({ name, status, code }) => `${name}: ${status} ${code}`.trim());

  beforeEach(() => {
    write('net/route', HEADER + VIA(GATEWAY));
    write('class/eth0/mtu', '1500\n');
  });

  test('all is well', async () => {
    expect(await found(probes({}))).toEqual([
      'default route: ok',
      'gateway: ok',
      'DNS: ok',
      'outside: ok',
      'MTU: ok',
    ]);
  });

  test('the default route of the lowest metric counts', () => {
    write(
      'net/route',
      `${HEADER}${VIA('FE004D0A', 100)}${VIA(GATEWAY, 50)}eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n`,
    );
    expect(defaultRoute(folder)).toEqual({ device: 'eth0', gateway: '10.77.0.1' });
  });

  test('no default route, or one that leads elsewhere', async () => {
    write('net/route', HEADER);
    expect(await found(probes({}))).toEqual(['default route: fail no_default_route']);
    write('net/route', HEADER + VIA('FE004D0A'));
    expect((await found(probes({})))[0]).toBe('default route: fail other_gateway');
  });

  test('a gateway that is silent, or only refuses pings', async () => {
    write('net/arp', 'IP address HW type\n10.77.0.1 0x1 0x0 00:00:00:00:00:00 * eth0\n');
    expect((await found(probes({ gateway: silent })))[1]).toBe('gateway: fail gateway_silent');
    write('net/arp', 'IP address HW type\n10.77.0.1 0x1 0x2 02:00:00:00:00:01 * eth0\n');
    expect((await found(probes({ gateway: silent })))[1]).toBe('gateway: warn');
  });

  test('DNS that is silent names the remedy of its resolver', async () => {
    const failing = {
      ...probes({}),
      lookUp: () => Promise.reject(new Error('queryA ETIMEOUT who.test')),
    };
    const [, , dns] = await checkFromClient(questions, failing);
    expect([dns?.code, dns?.what]).toEqual([
      'dns_silent',
      'who.test was not found: queryA ETIMEOUT who.test (asked: 10.77.0.1)',
    ]);
    expect(dns?.remedy).toContain('on the gateway');
  });

  test('nothing from outside: how far packets get, and no question about their size', async () => {
    const hop = { code: 1, text: 'From 10.77.0.1 icmp_seq=1 Time to live exceeded\n' };
    const checks = await checkFromClient(questions, probes({ outside: silent, hop }));
    expect(checks.at(-1)).toMatchObject({ name: 'outside', code: 'outside_silent' });
    expect(checks.at(-1)?.what).toContain('as far as 10.77.0.1');
  });

  test('another router on the way', async () => {
    const hop = { code: 1, text: 'From 10.77.0.254 icmp_seq=1 Time to live exceeded\n' };
    expect((await found(probes({ hop })))[3]).toBe('outside: warn');
  });

  test('large packets that are lost, or that a router speaks about', async () => {
    expect((await found(probes({ large: silent })))[4]).toBe('MTU: warn');
    const told = { code: 1, text: 'From 10.77.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)\n' };
    expect((await found(probes({ large: told })))[4]).toBe('MTU: ok');
  });

  test('without ping, what it would have shown is not claimed', async () => {
    const none = { ...probes({}), ping: async () => null };
    expect(await found(none)).toEqual([
      'default route: ok',
      'gateway: warn',
      'DNS: ok',
      'outside: warn',
      'MTU: warn',
    ]);
  });

  test('IPv6 with a default route', async () => {
    const zeros = '0'.repeat(32);
    write(
      'net/ipv6_route',
      `${zeros} 00 ${zeros} 00 fe80000000000000000000000000beef 00000400 1 0 00450003 eth0\n`,
    );
    expect((await found(probes({}))).at(-1)).toBe('IPv6: warn');
  });
});
