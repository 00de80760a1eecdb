/**
 * No private address shows on the public side where private hosts can be reached, either: by forwards, a 1:1 address and hairpins, by whatever
 * errors, options and ICMP extensions they send, and by what is for their own network alone.
 */
import { expect, it } from 'vitest';
import { IP_TTL, SOL_IP } from './support/agent.ts';
import { useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import { BEHIND, CLIENT_2, CLIENT_3, leaks, ROUTER } from './support/leaks.ts';
import {
  addressBytes,
  checksum,
  describePacket,
  ethernet,
  ICMP,
  icmp,
  ipv4,
  parseIpv4,
  SYN,
  tcp,
  transportChecksumOk,
  UDP,
  udp,
} from './support/packets.ts';
import { sleep } from './support/process.ts';
import { type Captured, sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PRIVATE, GATEWAY_PUBLIC, ip, SERVER, SERVER_2 } from './support/topology.ts';

/** Of CLIENT_2. */
const ONE_TO_ONE = '198.18.0.50';
const FROM_THE_GATEWAY = new Set([GATEWAY_PUBLIC, ONE_TO_ONE]);

/** Record route with one address written and room for two; the same with times. */
const RECORDED = Buffer.from([7, 15, 8, ...addressBytes(BEHIND), 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const STAMPED = Buffer.from([68, 20, 13, 1, ...addressBytes(BEHIND), 0, 0, 0, 1, ...Buffer.alloc(8)]);
const SOURCE_ROUTED = [131, 137].map((type) => Buffer.from([type, 7, 4, ...addressBytes(SERVER_2), 0]));

/** RFC 4884 with an object of RFC 5837: the interface where it happened, and its address. */
function extended(quote: Buffer): Buffer {
  const object = Buffer.from([0, 16, 2, 0x0c, 0, 0, 0, 3, 0, 1, 0, 0, ...addressBytes(BEHIND)]);
  const extension = Buffer.concat([Buffer.from([0x20, 0, 0, 0]), object]);
  extension.writeUInt16BE(checksum(extension), 2);
  return Buffer.concat([quote, Buffer.alloc(128 - quote.length), extension]);
}

natgateOnly('the public side of forwards, a 1:1 address and DNS', () => {
  const net = useGateway({
    args: [
      ...['--forward', `tcp:8080=${CLIENT}:8000`, '--forward', `udp:5300=${CLIENT}`],
      // Nothing listens there.
      ...['--forward', `udp:5301=${CLIENT}`],
      ...['--one-to-one', `${ONE_TO_ONE}=${CLIENT_2}`, '--dns', SERVER],
    ],
    before: async ({ topology, server, client }) => {
      for (const address of [CLIENT_2, CLIENT_3]) await ip(topology.client, `addr add ${address}/24 dev c0`);
      await client.http(8000);
      await client.udpEcho(5300);
      await server.http(8000);
      await server.udpEcho(53);
    },
  });
  const watchPublicSide = () => sniff(net.topology.server, 's0');
  const injectInside = async (packets: readonly Buffer[], to?: string) => {
    const [c0, g0] = [await net.topology.client.mac('c0'), to ?? (await net.topology.gateway.mac('g0'))];
    await net.client.inject(
      'c0',
      packets.map((packet) => ethernet(g0, c0, packet)),
    );
  };
  /** Asks each service from outside by UDP; where nothing listens, nothing comes back. */
  const ask = async (to: string, port: number, sport: number, ttl?: number) => {
    const socket = await net.server.udp([SERVER, sport]);
    if (ttl !== undefined) await socket.option(SOL_IP, IP_TTL, ttl);
    await socket.sendTo(Buffer.from('who is there?'), [to, port]);
    await sleep(50);
    await socket.close();
  };
  /** What the gateway sent. */
  const sentOf = (frames: readonly Captured[]) =>
    frames.flatMap(({ ip }) => (ip && FROM_THE_GATEWAY.has(ip.src) ? [ip] : []));

  it('shows none of those who serve and ask, not by hairpins either', async () => {
    const capture = await watchPublicSide();
    const { client, server } = net.topology;
    const fetch = (address: string, source: string) =>
      `curl -sS --max-time 5 -o /dev/null --interface ${source} http://${address}/100000`;
    await server.exec(fetch(`${GATEWAY_PUBLIC}:8080`, SERVER));
    await server.exec(fetch(`${ONE_TO_ONE}:8000`, SERVER));
    for (const source of [CLIENT, CLIENT_2, CLIENT_3]) {
      await client.exec(fetch(`${GATEWAY_PUBLIC}:8080`, source));
      await client.exec(fetch(`${SERVER}:8000`, source));
    }
    await client.exec(fetch(`${ONE_TO_ONE}:8000`, CLIENT));
    await server.exec(`ping -c 1 -W 2 ${ONE_TO_ONE}`);
    const query = await net.client.udp();
    await query.sendTo(Buffer.from('a question'), [GATEWAY_PRIVATE, 53]);
    expect((await query.receive()).toString()).toBe('a question');
    await query.close();
    const frames = await capture.stop();
    expect(leaks(frames)).toEqual([]);
    const sources = frames.flatMap(({ ip }) => (ip ? [ip.src] : []));
    expect(new Set(sources)).toEqual(new Set([GATEWAY_PUBLIC, ONE_TO_ONE, SERVER]));
  });

  it('shows none in errors about what came from outside: of private hosts, of a router inside, of the gateway', async () => {
    const capture = await watchPublicSide();
    // Of the hosts' own kernels, then of the gateway.
    await ask(GATEWAY_PUBLIC, 5301, 9600);
    await ask(ONE_TO_ONE, 9, 9601);
    await ask(GATEWAY_PUBLIC, 5300, 9602, 1);
    await ask(ONE_TO_ONE, 9, 9603, 1);
    const quotes = [
      { src: SERVER, dst: CLIENT, sport: 9600, dport: 5301 },
      { src: SERVER, dst: CLIENT_2, sport: 9601, dport: 9 },
    ];
    const errors: Buffer[] = [];
    for (const quoted of quotes) {
      for (const [type, code] of [
        [3, 1],
        [3, 4],
        [11, 0],
        [12, 0],
      ] as const) {
        for (const src of [quoted.dst, ROUTER]) {
          for (const options of [undefined, RECORDED, STAMPED]) {
            const quote = udp({ ...quoted, ...(options && { options }) }, Buffer.from('quoted'));
            const error = { src, dst: SERVER, type, code, ...(options && { options }) };
            errors.push(icmp({ ...error, rest: 1400 }, quote));
            errors.push(icmp({ ...error, rest: 0x200000 }, extended(quote)));
          }
        }
      }
    }
    await injectInside(errors);
    const frames = await capture.stop();
    expect(leaks(frames)).toEqual([]);
    const sent = sentOf(frames).filter(({ protocol }) => protocol === ICMP);
    // Each of those injected, two of the hosts, two of the gateway.
    expect(sent).toHaveLength(errors.length + 4);
    for (const error of sent) {
      expect(transportChecksumOk(error)).toBe(true);
      const quoted = parseIpv4(error.payload.subarray(8))!;
      expect(quoted.src).toBe(SERVER);
      expect(FROM_THE_GATEWAY.has(quoted.dst)).toBe(true);
      expect(quoted.headerChecksumOk).toBe(true);
    }
  });

  it('shows none in options that record the route, nor by source routes', async () => {
    const capture = await watchPublicSide();
    const { client, server } = net.topology;
    for (const option of ['-R', '-T tsandaddr']) {
      for (const source of [CLIENT, CLIENT_2]) {
        const { stdout } = await client.exec(`ping -n -c 1 -W 2 ${option} -I ${source} ${SERVER}`);
        expect(stdout).toContain('1 received');
      }
      // The host's kernel writes itself into the answer.
      expect((await server.exec(`ping -n -c 1 -W 2 ${option} ${ONE_TO_ONE}`)).stdout).toContain('1 received');
    }
    const packets: Buffer[] = [];
    for (const options of [RECORDED, STAMPED, ...SOURCE_ROUTED]) {
      for (const src of [CLIENT, CLIENT_2]) {
        const ends = { src, dst: SERVER, options, sport: 47700, dport: 9700 };
        for (let time = 0; time < 3; time++) packets.push(udp(ends, Buffer.from('by which way?')));
        packets.push(tcp({ ...ends, flags: SYN }));
        packets.push(ipv4({ src, dst: SERVER, options, protocol: 253 }, Buffer.alloc(20)));
        packets.push(udp({ ...ends, sport: 47701, mf: true, id: 7 }, Buffer.alloc(600)));
      }
    }
    await injectInside(packets);
    const frames = await capture.stop();
    expect(leaks(frames)).toEqual([]);
    const datagrams = sentOf(frames).filter(({ protocol }) => protocol === UDP);
    expect(datagrams.length).toBeGreaterThan(12);
    for (const datagram of datagrams) expect(datagram.headerChecksumOk).toBe(true);
  });

  it('shows nothing of what is for the private network alone: multicast, broadcast, DHCP, mDNS', async () => {
    const capture = await watchPublicSide();
    const to = (dst: string, port: number) =>
      [CLIENT, CLIENT_2].map((src) =>
        udp({ src, dst, sport: port, dport: port, ttl: 255 }, Buffer.from('hello')),
      );
    const packets = [
      ...to('224.0.0.251', 5353),
      ...to('239.255.255.250', 1900),
      ...to('224.0.0.1', 9),
      ...to('10.77.0.255', 138),
      ...to('255.255.255.255', 67),
      // An IGMP report (RFC 2236), with the router alert that it has.
      ipv4(
        { src: CLIENT, dst: '224.0.0.251', protocol: 2, ttl: 1, options: Buffer.from([0x94, 4, 0, 0]) },
        Buffer.from([0x16, 0, 9, 4, 224, 0, 0, 251]),
      ),
      udp({ src: '0.0.0.0', dst: '255.255.255.255', sport: 68, dport: 67 }, Buffer.alloc(240)),
    ];
    await injectInside(packets);
    await injectInside(packets, 'ff:ff:ff:ff:ff:ff');
    await injectInside(packets, '01:00:5e:00:00:fb');
    const frames = await capture.stop();
    expect(leaks(frames)).toEqual([]);
    // But for natgate's own question whether the resolver is there.
    expect(
      sentOf(frames)
        .map(describePacket)
        .filter((packet) => !packet.endsWith(':53')),
    ).toEqual([]);
  });

  it('asks by ARP as itself, for whomever', async () => {
    const capture = await watchPublicSide();
    for (const src of [CLIENT, CLIENT_2, CLIENT_3]) {
      await ip(net.topology.gateway, 'neigh flush dev g1');
      await injectInside(
        [SERVER, '198.18.0.77'].map((dst) =>
          udp({ src, dst, sport: 47800, dport: 9 }, Buffer.from('anybody?')),
        ),
      );
      await sleep(100);
    }
    const frames = (await capture.stop()).map(({ frame }) => frame);
    expect(leaks(frames.map((frame) => ({ frame, ip: null })))).toEqual([]);
    const asked = frames.filter((frame) => frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 1);
    const own = (await net.topology.gateway.mac('g1')).replaceAll(':', '');
    const senders = asked
      .filter((frame) => frame.toString('hex', 22, 28) === own)
      .map((frame) => [...frame.subarray(28, 32)].join('.'));
    expect(senders.length).toBeGreaterThan(1);
    expect(senders.filter((sender) => !FROM_THE_GATEWAY.has(sender))).toEqual([]);
  });
});
