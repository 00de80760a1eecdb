/** Segmentation and coalescing off, on every interface between client and server. */
import type { Topology } from '../topology.ts';

const FEATURES = ['tso', 'gso', 'gro'];

/** Runs `work` with the offloads off; they are on again afterwards, for the workloads that follow. */
export async function withoutOffloads<T>(topology: Topology, work: () => Promise<T>): Promise<T> {
  await setAll(topology, 'off');
  try {
    return await work();
  } finally {
    await setAll(topology, 'on');
  }
}

async function setAll(topology: Topology, state: 'on' | 'off'): Promise<void> {
  const settings = FEATURES.flatMap((feature) => [feature, state]);
  for (const [namespace, names] of [
    [topology.client, await clientInterfaces(topology)],
    [topology.gateway, ['g0', 'g1']],
    [topology.server, ['s0']],
  ] as const) {
    for (const name of names) {
      // One that a contender has taken away (g0), or a TAP that never had offloads, needs no change.
      await topology.run(namespace, 'sh', [
        '-c',
        '! [ -e "/sys/class/net/$0" ] || ethtool -K "$0" "$@"',
        name,
        ...settings,
      ]);
    }
  }
}

/** c0, or what a contender has put in its place. */
async function clientInterfaces(topology: Topology): Promise<string[]> {
  const routes = await topology.ip(topology.client, '-json route show default');
  return (JSON.parse(routes) as { dev: string }[]).map((route) => route.dev);
}
