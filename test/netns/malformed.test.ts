/**
 * Every malformed packet is dropped under a name and counted, from whichever side it comes; none gets through, and
 * forwarding goes on.
 */
import { beforeAll, expect, it } from 'vitest';
import type { Socket } from './support/agent.ts';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';
import { type Malformed, malformedPackets } from './support/malformed.ts';
import { ACK, ethernet, icmp, ipv4, PSH, tcp, udp } from './support/packets.ts';
import { until } from './support/process.ts';
import { Random } from './support/random.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

/** Ports of a flow that is there while the packets come, so that those from outside are let up to the engine. */
const PORT = 49500;
const REMOTE_PORT = 9900;
const COPIES = 3;
const RANDOM_PACKETS = 1500;

natgateOnly('malformed packets', () => {
  const net = useGateway({ before: ({ server }) => server.tcpEcho(7) });
  let gateway: Natgate;
  let connection: Socket;
  let flow: Socket;
  let remote: Socket;
  let fromClient: (packets: readonly Buffer[]) => Promise<void>;
  let fromServer: (packets: readonly Buffer[]) => Promise<void>;

  beforeAll(async () => {
    gateway = net.gateway as Natgate;
    const [c0, g0, g1, s0] = [
      await net.topology.client.mac('c0'),
      await net.topology.gateway.mac('g0'),
      await net.topology.gateway.mac('g1'),
      await net.topology.server.mac('s0'),
    ];
    fromClient = (packets) =>
      net.client.inject(
        'c0',
        packets.map((packet) => ethernet(g0, c0, packet)),
      );
    fromServer = (packets) =>
      net.server.inject(
        's0',
        packets.map((packet) => ethernet(g1, s0, packet)),
      );
    connection = await net.client.connect([SERVER, 7]);
    remote = await net.server.udp([SERVER, REMOTE_PORT]);
    flow = await net.client.udp([CLIENT, PORT]);
    await flow.sendTo(Buffer.from('open'), [SERVER, REMOTE_PORT]);
    await remote.receive();
  });

  /** Old and new connections work, and the engine is the one it was. */
  async function expectForwarding(): Promise<void> {
    expect(await connection.echo('still here')).toBe('still here');
    const fresh = await net.client.connect([SERVER, 7]);
    expect(await fresh.echo('new')).toBe('new');
    await fresh.close();
    expect(gateway.process.stderr).not.toContain('again');
  }

  /** The count of drops under any of these reasons. */
  async function dropped(reasons: readonly string[]): Promise<number> {
    const { drops } = await gateway.status();
    return reasons.reduce((sum, reason) => sum + (drops[reason] ?? 0), 0);
  }

  async function expectDropped(
    { packet, reasons }: Malformed,
    send: (packets: readonly Buffer[]) => Promise<void>,
    [far, device]: ['server', 's0'] | ['client', 'c0'],
  ): Promise<void> {
    const before = await dropped(reasons);
    const capture = await sniff(net.topology[far], device, { filter: 'ip', direction: 'in' });
    await send(Array(COPIES).fill(packet));
    await until(
      `${COPIES} drops counted as ${reasons.join(' or ')}`,
      async () => {
        const now = await dropped(reasons);
        expect(now).toBeLessThanOrEqual(before + COPIES);
        return now === before + COPIES;
      },
      3000,
    ).catch(async (error: Error) => {
      throw new Error(`${error.message}; counted: ${JSON.stringify((await gateway.status()).drops)}`);
    });
    expect(await capture.stop()).toEqual([]);
  }

  const inside = malformedPackets(CLIENT, SERVER, PORT, REMOTE_PORT);
  it.each(inside.map((one) => [one.what, one] as const))('from a private host: %s', async (_, one) => {
    await expectDropped(one, fromClient, ['server', 's0']);
  });

  // As answers to the flow: what is so broken that its port cannot be read is the host's, and not counted here.
  const outside = malformedPackets(SERVER, GATEWAY_PUBLIC, REMOTE_PORT, PORT);
  it('from outside: all of these', async () => {
    const capture = await sniff(net.topology.client, 'c0', { filter: 'ip', direction: 'in' });
    await fromServer(outside.map(({ packet }) => packet));
    await expectForwarding();
    const seen = (await capture.stop()).flatMap(({ ip }) =>
      ip?.src === SERVER && ip.protocol !== 6 ? [ip] : [],
    );
    expect(seen).toEqual([]);
    const { drops } = await gateway.status();
    for (const reason of ['bad_udp', 'bad_tcp', 'bad_header_checksum', 'bad_icmp_checksum']) {
      expect([reason, drops[reason] ?? 0]).not.toEqual([reason, 0]);
    }
  });

  it('frames that are too short for an IPv4 header, from both sides', async () => {
    const packet = udp({ src: CLIENT, dst: SERVER, sport: PORT, dport: REMOTE_PORT });
    const pieces = Array.from({ length: 28 }, (_, length) => packet.subarray(0, length));
    await fromClient(pieces);
    await fromServer(pieces);
    await expectForwarding();
  });

  it('every protocol number, with nothing and with noise inside', async () => {
    const random = new Random(1);
    for (const length of [0, 1, 8, 40]) {
      const numbers = Array.from({ length: 256 }, (_, protocol) => protocol);
      await fromClient(
        numbers.map((protocol) => ipv4({ src: CLIENT, dst: SERVER, protocol }, random.bytes(length))),
      );
      await fromServer(
        numbers.map((protocol) => ipv4({ src: SERVER, dst: GATEWAY_PUBLIC, protocol }, random.bytes(length))),
      );
    }
    await expectForwarding();
  });

  const seed = Number(process.env['NATGATE_TEST_SEED'] ?? Date.now() % 1_000_000);
  it(`random bytes (NATGATE_TEST_SEED=${seed})`, async () => {
    const random = new Random(seed);
    const noise = () => Array.from({ length: RANDOM_PACKETS }, () => random.bytes(random.below(120)));
    await fromClient(noise());
    await fromServer(noise());
    await expectForwarding();
  });

  it(`good packets with some bytes changed (NATGATE_TEST_SEED=${seed})`, async () => {
    const random = new Random(seed + 1);
    const mutated = (address: { src: string; dst: string }, sport: number, dport: number) => {
      const about = { src: address.dst, dst: address.src };
      const good = [
        udp({ ...address, sport, dport }, random.bytes(40)),
        tcp({ ...address, sport, dport: 7, flags: PSH | ACK, seq: 1, ack: 1 }, random.bytes(40)),
        icmp({ ...address, type: 8, rest: 0x10001 }, random.bytes(40)),
        icmp(
          { ...address, type: 3, code: 3 },
          udp({ ...about, sport: dport, dport: sport }, random.bytes(8)),
        ),
        ipv4(
          { ...address, protocol: 17, mf: true, id: 5 },
          udp({ ...address, sport, dport }, random.bytes(56)).subarray(20),
        ),
        ipv4({ ...address, protocol: 17, offset: 64, id: 5 }, random.bytes(40)),
      ];
      return Array.from({ length: RANDOM_PACKETS }, () => {
        const packet = Buffer.from(good[random.below(good.length)]!);
        // Mostly in the headers; the destination stays, or the packet would not be for the gateway.
        for (let changes = 1 + random.below(3); changes > 0; changes--) {
          const at = random.below(Math.min(packet.length, 60));
          if (at < 12 || at >= 20) packet[at] = random.below(256);
        }
        if (random.below(4) > 0 && packet[0] === 0x45) {
          packet.writeUInt16BE(0, 10);
          let sum = 0;
          for (let at = 0; at < 20; at += 2) sum += packet.readUInt16BE(at);
          sum = (sum & 0xffff) + (sum >>> 16);
          packet.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10);
        }
        return packet;
      });
    };
    // Short frames: the ring then holds all that comes at once.
    const options = { filter: 'ip', direction: 'in', snapLength: 1024 } as const;
    const capture = await sniff(net.topology.server, 's0', options);
    await fromClient(mutated({ src: CLIENT, dst: SERVER }, PORT + 1, REMOTE_PORT));
    await fromServer(mutated({ src: SERVER, dst: GATEWAY_PUBLIC }, REMOTE_PORT, PORT));
    await expectForwarding();
    const sources = new Set((await capture.stop()).map(({ ip }) => ip?.src));
    expect(sources).toEqual(new Set([GATEWAY_PUBLIC]));
  });
});
