/**
 * The kernel's recipe as an oracle: the same packets go through a kernel gateway and through natgate, and the same
 * must come out on the other side, byte for byte but for what each may choose (ports, identifiers of its own packets).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { type Gateway, Natgate, natgateOnly, startKernel } from './support/gateway.ts';
import {
  ACK,
  describePacket,
  ethernet,
  FIN,
  ICMP,
  type Ipv4Packet,
  icmp,
  ipv4,
  PSH,
  parseIpv4,
  ports,
  RST,
  SYN,
  TCP,
  tcp,
  transportChecksumOk,
  UDP,
  udp,
} from './support/packets.ts';
import { Random } from './support/random.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, ip, SERVER, type Topology } from './support/topology.ts';

/** A packet, and the side it is sent from. */
type Sent = ['client' | 'server', Buffer];

interface Side {
  topology: Topology;
  client: Agent;
  server: Agent;
  gateway: Gateway;
  macs: Record<'c0' | 'g0' | 'g1' | 's0', string>;
}

const out = { src: CLIENT, dst: SERVER };
const back = { src: SERVER, dst: GATEWAY_PUBLIC };
/** Random TCP conversations, and segments in each. */
const CONVERSATIONS = 150;
const ROUNDS = 12;
const FIRST_PORT = 42_000;

const data = Buffer.from('the same for both');

natgateOnly('natgate and the kernel agree on', () => {
  const sides: Side[] = [];

  beforeAll(async () => {
    for (const which of ['kernel', 'natgate'] as const) {
      const topology = await createTopology();
      // Nobody but this test speaks: hosts that answered what is injected would disturb.
      for (const [ns, device] of [
        [topology.client, 'c0'],
        [topology.server, 's0'],
      ] as const) {
        await ns.exec('iptables -w -A INPUT -p icmp -j DROP');
        await ns.exec('iptables -w -A INPUT -p tcp -j DROP');
        await ns.exec('iptables -w -A INPUT -p udp -j DROP');
        await ns.exec('iptables -w -A OUTPUT -p icmp --icmp-type destination-unreachable -j DROP');
        await ns.exec(`ethtool -K ${device} tx off`);
      }
      const macs = {
        c0: await topology.client.mac('c0'),
        g0: await topology.gateway.mac('g0'),
        g1: await topology.gateway.mac('g1'),
        s0: await topology.server.mac('s0'),
      };
      // No address resolution in the middle of it.
      await ip(topology.gateway, `neigh replace ${CLIENT} lladdr ${macs.c0} dev g0`);
      await ip(topology.gateway, `neigh replace ${SERVER} lladdr ${macs.s0} dev g1`);
      if (which === 'kernel') {
        // natgate drops what is INVALID, and its host does not answer for its ports.
        for (const rule of ['FORWARD -m conntrack --ctstate INVALID', 'INPUT -i g1 -p tcp']) {
          await topology.gateway.exec(`iptables -w -A ${rule} -j DROP`);
        }
      }
      const gateway =
        which === 'kernel' ? await startKernel(topology.gateway) : await Natgate.start(topology.gateway);
      const [client, server] = await Promise.all([
        Agent.start(topology.client),
        Agent.start(topology.server),
      ]);
      sides.push({ topology, client, server, gateway, macs });
    }
  });
  afterAll(async () => {
    for (const side of sides) {
      await side.gateway.stop();
      await side.topology.destroy();
    }
  });

  /** What comes out of one gateway for what goes in: `c0 …` and `s0 …` lines. */
  async function play(
    { topology, client, server, macs }: Side,
    sent: readonly Sent[],
    gapS = 0.01,
  ): Promise<['to client' | 'to server', Ipv4Packet][]> {
    const captures = [
      await sniff(topology.client, 'c0', { filter: 'ip', direction: 'in' }),
      await sniff(topology.server, 's0', { filter: 'ip', direction: 'in' }),
    ];
    for (let at = 0, next = 0; at < sent.length; at = next) {
      const from = sent[at]![0];
      while (next < sent.length && sent[next]![0] === from) next++;
      const packets = sent.slice(at, next).map(([, packet]) => packet);
      const { c0, g0, g1, s0 } = macs;
      if (from === 'client')
        await client.inject(
          'c0',
          packets.map((packet) => ethernet(g0, c0, packet)),
          gapS,
        );
      else
        await server.inject(
          's0',
          packets.map((packet) => ethernet(g1, s0, packet)),
          gapS,
        );
    }
    const [toClient, toServer] = await Promise.all(captures.map((capture) => capture.stop()));
    return [
      ...toClient!.map(({ ip: packet }) => ['to client', packet!] as ['to client', Ipv4Packet]),
      ...toServer!.map(({ ip: packet }) => ['to server', packet!] as ['to server', Ipv4Packet]),
    ];
  }

  /** Both let `count` packets come out, and these are the same. */
  async function agree(count: number, sent: readonly Sent[]): Promise<void> {
    const [kernel, natgate] = await Promise.all(
      sides.map(async (side) =>
        (await play(side, sent)).map(([direction, packet]) => `${direction}: ${portrait(packet)}`),
      ),
    );
    expect(natgate).toEqual(kernel);
    expect(natgate).toHaveLength(count);
  }

  it('UDP in all its looks', async () => {
    const ports = { sport: 41000, dport: 5000 };
    const noChecksum = udp({ ...out, ...ports }, data);
    noChecksum.writeUInt16BE(0, 26);
    await agree(46, [
      ['client', udp({ ...out, ...ports, id: 1, df: true, ttl: 64 }, data)],
      ['client', udp({ ...out, ...ports, id: 2, ttl: 2, tos: 0xb8 }, data)],
      ['client', udp({ ...out, ...ports, id: 3, ttl: 255, tos: 3 })],
      ['client', noChecksum],
      ['server', udp({ ...back, sport: 5000, dport: 41000, id: 4, ttl: 9 }, data)],
      [
        'server',
        udp({ ...back, sport: 5000, dport: 41000, id: 5, df: true, tos: 0x28 }, Buffer.alloc(1472, 7)),
      ],
      // Payloads whose sum makes the checksum come out as 0 or 0xffff on some way.
      ...Array.from({ length: 40 }, (_, i): Sent => {
        const payload = Buffer.alloc(2);
        payload.writeUInt16BE((0x3a00 + i * 7) & 0xffff);
        return ['client', udp({ ...out, ...ports, id: 100 + i }, payload)];
      }),
    ]);
  });

  it('UDP checksums that come out as zero', async () => {
    const ports = { sport: 41001, dport: 5001 };
    // The payload word is chosen so that the translated datagram sums up to 0, which is sent as 0xffff.
    const bare = udp({ src: GATEWAY_PUBLIC, dst: SERVER, ...ports }, Buffer.alloc(2));
    const payload = Buffer.from(bare.subarray(26, 28));
    await agree(1, [['client', udp({ ...out, ...ports }, payload)]]);
  });

  it('a TCP connection from beginning to end', async () => {
    const [to, from] = [
      { ...out, sport: 41100, dport: 80 },
      { ...back, sport: 80, dport: 41100 },
    ];
    await agree(9, [
      ['client', tcp({ ...to, flags: SYN, seq: 1000, df: true })],
      ['server', tcp({ ...from, flags: SYN | ACK, seq: 5000, ack: 1001, df: true })],
      ['client', tcp({ ...to, flags: ACK, seq: 1001, ack: 5001 })],
      ['client', tcp({ ...to, flags: PSH | ACK, seq: 1001, ack: 5001 }, data)],
      [
        'server',
        tcp({ ...from, flags: PSH | ACK, seq: 5001, ack: 1001 + data.length }, Buffer.alloc(1400, 'x')),
      ],
      ['client', tcp({ ...to, flags: ACK, seq: 1001 + data.length, ack: 6401, window: 0 })],
      ['client', tcp({ ...to, flags: FIN | ACK, seq: 1001 + data.length, ack: 6401 })],
      ['server', tcp({ ...from, flags: FIN | ACK, seq: 6401, ack: 1002 + data.length })],
      ['client', tcp({ ...to, flags: ACK, seq: 1002 + data.length, ack: 6402 })],
    ]);
  });

  it('a TCP connection that is refused, and one that is reset', async () => {
    const refused = { to: { ...out, sport: 41101, dport: 81 }, from: { ...back, sport: 81, dport: 41101 } };
    const reset = { to: { ...out, sport: 41102, dport: 82 }, from: { ...back, sport: 82, dport: 41102 } };
    await agree(6, [
      ['client', tcp({ ...refused.to, flags: SYN, seq: 1 })],
      ['server', tcp({ ...refused.from, flags: RST | ACK, ack: 2 })],
      ['client', tcp({ ...reset.to, flags: SYN, seq: 1 })],
      ['server', tcp({ ...reset.from, flags: SYN | ACK, seq: 9, ack: 2 })],
      ['client', tcp({ ...reset.to, flags: ACK, seq: 2, ack: 10 })],
      ['client', tcp({ ...reset.to, flags: RST, seq: 2 })],
    ]);
  });

  it('both sides opening a TCP connection at once', async () => {
    const [to, from] = [
      { ...out, sport: 41103, dport: 83 },
      { ...back, sport: 83, dport: 41103 },
    ];
    await agree(5, [
      ['client', tcp({ ...to, flags: SYN, seq: 100 })],
      ['server', tcp({ ...from, flags: SYN, seq: 200 })],
      ['client', tcp({ ...to, flags: SYN | ACK, seq: 100, ack: 201 })],
      ['server', tcp({ ...from, flags: SYN | ACK, seq: 200, ack: 101 })],
      ['client', tcp({ ...to, flags: PSH | ACK, seq: 101, ack: 201 }, data)],
    ]);
  });

  const seed = Number(process.env['NATGATE_TEST_SEED'] ?? Date.now() % 1_000_000);
  it(`which segments of random TCP conversations are let through (NATGATE_TEST_SEED=${seed})`, async () => {
    const random = new Random(seed);
    // Left out is what ends a flow at once: then it depends on the moment which packet begins the next one.
    const flags = {
      client: [SYN, SYN | ACK, ACK, ACK, PSH | ACK, FIN | ACK],
      server: [SYN | ACK, ACK, PSH | ACK, FIN | ACK],
    };
    const segment = (port: number): Sent => {
      const from = random.below(2) === 0 ? 'client' : 'server';
      const header = { flags: flags[from][random.below(flags[from].length)]!, seq: 1000, ack: 1000 };
      if (from === 'client') return [from, tcp({ ...out, sport: port, dport: 90, ...header })];
      return [from, tcp({ ...back, sport: 90, dport: port, ...header })];
    };
    const rounds = Array.from({ length: ROUNDS }, () =>
      // One side after the other: what comes from both at once has no order.
      Array.from({ length: CONVERSATIONS }, (_, i) => segment(FIRST_PORT + i)).sort(([a], [b]) =>
        a.localeCompare(b),
      ),
    );
    const [kernel, natgate] = await Promise.all(
      sides.map(async (side) => {
        const seen: Record<number, string[]> = {};
        for (const [round, sent] of rounds.entries()) {
          for (const [direction, packet] of await play(side, sent, 0.0005)) {
            const { sport, dport } = ports(packet);
            const port = direction === 'to server' ? sport : dport;
            seen[port] = [...(seen[port] ?? []), `round ${round} ${direction} ${portrait(packet)}`];
          }
        }
        return seen;
      }),
    );
    for (let i = 0; i < CONVERSATIONS; i++) {
      const port = FIRST_PORT + i;
      const of = (bytes: Buffer) => bytes.readUInt16BE(20) === port || bytes.readUInt16BE(22) === port;
      const story = rounds.map((sent) => sent.find(([, bytes]) => of(bytes))!);
      const told = story.map(([from, bytes]) => `${from} flags ${bytes[33]}`);
      expect([told, natgate![port]]).toEqual([told, kernel![port]]);
    }
  });

  it('ICMP queries and their replies', async () => {
    const query = (type: number, id: number): Buffer =>
      icmp({ ...out, type, rest: id * 65536 + 1 }, Buffer.alloc(12, 'q'));
    const reply = (type: number, id: number): Buffer =>
      icmp({ ...back, type, rest: id * 65536 + 1 }, Buffer.alloc(12, 'r'));
    await agree(4, [
      ['client', query(8, 0x4101)],
      ['server', reply(0, 0x4101)],
      ['client', query(13, 0x4102)],
      ['server', reply(14, 0x4102)],
      // Uninvited: a reply of the wrong type, and one that nobody asked for.
      ['server', reply(14, 0x4101)],
      ['server', reply(0, 0x4103)],
    ]);
  });

  it('ICMP errors in both directions, with what they quote', async () => {
    const ports = { sport: 41200, dport: 5200 };
    const request = udp({ ...out, ...ports, id: 7, ttl: 64 }, data);
    const asSeen = udp({ src: GATEWAY_PUBLIC, dst: SERVER, ...ports, id: 7, ttl: 60 }, data);
    const answer = udp({ src: SERVER, dst: CLIENT, sport: 5200, dport: 41200, id: 8, ttl: 60 }, data);
    const errors: [number, number, number][] = [
      [3, 0, 0],
      [3, 1, 0],
      [3, 3, 0],
      [3, 4, 1400],
      [3, 13, 0],
      [11, 0, 0],
      [11, 1, 0],
      [12, 0, 0x14000000],
    ];
    await agree(19, [
      ['client', request],
      ['server', udp({ ...back, sport: 5200, dport: 41200, id: 8 }, data)],
      ...errors.map(([type, code, rest]): Sent => ['server', icmp({ ...back, type, code, rest }, asSeen)]),
      ...errors.map(([type, code, rest]): Sent => ['client', icmp({ ...out, type, code, rest }, answer)]),
      // As short as RFC 792 allows it: the header and eight bytes.
      ['server', icmp({ ...back, type: 3, code: 1 }, asSeen.subarray(0, 28))],
    ]);
  });

  it('the end of the time to live', async () => {
    const ports = { sport: 41300, dport: 5300 };
    await agree(3, [
      ['client', udp({ ...out, ...ports, id: 9, ttl: 1, df: true }, data)],
      ['client', icmp({ ...out, type: 8, rest: 0x43000001, ttl: 1 }, data)],
      ['client', tcp({ ...out, sport: 41301, dport: 80, flags: SYN, ttl: 1 })],
      // An error about an error is sent by nobody.
      [
        'client',
        icmp({ ...out, type: 3, code: 3, ttl: 1 }, udp({ src: SERVER, dst: CLIENT, sport: 1, dport: 2 })),
      ],
    ]);
  });

  it('what is too large', async () => {
    await Promise.all(
      sides.map(async ({ topology }) => {
        await ip(topology.gateway, 'link set g1 mtu 1280');
        await new Promise((resolve) => setTimeout(resolve, 300));
      }),
    );
    const ports = { sport: 41400, dport: 5400 };
    await agree(7, [
      ['client', udp({ ...out, ...ports, id: 10, df: true }, Buffer.alloc(1252, 1))],
      ['client', udp({ ...out, ...ports, id: 11, df: true }, Buffer.alloc(1253, 2))],
      ['client', tcp({ ...out, sport: 41401, dport: 80, flags: SYN, df: true }, Buffer.alloc(1400))],
      ['client', udp({ ...out, ...ports, id: 12 }, Buffer.alloc(1253, 3))],
      ['client', udp({ ...out, ...ports, id: 13 }, Buffer.alloc(1472, 4))],
    ]);
    for (const { topology } of sides) await ip(topology.gateway, 'link set g1 mtu 1500');
  });

  it('other protocols, by address', async () => {
    const numbers = [2, 4, 41, 51, 89, 97, 112, 253];
    await agree(16, [
      ...numbers.map(
        (protocol): Sent => ['client', ipv4({ ...out, protocol, id: protocol }, Buffer.alloc(40, protocol))],
      ),
      ...numbers.map(
        (protocol): Sent => ['server', ipv4({ ...back, protocol, id: protocol }, Buffer.alloc(40, protocol))],
      ),
    ]);
  });
});

/** All of a packet that both must agree on. */
function portrait(packet: Ipv4Packet): string {
  const { ttl, tos, df, mf, offset, payload, totalLength, headerChecksumOk } = packet;
  const parts = [describePacket(packet), `ttl=${ttl} tos=${tos} length=${totalLength}`];
  if (!headerChecksumOk) parts.push('BAD HEADER CHECKSUM');
  if (mf || offset > 0) return [...parts, `offset=${offset} mf=${mf}`, hex(payload)].join(' ');
  if ([ICMP, TCP, UDP].includes(packet.protocol) && !transportChecksumOk(packet)) parts.push('BAD CHECKSUM');
  const isError = packet.protocol === ICMP && [3, 4, 5, 11, 12].includes(payload[0]!);
  // Its own errors carry whatever identification and DF each likes.
  // What may be fragmented leaves natgate with an identification of the gateway's own (RFC 6864).
  const id = packet.src === GATEWAY_PUBLIC && !df ? 'any' : packet.id;
  if (!isError) return [...parts, `id=${id} df=${df}`, hex(payload)].join(' ');
  const quote = parseIpv4(payload.subarray(8));
  if (quote === null) return [...parts, 'no quote'].join(' ');
  const quoted = `quotes ${describePacket(quote)} ttl=${quote.ttl} id=${quote.id} sum=${quote.headerChecksumOk}`;
  return [
    ...parts,
    `rest=${payload.readUInt32BE(4)}`,
    quoted,
    hex(payload.subarray(8 + quote.headerLength)),
  ].join(' ');
}

const hex = (bytes: Buffer): string => bytes.toString('hex');
