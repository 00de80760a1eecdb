/**
 * Null forwarders: on natgate's own TUNs, with its own steering programs, something that swaps two fixed addresses and does
 * nothing else. What the kernel's part costs is the same as for natgate, so the difference is natgate's doing.
 */
import { fileURLToPath } from 'node:url';
import { bundle, compile, GCC } from '../../tools.ts';
import { CLIENT_ADDRESS, GATEWAY_PUBLIC_ADDRESS } from '../../topology.ts';
import type { Contender } from '../../types.ts';
import { workloads } from '../../workloads/index.ts';

const SETUP = fileURLToPath(new URL('./null-setup.ts', import.meta.url));
const LOOP = fileURLToPath(new URL('./null-loop.ts', import.meta.url));
const NOT_ITS = ['new-tcp-connections', 'new-udp-flows'];

/** `build` returns the forwarder's command line, without the two addresses. */
function nullForwarder(
  name: string,
  about: string,
  needs: Contender['needs'],
  build: () => Promise<string[]>,
): Contender {
  let setup = '';
  let command: string[] = [];
  return {
    name,
    about: `${about} Swaps two fixed addresses, on the TUNs and with the steering of natgate. Keeps nothing about flows.`,
    needs,
    workloads: workloads.map((workload) => workload.name).filter((workload) => !NOT_ITS.includes(workload)),
    limits: 'it knows one client, and no flows',
    async prepare() {
      setup = await bundle(SETUP);
      command = await build();
    },
    async start(topology) {
      const args = [setup, topology.name, 'g0', 'g1', ...command, CLIENT_ADDRESS, GATEWAY_PUBLIC_ADDRESS];
      const env = { ...process.env, NATGATE_STATE_ROOT: topology.stateRoot };
      const gateway = topology.start(topology.gateway, process.execPath, args, { env });
      await gateway.output(/^set up$/m, 15_000);
      return [gateway];
    },
  };
}

export const nullC = nullForwarder(
  'null-c',
  'A C program of its own with the tightest loop it can have.',
  GCC,
  async () => [await compile('null-forwarder')],
);

export const nullTs = nullForwarder(
  'null-ts',
  "The addon's `exchange` and a TypeScript loop with nothing in it.",
  [],
  async () => [process.execPath, await bundle(LOOP)],
);
