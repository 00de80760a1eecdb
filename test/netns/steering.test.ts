/**
 * What the steering programs do on real devices, with a process in the engine's place (steering-host.ts): which
 * packets reach it, and how what it writes leaves.
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { L3_ADDRESS, OWNED_PORT } from './steering-shared.ts';
import { Agent, SO_BINDTODEVICE, SOL_SOCKET } from './support/agent.ts';
import { describePacket, ethernet, ipv4, parseIpv4, SYN, tcp, UDP, udp } from './support/packets.ts';
import { type Background, sleep, until } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import {
  CLIENT,
  createTopology,
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  ip,
  type Namespace,
  SERVER,
  SERVER_2,
  type Topology,
} from './support/topology.ts';

const INTERNET = '203.0.113.80';
/** virtio_net_hdr of a plain packet. */
const PLAIN = '00'.repeat(10);

interface FromTun {
  tun: number;
  vnet: string;
  packet: Buffer;
}

let net: Topology;
let client: Agent;
let host: Agent;
let server: Agent;
let engine: Background;
let macs: Record<'c0' | 'g0' | 'g1' | 's0', string>;
const fromTuns: FromTun[] = [];

beforeAll(async () => {
  net = await createTopology();
  [client, host, server] = await Promise.all([
    Agent.start(net.client),
    Agent.start(net.gateway),
    Agent.start(net.server),
  ]);
  macs = {
    c0: await net.client.mac('c0'),
    g0: await net.gateway.mac('g0'),
    g1: await net.gateway.mac('g1'),
    s0: await net.server.mac('s0'),
  };
  // A failed resolution takes 3 s by default.
  for (const device of ['g0', 'g1']) {
    await net.gateway.exec(`sysctl -qw net.ipv4.neigh.${device}.retrans_time_ms=50`);
  }
  const script = fileURLToPath(new URL('./steering-host.ts', import.meta.url));
  engine = net.gateway.spawn([process.execPath, '--import', 'tsx', script]);
  createInterface({ input: engine.child.stdout! }).on('line', (line) => {
    if (!line.startsWith('{')) return;
    const { tun, vnet, packet } = JSON.parse(line) as { tun: number; vnet: string; packet: string };
    fromTuns.push({ tun, vnet, packet: Buffer.from(packet, 'base64') });
  });
  await engine.shows(/^ready$/m, 20_000);
});

afterAll(() => net?.destroy());

/** Writes a packet as the engine does. */
function write(tun: number, packet: Buffer, vnet = PLAIN): void {
  engine.child.stdin!.write(`${JSON.stringify({ tun, packet: packet.toString('base64'), vnet })}\n`);
}

/** Does something and returns the packets that reach a TUN meanwhile, the marker last of all excluded. */
async function reaches(act: () => Promise<unknown>): Promise<FromTun[]> {
  fromTuns.length = 0;
  await act();
  // The veth keeps the order, so what came before this one has been decided.
  const marker = udp({ src: CLIENT, dst: INTERNET, sport: 1, dport: 9 }, Buffer.from('marker'));
  await client.inject('c0', [ethernet(macs.g0, macs.c0, marker)]);
  const isMarker = (seen: FromTun) => seen.packet.equals(marker);
  await until('the marker packet reaches the TUN', () => fromTuns.some(isMarker));
  return fromTuns.filter((seen) => !isMarker(seen));
}

const packetOf = (seen: FromTun) => describePacket(parseIpv4(seen.packet)!);
const outbound = (length: number, dst = INTERNET) =>
  udp({ src: CLIENT, dst, sport: 5000, dport: 53, id: length }, Buffer.alloc(length, 'outbound '));
const inbound = (dport: number) =>
  udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport }, Buffer.from('inbound'));
const fromEngine = (dst: string, data: Buffer = Buffer.from('from the engine')) =>
  udp({ src: GATEWAY_PUBLIC, dst, sport: OWNED_PORT, dport: 53 }, data);

test('a private host’s packet reaches the private TUN byte for byte', async () => {
  const packets = [0, 1, 100, 1472].map((length) => outbound(length));
  const seen = await reaches(() =>
    client.inject(
      'c0',
      packets.map((packet) => ethernet(macs.g0, macs.c0, packet)),
    ),
  );
  expect(seen).toEqual(packets.map((packet) => ({ tun: 0, vnet: PLAIN, packet })));
});

test('a super-packet passes whole, with its segment size', async () => {
  const SOL_UDP = 17;
  const UDP_SEGMENT = 103;
  const data = Buffer.alloc(20_000, 'super-packet ');
  const socket = await client.udp();
  await socket.option(SOL_UDP, UDP_SEGMENT, 1000);
  const seen = await reaches(() => socket.sendTo(data, [INTERNET, 53]));
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
  const listening = await host.udp([GATEWAY_PUBLIC, 4000]);
  const capture = await sniff(net.server, 's0', { filter: 'icmp', direction: 'in' });
  const packets = [OWNED_PORT, 4000, 4001].map(inbound);
  const seen = await reaches(async () => {
    await server.inject(
      's0',
      packets.map((packet) => ethernet(macs.g1, macs.s0, packet)),
    );
    expect((await listening.receive()).toString()).toBe('inbound');
  });
  expect(seen).toEqual([{ tun: 1, vnet: PLAIN, packet: packets[0] }]);
  const errors = await capture.stop();
  expect(errors.map(({ ip: packet }) => packet?.payload.readUInt16BE(8 + 20 + 2))).toEqual([4001]);
  await listening.close();
});

test('the internet cannot reach a private host by its address', async () => {
  const capture = await sniff(net.client, 'c0', { filter: 'udp port 7777', direction: 'in' });
  const packet = udp({ src: SERVER, dst: CLIENT, sport: 53, dport: 7777 }, Buffer.from('hello?'));
  expect(await reaches(() => server.inject('s0', [ethernet(macs.g1, macs.s0, packet)]))).toEqual([]);
  expect(await capture.stop()).toEqual([]);
});

test('a promiscuous interface steals nothing that is for other hosts', async () => {
  await ip(net.gateway, 'link set g0 promisc on');
  await ip(net.gateway, 'link set g1 promisc on');
  const stranger = '02:00:00:00:00:05';
  const seen = await reaches(async () => {
    await server.inject('s0', [ethernet(stranger, macs.s0, inbound(OWNED_PORT))]);
    await client.inject('c0', [
      ethernet(stranger, macs.c0, outbound(1)),
      ethernet('ff:ff:ff:ff:ff:ff', macs.c0, outbound(2)),
      ethernet('01:00:5e:01:02:03', macs.c0, outbound(3)),
    ]);
  });
  await ip(net.gateway, 'link set g0 promisc off');
  await ip(net.gateway, 'link set g1 promisc off');
  expect(seen.map(packetOf)).toEqual([]);
});

test('frames with a VLAN tag are the host’s', async () => {
  const tag = Buffer.from([0x00, 0x07, 0x08, 0x00]);
  const tagged = ethernet(macs.g0, macs.c0, Buffer.concat([tag, outbound(1)]), 0x8100);
  const seen = await reaches(() => client.inject('c0', [tagged]));
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
  const seen = await reaches(async () => {
    await client.inject('c0', [
      tagged(0, outbound(1), macs.c0, macs.g0),
      tagged(256, outbound(2), macs.c0, macs.g0),
    ]);
    await server.inject('s0', [tagged(0, inbound(OWNED_PORT), macs.s0, macs.g1)]);
  });
  expect(seen.map(({ tun, packet }) => ({ tun, packet }))).toEqual([
    { tun: 0, packet: outbound(1) },
    { tun: 1, packet: inbound(OWNED_PORT) },
  ]);
});

test('what is for the host stays with the host', async () => {
  const own = await host.udp([GATEWAY_PRIVATE, 4002]);
  const seen = await reaches(async () => {
    const socket = await client.udp();
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
  const seen = await reaches(async () => {
    write(2, packet(OWNED_PORT + 1));
    write(2, packet(OWNED_PORT));
    await until('the packet comes', () => fromTuns.length > 0);
  });
  expect(seen).toEqual([{ tun: 0, vnet: PLAIN, packet: packet(OWNED_PORT) }]);
});

test.each([
  ['a neighbour', SERVER_2],
  ['the internet, by the gateway', INTERNET],
])('a packet for %s leaves by the public interface with the right addresses', async (_name, dst) => {
  await ip(net.gateway, 'neigh flush all');
  const capture = await sniff(net.server, 's0', { direction: 'in' });
  const packet = fromEngine(dst);
  write(1, packet);
  await sleep(200);
  const frames = (await capture.stop()).map(({ frame }) => frame);
  // ARP came first, then the packet.
  const nextHop = dst === SERVER_2 ? SERVER_2 : SERVER;
  expect(frames[0]!.readUInt16BE(12)).toBe(0x0806);
  expect([...frames[0]!.subarray(38, 42)].join('.')).toBe(nextHop);
  expect(frames.filter((frame) => frame.readUInt16BE(12) === 0x0800)).toEqual([
    ethernet(macs.s0, macs.g1, packet),
  ]);
});

test('a packet for a private host leaves by the private interface', async () => {
  const capture = await sniff(net.client, 'c0', { filter: 'udp', direction: 'in' });
  const packets = [CLIENT, '10.88.0.8'].map((dst) =>
    udp({ src: INTERNET, dst, sport: 53, dport: 5000 }, Buffer.from('answer')),
  );
  for (const packet of packets) write(0, packet);
  await sleep(200);
  expect((await capture.stop()).map(({ frame }) => frame)).toEqual(
    packets.map((packet) => ethernet(macs.c0, macs.g0, packet)),
  );
});

test('a TUN’s packets leave by its own interface or not at all', async () => {
  const listening = await host.udp(['0.0.0.0', 4003]);
  const captures = await Promise.all([
    sniff(net.client, 'c0', { filter: 'udp', direction: 'in' }),
    sniff(net.server, 's0', { filter: 'udp', direction: 'in' }),
  ]);
  const packet = (dst: string) => udp({ src: INTERNET, dst, sport: 53, dport: 4003 }, Buffer.from('astray'));
  write(0, packet(SERVER));
  write(0, packet(GATEWAY_PRIVATE));
  write(1, packet(CLIENT));
  write(1, packet(GATEWAY_PRIVATE));
  await sleep(200);
  for (const capture of captures) expect((await capture.stop()).map(({ ip: p }) => p?.dst)).toEqual([]);
  await expect(listening.receive(0.1)).rejects.toThrow('ETIMEDOUT');
  await listening.close();
});

test('a packet of many pages leaves whole', async () => {
  await ip(net.gateway, 'link set g1 mtu 9000');
  await ip(net.server, 'link set s0 mtu 9000');
  const capture = await sniff(net.server, 's0', { filter: 'udp', direction: 'in' });
  const packet = fromEngine(SERVER, Buffer.alloc(8972, 'page '));
  write(1, packet);
  await sleep(200);
  expect((await capture.stop()).map(({ frame }) => frame)).toEqual([ethernet(macs.s0, macs.g1, packet)]);
  await ip(net.gateway, 'link set g1 mtu 1500');
  await ip(net.server, 'link set s0 mtu 1500');
});

test('headers that are not in the linear part of a packet are read as well', async () => {
  for (const [ns, device] of [
    [net.client, 'c0'],
    [net.gateway, 'g0'],
    [net.gateway, 'g1'],
    [net.server, 's0'],
  ] as const) {
    await ip(ns, `link set ${device} mtu 9000`);
  }
  const outward = outbound(8000);
  const inward = (dport: number) =>
    udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport }, Buffer.alloc(8000, 'inbound '));
  const seen = await reaches(async () => {
    await injectPaged(net.client, 'c0', ethernet(macs.g0, macs.c0, outward));
    await injectPaged(net.server, 's0', ethernet(macs.g1, macs.s0, inward(OWNED_PORT + 1)));
    await injectPaged(net.server, 's0', ethernet(macs.g1, macs.s0, inward(OWNED_PORT)));
  });
  expect(seen).toEqual([
    { tun: 0, vnet: PLAIN, packet: outward },
    { tun: 1, vnet: PLAIN, packet: inward(OWNED_PORT) },
  ]);
});

test('failed address resolution tells nobody about the packet', async () => {
  const captures = await Promise.all(
    [net.client, net.server].map((ns, i) =>
      sniff(ns, i === 0 ? 'c0' : 's0', { filter: 'ip', direction: 'in' }),
    ),
  );
  write(1, fromEngine('198.18.0.99'));
  write(0, udp({ src: SERVER, dst: '10.77.0.99', sport: 53, dport: 5000 }, Buffer.from('answer')));
  for (const address of ['198.18.0.99', '10.77.0.99']) {
    await until(`${address} has failed`, async () =>
      (await net.gateway.exec(`ip neigh show ${address}`)).stdout.includes('FAILED'),
    );
  }
  await sleep(200);
  for (const capture of captures) {
    expect((await capture.stop()).map(({ ip: packet }) => packet && describePacket(packet))).toEqual([]);
  }
});

test('what is handed back reaches a socket bound to the public interface, under strict rp_filter', async () => {
  await net.gateway.exec('sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.g1.rp_filter=1');
  const socket = await host.udp(['0.0.0.0', 4010]);
  await socket.option(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('g1'));
  const packet = udp({ src: INTERNET, dst: GATEWAY_PUBLIC, sport: 53, dport: 4010 }, Buffer.from('yours'));
  const seen = await reaches(async () => {
    write(1, packet);
    const [data, from] = await socket.receiveFrom();
    expect([data.toString(), from]).toEqual(['yours', [INTERNET, 53]]);
  });
  expect(seen).toEqual([]);
  await socket.close();
});

test('fragments that are handed back are put together by the host', async () => {
  const socket = await host.udp(['0.0.0.0', 4011]);
  const whole = udp(
    { src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport: 4011, id: 77 },
    Buffer.alloc(2000, 'fragment '),
  );
  const fragments = split(whole, 1480);
  const seen = await reaches(() =>
    server.inject(
      's0',
      fragments.map((fragment) => ethernet(macs.g1, macs.s0, fragment)),
    ),
  );
  expect(seen.map(({ tun, packet }) => ({ tun, packet }))).toEqual(
    fragments.map((packet) => ({ tun: 1, packet })),
  );
  for (const { packet } of seen) write(1, packet);
  expect((await socket.receive()).equals(whole.subarray(28))).toBe(true);
  await socket.close();
});

test('fragments from a private host to the host’s public address: to the TUN, and back to the host', async () => {
  await net.gateway.exec('sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.g0.rp_filter=1');
  const socket = await host.udp(['0.0.0.0', 4013]);
  await socket.option(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from('g0'));
  const whole = udp(
    { src: CLIENT, dst: GATEWAY_PUBLIC, sport: 53, dport: 4013, id: 78 },
    Buffer.alloc(2000, 'hairpin '),
  );
  const fragments = split(whole, 1480);
  const seen = await reaches(() =>
    client.inject(
      'c0',
      fragments.map((fragment) => ethernet(macs.g0, macs.c0, fragment)),
    ),
  );
  expect(seen.map(({ tun, packet }) => ({ tun, packet }))).toEqual(
    fragments.map((packet) => ({ tun: 0, packet })),
  );
  // They do not come round again.
  const again = await reaches(async () => {
    for (const { packet } of seen) write(0, packet);
    const [data, from] = await socket.receiveFrom();
    expect([data.equals(whole.subarray(28)), from]).toEqual([true, [CLIENT, 53]]);
  });
  expect(again).toEqual([]);
  await socket.close();
});

test('netfilter rules of the host see what is handed back as received on the public interface', async () => {
  const socket = await host.udp(['0.0.0.0', 4012]);
  const packet = udp({ src: SERVER, dst: GATEWAY_PUBLIC, sport: 53, dport: 4012 }, Buffer.from('filtered?'));
  const rule = 'INPUT -i g1 -p udp --dport 4012 -j DROP';
  await net.gateway.exec(`iptables -w -A ${rule}`);
  write(1, packet);
  await expect(socket.receive(0.5)).rejects.toThrow('ETIMEDOUT');
  expect((await net.gateway.exec('iptables -w -L INPUT -v -x -n')).stdout).toMatch(/^ +1 .* g1 /m);
  await net.gateway.exec(`iptables -w -D ${rule}`);
  write(1, packet);
  expect((await socket.receive()).toString()).toBe('filtered?');
  await socket.close();
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

/** Cuts a packet without options into two fragments; `at` bytes of its payload are in the first. */
function split(whole: Buffer, at: number): Buffer[] {
  const { src, dst, protocol, id, payload } = parseIpv4(whole)!;
  return [
    ipv4({ src, dst, protocol, id, mf: true }, payload.subarray(0, at)),
    ipv4({ src, dst, protocol, id, offset: at }, payload.subarray(at)),
  ];
}
