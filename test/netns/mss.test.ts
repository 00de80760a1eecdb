/** The MSS that each end of a TCP connection sees when the public link takes less than both believe. */
import { describe, expect, it } from 'vitest';
import { type Fixture, useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import { SYN } from './support/packets.ts';
import { sniff } from './support/sniffer.ts';
import { ip, SERVER, type Topology } from './support/topology.ts';

const MTU = 1400;

/** The server's link stays at 1500: it does not know better. */
async function smallPublicLink({ topology }: { topology: Topology }): Promise<void> {
  await ip(topology.gateway, `link set g1 mtu ${MTU}`);
}

/** The MSS of a SYN or SYN/ACK, -1 without one. */
function mssOf(segment: Buffer): number {
  const end = (segment[12]! >> 4) * 4;
  for (let at = 20; at < end && segment[at] !== 0; at += segment[at] === 1 ? 1 : segment[at + 1]!) {
    if (segment[at] === 2) return segment.readUInt16BE(at + 2);
  }
  return -1;
}

/** What the server saw in the SYN, and the client in the SYN/ACK. */
async function handshake(net: Fixture, port: number): Promise<[number, number]> {
  const listener = await net.server.listen(['0.0.0.0', port]);
  const [atServer, atClient] = await Promise.all([
    sniff(net.topology.server, 's0', { direction: 'in', filter: `tcp port ${port}` }),
    sniff(net.topology.client, 'c0', { direction: 'in', filter: `tcp port ${port}` }),
  ]);
  const connection = await net.client.connect([SERVER, port]);
  await Promise.all([connection.close(), listener.close()]);
  const captures = [await atServer.stop(), await atClient.stop()];
  return captures.map((packets) => {
    const syn = packets.find(({ ip: packet }) => (packet!.payload[13]! & SYN) !== 0)!;
    return mssOf(syn.ip!.payload);
  }) as [number, number];
}

natgateOnly('MSS clamping', () => {
  describe('by default', () => {
    const net = useGateway({
      before: async (parts) => {
        await smallPublicLink(parts);
        await parts.server.http(8000);
      },
    });

    it('lowers the MSS of SYN and SYN/ACK to the public MTU', async () => {
      expect(await handshake(net, 5001)).toEqual([MTU - 40, MTU - 40]);
    });

    it('so that a download works though the server’s large segments would be lost in silence', async () => {
      const size = 3_000_001;
      const { stdout } = await net.topology.client.shell(
        `curl -sS --max-time 20 http://${SERVER}:8000/${size} | sha256sum`,
      );
      expect(stdout.split(' ')[0]).toBe(await net.server.patternSha256(size));
    });
  });

  describe('with --no-clamp-mss', () => {
    const net = useGateway({ before: smallPublicLink, args: ['--no-clamp-mss'] });

    it('leaves it', async () => {
      expect(await handshake(net, 5001)).toEqual([1460, 1460]);
    });
  });
});
