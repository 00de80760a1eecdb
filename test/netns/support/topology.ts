/**
 * The network that every namespace test runs in:
 *
 *     ┌── client ──┐        ┌──────── gateway ────────┐        ┌── server ──┐
 *     │ 10.77.0.2  │        │ 10.77.0.1    198.18.0.1 │        │ 198.18.0.2 │
 *     │         c0 ╞════════╡ g0                   g1 ╞════════╡ s0         │
 *     └────────────┘ veth   └─────────────────────────┘  veth  └────────────┘
 *      default via 10.77.0.1    default via 198.18.0.2    no route to 10.77.0.0/24:
 *                                                         who reaches it was translated
 *
 * Each call makes three namespaces of its own, named after the test run, so that a later run can remove what a
 * killed one has left (`removeStale`). The gateway neither forwards (net.ipv4.ip_forward=0) nor has netfilter rules.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Background, type CommandResult, type RunOptions, run, until } from './process.ts';

export const CLIENT = '10.77.0.2';
export const GATEWAY_PRIVATE = '10.77.0.1';
export const GATEWAY_PUBLIC = '198.18.0.1';
export const SERVER = '198.18.0.2';
/** A second address of the server's, for what must tell remote hosts apart. */
export const SERVER_2 = '198.18.0.3';

export const PREFIX = 'ngtest-';
/** Gateways of the tests keep their run directories here, by namespace: those of others on this host are elsewhere. */
const STATE_FOLDER = '/run/natgate-test';
const NAMESPACES = '/run/netns';

export class Namespace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** For `--state-root`. Goes with the namespace. */
  get stateRoot(): string {
    return join(STATE_FOLDER, this.name);
  }

  /** Runs a command line inside; words are split at spaces, an array is taken as it is. */
  exec(command: string | readonly string[], options?: RunOptions): Promise<CommandResult> {
    return run(this.argv(command), options);
  }

  /** Runs a shell script inside. */
  shell(script: string, options?: RunOptions): Promise<CommandResult> {
    return run(this.argv(['sh', '-c', script]), options);
  }

  /** Starts a process inside that goes on. */
  spawn(command: string | readonly string[], env?: Record<string, string>): Background {
    return new Background(this.argv(command), env);
  }

  /** `ip netns exec` replaces itself by the command, so the child's pid is the command's. */
  argv(command: string | readonly string[]): string[] {
    return [
      'ip',
      'netns',
      'exec',
      this.name,
      ...(typeof command === 'string' ? command.split(' ') : command),
    ];
  }

  /** Hardware address of an interface, `02:…`. */
  async mac(device: string): Promise<string> {
    return (await this.exec(`cat /sys/class/net/${device}/address`)).stdout.trim();
  }

  /** Pids of all processes inside. */
  pids(): number[] {
    return execFileSync('ip', ['netns', 'pids', this.name], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean)
      .map(Number);
  }
}

export interface Topology {
  client: Namespace;
  gateway: Namespace;
  server: Namespace;
  /** Further namespaces of a test, removed together with the three. */
  extra: Namespace[];
  /** Ends all processes inside and removes the namespaces. */
  destroy(): Promise<void>;
}

let made = 0;

export async function createTopology(): Promise<Topology> {
  const label = `${PREFIX}${process.env['NATGATE_TEST_RUN'] ?? process.pid}-${process.pid}x${++made}`;
  const client = new Namespace(`${label}-client`);
  const gateway = new Namespace(`${label}-gateway`);
  const server = new Namespace(`${label}-server`);
  const all = [client, gateway, server];
  const extra: Namespace[] = [];
  const onExit = () => removeNamespaces([...all, ...extra].map((ns) => ns.name));
  process.on('exit', onExit);
  for (const ns of all) {
    await run(['ip', 'netns', 'add', ns.name]);
    // Addresses are there at once: duplicate detection would delay link-local ones by a second or two. The kernels'
    // own ICMP errors are not rationed, so that no test eats another's.
    await ns.exec(
      'sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_forward=0 net.ipv4.icmp_ratemask=0',
    );
    await ip(ns, 'link set lo up');
  }
  await run(`ip link add c0 netns ${client.name} type veth peer name g0 netns ${gateway.name}`.split(' '));
  await run(`ip link add s0 netns ${server.name} type veth peer name g1 netns ${gateway.name}`.split(' '));
  await ip(client, `addr add ${CLIENT}/24 dev c0`);
  await ip(gateway, `addr add ${GATEWAY_PRIVATE}/24 dev g0`);
  await ip(gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
  await ip(server, `addr add ${SERVER}/24 dev s0`);
  await ip(server, `addr add ${SERVER_2}/24 dev s0`);
  await ip(client, 'link set c0 up');
  await ip(gateway, 'link set g0 up');
  await ip(gateway, 'link set g1 up');
  await ip(server, 'link set s0 up');
  await ip(client, `route add default via ${GATEWAY_PRIVATE}`);
  await ip(gateway, `route add default via ${SERVER}`);
  // Carrier comes a moment after `up`, and with it the link-local addresses: wait, or snapshots would differ.
  await until('the links are up', async () => {
    const { stdout } = await ip(gateway, '-br addr show');
    return /^g0@.* UP .*fe80::/m.test(stdout) && /^g1@.* UP .*fe80::/m.test(stdout);
  });
  return {
    client,
    gateway,
    server,
    extra,
    async destroy() {
      process.off('exit', onExit);
      onExit();
    },
  };
}

/** Runs an `ip` command on a namespace from outside. */
export function ip(ns: Namespace, command: string): Promise<CommandResult> {
  return run(['ip', '-n', ns.name, ...command.split(' ')]);
}

/**
 * Ends what runs inside the namespaces, and removes them with their state directories and what is mounted there.
 * Synchronous, for the exit of the process.
 */
export function removeNamespaces(names: readonly string[]): void {
  for (const name of names) {
    const ns = new Namespace(name);
    if (existsSync(join(NAMESPACES, name))) {
      for (const pid of ns.pids()) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // ended by itself meanwhile
        }
      }
      execFileSync('ip', ['netns', 'del', name]);
    }
    if (!existsSync(ns.stateRoot)) continue;
    while (spawnSync('umount', ['-l', ns.stateRoot], { stdio: 'ignore' }).status === 0); // until nothing is mounted there
    rmSync(ns.stateRoot, { recursive: true, force: true });
  }
}

/**
 * Removes the namespaces and state directories of test runs that are no more; `run` (a pid) is one that is to go as well.
 */
export function removeStale(run?: number): void {
  const names = new Set(
    [NAMESPACES, STATE_FOLDER]
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder)),
  );
  const stale = [...names].filter((name) => {
    if (!name.startsWith(PREFIX)) return false;
    const pid = Number.parseInt(name.slice(PREFIX.length), 10);
    return pid === run || !existsSync(`/proc/${pid}`);
  });
  removeNamespaces(stale);
}
