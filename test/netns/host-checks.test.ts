/** The checks before a start: each bad input is found, with a code and a remedy, and the host stays as it is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Check, HostCheckOptions } from '../../src/host/preflight.ts';
import { type Forward, masqueradeAll, type NatConfig } from '../../src/nat/config.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { evaluate, settled, start } from './host-evaluate.ts';
import { run } from './support/process.ts';
import { createTopology, ip, type Namespace, type Topology } from './support/topology.ts';

let topology: Topology;
let ns: Namespace;
let stateRoot: string;

beforeAll(async () => {
  topology = await createTopology();
  ns = topology.gateway;
  stateRoot = mkdtempSync(join(tmpdir(), 'natgate-checks-'));
  for (const command of [
    'link add br0 type bridge',
    'link add port0 type veth peer name port1',
    'link set port0 master br0',
    'link add big0 mtu 20000 type veth peer name big1',
    'addr add 10.90.0.1/24 dev big0',
    'addr add 10.91.0.1/24 dev port0',
    'link set port0 up',
    'link set big0 up',
  ]) {
    await ip(ns, command);
  }
  await settled(ns, ['g0', 'g1']);
});
afterAll(async () => {
  rmSync(stateRoot, { recursive: true, force: true });
  await topology.destroy();
});

const options = (change: Partial<HostCheckOptions> = {}): HostCheckOptions => ({
  interfaces: { private: ['g0'], public: 'g1' },
  ports: { first: 32768, last: 65535 },
  nat: masqueradeAll({ first: 32768, last: 65535 }),
  name: 'a',
  stateRoot,
  ...change,
});

const check = (change?: Partial<HostCheckOptions>, before = '', from = ns) =>
  evaluate<Check[]>(
    from,
    `${before}; print((await load('preflight')).checkHost(${JSON.stringify(options(change))}))`,
  );

const failures = (checks: Check[]) =>
  checks.filter((each) => each.status === 'fail').map((each) => each.code);
const warnings = (checks: Check[]) =>
  checks.filter((each) => each.status === 'warn').map((each) => each.name);

it('is content with the topology, and changes nothing', async () => {
  const state = async () => (await ns.shell('ip -o link; ip -o addr; tc qdisc show')).stdout;
  const before = await state();
  const checks = await check();
  expect(failures(checks)).toEqual([]);
  expect(warnings(checks)).toEqual([]);
  expect(checks.map((each) => each.name)).toEqual(
    expect.arrayContaining([
      'kernel',
      'addon',
      'privileges',
      'tun',
      'bpf',
      'tc',
      'interface g0',
      'interface g1',
    ]),
  );
  expect(await state()).toBe(before);
});

it.each<[string, Partial<HostCheckOptions>, string, RegExp, RegExp]>([
  [
    'an unknown interface',
    { interfaces: { private: ['g00'], public: 'g1' } },
    'interface_unknown',
    /no interface g00/,
    /did you mean g0\?/,
  ],
  [
    'a private interface without an address',
    { interfaces: { private: ['big1'], public: 'g1' } },
    'private_without_address',
    /big1/,
    /ip address add/,
  ],
  [
    'the same private interface twice',
    { interfaces: { private: ['g0', 'g0'], public: 'g1' } },
    'same_interface',
    /g0/,
    /NAME=NETWORK/,
  ],
  [
    'one interface for both sides, and no networks',
    { interfaces: { private: ['g0'], public: 'g0' } },
    'one_armed_without_networks',
    /g0 is both/,
    /--private g0=10\.0\.0\.0\/16/,
  ],
  [
    'one interface for both sides, and all addresses private',
    { interfaces: { private: ['g0'], networks: [[{ address: 0, length: 0 }]], public: 'g0' } },
    'one_armed_everything',
    /0\.0\.0\.0\/0/,
    /networks/,
  ],
  [
    'a bridge port',
    { interfaces: { private: ['port0'], public: 'g1' } },
    'interface_is_port',
    /bridge port of br0/,
    /serve br0/,
  ],
  [
    'an MTU over 16000',
    { interfaces: { private: ['big0'], public: 'g1' } },
    'mtu_too_large',
    /20000/,
    /ip link set/,
  ],
  [
    'what is no Ethernet interface',
    { interfaces: { private: ['g0'], public: 'lo' } },
    'interface_unusable',
    /loopback/,
    /choose/,
  ],
  [
    'ports that leave the host none',
    { ports: { first: 1024, last: 65000 } },
    'no_local_ports',
    /fewer than 1024/,
    /--ports/,
  ],
])('finds %s', async (_, change, code, what, remedy) => {
  const failure = (await check(change)).find((each) => each.status === 'fail');
  expect(failure?.code).toBe(code);
  expect(failure?.what).toMatch(what);
  expect(failure?.remedy).toMatch(remedy);
  expect(failure?.why).not.toBe('');
  const error = await evaluate<{ name: string; code: string }>(
    ns,
    `try { (await load('preflight')).requireHost(${JSON.stringify(options(change))}) } catch ({ name, code }) { print({ name, code }) }`,
  );
  expect(error).toEqual({ name: 'NatgateError', code });
});

it('finds what the NAT options ask for and the host has otherwise', async () => {
  const holder = ns.spawn([
    'python3',
    '-uc',
    `import socket, time
held = [socket.create_server(('0.0.0.0', 8080)), socket.create_server(('10.77.0.1', 8081))]
print('ready'); time.sleep(60)`,
  ]);
  await holder.shows(/ready/);
  const base = masqueradeAll({ first: 32768, last: 65535 });
  const forward = (port: number): Forward => ({
    name: `tcp:${port}`,
    protocol: 6,
    address: 0,
    ports: { first: port, last: port },
    sources: [],
    targets: [{ address: parseAddress('10.77.0.2')!, port }],
    affinitySeconds: 0,
    twice: false,
  });
  const pool = (text: string) => {
    const rule = { ...base.rules[0]!, action: 'pool' as const, addresses: [parseAddress(text)!] };
    return { ...base, rules: [rule] };
  };
  const found = async (nat: NatConfig) => failures(await check({ nat }));
  expect(await found({ ...base, forwards: [forward(8080)] })).toEqual(['port_in_use']);
  expect(await found({ ...base, forwards: [forward(8081)] })).toEqual([]);
  await holder.stop('SIGKILL');
  expect(await found({ ...base, forwards: [forward(8080)] })).toEqual([]);
  expect(await found(pool('198.18.0.1'))).toEqual(['external_is_shared']);
  expect(await found(pool('10.90.0.1'))).toEqual(['external_in_use']);
  expect(await found(pool('10.77.0.9'))).toEqual(['external_is_private']);
  expect(await found(pool('198.18.0.2'))).toEqual(['external_is_router']);
  expect(await found(pool('198.18.0.9'))).toEqual([]);
});

it('lets a start wait for the public address', async () => {
  await ip(ns, 'addr del 198.18.0.1/24 dev g1');
  const checks = await check();
  await ip(ns, 'addr add 198.18.0.1/24 dev g1');
  await ip(ns, 'route add default via 198.18.0.2');
  expect(failures(checks)).toEqual([]);
  expect(warnings(checks)).toEqual(['interface g1', 'default route']);
});

it('finds a second gateway on the same interface, or of the same name', async () => {
  const first = start(
    ns,
    `(await load('plan/claim')).openJournal({ stateRoot: ${JSON.stringify(stateRoot)}, name: 'a', interfaces: ['g0', 'g1'] });
     print('claimed'); setInterval(() => {}, 1000);`,
  );
  await first.shows(/claimed/);
  expect(failures(await check({ name: 'b' }))).toEqual(['interface_in_use']);
  expect(failures(await check())).toEqual(['gateway_running']);
  await first.stop('SIGKILL');
  expect(failures(await check())).toEqual([]);
  expect(failures(await check({ name: 'b' }))).toEqual(['interface_in_use']);
  rmSync(join(stateRoot, 'a'), { recursive: true });
});

it('finds ports in use, all of them or some', async () => {
  const holder = ns.spawn([
    'python3',
    '-uc',
    `import socket, time
held = [socket.create_server(('0.0.0.0', port)) for port in range(50000, 50100)]
print('ready'); time.sleep(60)`,
  ]);
  await holder.shows(/ready/);
  expect(failures(await check({ ports: { first: 50000, last: 50099 } }))).toEqual(['ports_in_use']);
  const some = await check({ ports: { first: 50000, last: 50100 } });
  await holder.stop('SIGKILL');
  expect(failures(some)).toEqual([]);
  expect(some.find((each) => each.name === 'ports')?.what).toMatch(
    /^services of this host hold 50000\/tcp, .* and 92 more, within 50000-50100$/,
  );
});

it('finds missing privileges', async () => {
  const checks = await check({}, 'process.setgroups([]); process.setgid(65534); process.setuid(65534)');
  expect(failures(checks)).toEqual(['not_permitted', 'tun_missing', 'bpf_unavailable']);
  for (const each of checks.filter(({ status }) => status === 'fail')) expect(each.remedy).toMatch(/as root/);
});

it('finds that BPF is not permitted', async () => {
  const source = `print((await load('preflight')).checkHost(${JSON.stringify(options())}))`;
  const withoutBpf = {
    ...ns,
    argv: (command: string[]) => ns.argv(['setpriv', '--bounding-set', '-bpf,-sys_admin', ...command]),
  };
  const checks = await evaluate<Check[]>(withoutBpf as unknown as Namespace, source);
  expect(failures(checks)).toEqual(['not_permitted', 'bpf_unavailable']);
  expect(checks.find((each) => each.code === 'not_permitted')?.what).toBe('missing CAP_BPF');
});

it('finds that there is no TUN device file', async () => {
  const hidden = {
    ...ns,
    argv: (command: string[]) =>
      ns.argv(['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh', ...command]),
  };
  const checks = await evaluate<Check[]>(
    hidden as unknown as Namespace,
    `print((await load('preflight')).checkHost(${JSON.stringify(options())}))`,
  );
  expect(failures(checks)).toEqual(['tun_missing']);
  expect(checks.find((each) => each.code === 'tun_missing')).toMatchObject({
    what: 'there is no /dev/net/tun',
    remedy: expect.stringContaining('modprobe tun'),
  });
});

it('warns of NAT, forwarding, rules and IPv6 in the kernel', async () => {
  await ns.exec('iptables -t nat -A POSTROUTING -o g1 -j MASQUERADE');
  await ns.exec('sysctl -qw net.ipv4.ip_forward=1');
  await ip(ns, 'rule add from 10.9.0.0/16 lookup 77');
  await ip(ns, 'addr add 2001:db8::1/64 dev g0');
  const checks = await check();
  await ns.exec('iptables -t nat -F POSTROUTING');
  await ns.exec('sysctl -qw net.ipv4.ip_forward=0');
  await ip(ns, 'rule del from 10.9.0.0/16 lookup 77');
  await ip(ns, 'addr del 2001:db8::1/64 dev g0');
  expect(failures(checks)).toEqual([]);
  expect(warnings(checks)).toEqual(['forwarding', 'policy routing', 'kernel NAT', 'IPv6']);
  for (const each of checks.filter(({ status }) => status === 'warn')) {
    expect(each.why).not.toBe('');
    expect(each.remedy).not.toBe('');
  }
  expect(checks.find((each) => each.name === 'kernel NAT')?.what).toContain('nat POSTROUTING');
});

it('sees nft rules as well', async () => {
  await run(ns.argv(['nft', '-f', '-']), {
    input:
      'table ip mine { chain out { type nat hook postrouting priority 100; masquerade; }; chain rest { accept; }; }',
  });
  const found = (await check()).find((each) => each.name === 'kernel NAT');
  await ns.exec('nft delete table ip mine');
  expect(found?.what).toBe('the kernel has NAT rules as well (mine out)');
});
