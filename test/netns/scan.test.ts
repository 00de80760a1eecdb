/**
 * A scan from outside meets silence, whatever it sends: on ports that are natgate's of the host's own address, those of live mappings among them, and on
 * all of an address that is natgate's alone. The host answers for what is its own (uninvited.test.ts).
 */
import { expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';
import { describePacket, ethernet, ICMP, icmp, ipv4, SYN, TCP, tcp, UDP, udp } from './support/packets.ts';
import { sleep } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER, SERVER_2 } from './support/topology.ts';

const DEDICATED = '198.18.0.40';
const SCTP = 132;
const PORTION = 200;
const UDP_PORT = 47400;
const TCP_PORT = 47401;

const targets = [
  { what: 'the address of the host', dst: GATEWAY_PUBLIC, args: [], isOwn: false },
  { what: 'a dedicated address', dst: DEDICATED, args: ['--external', DEDICATED], isOwn: true },
];

natgateOnly.each(targets)('a scan of $what', ({ dst, args, isOwn }) => {
  const net = useGateway({ args });
  /** Flows to SERVER by each protocol, and what asks whether they still go on. */
  const talk = async () => {
    const remote = await net.server.udp([SERVER, 9400]);
    await net.server.tcpEcho(9401);
    const socket = await net.client.udp([CLIENT, UDP_PORT]);
    await socket.sendTo(Buffer.from('open'), [SERVER, 9400]);
    const [, external] = await remote.receiveFrom();
    expect(external).toEqual([dst, UDP_PORT]);
    const connection = await net.client.connect([SERVER, 9401], [CLIENT, TCP_PORT]);
    await net.topology.client.exec(`ping -c 1 -W 2 -e 4242 ${SERVER}`);
    return async () => {
      await remote.sendTo(Buffer.from('welcome'), external);
      expect((await socket.receive()).toString()).toBe('welcome');
      expect(await connection.echo('still here')).toBe('still here');
      await Promise.all([remote, socket, connection].map((each) => each.close()));
    };
  };

  it('is met with silence, and disturbs no flow', async () => {
    const goesOn = await talk();
    const from = { src: SERVER_2, dst };
    const packets: Buffer[] = [];
    const mapped = [UDP_PORT, TCP_PORT, UDP_PORT - 1, TCP_PORT + 1, 32768, 65535];
    const ports = isOwn ? [...mapped, 0, 1, 22, 53, 80, 443, 8080, 20000] : mapped;
    for (const dport of ports) {
      // NULL, FIN, SYN, XMAS and all others.
      for (let flags = 0; flags < 256; flags++) {
        packets.push(tcp({ ...from, sport: 9401, dport, flags, seq: flags, ack: flags }));
      }
      for (const sport of [53, 123, 9400, 9401]) {
        packets.push(udp({ ...from, sport, dport }), udp({ ...from, sport, dport }, Buffer.alloc(64, 'x')));
        // Without the way back: a time to live that ends here.
        packets.push(udp({ ...from, sport, dport, ttl: 1 }, Buffer.from('x')));
        packets.push(tcp({ ...from, sport, dport, flags: SYN, ttl: 1 }));
      }
      packets.push(...inPieces(udp({ ...from, sport: 9400, dport, id: dport }, Buffer.alloc(100))));
      packets.push(
        ...inPieces(tcp({ ...from, sport: 9401, dport, flags: SYN, id: dport }, Buffer.alloc(100))),
      );
      // Longer than any link, and not to be cut; what does not parse.
      packets.push(udp({ ...from, sport: 9400, dport, df: true }, Buffer.alloc(1472)));
      packets.push(corrupted(udp({ ...from, sport: 9400, dport }, Buffer.alloc(9))));
      packets.push(corrupted(tcp({ ...from, sport: 9401, dport, flags: SYN })));
    }
    for (const type of [0, 14, 16, 18]) {
      packets.push(icmp({ ...from, type, rest: 0x10920001 }, Buffer.alloc(12)));
    }
    // Pieces whose first never comes.
    for (const protocol of [ICMP, TCP, UDP]) {
      packets.push(ipv4({ ...from, protocol, id: 999, offset: 1480 }, Buffer.alloc(40)));
    }
    if (isOwn) {
      for (let type = 0; type < 256; type++) {
        for (const rest of [0x10920001, 0x77770001])
          packets.push(icmp({ ...from, type, rest }, Buffer.alloc(12)));
      }
      for (let protocol = 0; protocol < 256; protocol++) {
        packets.push(ipv4({ ...from, protocol }, Buffer.alloc(40)));
      }
      // SCTP INIT (RFC 9260 3.3.2), checksum or not.
      const init = Buffer.alloc(32);
      init.writeUInt32BE((9400 << 16) | UDP_PORT, 0);
      init.writeUInt32BE(0x01000014, 12);
      packets.push(ipv4({ ...from, protocol: SCTP }, init));
    }
    const [g1, s0] = [await net.topology.gateway.mac('g1'), await net.topology.server.mac('s0')];
    const inside = await sniff(net.topology.client, 'c0', { filter: 'ip', direction: 'in' });
    const answers = await sniff(net.topology.server, 's0', { filter: 'ip', direction: 'in' });
    const frames = packets.map((packet) => ethernet(g1, s0, packet));
    // No more at once than a queue holds, so that all of them get to the engine.
    for (let at = 0; at < frames.length; at += PORTION) {
      await net.server.inject('s0', frames.slice(at, at + PORTION));
      await sleep(20);
    }
    expect((await answers.stop()).map(({ ip }) => describePacket(ip!))).toEqual([]);
    expect((await inside.stop()).map(({ ip }) => describePacket(ip!))).toEqual([]);
    // It was the engine that met them.
    const { drops } = await (net.gateway as Natgate).status();
    const dropped = Object.values(drops).reduce((sum, each) => sum + each, 0);
    expect(dropped).toBeGreaterThan(packets.length * 0.9);
    await goesOn();
  });
});

/** Cut behind 24 and 64 bytes; the last two pieces overlap. */
function inPieces(packet: Buffer): Buffer[] {
  const body = packet.subarray(20);
  const fields = {
    src: [...packet.subarray(12, 16)].join('.'),
    dst: [...packet.subarray(16, 20)].join('.'),
    protocol: packet[9]!,
    id: packet.readUInt16BE(4),
  };
  return [
    ipv4({ ...fields, mf: true }, body.subarray(0, 24)),
    ipv4({ ...fields, mf: true, offset: 24 }, body.subarray(24, 64)),
    ipv4({ ...fields, offset: 56 }, body.subarray(56)),
  ];
}

/** The last byte of the transport header is another, and so its checksum wrong. */
function corrupted(packet: Buffer): Buffer {
  const copy = Buffer.from(packet);
  copy[27]! ^= 0x55;
  return copy;
}
