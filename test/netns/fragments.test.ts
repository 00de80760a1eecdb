/** Fragments that arrive in another order than they were made in, both ways, through to the sockets of real kernels. */
import { expect, it } from 'vitest';
import { type Agent, IP_HDRINCL, SOL_IP } from './support/agent.ts';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';
import { type Ipv4Packet, ipv4, parseIpv4, UDP, udp } from './support/packets.ts';
import { CLIENT, GATEWAY_PUBLIC, ip, SERVER } from './support/topology.ts';

const OTHER = '10.77.0.99';
const PIECE = 1480;

/** The packet in fragments of 1480 bytes, in order. */
function fragments(packet: Buffer, piece = PIECE): Buffer[] {
  const { payload, src, dst, id } = parseIpv4(packet) as Ipv4Packet;
  return Array.from({ length: Math.ceil(payload.length / piece) }, (_, i) => {
    const offset = i * piece;
    const mf = offset + piece < payload.length;
    return ipv4({ src, dst, protocol: UDP, id, mf, offset }, payload.subarray(offset, offset + piece));
  });
}

async function send(agent: Agent, packets: Buffer[], to: string): Promise<void> {
  const raw = await agent.raw(255);
  await raw.option(SOL_IP, IP_HDRINCL, 1);
  for (const packet of packets) await raw.sendTo(packet, [to, 0]);
  await raw.close();
}

const pattern = (size: number, seed: number) =>
  Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + seed + (i >> 8)) & 0xff));

natgateOnly('fragments out of order', () => {
  const net = useGateway({
    before: async ({ topology, server }) => {
      await ip(topology.client, `addr add ${OTHER}/24 dev c0`);
      await server.udpEcho(7);
    },
  });
  const drops = async () => (net.gateway as Natgate).status().then((status) => status.drops);

  it.each([3000, 65_507])('a datagram of %i bytes, last fragment first', async (size) => {
    const socket = await net.client.udp(['0.0.0.0', 45_000]);
    const data = pattern(size, 1);
    const packet = udp({ src: CLIENT, dst: SERVER, sport: 45_000, dport: 7, id: size >> 1 }, data);
    await send(net.client, fragments(packet).reverse(), SERVER);
    expect((await socket.receive()).equals(data)).toBe(true);
    await socket.close();
  });

  it.each([3000, 65_507])('an answer of %i bytes, last fragment first', async (size) => {
    const [inside, outside] = [await net.client.udp(), await net.server.udp(['0.0.0.0', 45_002])];
    await inside.sendTo(Buffer.from('hello'), [SERVER, 45_002]);
    const [, [address, port]] = await outside.receiveFrom();
    expect(address).toBe(GATEWAY_PUBLIC);
    const data = pattern(size, 2);
    const packet = udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 45_002, dport: port, id: 900 }, data);
    await send(net.server, fragments(packet).reverse(), GATEWAY_PUBLIC);
    expect((await inside.receive()).equals(data)).toBe(true);
    await Promise.all([inside.close(), outside.close()]);
  });

  it('two hosts with the same identification, among each other', async () => {
    const server = await net.server.udp(['0.0.0.0', 45_003]);
    const [a, b] = [CLIENT, OTHER].map((src, i) =>
      fragments(
        udp({ src, dst: SERVER, sport: 45_003, dport: 45_003, id: 5 }, pattern(20_000, 10 + i)),
      ).reverse(),
    ) as [Buffer[], Buffer[]];
    await send(
      net.client,
      a.flatMap((packet, i) => [packet, b[i]!]),
      SERVER,
    );
    const received = [await server.receive(), await server.receive()];
    for (const data of [pattern(20_000, 10), pattern(20_000, 11)]) {
      expect(received.some((one) => one.equals(data))).toBe(true);
    }
    await server.close();
  });

  it('a datagram to a socket of the host’s own', async () => {
    const service = await net.host.udp(['0.0.0.0', 2025]);
    const data = pattern(30_000, 3);
    const packet = udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 45_004, dport: 2025, id: 77 }, data);
    await send(net.server, fragments(packet).reverse(), GATEWAY_PUBLIC);
    expect((await service.receive()).equals(data)).toBe(true);
    await service.close();
  });

  it('an overlap: nothing of it arrives, and it is counted', async () => {
    const server = await net.server.udp(['0.0.0.0', 45_005]);
    const packet = udp({ src: CLIENT, dst: SERVER, sport: 45_005, dport: 45_005, id: 6 }, pattern(4000, 4));
    const [first, second, third] = fragments(packet) as [Buffer, Buffer, Buffer];
    await send(net.client, [third, fragments(packet, 1472)[1]!, second, first], SERVER);
    // What is sent behind it has come: so it would have come as well.
    const after = udp(
      { src: CLIENT, dst: SERVER, sport: 45_005, dport: 45_005, id: 7 },
      Buffer.from('after'),
    );
    await send(net.client, [after], SERVER);
    expect((await server.receive()).toString()).toBe('after');
    expect((await drops())['fragment_overlap']).toBe(4);
    await server.close();
  });
});
