/**
 * Interfaces whose packets have no header of the link layer: tun here; WireGuard, ipip, gre and sit are alike.
 *
 *     client 10.77.0.2 ── g0 gateway wan0 198.19.0.1 ══ 198.19.0.2 wan1 server
 *                                └ g1 198.18.0.1 ── 198.18.0.2
 */
import { expect, it } from 'vitest';
import { type Fixture, useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import { layL3Cable } from './support/l3-cable.ts';
import { CLIENT, ip, type Namespace } from './support/topology.ts';

const NEAR = '198.19.0.1';
const REMOTE = '198.19.0.2';

const ends = async (from: Namespace, address: string) =>
  (await from.exec(`curl -sS --max-time 5 http://${address}/ends`)).stdout;
const ping = async (from: Namespace, to: string, ...options: string[]) =>
  (await from.exec(['ping', '-c', '1', '-W', '2', ...options, to], { check: false })).stdout;

async function layCable({ topology, client, server, host }: Omit<Fixture, 'gateway'>): Promise<void> {
  const { gateway } = topology;
  await layL3Cable(
    { ns: gateway, device: 'wan0', address: NEAR },
    { ns: topology.server, device: 'wan1', address: REMOTE },
  );
  await client.http(8000);
  await server.http(8000);
  await host.http(80);
}

natgateOnly('a public interface without Ethernet', () => {
  const net = useGateway({
    args: ['--public', 'wan0', '--forward', `tcp:8080=${CLIENT}:8000`],
    before: async (fixture) => {
      await layCable(fixture);
      await ip(fixture.topology.gateway, 'route replace default dev wan0');
    },
  });

  it('carries private hosts’ connections, datagrams and fragments', async () => {
    const { client } = net.topology;
    expect(await ends(client, `${REMOTE}:8000`)).toBe(`${NEAR} ${REMOTE}`);
    expect(await ping(client, REMOTE)).toContain('1 received');
    expect(await ping(client, REMOTE, '-s', '4000')).toContain('1 received');
    expect(await ping(client, REMOTE, '-M', 'do', '-s', '1450')).toContain('mtu = 1400');
    const size = 5_000_000;
    const { stdout } = await client.shell(`curl -sS http://${REMOTE}:8000/${size} | sha256sum`);
    expect(stdout.split(' ')[0]).toBe(await net.server.patternSha256(size));
  });

  it('what is beyond it, without a next hop', async () => {
    await ip(net.topology.server, 'addr add 203.0.113.5/32 dev lo');
    expect(await ends(net.topology.client, '203.0.113.5:8000')).toBe(`${NEAR} 203.0.113.5`);
  });

  it('forwards, hairpins, and leaves the host what is its own', async () => {
    const { client, server, gateway } = net.topology;
    expect(await ends(server, `${NEAR}:8080`)).toBe(`${REMOTE} ${CLIENT}`);
    expect(await ends(client, `${NEAR}:8080`)).toBe(`${NEAR} ${CLIENT}`);
    expect(await ends(server, `${NEAR}:80`)).toBe(`${REMOTE} ${NEAR}`);
    expect(await ends(gateway, `${REMOTE}:8000`)).toBe(`${NEAR} ${REMOTE}`);
    // Answers to an id that nobody has, and fragments, come back from the engine.
    expect(await ping(server, NEAR)).toContain('1 received');
    expect(await ping(server, NEAR, '-s', '4000')).toContain('1 received');
    expect(await ping(gateway, REMOTE, '-s', '4000')).toContain('1 received');
  });
});

natgateOnly('a private interface without Ethernet', () => {
  /** g0 is one, too; the server has its way to the internet by the gateway. */
  const net = useGateway({
    args: ['--private', 'wan0'],
    before: async (fixture) => {
      await layCable(fixture);
      await ip(fixture.topology.server, `route add 10.77.0.0/24 via ${NEAR} dev wan1`);
    },
  });

  it('leads its hosts to other private networks, and these to it', async () => {
    const { client, server } = net.topology;
    expect(await ends(client, `${REMOTE}:8000`)).toBe(`${CLIENT} ${REMOTE}`);
    expect(await ends(server, `${CLIENT}:8000`)).toBe(`${REMOTE} ${CLIENT}`);
    expect(await ping(server, CLIENT, '-s', '4000')).toContain('1 received');
  });
});
