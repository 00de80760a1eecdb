/** HostWatch: what it calls back when the host changes. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { parseAddress } from '../../src/wire/address.ts';
import { printed, start } from './host-evaluate.ts';
import { type Background, sleep, until } from './support/process.ts';
import { createTopology, ip, type Topology } from './support/topology.ts';

interface Event {
  event: 'ready' | 'host' | 'neighbour';
  interface?: number;
  address?: number;
  failed?: boolean;
}

let topology: Topology;
let watcher: Background;

const events = () => printed<Event>(watcher);
const changes = () => events().filter((event) => event.event === 'host').length;
const neighbour = (text: string) =>
  events().filter((event) => event.event === 'neighbour' && event.address === parseAddress(text));

beforeAll(async () => {
  topology = await createTopology();
  watcher = start(
    topology.gateway,
    `const { HostWatch } = await load('netlink/watch');
     new HostWatch({
       onHostChange: () => print({ event: 'host' }),
       onNeighbour: (neighbour) => print({ event: 'neighbour', ...neighbour }),
     });
     process.stdin.resume();
     print({ event: 'ready' });`,
  );
  await watcher.shows(/ready/);
});
afterAll(() => topology.destroy());

beforeEach(async () => {
  // Quiet at first: what the test before has caused is told by now.
  let before: number;
  do {
    before = events().length;
    await sleep(150);
  } while (events().length !== before);
});

it.each([
  ['an address', 'addr add 10.78.0.1/24 dev g0', 'addr del 10.78.0.1/24 dev g0'],
  ['a route', 'route add 192.0.2.0/24 via 198.18.0.2', 'route del 192.0.2.0/24'],
  ['a rule', 'rule add fwmark 7 lookup 77', 'rule del fwmark 7 lookup 77'],
  ['an MTU', 'link set g1 mtu 1400', 'link set g1 mtu 1500'],
  ['a new interface', 'link add v0 type veth peer name v1', 'link del v0'],
])('tells of %s, coming and going', async (_, there, back) => {
  for (const command of [there, back]) {
    const before = changes();
    await ip(topology.gateway, command);
    await until(`a change after ip ${command}`, () => changes() > before);
  }
});

it('tells of a swarm of changes a few times, not each time', async () => {
  const before = changes();
  const batch = Array.from(
    { length: 300 },
    (_, i) => `route add 192.0.2.${i % 256}/32 via 198.18.0.${2 + (i >> 8)} metric ${i}\n`,
  );
  await topology.gateway.exec('ip -batch -', { input: batch.join('') });
  await until('a change', () => changes() > before);
  await sleep(200);
  expect(changes() - before).toBeLessThan(30);
});

it('tells of a neighbour that does not answer, and of one that does again', async () => {
  const g0 = Number((await topology.gateway.exec('cat /sys/class/net/g0/ifindex')).stdout);
  await topology.gateway.exec('ping -c1 -W1 10.77.0.99', { check: false });
  const failure = await until('a failed neighbour', () => neighbour('10.77.0.99').at(-1));
  expect(failure).toMatchObject({ interface: g0, failed: true });
  await ip(topology.client, 'addr add 10.77.0.99/24 dev c0');
  await topology.gateway.exec('ping -c1 -W3 10.77.0.99');
  await until('a neighbour that answers', () => neighbour('10.77.0.99').at(-1)?.failed === false);
});

it('takes everything for changed when events were lost', async () => {
  await topology.gateway.exec('ping -c1 -W1 10.77.0.98', { check: false });
  await until('a failed neighbour', () => neighbour('10.77.0.98').at(-1)?.failed === true);
  const told = neighbour('10.77.0.98').length;
  // However long that takes, it reads none of it.
  watcher.child.kill('SIGSTOP');
  // More than its buffer of a few megabytes holds.
  const lines = Array.from(
    { length: 60_000 },
    (_, i) => `10.${64 + (i >> 14)}.${(i >> 6) & 255}.${(i & 63) << 2}/30`,
  );
  const batch = lines.map((prefix) => `route add ${prefix} via 198.18.0.2\n`).join('');
  await topology.gateway.exec('ip -force -batch -', { input: batch });
  const before = changes();
  watcher.child.kill('SIGCONT');
  await until('a change', () => changes() > before, 15_000);
  // The neighbours are told anew, without any event of theirs.
  await until('the failed neighbour, again', () => neighbour('10.77.0.98').length > told, 15_000);
  expect(watcher.running, watcher.stderr).toBe(true);
});
