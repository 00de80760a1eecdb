/** Starts and stops the gateways of the tests. */
import { describe } from 'vitest';
import { contender } from './contender.ts';
import { type Gateway, Natgate } from './natgate.ts';
import type { Namespace, Topology } from './topology.ts';

export { type Gateway, Natgate, READY } from './natgate.ts';

/** `describe` for what the kernel's recipe does not do. */
export const natgateOnly = describe.skipIf(contender === 'kernel');

/** Starts the contender of this run. `args` are further arguments of `natgate run`. */
export function startGateway(t: Topology, args: readonly string[] = []): Promise<Gateway> {
  return contender === 'kernel' ? startKernel(t.gateway) : Natgate.start(t.gateway, args);
}

export async function startKernel(ns: Namespace): Promise<Gateway> {
  const rules = [
    '-t nat -A POSTROUTING -o g1 -j MASQUERADE',
    '-A FORWARD -i g0 -o g1 -j ACCEPT',
    '-A FORWARD -i g1 -o g0 -m state --state RELATED,ESTABLISHED -j ACCEPT',
    '-P FORWARD DROP',
  ];
  await ns.exec('sysctl -qw net.ipv4.ip_forward=1');
  for (const rule of rules) await ns.exec(`iptables -w ${rule}`);
  return {
    async stop() {
      for (const command of ['-t nat -F', '-F', '-P FORWARD ACCEPT']) await ns.exec(`iptables -w ${command}`);
      await ns.exec('sysctl -qw net.ipv4.ip_forward=0');
    },
  };
}
