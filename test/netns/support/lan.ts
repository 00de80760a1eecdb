/**
 * The network of a one-armed gateway, as a cloud has it, or a home whose router cannot be changed:
 *
 *     gateway 10.0.0.5 ─┐
 *     first  10.0.0.20 ─┼─ switch ─ 10.0.0.1 router 203.0.113.1 ── 203.0.113.2 internet
 *     second 10.0.0.21 ─┘               └ 10.0.1.1 ── 10.0.1.7 subnet
 *
 * first and second have the gateway as their router. What the subnet sends elsewhere than to 10.0.0.0/16, the router gives to the
 * gateway. The internet knows the way to 10.0.0.5 only: who reaches it as somebody else gets no answer.
 */
import { run, until } from './process.ts';
import { ip, Namespace, PREFIX, removeNamespaces } from './topology.ts';
import { cable } from './wiring.ts';

export const LAN_GATEWAY = '10.0.0.5';
export const LAN_ROUTER = '10.0.0.1';
export const FIRST = '10.0.0.20';
export const SECOND = '10.0.0.21';
export const SUBNET = '10.0.1.7';
export const INTERNET = '203.0.113.2';

const NAMES = ['gateway', 'first', 'second', 'switch', 'router', 'subnet', 'internet'] as const;
export type Lan = Record<(typeof NAMES)[number], Namespace> & { destroy(): void };

let made = 0;

export async function createLan(): Promise<Lan> {
  const label = `${PREFIX}${process.env['NATGATE_TEST_RUN'] ?? process.pid}-${process.pid}lan${++made}`;
  const lan = Object.fromEntries(
    NAMES.map((name) => [name, new Namespace(`${label}-${name}`)]),
  ) as unknown as Lan;
  const onExit = () => removeNamespaces(NAMES.map((name) => lan[name].name));
  lan.destroy = () => {
    process.off('exit', onExit);
    onExit();
  };
  process.on('exit', onExit);
  for (const name of NAMES) {
    await run(['ip', 'netns', 'add', lan[name].name]);
    await lan[name].exec('sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv4.icmp_ratemask=0');
    await ip(lan[name], 'link set lo up');
  }
  await ip(lan.switch, 'link add br0 type bridge forward_delay 0');
  await ip(lan.switch, 'link set br0 up');
  const hosts = { gateway: LAN_GATEWAY, first: FIRST, second: SECOND, router: LAN_ROUTER } as const;
  for (const [name, address] of Object.entries(hosts) as [keyof typeof hosts, string][]) {
    const port = `to-${name}`;
    await cable({ ns: lan[name], device: 'e0', address: `${address}/24` }, { ns: lan.switch, device: port });
    await ip(lan.switch, `link set ${port} master br0`);
  }
  await cable(
    { ns: lan.router, device: 'n0', address: '10.0.1.1/24' },
    { ns: lan.subnet, device: 'e0', address: `${SUBNET}/24` },
  );
  await cable(
    { ns: lan.router, device: 'w0', address: '203.0.113.1/24' },
    { ns: lan.internet, device: 'e0', address: `${INTERNET}/24` },
  );
  await lan.router.exec('sysctl -qw net.ipv4.ip_forward=1');
  await ip(lan.router, 'rule add iif n0 lookup 100');
  await ip(lan.router, 'route add 10.0.0.0/24 dev e0 table 100');
  await ip(lan.router, `route add default via ${LAN_GATEWAY} table 100`);
  await ip(lan.gateway, `route add default via ${LAN_ROUTER}`);
  for (const name of ['first', 'second'] as const)
    await ip(lan[name], `route add default via ${LAN_GATEWAY}`);
  await ip(lan.subnet, 'route add default via 10.0.1.1');
  await ip(lan.internet, `route add ${LAN_GATEWAY}/32 via 203.0.113.1`);
  await until('the network is up', async () => {
    const { stdout } = await lan.gateway.exec(`ping -c 1 -W 1 ${INTERNET}`, { check: false });
    return stdout.includes('1 received');
  });
  return lan;
}
