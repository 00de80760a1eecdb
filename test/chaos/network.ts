/**
 * The network of a chaos run:
 *
 *     first  10.77.0.2 c0 ══ g0 10.77.0.1 ┐                             ┌ relay ┐
 *     second 10.78.0.2 c0 ══ g2 10.78.0.1 ┼ gateway g1 198.18.0.1 ══ r0 ┤ faults├ r1 ══ s0 198.18.0.2 server, 203.0.113.10
 *     crowd  10.79.0.2 c0 ══ g3 10.79.0.1 ┘                             └───────┘
 *
 * Transfers are between first and second and the server's 203.0.113.10, which is behind the gateway's default route. The crowd floods. The
 * relay is a program that carries frames (bench/c/fault-relay.c). Nothing is left to devices: the frames on the public link
 * are whole, with their checksums.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { compile } from '../../bench/net/tools.ts';
import { type Background, run, until } from '../netns/support/process.ts';
import { ip, Namespace, PREFIX, removeNamespaces } from '../netns/support/topology.ts';
import { cable } from '../netns/support/wiring.ts';

/** Where transfers go. */
export const REMOTE = '203.0.113.10';
/** The gateway's address outside, and another that it may get. */
export const PUBLIC = '198.18.0.1';
export const OTHER_PUBLIC = '198.18.0.9';
/** Two ways to everywhere, which are one. */
export const NEXT_HOP = '198.18.0.2';
export const OTHER_NEXT_HOP = '198.18.0.3';

const NAMES = ['first', 'second', 'crowd', 'gateway', 'relay', 'server'] as const;
const CLIENTS = { first: ['g0', '10.77.0'], second: ['g2', '10.78.0'], crowd: ['g3', '10.79.0'] } as const;

/** Loss, duplication, reordering, corruption, truncation: chances; delay: ms. */
export interface RelayFaults {
  loss?: number;
  duplicate?: number;
  reorder?: number;
  corrupt?: number;
  truncate?: number;
  delay?: number;
}

export type Network = Record<(typeof NAMES)[number], Namespace> & {
  /** Sets what the relay does from now on. */
  setFaults(faults: RelayFaults): void;
  /** Ends what runs inside, and removes it. Synchronous. */
  destroy(): void;
};

const DISK = 'size=256m';

let made = 0;

export async function createNetwork(seed: number): Promise<Network> {
  const label = `${PREFIX}${process.env['NATGATE_TEST_RUN'] ?? process.pid}-${process.pid}chaos${++made}`;
  const network = Object.fromEntries(
    NAMES.map((name) => [name, new Namespace(`${label}-${name}`)]),
  ) as unknown as Network;
  const { stateRoot } = network.gateway;
  const onExit = () => removeNamespaces(NAMES.map((name) => network[name].name));
  network.destroy = () => {
    process.off('exit', onExit);
    onExit();
  };
  process.on('exit', onExit);
  // A disk of its own, which can be full.
  mkdirSync(stateRoot, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', DISK, 'tmpfs', stateRoot]);
  for (const name of NAMES) {
    await run(['ip', 'netns', 'add', network[name].name]);
    await network[name].exec('sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=0');
    await ip(network[name], 'link set lo up');
  }
  const { gateway, relay, server } = network;
  for (const [name, [device, net]] of Object.entries(CLIENTS)) {
    const ns = network[name as keyof typeof CLIENTS];
    await cable(
      { ns, device: 'c0', address: `${net}.2/24` },
      { ns: gateway, device, address: `${net}.1/24` },
    );
    await ip(ns, `route add default via ${net}.1`);
  }
  await cable({ ns: relay, device: 'r0' }, { ns: gateway, device: 'g1', address: `${PUBLIC}/24` });
  await cable({ ns: relay, device: 'r1' }, { ns: server, device: 's0', address: `${NEXT_HOP}/24` });
  await ip(server, `addr add ${OTHER_NEXT_HOP}/24 dev s0`);
  await ip(server, `addr add ${REMOTE}/32 dev lo`);
  // What its programs answer to datagrams is from there, too.
  await ip(server, `route replace 198.18.0.0/24 dev s0 src ${REMOTE}`);
  for (const [ns, device] of [
    [gateway, 'g1'],
    [server, 's0'],
  ] as const) {
    await ns.exec(`ethtool -K ${device} tx off tso off gso off gro off`);
  }
  await ip(gateway, `route add default via ${NEXT_HOP}`);
  const wire = relay.spawn([await compile('fault-relay'), 'r0', 'r1', `${seed}`]);
  network.setFaults = (faults) => setFaults(wire, faults);
  await wire.shows(/^ready$/m);
  // Carrier comes a moment after `up`: wait, or snapshots would differ.
  await until('the links are up', async () => {
    const { stdout } = await ip(gateway, '-br link show type veth');
    return stdout
      .trim()
      .split('\n')
      .every((line) => / UP /.test(line));
  });
  await until('the network is up', async () => {
    const { code } = await gateway.exec(`ping -c 1 -W 1 ${REMOTE}`, { check: false });
    return code === 0;
  });
  return network;
}

function setFaults(wire: Background, faults: RelayFaults): void {
  const { loss = 0, duplicate = 0, reorder = 0, corrupt = 0, truncate = 0, delay = 0 } = faults;
  wire.child.stdin!.write(`${[loss, duplicate, reorder, corrupt, truncate, delay].join(' ')}\n`);
}
