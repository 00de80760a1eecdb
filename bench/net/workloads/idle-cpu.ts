/** What a gateway costs that has nothing to do. */
import { setTimeout as sleep } from 'node:timers/promises';
import { threadSeconds } from '../proc.ts';
import type { Workload } from '../types.ts';

const SETTLE_MS = 500;

export const idleCpu: Workload = {
  name: 'idle-cpu',
  title: 'CPU time of an idle gateway, of one processor',
  about: 'Nothing flows for two seconds. All threads of the gateway, as the scheduler counts them.',
  unit: '%',
  better: 'lower',
  digits: 2,
  needs: [],
  without: { kernel: 'it has no process' },
  // What it has just done, it has finished by then.
  warmUp: async () => await sleep(SETTLE_MS),
  async run(topology, seconds) {
    const before = threadSeconds(topology.carriers);
    const begun = performance.now();
    await sleep(Math.max(0.5, 2 * seconds) * 1000);
    const spent = threadSeconds(topology.carriers) - before;
    return { value: (100 * spent * 1000) / (performance.now() - begun) };
  },
};
