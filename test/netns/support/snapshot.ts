/** The state of a network namespace as text, to be compared before and after. */
import { existsSync, readdirSync } from 'node:fs';
import type { Namespace } from './topology.ts';

const COMMANDS = [
  'ip -d link show',
  'ip addr show',
  'ip -4 route show table all',
  'ip -6 route show table all',
  'ip rule show',
  'tc qdisc show',
  'tc filter show dev g0 ingress',
  'tc filter show dev g0 egress',
  'tc filter show dev g1 ingress',
  'tc filter show dev g1 egress',
  'iptables-save',
  'nft list ruleset',
  'ethtool -k g0',
  'ethtool -k g1',
  'sysctl -ar ^net\\.',
];

/** Change by themselves: counts, and the times that iptables-save puts in comments. */
const VOLATILE = /^(net\.netfilter\.nf_conntrack_count|#)/;

/** What `ip`, `tc`, `sysctl`, `iptables`, `nft`, `ethtool` say, and the
 * run directories of gateways. By command. */
export async function hostState(ns: Namespace): Promise<Record<string, string[]>> {
  const state: Record<string, string[]> = {};
  for (const command of COMMANDS) {
    const { stdout } = await ns.exec(command, { check: false });
    state[command] = stdout.split('\n').filter((line) => !VOLATILE.test(line));
  }
  // Hidden files there (a lock) are no gateway's.
  const names = existsSync(ns.stateRoot) ? readdirSync(ns.stateRoot) : [];
  state['run directories'] = names.filter((name) => !name.startsWith('.'));
  return state;
}
