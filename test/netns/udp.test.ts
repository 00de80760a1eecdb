/** UDP through the gateway: datagrams of all sizes (so fragments), DNS, refusals, the fields that must be kept. */
import { describe, expect, it } from 'vitest';
import { IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_TOS, SOL_IP } from './support/agent.ts';
import { useGateway } from './support/fixture.ts';
import { parseIpv4, ports, UDP } from './support/packets.ts';
import type { Background } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER, SERVER_2 } from './support/topology.ts';

/** Around one, two and three packets of an MTU of 1500, and to the largest datagram there is. */
const SIZES = [
  0, 1, 2, 3, 100, 1471, 1472, 1473, 1480, 1481, 2952, 2953, 4000, 9000, 20000, 40000, 65506, 65507,
];

describe('UDP through the gateway', () => {
  const net = useGateway({ before: ({ server }) => server.udpEcho(7) });

  it.each(SIZES)('carries %i bytes there and back', async (size) => {
    const socket = await net.client.udp();
    await socket.option(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    const data = Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
    await socket.sendTo(data, [SERVER, 7]);
    const [answer, from] = await socket.receiveFrom();
    expect(from).toEqual([SERVER, 7]);
    expect(answer.equals(data)).toBe(true);
    await socket.close();
  });

  it('carries many large datagrams of several sockets that overlap', async () => {
    const sockets = await Promise.all(Array.from({ length: 8 }, () => net.client.udp()));
    const answers = await Promise.all(
      sockets.map(async (socket, i) => {
        await socket.option(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
        for (let round = 0; round < 10; round++) {
          const data = Buffer.alloc(10_000 + i * 1000 + round, `socket ${i} round ${round} `);
          await socket.sendTo(data, [SERVER, 7]);
          if (!(await socket.receive()).equals(data)) return `socket ${i} round ${round} differs`;
        }
        return 'ok';
      }),
    );
    expect(answers).toEqual(sockets.map(() => 'ok'));
  });

  it('keeps port, DSCP, identification and payload, and takes one from the TTL', async () => {
    const capture = await sniff(net.topology.server, 's0', { filter: 'udp dst port 7' });
    const before = await sniff(net.topology.client, 'c0', { filter: 'udp dst port 7' });
    const socket = await net.client.udp([CLIENT, 47001]);
    await socket.option(SOL_IP, IP_TOS, 0xb8);
    await socket.sendTo(Buffer.from('expedited'), [SERVER, 7]);
    await socket.receive();
    const [sent, arrived] = [(await before.stop())[0]!.ip!, (await capture.stop())[0]!.ip!];
    expect(arrived).toMatchObject({
      src: GATEWAY_PUBLIC,
      dst: SERVER,
      protocol: UDP,
      tos: 0xb8,
      id: sent.id,
    });
    expect(arrived).toMatchObject({ ttl: sent.ttl - 1, df: sent.df, headerChecksumOk: true });
    expect(ports(arrived)).toEqual({ sport: 47001, dport: 7 });
    expect(arrived.payload.subarray(8)).toEqual(sent.payload.subarray(8));
    await socket.close();
  });

  it('uses one external port for all destinations of a socket', async () => {
    const listeners = await Promise.all([SERVER, SERVER_2].map((address) => net.server.udp([address, 9200])));
    const socket = await net.client.udp([CLIENT, 47002]);
    for (const address of [SERVER, SERVER_2]) await socket.sendTo(Buffer.from('x'), [address, 9200]);
    for (const listener of listeners) {
      expect((await listener.receiveFrom())[1]).toEqual([GATEWAY_PUBLIC, 47002]);
    }
    await Promise.all([socket, ...listeners].map((s) => s.close()));
  });

  it('gives the client the port unreachable of a closed port', async () => {
    const socket = await net.client.udp();
    await socket.call('connect', [SERVER, 9]);
    await socket.call('send', Buffer.from('is anybody there?'));
    await expect(socket.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await socket.close();
  });

  it('gives the server the port unreachable of a private socket that has closed, translated', async () => {
    const remote = await net.server.udp([SERVER, 9201]);
    const socket = await net.client.udp([CLIENT, 47003]);
    await socket.sendTo(Buffer.from('hello'), [SERVER, 9201]);
    const [, external] = await remote.receiveFrom();
    await socket.close();
    const capture = await sniff(net.topology.server, 's0', { filter: 'icmp' });
    await remote.call('connect', external);
    await remote.call('send', Buffer.from('too late'));
    await expect(remote.receive()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const [error] = (await capture.stop()).map((packet) => packet.ip!);
    expect(error).toMatchObject({ src: GATEWAY_PUBLIC, dst: SERVER, headerChecksumOk: true });
    const quote = parseIpv4(error!.payload.subarray(8))!;
    expect(quote).toMatchObject({ src: SERVER, dst: GATEWAY_PUBLIC, headerChecksumOk: true });
    expect(ports(quote)).toEqual({ sport: 9201, dport: external[1] });
    await remote.close();
  });

  describe('DNS', () => {
    let dnsmasq: Background;
    const dig = async (args: string) =>
      (
        await net.topology.client.exec(`dig @${SERVER} -p 5353 +tries=1 +time=5 +short ${args}`)
      ).stdout.trim();

    it('answers dig over UDP and TCP', async () => {
      const texts = Array.from(
        { length: 20 },
        (_, i) => `--txt-record=big.test,${String(i).padStart(200, 'x')}`,
      );
      dnsmasq = net.topology.server.spawn([
        ...'dnsmasq --keep-in-foreground --log-facility=- --log-queries --no-resolv --no-hosts --pid-file'.split(
          ' ',
        ),
        ...`--conf-file=/dev/null --user=root --port=5353 --listen-address=${SERVER} --bind-interfaces`.split(
          ' ',
        ),
        ...['--address=/natgate.test/192.0.2.7', ...texts],
      ]);
      await dnsmasq.shows(/started/);
      expect(await dig('www.natgate.test')).toBe('192.0.2.7');
      expect(await dig('+tcp www.natgate.test')).toBe('192.0.2.7');
    });

    it('answers a large question over fragments, and over TCP after truncation', async () => {
      expect((await dig('+bufsize=8192 TXT big.test')).split('\n')).toHaveLength(20);
      expect((await dig('+bufsize=512 TXT big.test')).split('\n')).toHaveLength(20);
      expect(dnsmasq.stdout + dnsmasq.stderr).toContain(`query[TXT] big.test from ${GATEWAY_PUBLIC}`);
      await dnsmasq.stop();
    });
  });
});
