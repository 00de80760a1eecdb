/** What else on the host has a say about packets: the kernel's own NAT, forwarding, policy routing, IPv6. */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { linkNamed } from '../netlink/links.ts';
import { readNatChains } from '../netlink/nf-tables.ts';
import { readRules } from '../netlink/routes.ts';
import { readSysctl } from '../plan/sysctl.ts';
import { readServedRoutes } from '../routes.ts';
import { type Check, ok, warn } from './check.ts';

export function checkDefaultRoute(publicInterface: string): Check[] {
  const link = linkNamed(publicInterface);
  if (link === undefined) return [];
  const route = readServedRoutes([link.index]).find((candidate) => candidate.length === 0);
  if (route?.device === 0) return [];
  return [
    warn(
      'default route',
      route === undefined
        ? 'the host has no default route'
        : `the host's default route does not leave through ${publicInterface}`,
      'natgate follows the routes of the host: private hosts reach what those lead to',
      `\`ip route add default via ROUTER dev ${publicInterface}\`, or let the DHCP client set it`,
    ),
  ];
}

export function checkKernelNat(publicInterface: string): Check {
  const chains = hasNfTables() ? readNatChains().map(({ table, chain }) => `${table} ${chain}`) : [];
  const legacy = readLines('/proc/net/ip_tables_names').includes('nat') ? ['iptables nat'] : [];
  const found = [...new Set([...chains, ...legacy])];
  if (found.length === 0) return ok('kernel NAT', 'the kernel has no NAT rules');
  return warn(
    'kernel NAT',
    `the kernel has NAT rules as well (${found.join(', ')})`,
    `natgate's packets do not pass them; but what the kernel masquerades on ${publicInterface} (containers, say) may get a port of natgate's range, and the answers are then natgate's`,
    `remove the rules natgate replaces, and give the others ports outside its range: iptables -t nat … -p tcp -j MASQUERADE --to-ports 16384-32767 (the same for udp)`,
  );
}

export function checkForwarding(): Check {
  if (readSysctl('net/ipv4/ip_forward') !== '1') {
    return ok('forwarding', 'the kernel does not forward IPv4 by itself');
  }
  return warn(
    'forwarding',
    'the kernel forwards IPv4 too (net.ipv4.ip_forward is 1)',
    'natgate does not need it. Destinations that the host routes to other interfaces (VPN, containers) are left to the kernel, which then forwards private packets there untranslated',
    '`sysctl -w net.ipv4.ip_forward=0`, unless something else on this host needs it; a firewall rule for those destinations otherwise',
  );
}

export function checkRules(): Check[] {
  const partial = readRules().filter((rule) => rule.applies === 'sometimes');
  if (partial.length === 0) return [];
  return [
    warn(
      'policy routing',
      `${partial.length} routing rules hold for some packets only (priority ${partial.map((rule) => rule.priority).join(', ')})`,
      'natgate follows the rules that hold for every packet, and no others',
      'see `ip rule`; routes that natgate shall use belong in a table that is asked for every packet',
    ),
  ];
}

/** Asking an absent nf_tables would make the kernel load the module: a check must not. */
function hasNfTables(): boolean {
  return (
    !existsSync('/proc/modules') ||
    readLines('/proc/modules').some((line) => line.startsWith('nf_tables ')) ||
    readLines(`/lib/modules/${release()}/modules.builtin`).some((line) => line.endsWith('/nf_tables.ko'))
  );
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}
