/** The recipe that natgate replaces, inside the lab's gateway namespace: what the lab compares with. */
import type { Lab } from './context.ts';

const RECIPE = [
  'sysctl -qw net.ipv4.ip_forward=1',
  'iptables -w -t nat -A POSTROUTING -o g1 -j MASQUERADE',
  'iptables -w -A FORWARD -i g0 -o g1 -j ACCEPT',
  'iptables -w -A FORWARD -i g1 -o g0 -m state --state RELATED,ESTABLISHED -j ACCEPT',
  'iptables -w -P FORWARD DROP',
];

/** It stays until the namespace goes. Returns why it does not work on this kernel, or null. */
export async function applyKernelRecipe({
  topology,
  children,
}: Pick<Lab, 'topology' | 'children'>): Promise<string | null> {
  for (const line of RECIPE) {
    const argv = topology.inside(topology.gateway, line.split(' '));
    const { code, stderr } = await children.run('kernel recipe', argv, true);
    if (code !== 0) return `\`${line}\`: ${stderr.trim().split('\n')[0]}`;
  }
  return null;
}
