/**
 * Several private interfaces of one gateway, and a network behind a router of its own:
 *
 *     client 10.77.0.2 ── g0 10.77.0.1 ─┐
 *     second 10.78.0.2 ─┐               │
 *     router 10.78.0.9 ─┴ br0 10.78.0.1 ┼─ gateway ─ g1 198.18.0.1 ── 198.18.0.2 server
 *      └ 10.99.0.2                      │
 *     third  10.79.0.2 ── mv0 10.79.0.1 ┘
 *
 * br0 is a bridge with two ports, mv0 a macvlan.
 */
import { expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';
import { until } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, ip, type Namespace, SERVER } from './support/topology.ts';
import { addNamespace, cable } from './support/wiring.ts';

const SECOND = '10.78.0.2';
const SECOND_GATEWAY = '10.78.0.1';
const ROUTER = '10.78.0.9';
const FAR = '10.99.0.2';
const THIRD = '10.79.0.2';

natgateOnly('several private interfaces', () => {
  const ns = {} as Record<'second' | 'router' | 'third', Namespace>;
  const agents = {} as Record<'second' | 'router' | 'third', Agent>;
  const net = useGateway({
    args: [
      ...['--private', 'br0', '--private', 'mv0'],
      ...['--forward', `tcp:8080=${SECOND}:8000`, '--forward', `tcp:8081=${SECOND}:8000,twice`],
      ...['--forward', `tcp:8082=${FAR}:8000`],
    ],
    before: async ({ topology, client, server }) => {
      const { gateway } = topology;
      for (const name of ['second', 'router', 'third'] as const)
        ns[name] = await addNamespace(topology, name);
      await ip(gateway, 'link add br0 type bridge forward_delay 0');
      await ip(gateway, `addr add ${SECOND_GATEWAY}/24 dev br0`);
      await cable({ ns: ns.second, device: 'd0', address: `${SECOND}/24` }, { ns: gateway, device: 'p1' });
      await cable({ ns: ns.router, device: 'r0', address: `${ROUTER}/24` }, { ns: gateway, device: 'p2' });
      for (const port of ['p1', 'p2']) await ip(gateway, `link set ${port} master br0`);
      await ip(gateway, 'link set br0 up');
      await cable({ ns: ns.third, device: 't0', address: `${THIRD}/24` }, { ns: gateway, device: 'g3' });
      await gateway.exec('ip link add mv0 link g3 type macvlan mode bridge');
      // Else g3 answers ARP for it as well, and natgate does not serve g3.
      await gateway.exec('sysctl -qw net.ipv4.conf.g3.arp_ignore=1');
      await ip(gateway, 'addr add 10.79.0.1/24 dev mv0');
      await ip(gateway, 'link set mv0 up');
      await ip(ns.router, `addr add ${FAR}/32 dev lo`);
      await ns.router.exec('sysctl -qw net.ipv4.ip_forward=1');
      await ip(ns.second, `route add default via ${SECOND_GATEWAY}`);
      await ip(ns.router, `route add default via ${SECOND_GATEWAY} src ${FAR}`);
      await ip(ns.third, 'route add default via 10.79.0.1');
      await ip(gateway, `route add 10.99.0.0/24 via ${ROUTER}`);
      for (const name of ['second', 'router', 'third'] as const) {
        agents[name] = await Agent.start(ns[name]);
        await agents[name].http(8000);
      }
      await client.http(8000);
      await server.http(8000);
      await until('the bridge forwards', async () => {
        const { stdout } = await gateway.exec(`ping -c 1 -W 1 ${SECOND}`, { check: false });
        return stdout.includes('1 received');
      });
    },
  });

  /** Both ends of a connection to the web server at `address`, as that sees them. */
  const ends = async (from: Namespace, address: string, source?: string) => {
    const bind = source === undefined ? [] : ['--interface', source];
    return (await from.exec(['curl', '-sS', '--max-time', '5', ...bind, `http://${address}/ends`])).stdout;
  };
  const ping = async (from: Namespace, to: string, ...options: string[]) =>
    (await from.exec(['ping', '-c', '1', '-W', '2', ...options, to], { check: false })).stdout;
  const everybody = (): [Namespace, string][] => [
    [net.topology.client, CLIENT],
    [ns.second, SECOND],
    [ns.router, FAR],
    [ns.third, THIRD],
  ];

  it('all of them reach the internet, as the gateway', async () => {
    for (const [from] of everybody()) {
      expect(await ends(from, `${SERVER}:8000`)).toBe(`${GATEWAY_PUBLIC} ${SERVER}`);
      expect(await ping(from, SERVER)).toContain('1 received');
    }
  });

  it('and each other as themselves', async () => {
    for (const [from, source] of everybody()) {
      for (const [, target] of everybody()) {
        if (target === source) continue;
        expect(await ends(from, `${target}:8000`, source)).toBe(`${source} ${target}`);
        expect(await ping(from, target, '-I', source)).toContain('1 received');
        expect(await ping(from, target, '-I', source, '-s', '4000')).toContain('1 received');
      }
    }
  });

  it('a large answer comes unaltered', async () => {
    const size = 30_000_000;
    const sum = await agents.second.patternSha256(size);
    for (const from of [net.topology.client, ns.third]) {
      const { stdout } = await from.shell(`curl -sS http://${SECOND}:8000/${size} | sha256sum`);
      expect(stdout.split(' ')[0]).toBe(sum);
    }
  });

  it('the way between them is a hop, and so is the router', async () => {
    const { stdout } = await net.topology.client.exec(`traceroute -n -q 1 -w 2 -I ${FAR}`);
    const hops = [...stdout.matchAll(/^ *\d+ +(\S+)/gm)].map(([, address]) => address);
    expect(hops).toEqual(['10.77.0.1', FAR]);
    const other = await ns.second.exec(`traceroute -n -q 1 -w 2 ${CLIENT}`);
    expect([...other.stdout.matchAll(/^ *\d+ +(\S+)/gm)].map(([, address]) => address)).toEqual([
      SECOND_GATEWAY,
      CLIENT,
    ]);
  });

  it('a smaller MTU on the other side is told', async () => {
    await ip(net.topology.gateway, 'link set br0 mtu 1300');
    await until('the gateway knows', async () =>
      (await ping(net.topology.client, SECOND, '-M', 'do', '-s', '1400')).includes('mtu = 1300'),
    );
    await ip(net.topology.gateway, 'link set br0 mtu 1500');
    await until('and that it is over', async () => {
      await net.topology.client.exec('ip route flush cache');
      return (await ping(net.topology.client, SECOND, '-M', 'do', '-s', '1400')).includes('1 received');
    });
  });

  it('forwards are for all of them, as the gateway; twice NAT takes the address that the target knows', async () => {
    for (const [from] of everybody()) {
      expect(await ends(from, `${GATEWAY_PUBLIC}:8080`)).toBe(`${GATEWAY_PUBLIC} ${SECOND}`);
    }
    expect(await ends(net.topology.server, `${GATEWAY_PUBLIC}:8080`)).toBe(`${SERVER} ${SECOND}`);
    expect(await ends(net.topology.server, `${GATEWAY_PUBLIC}:8081`)).toBe(`${SECOND_GATEWAY} ${SECOND}`);
    expect(await ends(net.topology.server, `${GATEWAY_PUBLIC}:8082`)).toBe(`${SERVER} ${FAR}`);
  });

  it('nothing of it shows outside, and no flow between them has a port', async () => {
    const capture = await sniff(net.topology.server, 's0', { filter: 'net 10.0.0.0/8' });
    for (const [from, source] of everybody()) {
      if (source !== SECOND) await ends(from, `${SECOND}:8000`);
    }
    expect(await capture.stop()).toEqual([]);
    const status = await (net.gateway as Natgate).status();
    expect(status['private']).toEqual(['g0', 'br0', 'mv0']);
    const answered = ['ttl_exceeded', 'too_big'];
    expect(Object.keys(status.drops).filter((reason) => !answered.includes(reason))).toEqual([]);
  });

  it('a network behind the router comes and goes with its route', async () => {
    const { gateway, client } = net.topology;
    await ip(gateway, 'route del 10.99.0.0/24');
    await until('it has gone', async () => (await ping(client, FAR, '-W', '1')).includes('0 received'));
    // Nobody could answer it, either.
    expect(await ping(ns.router, SERVER, '-W', '1')).toContain('0 received');
    await ip(gateway, `route add ${FAR}/32 via ${ROUTER}`);
    await until('a more specific one is back', async () =>
      (await ping(client, FAR, '-W', '1')).includes('1 received'),
    );
    expect(await ping(ns.router, SERVER)).toContain('1 received');
    await ip(gateway, `route add 10.99.0.0/24 via ${ROUTER}`);
    await ip(gateway, `route del ${FAR}/32`);
    await until('the old one again', async () => (await ping(client, FAR, '-W', '1')).includes('1 received'));
  });

  it('a connection outlives a restart of the engine', async () => {
    await agents.second.tcpEcho(7);
    const connection = await net.client.connect([SECOND, 7]);
    expect(await connection.echo('before')).toBe('before');
    const natgate = net.gateway as Natgate;
    process.kill(await natgate.enginePid(), 'SIGKILL');
    await natgate.process.shows(/the packet engine forwards again/);
    expect(await connection.echo('after')).toBe('after');
    await connection.close();
  });
});
