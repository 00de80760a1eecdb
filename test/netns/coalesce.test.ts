/**
 * Packets that the gateway writes as super-packets reach the other side as the packets that they were, on links without
 * segmentation offload and in sockets; and what was damaged on its way stays damaged.
 *
 * So that packets are there together, the engine is stopped while they are sent, and goes on when all wait in its ring.
 */
import { expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';
import { ethernet, type Ipv4Packet, TCP, transportChecksumOk, UDP, udp } from './support/packets.ts';
import { until } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, type Namespace, SERVER } from './support/topology.ts';

const PORT = 49600;
const REMOTE_PORT = 9901;

interface Counts {
  made: number;
  coalesced: number;
}

natgateOnly('super-packets of the gateway’s own', () => {
  const net = useGateway({ before: ({ server }) => server.http(8000) });

  /** Segmentation, coalescing and checksums by the kernel, on all four ends: a capture sees what would be on a wire. */
  async function offloads(state: 'on' | 'off'): Promise<void> {
    const { client, gateway, server } = net.topology;
    const ends: [Namespace, string][] = [
      [client, 'c0'],
      [gateway, 'g0'],
      [gateway, 'g1'],
      [server, 's0'],
    ];
    for (const [ns, device] of ends) {
      await ns.exec(`ethtool -K ${device} tso ${state} gso ${state} gro ${state} tx ${state}`);
    }
  }

  async function counters(): Promise<Counts> {
    const status = (await (net.gateway as Natgate).status()) as { counters?: Record<string, number> };
    const { super_packets_made, packets_coalesced } = status.counters!;
    return { made: super_packets_made!, coalesced: packets_coalesced! };
  }

  /** The engine adds up what was written when it wakes up the next time. */
  async function expectMade(before: Counts, made: number, coalesced: number): Promise<void> {
    await until('super-packets are counted', async () => (await counters()).made >= before.made + made);
    expect(await counters()).toEqual({ made: before.made + made, coalesced: before.coalesced + coalesced });
  }

  /** What is sent meanwhile comes to the engine all at once. */
  async function whileStopped(send: () => Promise<void>): Promise<void> {
    const pid = await (net.gateway as Natgate).enginePid();
    process.kill(pid, 'SIGSTOP');
    try {
      await send();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  /** All that the gateway has no business with: everything but addresses, ports, TTL and the checksums over them. */
  function kept(packet: Ipv4Packet): string {
    const copy = Buffer.from(packet.bytes);
    copy.fill(0, 8, 9);
    copy.fill(0, 10, 24);
    const field = 20 + (packet.protocol === TCP ? 16 : 6);
    copy.fill(0, field, field + 2);
    return copy.toString('hex');
  }

  /** An open flow from the client's port to the server's. */
  async function flow() {
    const remote = await net.server.udp([SERVER, REMOTE_PORT]);
    const local = await net.client.udp([CLIENT, PORT]);
    await local.sendTo(Buffer.from('open'), [SERVER, REMOTE_PORT]);
    await remote.receive();
    const [g0, c0] = [await net.topology.gateway.mac('g0'), await net.topology.client.mac('c0')];
    return {
      remote,
      inject: (packets: readonly Buffer[]) =>
        net.client.inject(
          'c0',
          packets.map((packet) => ethernet(g0, c0, packet)),
        ),
      close: async () => {
        await local.close();
        await remote.close();
      },
    };
  }

  const datagram = (i: number, size = 300) =>
    udp(
      { src: CLIENT, dst: SERVER, sport: PORT, dport: REMOTE_PORT, id: 700 + i, df: true },
      Buffer.from(Array.from({ length: size }, (_, at) => (at * 7 + i * 13) & 0xff)),
    );

  it('TCP segments of 1500 bytes arrive byte for byte', async () => {
    await offloads('off');
    const before = await counters();
    const filter = 'tcp dst port 8000';
    const [atClient, atServer] = await Promise.all([
      sniff(net.topology.client, 'c0', { direction: 'out', filter }),
      sniff(net.topology.server, 's0', { direction: 'in', filter }),
    ]);
    const upload = `curl -sS http://${SERVER}:8000/3000001 | curl -sS -X PUT --data-binary @- http://${SERVER}:8000/`;
    const { stdout } = await net.topology.client.shell(upload);
    expect(stdout).toBe(await net.server.patternSha256(3_000_001));
    const [sent, arrived] = (await Promise.all([atClient.stop(), atServer.stop()])).map((all) =>
      all.map(({ ip }) => ip!),
    ) as [Ipv4Packet[], Ipv4Packet[]];
    await offloads('on');

    expect(arrived.length).toBeGreaterThan(2000);
    expect(arrived.filter((packet) => packet.totalLength > 1500)).toEqual([]);
    expect(arrived.filter((packet) => !packet.headerChecksumOk || !transportChecksumOk(packet))).toEqual([]);
    // Some may have been lost on the way, none is new. (Two processors send, so the captures' order is no measure.)
    const left = new Map<string, number>();
    for (const packet of sent) left.set(kept(packet), (left.get(kept(packet)) ?? 0) + 1);
    const unknown = arrived.filter((packet) => {
      const count = left.get(kept(packet)) ?? 0;
      left.set(kept(packet), count - 1);
      return count <= 0;
    });
    expect(unknown).toEqual([]);
    await until('super-packets are counted', async () => (await counters()).made > before.made + 10);
    const { made, coalesced } = await counters();
    expect(coalesced - before.coalesced).toBeGreaterThanOrEqual(2 * (made - before.made));
  });

  it('datagrams arrive in a socket as they were sent', async () => {
    const { remote, inject, close } = await flow();
    const before = await counters();
    const sent = Array.from({ length: 50 }, (_, i) => datagram(i, i === 49 ? 77 : 300));
    await whileStopped(() => inject(sent));
    for (const packet of sent) expect(await remote.receive()).toEqual(packet.subarray(28));
    await expectMade(before, 1, 50);
    await close();
  });

  it('and on a wire, with right checksums; a damaged one stays damaged, one without checksum without', async () => {
    const { inject, close } = await flow();
    await offloads('off');
    const sent = Array.from({ length: 20 }, (_, i) => datagram(i));
    sent[9]![100]! ^= 0x40;
    sent[14]!.writeUInt16BE(0, 26);
    const before = await counters();
    const capture = await sniff(net.topology.server, 's0', {
      direction: 'in',
      filter: `udp port ${REMOTE_PORT}`,
    });
    await whileStopped(() => inject(sent));
    const arrived = (await capture.stop()).map(({ ip }) => ip!);
    await offloads('on');
    expect(arrived.map(kept)).toEqual(
      sent.map((bytes) => kept({ bytes, protocol: UDP } as unknown as Ipv4Packet)),
    );
    expect(arrived.map((packet) => packet.headerChecksumOk)).toEqual(Array(20).fill(true));
    expect(arrived.map(transportChecksumOk)).toEqual(sent.map((_, i) => i !== 9));
    expect(arrived.map((packet) => packet.payload.readUInt16BE(6) === 0)).toEqual(
      sent.map((_, i) => i === 14),
    );
    // 0 to 8, 10 to 13, 15 to 19.
    await expectMade(before, 3, 18);
    await close();
  });
});
