/** What stands between the private host and the internet: each in namespaces of its own, which stay for all rounds. */
import { NatgateError } from '../../core/errors.ts';
import type { Child, Children } from '../lab/children.ts';
import { applyKernelRecipe } from '../lab/kernel-recipe.ts';
import { node, script } from '../lab/scripts.ts';
import type { Tool } from '../lab/tools.ts';
import { GATEWAY_PRIVATE, type LabTopology, PRIVATE_HOST } from '../lab/topology.ts';
import type { ContenderName } from './options.ts';

/** A place where a contender runs. */
export interface Site {
  /** Unique on this machine. */
  name: string;
  topology: LabTopology;
  children: Children;
  signal: AbortSignal;
}

export interface Contender {
  name: ContenderName;
  /** Without it there is no such contender. */
  tool?: Tool;
  /** Whether the tool is worth an installation; else it is compared only where it is. */
  installs: boolean;
  /** Resolves once packets can flow. */
  start(site: Site): Promise<void>;
}

const natgate: Contender = {
  name: 'natgate',
  installs: false,
  async start({ name, topology, children, signal }) {
    const argv = node(script('../main'), 'run', '--private', 'g0', '--public', 'g1', '--name', name);
    const gateway = children.start('natgate', topology.inside(topology.gateway, argv));
    await gateway.shows(/^natgate: ready /m, signal);
  },
};

const kernel: Contender = {
  name: 'kernel',
  tool: { binary: 'iptables', package: 'iptables' },
  installs: true,
  async start(site) {
    const refused = await applyKernelRecipe(site);
    if (refused !== null) throw new NatgateError('bench_failed', refused);
  },
};

const slirp4netns: Contender = {
  name: 'slirp4netns',
  tool: { binary: 'slirp4netns', package: 'slirp4netns' },
  installs: false,
  async start(site) {
    await makeRoomForTap(site);
    const { topology } = site;
    await startTap(site, [
      ...['slirp4netns', '--configure', '--mtu=65520', '--disable-host-loopback'],
      ...['--netns-type=path', `/run/netns/${topology.private}`, 'tap0'],
    ]);
  },
};

const pasta: Contender = {
  name: 'pasta',
  tool: { binary: 'pasta', package: 'passt' },
  installs: false,
  async start(site) {
    await makeRoomForTap(site);
    const line =
      `pasta -f --ipv4-only --runas 0 -i g1 --config-net -a ${PRIVATE_HOST} -g ${GATEWAY_PRIVATE} -n 24 ` +
      `-t none -u none -T none -U none --netns /run/netns/${site.topology.private}`;
    await startTap(site, line.split(' '));
  },
};

export const contenders: readonly Contender[] = [natgate, kernel, slirp4netns, pasta];

/** Both bring a TAP in place of the private host's link, and ping from sockets that a new namespace allows to nobody. */
async function makeRoomForTap({ topology, children }: Site): Promise<void> {
  await children.run('topology', ['ip', '-n', topology.private, 'link', 'delete', 'c0']);
  const sysctl = ['sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647'];
  await children.run('topology', topology.inside(topology.gateway, sysctl));
}

async function startTap(site: Site, argv: readonly string[]): Promise<void> {
  const { topology, children } = site;
  const process = children.start(argv[0]!, topology.inside(topology.gateway, argv));
  await configured(site, process);
}

/** The private host has an address and a default route again. */
async function configured({ topology, children }: Site, process: Child): Promise<void> {
  const ask = async (line: string) =>
    (await children.run('topology', ['ip', '-n', topology.private, ...line.split(' ')])).stdout;
  const deadline = performance.now() + 5000;
  while (!process.ended && performance.now() < deadline) {
    const address = await ask('-4 -o address show scope global');
    if (address !== '' && (await ask('route show default')) !== '') return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw process.failure('did not configure the private host');
}
