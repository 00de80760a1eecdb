/**
 * Three network namespaces joined by veth pairs:
 *
 *     client (10.77.0.2/24) ─ c0 ══ g0 (10.77.0.1) gateway (198.18.0.1) g1 ══ s0 ─ server (198.18.0.2/24)
 *
 * The server has 198.18.64.0/18 as well, for workloads with many destinations, and no route to 10.77.0.0/24: answers
 * come back to translated packets only. IPv6 is off, so that no traffic is there but the workload's. Every contender has
 * a topology of its own for a round; TCP remembers nothing from one workload for the next. Names hold the pid, so several
 * runs can share a machine.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../src/core/errors.ts';
import { Child, run, type StartOptions } from './processes.ts';

export const CLIENT_ADDRESS = '10.77.0.2';
export const GATEWAY_PRIVATE_ADDRESS = '10.77.0.1';
export const GATEWAY_PUBLIC_ADDRESS = '198.18.0.1';
export const SERVER_ADDRESS = '198.18.0.2';
/** The server's other addresses. */
export const SERVER_NETWORK = '198.18.64.0/18';

/** One of the server's other addresses, from 0. */
export function serverAddress(index: number): string {
  return `198.18.${64 + (index >> 8)}.${index & 255}`;
}

const open = new Set<Topology>();
let created = 0;

export class Topology {
  /** Unique; also the prefix of the namespaces' names. */
  readonly name: string;
  readonly client: string;
  readonly gateway: string;
  readonly server: string;
  /** Where a natgate of this topology keeps its state; goes with it, however that natgate ended. */
  readonly stateRoot: string;
  /** Pids of the processes that move the packets; set when the contender has started. */
  carriers: readonly number[] = [];
  /** What one workload found out about the contender and another needs, by name. */
  notes = new Map<string, number>();
  readonly #children: Child[] = [];

  private constructor() {
    this.name = `bn-${process.pid}-${created++}`;
    this.stateRoot = `/run/${this.name}`;
    this.client = `${this.name}-client`;
    this.gateway = `${this.name}-gateway`;
    this.server = `${this.name}-server`;
  }

  static async create(): Promise<Topology> {
    const topology = new Topology();
    open.add(topology);
    try {
      await topology.#build();
    } catch (error) {
      await topology.close();
      throw error;
    }
    return topology;
  }

  /** `ip -n NAMESPACE ARGS`, the arguments given as one line. */
  async ip(namespace: string, line: string): Promise<string> {
    return await run('ip', ['-n', namespace, ...line.split(' ')]);
  }

  /** Sets a sysctl such as `net.ipv4.ip_forward` inside a namespace. */
  async sysctl(namespace: string, key: string, value: string): Promise<void> {
    const file = `/proc/sys/${key.replaceAll('.', '/')}`;
    await this.run(namespace, 'sh', ['-c', `echo '${value}' > ${file}`]);
  }

  /** Runs a command inside a namespace to its successful end and returns its stdout. */
  async run(
    namespace: string,
    command: string,
    args: readonly string[],
    timeoutMs?: number,
  ): Promise<string> {
    return await this.start(namespace, command, args).finish(timeoutMs ?? 20_000);
  }

  /** Starts a command inside a namespace. `ip netns exec` becomes the command, so the pid is the command's. */
  start(namespace: string, command: string, args: readonly string[], options?: StartOptions): Child {
    const label = basename(command);
    const child = new Child('ip', ['netns', 'exec', namespace, command, ...args], { label, ...options });
    this.#children.push(child);
    return child;
  }

  /** Waits until the client has an IPv4 address and a default route, as contenders bring that do not use c0. */
  async clientConfigured(contender: Child): Promise<void> {
    for (let attempt = 0; attempt < 200 && contender.ended === undefined; attempt++) {
      const addresses = await this.ip(this.client, '-4 -o address show scope global');
      const routes = await this.ip(this.client, 'route show default');
      if (addresses !== '' && routes !== '') return;
      await sleep(25);
    }
    throw new NatgateError(
      'BENCH_CONTENDER_FAILED',
      `it did not configure the client: ${contender.ended ?? ''} ${contender.lastWords()}`,
    );
  }

  /** Stops what was started in it, last first, and removes the namespaces. */
  async close(): Promise<void> {
    for (const child of this.#children.reverse()) await child.stop();
    this.remove();
  }

  /** Removes the namespaces and the state. Synchronous: an interrupted run ends with it. */
  remove(): void {
    for (const namespace of [this.client, this.gateway, this.server]) {
      try {
        execFileSync('ip', ['netns', 'delete', namespace], { stdio: 'ignore' });
      } catch {
        // It was not created.
      }
    }
    rmSync(this.stateRoot, { recursive: true, force: true });
    open.delete(this);
  }

  async #build(): Promise<void> {
    const { client, gateway, server } = this;
    for (const namespace of [client, gateway, server]) {
      await run('ip', ['netns', 'add', namespace]);
      await this.sysctl(namespace, 'net.ipv6.conf.all.disable_ipv6', '1');
      await this.sysctl(namespace, 'net.ipv4.tcp_no_metrics_save', '1');
      await this.ip(namespace, 'link set lo up');
    }
    await this.ip(client, `link add c0 type veth peer name g0 netns ${gateway}`);
    await this.ip(server, `link add s0 type veth peer name g1 netns ${gateway}`);
    await this.ip(client, `address add ${CLIENT_ADDRESS}/24 dev c0`);
    await this.ip(gateway, `address add ${GATEWAY_PRIVATE_ADDRESS}/24 dev g0`);
    await this.ip(gateway, `address add ${GATEWAY_PUBLIC_ADDRESS}/24 dev g1`);
    await this.ip(server, `address add ${SERVER_ADDRESS}/24 dev s0`);
    await this.ip(client, 'link set c0 up');
    await this.ip(gateway, 'link set g0 up');
    await this.ip(gateway, 'link set g1 up');
    await this.ip(server, 'link set s0 up');
    await this.ip(client, `route add default via ${GATEWAY_PRIVATE_ADDRESS}`);
    await this.ip(server, `route add local ${SERVER_NETWORK} dev lo`);
    await this.ip(gateway, `route add ${SERVER_NETWORK} via ${SERVER_ADDRESS}`);
  }
}

/** Removes the namespaces of every topology that is still there. */
export function removeAll(): void {
  for (const topology of [...open]) topology.remove();
}
