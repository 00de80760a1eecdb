/**
 * A public link that takes less than the private one: who may not be fragmented is told the MTU, the rest is cut
 * to size, and TCP finds its way by path MTU discovery.
 */
import { describe, expect, it } from 'vitest';
import { IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_PMTUDISC_DONT, SOL_IP } from './support/agent.ts';
import { addBeyond, BEYOND } from './support/beyond.ts';
import { useGateway } from './support/fixture.ts';
import { UDP } from './support/packets.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PRIVATE, ip, SERVER } from './support/topology.ts';

const MTU = 1400;

describe(`a public MTU of ${MTU}`, () => {
  const net = useGateway({
    before: async ({ topology, server }) => {
      await ip(topology.gateway, `link set g1 mtu ${MTU}`);
      await ip(topology.server, `link set s0 mtu ${MTU}`); // both ends: a veth drops what its peer cannot take
      await server.http(8000);
      await server.udpEcho(7);
    },
  });
  /** The client's kernel remembers path MTUs: each test starts without. */
  const forget = () => net.topology.client.exec('ip route flush cache');

  it('tells a ping that must not be fragmented', async () => {
    const { stdout } = await net.topology.client.exec(`ping -c 1 -W 2 -M do -s ${MTU - 28 + 1} ${SERVER}`, {
      check: false,
    });
    expect(stdout).toContain(`From ${GATEWAY_PRIVATE} icmp_seq=1 Frag needed and DF set (mtu = ${MTU})`);
    await forget();
  });

  it('lets one pass that just fits', async () => {
    const { stdout } = await net.topology.client.exec(`ping -c 1 -W 2 -M do -s ${MTU - 28} ${SERVER}`);
    expect(stdout).toContain('1 received');
  });

  it('tells a UDP socket that must not be fragmented', async () => {
    await forget();
    const socket = await net.client.udp();
    await socket.option(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    await socket.call('connect', [SERVER, 7]);
    await socket.call('send', Buffer.alloc(1472));
    await expect(socket.receive()).rejects.toMatchObject({ code: 'EMSGSIZE' });
    expect(await socket.call('getsockopt', SOL_IP, IP_MTU)).toBe(MTU);
    await socket.call('send', Buffer.alloc(MTU - 28, 'fits'));
    expect(await socket.receive()).toEqual(Buffer.alloc(MTU - 28, 'fits'));
    await socket.close();
    await forget();
  });

  it.each([1373, 1472, 1473, 4000, 65507])('fragments a datagram of %i bytes that may be', async (size) => {
    const capture = await sniff(net.topology.server, 's0', { direction: 'in', filter: 'ip proto 17' });
    const socket = await net.client.udp();
    await socket.option(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    const data = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) & 0xff));
    await socket.sendTo(data, [SERVER, 7]);
    expect((await socket.receive()).equals(data)).toBe(true);
    await socket.close();
    const fragments = (await capture.stop()).map((packet) => packet.ip!);
    expect(fragments.length).toBeGreaterThan(1);
    for (const fragment of fragments) {
      expect(fragment.protocol).toBe(UDP);
      expect(fragment.totalLength).toBeLessThanOrEqual(MTU);
      expect(fragment.headerChecksumOk).toBe(true);
    }
    expect(fragments.at(-1)!.mf).toBe(false);
    expect(new Set(fragments.map((fragment) => fragment.id)).size).toBe(1);
  });

  it('lets TCP download and upload', async () => {
    await forget();
    const size = 20_000_003;
    const { stdout } = await net.topology.client.shell(`curl -sS http://${SERVER}:8000/${size} | sha256sum`);
    const sum = await net.server.patternSha256(size);
    expect(stdout.split(' ')[0]).toBe(sum);
    const upload = `curl -sS http://${SERVER}:8000/${size} | curl -sS -X PUT --data-binary @- http://${SERVER}:8000/`;
    expect((await net.topology.client.shell(upload)).stdout).toBe(sum);
  });

  it('never puts more than the MTU on the wire, though segments arrive as super-packets', async () => {
    // With segmentation done in software the capture sees what a real card would send.
    await net.topology.gateway.exec('ethtool -K g1 tso off gso off');
    await forget();
    const capture = await sniff(net.topology.server, 's0', {
      direction: 'in',
      snapLength: 64,
      filter: 'tcp',
    });
    await net.topology.client.shell(
      `head -c 3000000 /dev/zero | curl -sS -X PUT --data-binary @- http://${SERVER}:8000/`,
    );
    const packets = (await capture.stop()).map((packet) => packet.ip!);
    expect(packets.length).toBeGreaterThan(1000);
    expect(Math.max(...packets.map((packet) => packet.totalLength))).toBeLessThanOrEqual(MTU);
    await net.topology.gateway.exec('ethtool -K g1 tso on gso on');
  });
});

describe('a smaller MTU two hops away', () => {
  const net = useGateway({
    before: async ({ topology }) => {
      await addBeyond(topology, 1300);
    },
  });

  it('is learnt by the client from the router there', async () => {
    const { stdout } = await net.topology.client.exec(`ping -c 2 -i 0.3 -W 2 -M do -s 1400 ${BEYOND}`, {
      check: false,
    });
    expect(stdout).toContain(`From ${SERVER} icmp_seq=1 Frag needed and DF set (mtu = 1300)`);
    const { stdout: route } = await net.topology.client.exec(`ip route get ${BEYOND}`);
    expect(route).toContain('mtu 1300');
    expect(route).toContain(`src ${CLIENT}`);
  });
});
