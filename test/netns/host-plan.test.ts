/** The host plan: what it makes, and that undoing it leaves the host as it was. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { UndoReport } from '../../src/host/plan/undo.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { evaluate, printed, settled, start } from './host-evaluate.ts';
import { until } from './support/process.ts';
import { createTopology, ip, type Namespace, type Topology } from './support/topology.ts';

let topology: Topology;
let ns: Namespace;
let root: string;

beforeAll(async () => {
  topology = await createTopology();
  ns = topology.gateway;
  await ip(ns, 'link add v0 type veth peer name v1');
  for (const device of ['v0', 'v1']) await ip(ns, `link set ${device} up`);
  await settled(ns, ['g0', 'g1', 'v0', 'v1']);
});
afterAll(() => topology.destroy());

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'natgate-plan-'));
  await ns.exec(['sysctl', '-qw', 'net.ipv4.ip_local_port_range=32768 60999']);
  return () => rmSync(root, { recursive: true, force: true });
});

/** What a run must leave as it found it. */
async function snapshot(): Promise<string> {
  const { stdout } = await ns.shell(`
    ip -o link; ip -o addr; ip route show table all
    for device in g0 g1 v0 v1; do
      echo "$device"; tc qdisc show dev $device
      tc filter show dev $device ingress; tc filter show dev $device egress
    done
    sysctl -a 2>/dev/null | grep '^net' | grep -Ev 'nf_conntrack_count|hostname|random|netdev_rss_key|route.gc|fs-nr|dentry'`);
  return stdout.replace(/valid_lft \d+sec preferred_lft \d+sec/g, '');
}

/** What the plan needs to know of a NAT configuration. */
const EMPTY_NAT = { rules: [], forwards: [], prefixes: [] };
/** Two forwards of the shared address, one of a dedicated one, a pool. */
const NAT = {
  rules: [{ action: 'pool', addresses: ['203.0.113.1', '203.0.113.0'].map(parseAddress) }],
  forwards: [
    { address: 0, ports: { first: 8080, last: 8082 } },
    { address: 0, ports: { first: 40000, last: 40000 } },
    { address: parseAddress('203.0.113.9'), ports: { first: 25, last: 25 } },
  ],
  prefixes: [{ external: parsePrefix('198.51.100.0/23') }],
};

/** A gateway's host plan with filters and addresses, applied; `{ adopted, tuns, shown }` is printed. */
const apply = (name = 'a', interfaces = ['g0', 'g1'], nat: object = EMPTY_NAT) => `
  const stateRoot = ${JSON.stringify(root)};
  const { readInterfaces } = await load('interfaces');
  const { linkNamed } = await load('netlink/links');
  const { openJournal } = await load('plan/claim');
  const { applyPlan } = await load('plan/apply');
  const { describePlan } = await load('plan/step');
  const { hostPlan } = await load('plan/host-plan');
  const { filterStep } = await load('plan/filter');
  const { undoJournal } = await load('plan/undo');
  const facts = readInterfaces(${JSON.stringify(interfaces)});
  const plan = hostPlan({ stateRoot, name: '${name}', interfaces: facts, ports: { first: 32768, last: 65535 }, nat: ${JSON.stringify(nat)}, txQueueLength: 777, workers: 1 });
  const journal = openJournal({ stateRoot, name: '${name}', interfaces: facts.map((each) => each.name) });
  applyPlan(plan.steps, journal);
  const program = addon().bpfProgLoad(3, Uint8Array.from([0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0, 0, 0]), 'pass');
  const filters = [...facts, ...plan.tuns.map((tun) => linkNamed(tun.device))].map(({ name, index }) => filterStep({ name, index }, program, 'test'));
  const { addressStep, answeredAddresses } = await load('plan/address');
  const addresses = answeredAddresses(${JSON.stringify(nat)}).map((address) => addressStep(facts.at(-1), address));
  applyPlan([...filters, ...addresses], journal);
  print({ adopted: journal.adopted, tuns: plan.tuns.map((tun) => linkNamed(tun.device).index), fds: plan.tuns.map((tun) => tun.fds[0]), shown: describePlan([...plan.steps, ...addresses]) });
`;
interface Applied {
  adopted: boolean;
  tuns: number[];
  fds: number[];
  shown: string[];
}

const undo = (name = 'a') =>
  evaluate<UndoReport>(
    ns,
    `const report = (await load('plan/undo')).undoJournal(${JSON.stringify(root)}, '${name}');
     print({ ...report, failed: report.failed.map(({ step, error }) => ({ step, error: error.message })) })`,
  );

/** Applies in a process that is then killed with SIGKILL. */
async function applyAndDie(name?: string, interfaces?: string[], nat?: object): Promise<Applied> {
  const process = start(ns, `${apply(name, interfaces, nat)}; setInterval(() => {}, 1000);`);
  await process.shows(/adopted/);
  await process.stop('SIGKILL');
  return printed<Applied>(process)[0]!;
}

const portRange = async () =>
  (await ns.exec('cat /proc/sys/net/ipv4/ip_local_port_range')).stdout.trim().split(/\s+/).join('-');

/** A clsact filter that is not natgate's. */
const addForeignFilter = (device: string) =>
  ns.exec(`tc filter add dev ${device} ingress protocol ip prio 5 u32 match u32 0 0 flowid 1:1`);

it('makes the devices as the engine needs them, and undoes it in the same process', async () => {
  const before = await snapshot();
  const [applied, host, report] = await evaluate<[Applied, Record<string, string>, UndoReport]>(
    ns,
    `const seen = [];
     const whole = process.stdout.write;
     process.stdout.write = (line) => { seen.push(JSON.parse(line)); return true; };
     ${apply()}
     process.stdout.write = whole;
     const { execSync } = await import('node:child_process');
     const sh = (command) => execSync(command).toString();
     const host = {
       link: sh('ip -d link show natgate-g0'),
       addresses: sh('ip addr show natgate-g0; ip addr show natgate-g1'),
       qdisc: sh('tc qdisc show dev natgate-g1'),
       filters: sh('for d in g0 g1 natgate-g0 natgate-g1; do tc filter show dev $d ingress; done'),
       range: sh('sysctl -n net.ipv4.ip_local_port_range'),
     };
     print([seen[0], host, undoJournal(stateRoot, 'a')]);`,
  );
  expect(applied.shown).toEqual([
    'ip tuntap add dev natgate-g0 mode tun multi_queue vnet_hdr',
    'ip tuntap add dev natgate-g1 mode tun multi_queue vnet_hdr',
    'tc qdisc replace dev natgate-g0 root noqueue && ip link set dev natgate-g0 mtu 65535 txqueuelen 777 addrgenmode none up',
    'tc qdisc replace dev natgate-g1 root noqueue && ip link set dev natgate-g1 mtu 65535 txqueuelen 777 addrgenmode none up',
    "sysctl -w net.ipv4.ip_local_port_range='16384 32767'",
    'tc qdisc add dev g0 clsact',
    'tc qdisc add dev g1 clsact',
    'tc qdisc add dev natgate-g0 clsact',
    'tc qdisc add dev natgate-g1 clsact',
  ]);
  expect(host['link']).toMatch(/<[^>]*\bUP,LOWER_UP> mtu 65535 qdisc noqueue .* qlen 777/);
  expect(host['link']).toMatch(
    /tun type tun pi off vnet_hdr on multi_queue .* persist on .*addrgenmode none/,
  );
  expect(host['addresses']).not.toMatch(/inet/);
  expect(host['qdisc']).toMatch(/noqueue[\s\S]*clsact/);
  expect(host['filters']?.match(/handle 0x1 natgate:test direct-action/g)).toHaveLength(4);
  expect(host['range']?.trim().split(/\s+/)).toEqual(['16384', '32767']);
  expect(report).toMatchObject({ found: true, kept: [], failed: [] });
  expect(await snapshot()).toBe(before);
  expect(readdirSync(root)).toEqual([]);
});

it('takes on dedicated addresses and reserves forwarded ports, and undoes both', async () => {
  await ip(ns, 'addr add 203.0.113.9/24 dev g1');
  await ns.exec('sysctl -qw net.ipv4.ip_local_reserved_ports=8081,9000-9001');
  const before = await snapshot();
  const reserved = async () => (await ns.exec('sysctl -n net.ipv4.ip_local_reserved_ports')).stdout.trim();
  const linkScoped = async () =>
    [...(await ns.exec('ip -o -4 addr show dev g1 scope link')).stdout.matchAll(/inet (\S+)/g)].map(
      ([, address]) => address,
    );
  const { shown } = await applyAndDie('a', ['g0', 'g1'], NAT);
  expect(shown).toContain("sysctl -w net.ipv4.ip_local_reserved_ports='8080-8082,9000-9001'");
  expect(shown.slice(-3)).toEqual(
    ['203.0.113.0', '203.0.113.1', '203.0.113.9'].map((a) => `ip address add ${a}/32 dev g1 scope link`),
  );
  // The third one was there; the network wider than /24 is routed here, or not at all.
  expect(await linkScoped()).toEqual(['203.0.113.0/32', '203.0.113.1/32']);
  expect(await reserved()).toBe('8080-8082,9000-9001');
  // Neither is what masquerading or the host would take.
  const facts = await evaluate<{ address: number }[]>(
    ns,
    `print((await load('interfaces')).readInterfaces(['g1']))`,
  );
  expect(facts[0]?.address).toBe(parseAddress('198.18.0.1'));
  expect((await ns.exec('ip route get 9.9.9.9')).stdout).toContain('src 198.18.0.1');

  // A second time (adopted), one address gone meanwhile, one more by somebody else.
  await ip(ns, 'addr del 203.0.113.1/32 dev g1');
  await applyAndDie('a', ['g0', 'g1'], NAT);
  expect(await linkScoped()).toEqual(['203.0.113.0/32', '203.0.113.1/32']);
  expect(await undo()).toMatchObject({ found: true, kept: [], failed: [] });
  expect(await snapshot()).toBe(before);
  await ip(ns, 'addr del 203.0.113.9/24 dev g1');
  await ns.exec(['sysctl', '-qw', 'net.ipv4.ip_local_reserved_ports=']);
});

it('undoes no address that somebody else has made of it, and none that has gone', async () => {
  const nat = { ...EMPTY_NAT, prefixes: [{ external: parsePrefix('203.0.113.0/31') }] };
  await applyAndDie('a', ['g0', 'g1'], nat);
  await ip(ns, 'addr del 203.0.113.0/32 dev g1');
  await ip(ns, 'addr del 203.0.113.1/32 dev g1');
  await ip(ns, 'addr add 203.0.113.1/32 dev g1 scope global');
  const report = await undo();
  expect(report.failed).toEqual([]);
  expect(report.kept).toEqual([
    {
      step: expect.stringMatching(/^address 203\.0\.113\.1 g1 #/),
      why: '203.0.113.1 has another scope by now',
    },
  ]);
  await ip(ns, 'addr del 203.0.113.1/32 dev g1');
});

it('is undone by another process after kill -9, and nothing is left to do the second time', async () => {
  const before = await snapshot();
  await applyAndDie();
  expect(await snapshot()).not.toBe(before);
  expect(await undo()).toMatchObject({ found: true, kept: [], failed: [] });
  expect(await snapshot()).toBe(before);
  expect(await undo()).toEqual({ found: false, done: [], kept: [], failed: [] });
});

it('is adopted after kill -9: same devices, original values', async () => {
  const before = await snapshot();
  const first = await applyAndDie();
  const second = await applyAndDie();
  expect(first.adopted).toBe(false);
  expect(second.adopted).toBe(true);
  expect(second.tuns).toEqual(first.tuns);
  expect(await portRange()).toBe('16384-32767');
  expect(await undo()).toMatchObject({ found: true, kept: [], failed: [] });
  expect(await snapshot()).toBe(before);
});

it('waits for the engine of the process before, and does not share its queue', async () => {
  const engine = (seconds: number) =>
    `${apply()}
     const { spawn } = await import('node:child_process');
     spawn('sleep', ['${seconds}'], { stdio: ['ignore', 'ignore', 'ignore', plan.tuns[0].fds[0]], detached: true });
     setInterval(() => {}, 1000);`;
  const dieWithEngine = async (seconds: number) => {
    const process = start(ns, engine(seconds));
    await process.shows(/adopted/);
    await until('the engine runs', () => ns.pids().length >= 2);
    await process.stop('SIGKILL');
  };
  await dieWithEngine(1);
  expect((await applyAndDie()).adopted).toBe(true);
  await dieWithEngine(60);
  await expect(applyAndDie()).rejects.toThrow(/another process has natgate-g0 open/);
  for (const pid of ns.pids()) process.kill(pid, 'SIGKILL');
  expect(await undo()).toMatchObject({ failed: [] });
});

it('makes again what went missing before the adoption', async () => {
  const before = await snapshot();
  const first = await applyAndDie();
  await ip(ns, 'link del natgate-g0');
  await ns.exec('tc qdisc del dev g1 clsact');
  const second = await applyAndDie();
  expect(second.tuns[0]).not.toBe(first.tuns[0]);
  expect((await ns.exec('tc filter show dev g1 ingress')).stdout).toContain('natgate:test');
  expect(await undo()).toMatchObject({ kept: [], failed: [] });
  expect(await snapshot()).toBe(before);
});

it('leaves the host as it was when a step fails', async () => {
  const before = await snapshot();
  const error = await evaluate<{ code: string; message: string }>(
    ns,
    `${apply().replace('applyPlan([...filters, ...addresses], journal);', '')}
     const broken = { name: 'broken', show: 'false', prepare: () => null, apply() { throw new Error('no such luck'); } };
     try { applyPlan([...filters, broken], journal); } catch ({ code, message }) { print({ code, message }); }`,
  );
  expect(error).toEqual({ code: 'step_failed', message: 'could not set up the host: broken: no such luck' });
  expect(await snapshot()).toBe(before);
  expect(readdirSync(root)).toEqual([]);
});

it('keeps a clsact qdisc that was there before, with its filters', async () => {
  await ns.exec('tc qdisc add dev g0 clsact');
  await addForeignFilter('g0');
  const before = await snapshot();
  await applyAndDie();
  await undo();
  expect(await snapshot()).toBe(before);
  await ns.exec('tc qdisc del dev g0 clsact');
});

it('keeps its clsact qdisc while filters of others hang there, and says so', async () => {
  await applyAndDie();
  await addForeignFilter('g0');
  const report = await undo();
  expect(report.kept).toEqual([
    {
      step: expect.stringMatching(/^clsact g0 #\d+$/),
      why: expect.stringContaining('tc filter show dev g0'),
    },
  ]);
  expect(report.failed).toEqual([]);
  const { stdout } = await ns.exec('tc filter show dev g0 ingress');
  expect(stdout).toContain('u32');
  expect(stdout).not.toContain('natgate');
  await ns.exec('tc qdisc del dev g0 clsact');
});

it('does not touch a setting that somebody has changed since', async () => {
  await applyAndDie();
  await ns.exec(['sysctl', '-qw', 'net.ipv4.ip_local_port_range=20000 30001']);
  expect((await undo()).kept).toEqual([
    { step: 'local ports', why: 'it is 20000 30001 by now, which natgate did not set' },
  ]);
  expect(await portRange()).toBe('20000-30001');
});

it('shares the local port range between gateways; the last one restores it', async () => {
  const before = await snapshot();
  await applyAndDie('a');
  await applyAndDie('b', ['v0', 'v1']);
  await undo('a');
  expect(await portRange()).toBe('16384-32767');
  await undo('b');
  expect(await snapshot()).toBe(before);
  expect(readdirSync(root)).toEqual([]);
});

it('is undone although its interfaces have gone', async () => {
  await ip(ns, 'link add w0 type veth peer name w1');
  await applyAndDie('a', ['w0', 'w1']);
  await ip(ns, 'link del w0');
  expect(await undo()).toMatchObject({ found: true, kept: [], failed: [] });
  expect((await ns.exec('ip -o link')).stdout).not.toContain('natgate');
  expect(await portRange()).toBe('32768-60999');
});

it('takes no device of the same name for its own', async () => {
  await ip(ns, 'link add natgate-g1 type veth peer name x1');
  const before = await snapshot();
  await expect(applyAndDie()).rejects.toThrow(/an interface natgate-g1 exists already/);
  expect(await snapshot()).toBe(before);
  await ip(ns, 'link del x1');
});

it('is not undone from another network namespace', async () => {
  await applyAndDie();
  const error = await evaluate<{ code: string }>(
    topology.client,
    `try { (await load('plan/undo')).undoJournal(${JSON.stringify(root)}, 'a'); } catch ({ code }) { print({ code }); }`,
  );
  expect(error.code).toBe('gateway_elsewhere');
  expect(await undo()).toMatchObject({ found: true, failed: [] });
});
