import type { Contender } from '../types.ts';

/** The reference: what natgate replaces. Started with the recipe as people write it. */
export const kernel: Contender = {
  name: 'kernel',
  about:
    'The recipe: `ip_forward=1`, iptables MASQUERADE and three FORWARD rules. Moves packets in the kernel; ' +
    'no process of its own, so its gateway CPU time is not shown.',
  needs: [{ command: 'iptables', package: 'iptables' }],
  async start(topology) {
    const { gateway } = topology;
    await topology.sysctl(gateway, 'net.ipv4.ip_forward', '1');
    for (const rule of [
      '-t nat -A POSTROUTING -o g1 -j MASQUERADE',
      '-A FORWARD -i g0 -o g1 -j ACCEPT',
      '-A FORWARD -i g1 -o g0 -m state --state RELATED,ESTABLISHED -j ACCEPT',
      '-P FORWARD DROP',
    ]) {
      await topology.run(gateway, 'iptables', rule.split(' '));
    }
    return [];
  },
};
