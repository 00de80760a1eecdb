/** How a private host is told about its gateway, in the words of what configures it. Pure: text from a ClientNetwork. */
import { stringify } from 'yaml';
import type { ClientNetwork } from './network.ts';

export const RECIPES = ['ip', 'netplan', 'networkd', 'ifupdown', 'cloud-init', 'dnsmasq'] as const;
export type Recipe = (typeof RECIPES)[number];

/** Where each belongs; a comment to all of them. */
const PLACES: Record<Recipe, string> = {
  ip: 'now, until the next boot, as root',
  netplan: '/etc/netplan/60-gateway.yaml (mode 0600), then `netplan apply`',
  networkd: '/etc/systemd/network/60-gateway.network, then `networkctl reload`',
  ifupdown: '/etc/network/interfaces.d/gateway, then `ifup`',
  'cloud-init': 'network-config of the NoCloud source, or /etc/cloud/cloud.cfg.d/60-gateway.cfg',
  dnsmasq: '/etc/dnsmasq.d/natgate.conf on a DHCP server in that network (the gateway, say)',
};

const LEASE = '12h';

/** `device`: the name of the private host's own interface. The comments make it a file that can be used as it is. */
export function recipeText(recipe: Recipe, network: ClientNetwork, device: string): string {
  const head = `# ${PLACES[recipe]}`;
  return `${[head, ...BODIES[recipe](network, device)].join('\n')}\n`;
}

const BODIES: Record<Recipe, (network: ClientNetwork, device: string) => string[]> = {
  ip: ({ host, gateway, dns }, device) => [
    `ip link set dev ${device} up`,
    `ip address replace ${host} dev ${device}`,
    `ip route replace default via ${gateway} dev ${device}`,
    ...(dns.length === 0
      ? []
      : [`printf '${dns.map((one) => `nameserver ${one}\\n`).join('')}' > /etc/resolv.conf`]),
  ],
  netplan: ({ host, gateway, dns }, device) => yaml(device, host, dns, { to: 'default', via: gateway }),
  networkd: ({ host, gateway, dns }, device) => [
    '[Match]',
    `Name=${device}`,
    '',
    '[Network]',
    `Address=${host}`,
    `Gateway=${gateway}`,
    ...dns.map((one) => `DNS=${one}`),
  ],
  ifupdown: ({ host, gateway, dns }, device) => [
    `auto ${device}`,
    `iface ${device} inet static`,
    `    address ${host}`,
    `    gateway ${gateway}`,
    ...(dns.length === 0 ? [] : [`    dns-nameservers ${dns.join(' ')}`]),
  ],
  // Its renderers know `default` as a destination only of late.
  'cloud-init': ({ host, gateway, dns }, device) =>
    yaml(device, host, dns, { to: '0.0.0.0/0', via: gateway }),
  dnsmasq: ({ interface: name, first, last, netmask, gateway, dns }) => [
    '# DHCP only: port 53 stays free for whoever answers there',
    'port=0',
    `interface=${name}`,
    'bind-interfaces',
    `dhcp-range=${first},${last},${netmask},${LEASE}`,
    `dhcp-option=option:router,${gateway}`,
    ...(dns.length === 0 ? [] : [`dhcp-option=option:dns-server,${dns.join(',')}`]),
  ],
};

/** The format that netplan and cloud-init share (network configuration version 2). */
function yaml(device: string, host: string, dns: readonly string[], route: Record<string, string>): string[] {
  const settings = {
    dhcp4: false,
    addresses: [host],
    routes: [route],
    ...(dns.length === 0 ? {} : { nameservers: { addresses: dns } }),
  };
  return stringify({ network: { version: 2, ethernets: { [device]: settings } } })
    .trimEnd()
    .split('\n');
}
