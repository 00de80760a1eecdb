/** Routes, next hops and addresses of the host change while the gateway runs: it follows them. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { Natgate, natgateOnly } from './support/gateway.ts';
import { describePacket } from './support/packets.ts';
import { run, sleep } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PRIVATE, GATEWAY_PUBLIC, ip, Namespace, SERVER } from './support/topology.ts';

/** A second host on the public link, and one behind a third interface of the gateway's. */
const NEIGHBOUR = '198.18.0.4';
const TARGET = '203.0.113.9';

natgateOnly('a gateway follows its host', () => {
  const net = useGateway({
    before: async ({ topology, server }) => {
      await server.udpEcho(7);
      const { server: s, gateway: g } = topology;
      const neighbour = new Namespace(`${s.name}-neighbour`);
      const vpn = new Namespace(`${g.name}-vpn`);
      for (const ns of [neighbour, vpn]) {
        await run(['ip', 'netns', 'add', ns.name]);
        topology.extra.push(ns);
        await ip(ns, 'link set lo up');
      }
      await s.exec('ip link add m0 link s0 type macvlan mode bridge');
      await s.exec(`ip link set m0 netns ${neighbour.name}`);
      await ip(neighbour, `addr add ${NEIGHBOUR}/24 dev m0`);
      await ip(neighbour, 'link set m0 up');
      await ip(neighbour, `addr add ${TARGET}/32 dev lo`);
      await g.exec(`ip link add g2 type veth peer name v0 netns ${vpn.name}`);
      await ip(g, 'addr add 192.0.2.1/24 dev g2');
      await ip(g, 'link set g2 up');
      await ip(vpn, 'addr add 192.0.2.2/24 dev v0');
      await ip(vpn, 'link set v0 up');
      await ip(vpn, 'route add default via 192.0.2.1');
    },
  });
  const neighbour = () => net.topology.extra[0]!;
  const vpn = () => net.topology.extra[1]!;
  /** The gateway hears of a change within milliseconds. */
  const settle = () => sleep(200);
  const ping = (to: string) => net.topology.client.exec(`ping -c 1 -W 1 ${to}`, { check: false });

  beforeAll(() => {
    expect(net.gateway).toBeInstanceOf(Natgate);
  });
  afterAll(async () => {
    const { stdout } = await net.topology.gateway.exec('sysctl -n net.ipv4.ip_forward');
    expect(stdout.trim()).toBe('0');
  });

  it('a new route through another next hop', async () => {
    expect((await ping(TARGET)).stdout).toContain('0 received');
    await ip(net.topology.gateway, `route add 203.0.113.0/24 via ${NEIGHBOUR}`);
    await settle();
    const capture = await sniff(net.topology.server, 's0', { filter: `dst host ${TARGET}` });
    expect((await ping(TARGET)).stdout).toContain('1 received');
    const mac = (await neighbour().mac('m0')).replaceAll(':', '');
    expect((await capture.stop())[0]!.frame.subarray(0, 6).toString('hex')).toBe(mac);
  });

  it('a flow that goes on when its route changes', async () => {
    const socket = await net.client.udp([CLIENT, 49100]);
    const capture = await sniff(net.topology.server, 's0', { filter: `dst host ${TARGET} and udp` });
    await socket.sendTo(Buffer.from('one'), [TARGET, 9]);
    await settle();
    await ip(net.topology.gateway, 'route del 203.0.113.0/24');
    await settle();
    await socket.sendTo(Buffer.from('two'), [TARGET, 9]);
    const frames = await capture.stop();
    const to = frames.map(({ frame }) => frame.subarray(0, 6).toString('hex'));
    const macs = [await neighbour().mac('m0'), await net.topology.server.mac('s0')];
    expect(to).toEqual(macs.map((mac) => mac.replaceAll(':', '')));
    // Same mapping: the external port is the same.
    expect(new Set(frames.map(({ ip: packet }) => describePacket(packet!))).size).toBe(1);
    await socket.close();
  });

  it('a route that says unreachable, and one that is gone', async () => {
    await ip(net.topology.gateway, 'route add unreachable 203.0.113.0/24');
    await settle();
    expect((await ping(TARGET)).stdout).toMatch(
      new RegExp(`From ${GATEWAY_PRIVATE} icmp_seq=1 Destination (Net|Host) Unreachable`),
    );
    await ip(net.topology.gateway, 'route del unreachable 203.0.113.0/24');
    await ip(net.topology.gateway, `route del default via ${SERVER}`);
    await settle();
    expect((await ping(TARGET)).stdout).toContain('Destination Net Unreachable');
    await ip(net.topology.gateway, `route add default via ${SERVER}`);
    await settle();
  });

  it('leaves prefixes behind devices it does not serve to the kernel', async () => {
    // 192.0.2.0/24 lies behind g2. The kernel does not forward, so nothing arrives, and nothing leaves by g1.
    const outside = await sniff(net.topology.server, 's0', { filter: 'host 192.0.2.2' });
    const inside = await sniff(net.topology.gateway, 'natgate-g0', { filter: 'host 192.0.2.2' });
    await ping('192.0.2.2');
    expect(await outside.stop()).toEqual([]);
    expect(await inside.stop()).toEqual([]);
    // Where the administrator lets the kernel forward, it does, untranslated.
    await net.topology.gateway.exec('sysctl -qw net.ipv4.conf.g0.forwarding=1 net.ipv4.conf.g2.forwarding=1');
    const capture = await sniff(vpn(), 'v0', { filter: 'icmp' });
    expect((await ping('192.0.2.2')).stdout).toContain('1 received');
    expect((await capture.stop())[0]!.ip).toMatchObject({ src: CLIENT, dst: '192.0.2.2' });
    await net.topology.gateway.exec('sysctl -qw net.ipv4.conf.g0.forwarding=0 net.ipv4.conf.g2.forwarding=0');
  });

  it('a prefix that moves behind such a device, and back', async () => {
    const sees = async () => {
      const capture = await sniff(net.topology.server, 's0', {
        filter: 'dst host 100.64.5.5',
        direction: 'in',
      });
      await ping('100.64.5.5');
      return (await capture.stop()).length;
    };
    expect(await sees()).toBe(1);
    await ip(net.topology.gateway, 'route add 100.64.0.0/16 via 192.0.2.2');
    await settle();
    expect(await sees()).toBe(0);
    await ip(net.topology.gateway, 'route del 100.64.0.0/16');
    await settle();
    expect(await sees()).toBe(1);
  });

  it('a smaller MTU', async () => {
    await ip(net.topology.gateway, 'link set g1 mtu 1300');
    await ip(net.topology.server, 'link set s0 mtu 1300');
    await settle();
    const { stdout } = await net.topology.client.exec(`ping -c 1 -W 1 -M do -s 1400 ${SERVER}`, {
      check: false,
    });
    expect(stdout).toContain('Frag needed and DF set (mtu = 1300)');
    await ip(net.topology.gateway, 'link set g1 mtu 1500');
    await ip(net.topology.server, 'link set s0 mtu 1500');
    await net.topology.client.exec('ip route flush cache');
    await settle();
  });

  it('the MTU of a route', async () => {
    await ip(net.topology.gateway, `route add 203.0.113.0/24 via ${SERVER} mtu 1200`);
    await settle();
    const { stdout } = await net.topology.client.exec(`ping -c 1 -W 1 -M do -s 1400 ${TARGET}`, {
      check: false,
    });
    expect(stdout).toContain('Frag needed and DF set (mtu = 1200)');
    await ip(net.topology.gateway, 'route del 203.0.113.0/24');
    await settle();
  });

  it('a new public address: new flows have it', async () => {
    // As a DHCP client does it: the new one, then not the old one any more.
    await net.topology.gateway.exec('sysctl -qw net.ipv4.conf.all.promote_secondaries=1');
    await ip(net.topology.gateway, 'addr add 198.18.0.9/24 dev g1');
    await ip(net.topology.gateway, `addr del ${GATEWAY_PUBLIC}/24 dev g1`);
    await ip(net.topology.gateway, `route replace default via ${SERVER}`);
    await (net.gateway as Natgate).process.shows(/^natgate: the external address is 198\.18\.0\.9 now$/m);
    const listener = await net.server.udp([SERVER, 9800]);
    const socket = await net.client.udp();
    await socket.sendTo(Buffer.from('from where?'), [SERVER, 9800]);
    const [, from] = await listener.receiveFrom();
    expect(from[0]).toBe('198.18.0.9');
    await listener.sendTo(Buffer.from('from there'), from);
    expect((await socket.receive()).toString()).toBe('from there');
    await Promise.all([listener.close(), socket.close()]);
    // And back. In between packets of the old flow would have no address to go out with.
    await ip(net.topology.gateway, `addr add ${GATEWAY_PUBLIC}/24 dev g1`);
    await ip(net.topology.gateway, 'addr del 198.18.0.9/24 dev g1');
    await ip(net.topology.gateway, `route replace default via ${SERVER}`);
    await settle();
    expect((await ping(SERVER)).stdout).toContain('1 received');
  });

  it('a private interface that goes down and comes back', async () => {
    await ip(net.topology.gateway, 'link set g0 down');
    await settle();
    await ip(net.topology.gateway, 'link set g0 up');
    await settle();
    expect((await ping(SERVER)).stdout).toContain('1 received');
  });
});
