/** The topology for what happens to a host under a gateway that runs: flows through it, and whether they still live afterwards. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { readJournal } from '../../../src/host/plan/journal.ts';
import { Agent, type Socket } from './agent.ts';
import { Natgate, READY } from './gateway.ts';
import { until } from './process.ts';
import {
  CLIENT,
  createTopology,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  ip,
  SERVER,
  type Topology,
} from './topology.ts';

export interface FaultBed {
  topology: Topology;
  client: Agent;
  server: Agent;
  gateway: Natgate;
  /** Starts it with this configuration beside the two interfaces; the file is in a folder of its own. */
  start(text?: string, args?: readonly string[]): Promise<Natgate>;
  /** Connections, and a UDP flow, that have said something. */
  talk(): Promise<Talk>;
}

export interface Talk {
  /** All of it says something again, by the same sockets. */
  goesOn(): Promise<void>;
}

/** Fresh for each test; the gateway, where one was started, must end with 0 and leave nothing. */
export function useFaultBed(): FaultBed {
  const bed = {} as FaultBed;
  let folder: string;
  let gateway: Natgate | undefined;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'natgate-test-'));
    bed.topology = await createTopology();
    bed.client = await Agent.start(bed.topology.client);
    bed.server = await Agent.start(bed.topology.server);
    await bed.server.tcpEcho(7);
    await bed.server.udpEcho(7);
  });
  bed.start = async (text = '', args = []) => {
    const file = join(folder, 'natgate.yaml');
    writeFileSync(file, `private: g0\npublic: g1\n${text}`);
    const launched = Natgate.launch(bed.topology.gateway, ['--config', file, ...args]);
    try {
      await launched.process.shows(READY, 45_000);
    } catch (error) {
      await launched.cleanUp();
      throw error;
    }
    bed.gateway = launched;
    gateway = launched;
    return launched;
  };
  bed.talk = async () => {
    const connections: Socket[] = [];
    for (let i = 0; i < 4; i++) connections.push(await bed.client.connect([SERVER, 7]));
    const datagrams = await bed.client.udp();
    await datagrams.call('connect', [SERVER, 7]);
    const goesOn = async () => {
      const text = `${Math.random()}`;
      for (const connection of connections) expect(await connection.echo(text)).toBe(text);
      await datagrams.call('send', Buffer.from(text));
      expect((await datagrams.receive()).toString()).toBe(text);
    };
    await goesOn();
    return { goesOn };
  };
  afterEach(async () => {
    try {
      await gateway?.stop();
    } finally {
      gateway = undefined;
      await bed.topology.destroy();
      rmSync(folder, { recursive: true, force: true });
    }
  });
  return bed;
}

/** Makes the link to the client again, after its end in the gateway was deleted. */
export async function makePrivate({ client, gateway }: Topology): Promise<void> {
  await ip(gateway, `link add g0 type veth peer name c0 netns ${client.name}`);
  await ip(client, `addr add ${CLIENT}/24 dev c0`);
  await ip(gateway, `addr add ${GATEWAY_PRIVATE}/24 dev g0`);
  await ip(client, 'link set c0 up');
  await ip(gateway, 'link set g0 up');
  await ip(client, `route add default via ${GATEWAY_PRIVATE}`);
}

/** Likewise the link to the server. */
export async function makePublic({ gateway, server }: Topology): Promise<void> {
  await ip(gateway, `link add g1 type veth peer name s0 netns ${server.name}`);
  await ip(server, `addr add ${SERVER}/24 dev s0`);
  await ip(gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
  await ip(server, 'link set s0 up');
  await ip(gateway, 'link set g1 up');
  await ip(gateway, `route add default via ${SERVER}`);
}

/** Indexes of interfaces that the journal has something of; TUNs are not among them. */
export function journalled({ ns, name }: Natgate): number[] {
  const entries = readJournal(ns.stateRoot, name)?.entries ?? [];
  const indexes = entries.flatMap(({ undo }) =>
    'interface' in undo && !undo.interface.name.startsWith('natgate-') ? [undo.interface.index] : [],
  );
  return [...new Set(indexes)].sort((a, b) => a - b);
}

export async function indexOf({ gateway }: Topology, device: string): Promise<number> {
  return Number((await gateway.exec(`cat /sys/class/net/${device}/ifindex`)).stdout);
}

/** How often the gateway has put something right, by kind. */
export async function repairs(gateway: Natgate): Promise<Record<string, number>> {
  return (await gateway.status())['repairs'] as Record<string, number>;
}

export async function repaired(gateway: Natgate, kind: string, times = 1): Promise<void> {
  await until(
    `${times} repairs of ${kind}`,
    async () => ((await repairs(gateway).catch(() => undefined))?.[kind] ?? 0) >= times,
    15_000,
  );
}
