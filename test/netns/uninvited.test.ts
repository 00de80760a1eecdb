/**
 * Nothing from outside reaches a private host uninvited: not its address, not the ports of its flows from elsewhere,
 * no protocol, no error about nothing. With natgate it does not even reach the private TUN, and the host does not
 * answer for ports that are natgate's.
 */
import { describe, expect, it } from 'vitest';
import type { Agent } from './support/agent.ts';
import { contender } from './support/contender.ts';
import { useGateway } from './support/fixture.ts';
import {
  ACK,
  describePacket,
  ethernet,
  FIN,
  ICMP,
  icmp,
  ipv4,
  PSH,
  parseIpv4,
  RST,
  SYN,
  TCP,
  tcp,
  UDP,
  udp,
} from './support/packets.ts';
import { type Capture, sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER, SERVER_2 } from './support/topology.ts';

describe('uninvited packets', () => {
  const net = useGateway({
    before: async ({ client, topology }) => {
      // The client offers services, and the attacker on the public link knows the way to the private network.
      await client.tcpEcho(8080);
      await client.udpEcho(8080);
      await topology.server.exec(`ip route add 10.77.0.0/24 via ${GATEWAY_PUBLIC}`);
    },
  });

  /** Captures of all places where an uninvited packet must not show. */
  async function watchPrivateSide(): Promise<() => Promise<string[]>> {
    const captures: [string, Capture][] = [
      ['c0', await sniff(net.topology.client, 'c0', { filter: 'ip' })],
      ['g0', await sniff(net.topology.gateway, 'g0', { filter: 'ip' })],
    ];
    if (contender === 'natgate') {
      captures.push(['natgate-g0', await sniff(net.topology.gateway, 'natgate-g0', { filter: 'ip' })]);
    }
    return async () => {
      const seen: string[] = [];
      for (const [device, capture] of captures) {
        for (const { ip } of await capture.stop())
          seen.push(`${device}: ${ip ? describePacket(ip) : 'not IPv4'}`);
      }
      return seen;
    };
  }

  /** Sends IP packets from the server straight to the gateway's hardware address. */
  async function attack(agent: Agent, packets: readonly Buffer[]): Promise<void> {
    const gateway = await net.topology.gateway.mac('g1');
    const server = await net.topology.server.mac('s0');
    await agent.inject(
      's0',
      packets.map((packet) => ethernet(gateway, server, packet)),
    );
  }

  it('do not reach the private address, whatever the protocol', async () => {
    const seen = await watchPrivateSide();
    await expect(net.server.connect([CLIENT, 8080], undefined, 1)).rejects.toThrow();
    const address = { src: SERVER, dst: CLIENT };
    const packets = [
      tcp({ ...address, sport: 40000, dport: 8080, flags: SYN }),
      tcp({ ...address, sport: 40000, dport: 8080, flags: ACK }),
      udp({ ...address, sport: 40000, dport: 8080 }, Buffer.from('knock knock')),
      icmp({ ...address, type: 8, rest: 0x12340001 }, Buffer.alloc(32)),
      icmp({ ...address, type: 5, code: 1 }, Buffer.alloc(28)),
    ];
    for (let protocol = 0; protocol < 256; protocol++) {
      packets.push(ipv4({ ...address, protocol }, Buffer.alloc(40, protocol)));
    }
    await attack(net.server, packets);
    expect(await seen()).toEqual([]);
  });

  it('do not reach a private host through the public address', async () => {
    const seen = await watchPrivateSide();
    const address = { src: SERVER, dst: GATEWAY_PUBLIC };
    const packets: Buffer[] = [];
    for (let port = 1; port < 65536; port += 211) {
      packets.push(udp({ ...address, sport: 8080, dport: port }, Buffer.from('anybody there?')));
      for (const flags of [SYN, ACK, SYN | ACK, RST, FIN | ACK, PSH | ACK, 0]) {
        packets.push(tcp({ ...address, sport: 8080, dport: port, flags, seq: 1, ack: 1 }));
      }
      packets.push(icmp({ ...address, type: 0, rest: port * 65536 }, Buffer.alloc(56)));
    }
    for (let protocol = 0; protocol < 256; protocol++) {
      packets.push(ipv4({ ...address, protocol }, Buffer.alloc(40, protocol)));
    }
    for (let type = 0; type < 256; type++) packets.push(icmp({ ...address, type }, Buffer.alloc(64)));
    await attack(net.server, packets);
    expect(await seen()).toEqual([]);
  });

  it('do not reach it as errors about packets that nobody sent', async () => {
    const seen = await watchPrivateSide();
    const packets: Buffer[] = [];
    for (const [type, code] of [
      [3, 0],
      [3, 1],
      [3, 3],
      [3, 4],
      [4, 0],
      [5, 0],
      [11, 0],
      [12, 0],
    ] as const) {
      for (const src of [GATEWAY_PUBLIC, CLIENT]) {
        const about = { src, dst: SERVER };
        for (const quoted of [
          udp({ ...about, sport: 40000, dport: 53 }, Buffer.alloc(20)),
          tcp({ ...about, sport: 40000, dport: 80, flags: SYN }),
          icmp({ ...about, type: 8, rest: 0x77770001 }, Buffer.alloc(20)),
          ipv4({ ...about, protocol: 47 }, Buffer.alloc(20)),
          ipv4({ ...about, protocol: UDP, offset: 800 }, Buffer.alloc(20)),
        ]) {
          packets.push(icmp({ src: SERVER_2, dst: GATEWAY_PUBLIC, type, code, rest: 1400 }, quoted));
        }
      }
    }
    await attack(net.server, packets);
    expect(await seen()).toEqual([]);
  });

  it('do not reach it as fragments', async () => {
    const seen = await watchPrivateSide();
    const packets: Buffer[] = [];
    for (const protocol of [ICMP, TCP, UDP, 47]) {
      const address = { src: SERVER, dst: GATEWAY_PUBLIC, protocol, id: 7000 + protocol };
      const start =
        protocol === UDP
          ? udp({ ...address, sport: 5, dport: 40000 }, Buffer.alloc(600)).subarray(20)
          : Buffer.alloc(608);
      packets.push(ipv4({ ...address, mf: true }, start));
      packets.push(ipv4({ ...address, mf: true, offset: 608 }, Buffer.alloc(608)));
      packets.push(ipv4({ ...address, offset: 1216 }, Buffer.alloc(100)));
      packets.push(ipv4({ ...address, id: 9000 + protocol, offset: 1216 }, Buffer.alloc(100)));
    }
    await attack(net.server, packets);
    expect(await seen()).toEqual([]);
  });

  it('do not reach a mapped port from another host or another port', async () => {
    const remote = await net.server.udp([SERVER, 9400]);
    const socket = await net.client.udp([CLIENT, 47400]);
    await socket.sendTo(Buffer.from('open'), [SERVER, 9400]);
    const [, external] = await remote.receiveFrom();
    await net.server.tcpEcho(9401);
    const connection = await net.client.connect([SERVER, 9401], [CLIENT, 47401]);

    const seen = await watchPrivateSide();
    for (const src of [SERVER, SERVER_2]) {
      await attack(net.server, [
        udp({ src, dst: GATEWAY_PUBLIC, sport: 9999, dport: external[1] }, Buffer.from('let me in')),
        tcp({ src, dst: GATEWAY_PUBLIC, sport: 9999, dport: 47401, flags: SYN }),
        tcp({ src, dst: GATEWAY_PUBLIC, sport: 9999, dport: 47401, flags: ACK, seq: 5, ack: 5 }),
        tcp({ src, dst: GATEWAY_PUBLIC, sport: 9999, dport: 47401, flags: RST, seq: 5 }),
      ]);
    }
    expect(await seen()).toEqual([]);

    // The flows themselves are open as before.
    await remote.sendTo(Buffer.from('welcome'), external);
    expect((await socket.receive()).toString()).toBe('welcome');
    expect(await connection.echo('still here')).toBe('still here');
    await Promise.all([remote, socket, connection].map((s) => s.close()));
  });

  it.skipIf(contender === 'kernel')("get no answer from the host on ports that are natgate's", async () => {
    const answers = await sniff(net.topology.server, 's0', { direction: 'in', filter: 'ip' });
    const address = { src: SERVER, dst: GATEWAY_PUBLIC, sport: 9402 };
    const packets: Buffer[] = [];
    for (let port = 32768; port < 65536; port += 97) {
      packets.push(
        tcp({ ...address, dport: port, flags: SYN }),
        tcp({ ...address, dport: port, flags: ACK, ack: 1 }),
      );
      packets.push(udp({ ...address, dport: port }, Buffer.from('closed?')));
    }
    await attack(net.server, packets);
    expect((await answers.stop()).map(({ ip }) => describePacket(ip!))).toEqual([]);
  });

  it('are answered by the host itself on ports that are its own', async () => {
    await expect(net.server.connect([GATEWAY_PUBLIC, 1234])).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const socket = await net.server.udp();
    await socket.call('connect', [GATEWAY_PUBLIC, 1234]);
    await socket.call('send', Buffer.from('x'));
    await expect(socket.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await socket.close();
  });

  it('are let through for a protocol without ports once a private host has spoken it', async () => {
    const [EXPERIMENT, data] = [253, Buffer.from('RFC 3692')];
    const inside = await net.client.raw(EXPERIMENT);
    const outside = await net.server.raw(EXPERIMENT);
    await outside.call('bind', [SERVER_2, 0]);
    await inside.sendTo(data, [SERVER_2, 0]);
    const arrived = parseIpv4(await outside.receive())!;
    expect(arrived).toMatchObject({
      src: GATEWAY_PUBLIC,
      dst: SERVER_2,
      protocol: EXPERIMENT,
      headerChecksumOk: true,
    });
    expect(arrived.payload).toEqual(data);
    await outside.sendTo(Buffer.from('answer'), [GATEWAY_PUBLIC, 0]);
    expect(parseIpv4(await inside.receive())).toMatchObject({
      src: SERVER_2,
      dst: CLIENT,
      payload: Buffer.from('answer'),
    });

    const seen = await watchPrivateSide();
    await attack(net.server, [ipv4({ src: SERVER, dst: GATEWAY_PUBLIC, protocol: EXPERIMENT }, data)]);
    await attack(net.server, [ipv4({ src: SERVER_2, dst: GATEWAY_PUBLIC, protocol: 50 }, data)]);
    expect(await seen()).toEqual([]);
    await Promise.all([inside.close(), outside.close()]);
  });
});
