/**
 * What the steering programs do on real devices, with a process in the engine's place (steering-host.ts): which
 * packets reach it, and how what it writes leaves.
 */
import { expect, test } from 'vitest';
import {
  type FromTun,
  fromEngine,
  INTERNET,
  inbound,
  outbound,
  PLAIN,
  packetOf,
  useStandIn,
} from './steering-bed.ts';
import { L3_ADDRESS, OWNED_PORT } from './steering-shared.ts';
import { describePacket, ethernet, parseIpv4, SYN, tcp, UDP, udp } from './support/packets.ts';
import { sleep, until } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import {
  CLIENT,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  ip,
  type Namespace,
  SERVER,
  SERVER_2,
} from './support/topology.ts';

const bed = useStandIn();

test('a private host’s packet reaches the private TUN byte for byte', async () => {
  const packets = [0, 1, 100, 1472].map((length) => outbound(length));
  const seen = await bed.reaches(() =>
    bed.client.inject(
      'c0',
      packets.map((packet) => ethernet(bed.macs.g0, bed.macs.c0, packet)),
    ),
  );
  expect(seen).toEqual(packets.map((packet) => ({ tun: 0, vnet: PLAIN, packet })));
});

test('a super-packet passes whole, with its segment size', async () => {
  const SOL_UDP = 17;
  const UDP_SEGMENT = 103;
  const data = Buffer.alloc(20_000, 'super-packet ');
  const socket = await bed.client.udp();
  await socket.option(SOL_UDP, UDP_SEGMENT, 1000);
  const seen = await bed.reaches(() => socket.sendTo(data, [INTERNET, 53]));
  expect(seen).toHaveLength(1);
  const { tun, vnet, packet } = seen[0] as FromTun;
  expect(tun).toBe(0);
  expect(parseIpv4(packet)).toMatchObject({ src: CLIENT, dst: INTERNET, protocol: UDP, totalLength: 20_028 });
  expect(packet.subarray(28).equals(data)).toBe(true);
  const header = Buffer.from(vnet, 'hex');
  const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
  const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;
  expect([header[0], header[1], header.readUInt16LE(4)]).toEqual([
    VIRTIO_NET_HDR_F_NEEDS_CSUM,
    VIRTIO_NET_HDR_GSO_UDP_L4,
    1000,
  ]);
  await socket.close();
});

test('the internet’s packets to owned ports reach the public TUN, the host has the others', async () => {
  const listening = await bed.host.udp([GATEWAY_PUBLIC, 4000]);
  const capture = await sniff(bed.net.server, 's0', { filter: 'icmp', direction: 'in' });
  const packets = [OWNED_PORT, 4000, 4001].map(inbound);
  const seen = await bed.reaches(async () => {
    await bed.server.inject(
      's0',
      packets.map((packet) => ethernet(bed.macs.g1, bed.macs.s0, packet)),
    );
    expect((await listening.receive()).toString()).toBe('inbound');
  });
  expect(seen).toEqual([{ tun: 1, vnet: PLAIN, packet: packets[0] }]);
  const errors = await capture.stop();
  expect(errors.map(({ ip: packet }) => packet?.payload.readUInt16BE(8 + 20 + 2))).toEqual([4001]);
  await listening.close();
});

test('the internet cannot reach a private host by its address', async () => {
  const capture = await sniff(bed.net.client, 'c0', { filter: 'udp port 7777', direction: 'in' });
  const packet = udp({ src: SERVER, dst: CLIENT, sport: 53, dport: 7777 }, Buffer.from('hello?'));
  expect(
    await bed.reaches(() => bed.server.inject('s0', [ethernet(bed.macs.g1, bed.macs.s0, packet)])),
  ).toEqual([]);
  expect(await capture.stop()).toEqual([]);
});

test('a promiscuous interface steals nothing that is for other hosts', async () => {
  await ip(bed.net.gateway, 'link set g0 promisc on');
  await ip(bed.net.gateway, 'link set g1 promisc on');
  const stranger = '02:00:00:00:00:05';
  const seen = await bed.reaches(async () => {
    await bed.server.inject('s0', [ethernet(stranger, bed.macs.s0, inbound(OWNED_PORT))]);
    await bed.client.inject('c0', [
      ethernet(stranger, bed.macs.c0, outbound(1)),
      ethernet('ff:ff:ff:ff:ff:ff', bed.macs.c0, outbound(2)),
      ethernet('01:00:5e:01:02:03', bed.macs.c0, outbound(3)),
    ]);
  });
  await ip(bed.net.gateway, 'link set g0 promisc off');
  await ip(bed.net.gateway, 'link set g1 promisc off');
  expect(seen.map(packetOf)).toEqual([]);
});

test('frames with a VLAN tag are the host’s', async () => {
  const tag = Buffer.from([0x00, 0x07, 0x08, 0x00]);
  const tagged = ethernet(bed.macs.g0, bed.macs.c0, Buffer.concat([tag, outbound(1)]), 0x8100);
  const seen = await bed.reaches(() => bed.client.inject('c0', [tagged]));
  expect(seen.map(packetOf)).toEqual([]);
});

test('a priority tag without a VLAN does not count', async () => {
  const tagged = (id: number, packet: Buffer, from: string, to: string) =>
    ethernet(
      to,
      from,
      Buffer.concat([Buffer.from([0xa0 | (id >> 8), id & 0xff, 0x08, 0x00]), packet]),
      0x8100,
    );
  const seen = await bed.reaches(async () => {
    await bed.client.inject('c0', [
      tagged(0, outbound(1), bed.macs.c0, bed.macs.g0),
      tagged(256, outbound(2), bed.macs.c0, bed.macs.g0),
    ]);
    await bed.server.inject('s0', [tagged(0, inbound(OWNED_PORT), bed.macs.s0, bed.macs.g1)]);
  });
  expect(seen.map(({ tun, packet }) => ({ tun, packet }))).toEqual([
    { tun: 0, packet: outbound(1) },
    { tun: 1, packet: inbound(OWNED_PORT) },
  ]);
});

test('what is for the host stays with the host', async () => {
  const own = await bed.host.udp([GATEWAY_PRIVATE, 4002]);
  const seen = await bed.reaches(async () => {
    const socket = await bed.client.udp();
    await socket.sendTo(Buffer.from('for the host'), [GATEWAY_PRIVATE, 4002]);
    expect((await own.receive()).toString()).toBe('for the host');
    await socket.close();
  });
  expect(seen).toEqual([]);
  await own.close();
});

test('offsets are right on an interface without link-layer header', async () => {
  const packet = (dport: number) =>
    tcp({ src: SERVER, dst: L3_ADDRESS, sport: 443, dport, flags: SYN, options: Buffer.alloc(4, 1) });
  const seen = await bed.reaches(async () => {
    bed.write(2, packet(OWNED_PORT + 1));
    bed.write(2, packet(OWNED_PORT));
    await until('the packet comes', () => bed.fromTuns.length > 0);
  });
  expect(seen).toEqual([{ tun: 0, vnet: PLAIN, packet: packet(OWNED_PORT) }]);
});

test.each([
  ['a neighbour', SERVER_2],
  ['the internet, by the gateway', INTERNET],
])('a packet for %s leaves by the public interface with the right addresses', async (_name, dst) => {
  await ip(bed.net.gateway, 'neigh flush all');
  // The kernel's own IPv6 may say something at any time.
  const capture = await sniff(bed.net.server, 's0', { filter: 'arp or ip', direction: 'in' });
  const packet = fromEngine(dst);
  bed.write(1, packet);
  await sleep(200);
  const frames = (await capture.stop()).map(({ frame }) => frame);
  // ARP came first, then the packet.
  const nextHop = dst === SERVER_2 ? SERVER_2 : SERVER;
  expect(frames[0]!.readUInt16BE(12)).toBe(0x0806);
  expect([...frames[0]!.subarray(38, 42)].join('.')).toBe(nextHop);
  expect(frames.filter((frame) => frame.readUInt16BE(12) === 0x0800)).toEqual([
    ethernet(bed.macs.s0, bed.macs.g1, packet),
  ]);
});

test('a packet for a private host leaves by the private interface', async () => {
  const capture = await sniff(bed.net.client, 'c0', { filter: 'udp', direction: 'in' });
  const packets = [CLIENT, '10.88.0.8'].map((dst) =>
    udp({ src: INTERNET, dst, sport: 53, dport: 5000 }, Buffer.from('answer')),
  );
  for (const packet of packets) bed.write(0, packet);
  await sleep(200);
  expect((await capture.stop()).map(({ frame }) => frame)).toEqual(
    packets.map((packet) => ethernet(bed.macs.c0, bed.macs.g0, packet)),
  );
});

test('a TUN’s packets leave by its own interface or not at all', async () => {
  const listening = await bed.host.udp(['0.0.0.0', 4003]);
  const captures = await Promise.all([
    sniff(bed.net.client, 'c0', { filter: 'udp', direction: 'in' }),
    sniff(bed.net.server, 's0', { filter: 'udp', direction: 'in' }),
  ]);
  const packet = (dst: string) => udp({ src: INTERNET, dst, sport: 53, dport: 4003 }, Buffer.from('astray'));
  bed.write(0, packet(SERVER));
  bed.write(0, packet(GATEWAY_PRIVATE));
  bed.write(1, packet(CLIENT));
  bed.write(1, packet(GATEWAY_PRIVATE));
  await sleep(200);
  for (const capture of captures) expect((await capture.stop()).map(({ ip: p }) => p?.dst)).toEqual([]);
  await expect(listening.receive(0.1)).rejects.toThrow('ETIMEDOUT');
  await listening.close();
});

test('a packet of many pages leaves whole', async () => {
  await ip(bed.net.gateway, 'link set g1 mtu 9000');
  await ip(bed.net.server, 'link set s0 mtu 9000');
  const capture = await sniff(bed.net.server, 's0', { filter: 'udp', direction: 'in' });
  const packet = fromEngine(SERVER, Buffer.alloc(8972, 'page '));
  bed.write(1, packet);
  await sleep(200);
  expect((await capture.stop()).map(({ frame }) => frame)).toEqual([
    ethernet(bed.macs.s0, bed.macs.g1, packet),
  ]);
  await ip(bed.net.gateway, 'link set g1 mtu 1500');
  await ip(bed.net.server, 'link set s0 mtu 1500');
});

test('headers that are not in the linear part of a packet are read as well', async () => {
  for (const [ns, device] of [
    [bed.net.client, 'c0'],
    [bed.net.gateway, 'g0'],
    [bed.net.gateway, 'g1'],
    [bed.net.server, 's0'],
  ] as const) {
    await ip(ns, `link set ${device} mtu 9000`);
  }
  const outward = outbound(8000);
  const inward = (dport: number) =>
    udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport }, Buffer.alloc(8000, 'inbound '));
  const seen = await bed.reaches(async () => {
    await injectPaged(bed.net.client, 'c0', ethernet(bed.macs.g0, bed.macs.c0, outward));
    await injectPaged(bed.net.server, 's0', ethernet(bed.macs.g1, bed.macs.s0, inward(OWNED_PORT + 1)));
    await injectPaged(bed.net.server, 's0', ethernet(bed.macs.g1, bed.macs.s0, inward(OWNED_PORT)));
  });
  expect(seen).toEqual([
    { tun: 0, vnet: PLAIN, packet: outward },
    { tun: 1, vnet: PLAIN, packet: inward(OWNED_PORT) },
  ]);
});

test('failed address resolution tells nobody about the packet', async () => {
  const captures = await Promise.all(
    [bed.net.client, bed.net.server].map((ns, i) =>
      sniff(ns, i === 0 ? 'c0' : 's0', { filter: 'ip', direction: 'in' }),
    ),
  );
  bed.write(1, fromEngine('198.18.0.99'));
  bed.write(0, udp({ src: SERVER, dst: '10.77.0.99', sport: 53, dport: 5000 }, Buffer.from('answer')));
  for (const address of ['198.18.0.99', '10.77.0.99']) {
    await until(`${address} has failed`, async () =>
      (await bed.net.gateway.exec(`ip neigh show ${address}`)).stdout.includes('FAILED'),
    );
  }
  await sleep(200);
  for (const capture of captures) {
    expect((await capture.stop()).map(({ ip: packet }) => packet && describePacket(packet))).toEqual([]);
  }
});

/**
 * Sends a frame of more than a page such that only its Ethernet header is in the linear part of the packet, as
 * some drivers receive: with PACKET_VNET_HDR (15), hdr_len says how much is linear.
 */
async function injectPaged(ns: Namespace, device: string, frame: Buffer): Promise<void> {
  const script = [
    'import socket, sys',
    's = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)',
    `s.bind(("${device}", 0))`,
    's.setsockopt(263, 15, 1)',
    's.send(bytes([0, 0, 14, 0, 0, 0, 0, 0, 0, 0]) + sys.stdin.buffer.read())',
  ];
  await ns.exec(['python3', '-c', script.join('\n')], { input: frame });
}
