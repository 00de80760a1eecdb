/** An interface in promiscuous mode (a sniffer, a bridge's port) sees frames for others: they are not the gateway's. */
import { describe, expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { describePacket, ethernet, SYN, tcp, udp } from './support/packets.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const OTHER_MAC = '02:00:00:00:be:ef';

describe('an interface in promiscuous mode', () => {
  const net = useGateway({
    before: async ({ host, server }) => {
      await server.udpEcho(7);
      for (const device of ['g0', 'g1']) await host.ask('promiscuous', { device, on: true });
    },
  });

  it('does not forward what private hosts send to other hosts of their network', async () => {
    const capture = await sniff(net.topology.server, 's0', { filter: 'ip', direction: 'in' });
    const mac = await net.topology.client.mac('c0');
    await net.client.inject('c0', [
      ethernet(
        OTHER_MAC,
        mac,
        udp({ src: CLIENT, dst: SERVER, sport: 48100, dport: 7 }, Buffer.from('not yours')),
      ),
      ethernet(OTHER_MAC, mac, tcp({ src: CLIENT, dst: SERVER, sport: 48100, dport: 7, flags: SYN })),
      ethernet('01:00:5e:00:00:01', mac, udp({ src: CLIENT, dst: SERVER, sport: 48101, dport: 7 })),
    ]);
    expect((await capture.stop()).map(({ ip }) => describePacket(ip!))).toEqual([]);
  });

  it('does not take in what is for other hosts outside, though a flow would fit', async () => {
    const remote = await net.server.udp([SERVER, 9600]);
    const socket = await net.client.udp([CLIENT, 48102]);
    await socket.sendTo(Buffer.from('open'), [SERVER, 9600]);
    const [, external] = await remote.receiveFrom();
    const mac = await net.topology.server.mac('s0');
    const answer = udp(
      { src: SERVER, dst: GATEWAY_PUBLIC, sport: 9600, dport: external[1] },
      Buffer.from('stolen'),
    );
    const capture = await sniff(net.topology.client, 'c0', { filter: 'ip', direction: 'in' });
    await net.server.inject('s0', [ethernet(OTHER_MAC, mac, answer)]);
    expect((await capture.stop()).map(({ ip }) => describePacket(ip!))).toEqual([]);
    // The same packet with the gateway's address on the frame arrives.
    await net.server.inject('s0', [ethernet(await net.topology.gateway.mac('g1'), mac, answer)]);
    expect((await socket.receive()).toString()).toBe('stolen');
    await Promise.all([remote.close(), socket.close()]);
  });

  it('does not shut the host off from what is for it', async () => {
    const service = await net.host.udp([GATEWAY_PUBLIC, 2030]);
    const remote = await net.server.udp();
    await remote.sendTo(Buffer.from('for the host'), [GATEWAY_PUBLIC, 2030]);
    expect((await service.receive()).toString()).toBe('for the host');
    const socket = await net.client.udp();
    await socket.sendTo(Buffer.from('through'), [SERVER, 7]);
    expect((await socket.receive()).toString()).toBe('through');
    await Promise.all([service.close(), remote.close(), socket.close()]);
  });
});
