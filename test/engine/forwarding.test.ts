/** The ordinary way of a packet: out, and its answer in. */
import { describe, expect, test } from 'vitest';
import { END_CLOSED } from '../../src/conntrack/end-reasons.ts';
import {
  describePacket,
  echoPacket,
  icmpError,
  icmpPacket,
  tcpPacket,
  udpPacket,
} from '../../src/testing/index.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { initChunk, sctpPacket } from '../conntrack/sctp-packets.ts';
import { decode } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { rawPacket } from './packets.ts';

const CLIENT = '10.77.0.2';
const SERVER = '203.0.113.9';

test('a literal query goes out and its answer comes back, byte for byte', () => {
  const bed = new Bed();
  const query = hex(`
    45 b8 00 1e 12 34 40 00 40 11 57 80 0a 4d 00 02 c6 12 00 02
    9c 40 00 35 00 0a 2a 98  68 69`);
  expect(bed.out(query)).toEqual([
    {
      device: PUBLIC,
      vnet: new Uint8Array(10),
      packet: hex(`
        45 b8 00 1e 12 34 40 00 3f 11 9c bb c6 12 00 01 c6 12 00 02
        9c 40 00 35 00 0a 6e d3  68 69`),
    },
  ]);
  const answer = hex(`
    45 00 00 1e 00 00 40 00 40 11 ae a7 c6 12 00 02 c6 12 00 01
    00 35 9c 40 00 0a 6e d3  68 69`);
  expect(bed.in(answer)).toEqual([
    {
      device: PRIVATE,
      vnet: new Uint8Array(10),
      packet: hex(`
        45 00 00 1e 00 00 40 00 3f 11 6b 6c c6 12 00 02 0a 4d 00 02
        00 35 9c 40 00 0a 2a 98  68 69`),
    },
  ]);
  expect(bed.drops).toEqual({});
  expect(bed.device(PRIVATE)).toEqual({ inPackets: 1, inBytes: 30, outPackets: 1, outBytes: 30 });
  expect(bed.device(PUBLIC)).toEqual({ inPackets: 1, inBytes: 30, outPackets: 1, outBytes: 30 });
  bed.checkInvariants();
});

test('a TCP connection, from SYN to its end', () => {
  const bed = new Bed();
  const from = `${CLIENT}:40000`;
  const server = `${SERVER}:443`;
  const steps: [string, number][] = [
    ['S', 0],
    ['SA', 1],
    ['A', 0],
    ['PA', 0],
    ['PA', 1],
    ['FA', 0],
    ['FA', 1],
    ['A', 0],
  ];
  for (const [flags, side] of steps) {
    const payload = flags === 'PA' ? 'some data' : '';
    const packet =
      side === 0
        ? tcpPacket({ from, to: server, flags, payload })
        : tcpPacket({ from: server, to: `${EXTERNAL}:40000`, flags, payload });
    const [sent, ...more] = side === 0 ? bed.out(packet) : bed.in(packet);
    expect(more).toEqual([]);
    expect(sent!.device).toBe(side === 0 ? PUBLIC : PRIVATE);
    const seen = decode(sent!.packet);
    expect(seen).toMatchObject({ ttl: 63, headerChecksumOk: true, checksumOk: true });
    const ends = [seen.src, seen.sport, seen.dst, seen.dport];
    expect(ends).toEqual(side === 0 ? [EXTERNAL, 40000, SERVER, 443] : [SERVER, 443, CLIENT, 40000]);
    expect(Buffer.from(seen.payload).toString()).toBe(payload);
  }
  expect(bed.flows()).toMatchObject([
    { state: 'TIME_WAIT', assured: true, originalPackets: 5, replyPackets: 3 },
  ]);
  bed.pass(122_000);
  expect(bed.flows()).toEqual([]);
  expect(bed.totals).toMatchObject({ flows_started: 1, flows_ended: 1, flows_tcp: 0, ports_tcp: 0 });
  bed.checkInvariants();
});

test.each([
  ['echo', 8, 0],
  ['timestamp', 13, 14],
  ['information', 15, 16],
  ['address mask', 17, 18],
])('ICMP %s: the id is kept, type and code too', (_, request, reply) => {
  const bed = new Bed();
  const body = hex('12 34 00 01 aa bb cc dd');
  const [sent] = bed.out(icmpPacket({ from: CLIENT, to: SERVER, type: request, code: 0, body }));
  expect(decode(sent!.packet)).toMatchObject({
    src: EXTERNAL,
    type: request,
    icmpId: 0x1234,
    checksumOk: true,
  });
  expect(bed.isOwned('icmp', 0x1234)).toBe(true);
  const [back] = bed.in(icmpPacket({ from: SERVER, to: EXTERNAL, type: reply, code: 0, body }));
  expect(back!.device).toBe(PRIVATE);
  expect(decode(back!.packet)).toMatchObject({ dst: CLIENT, type: reply, icmpId: 0x1234, checksumOk: true });
  bed.checkInvariants();
  bed.pass(32_000);
  expect(bed.isOwned('icmp', 0x1234)).toBe(false);
});

test('a protocol without ports goes by addresses; one host at a time per remote', () => {
  const bed = new Bed();
  const gre = (from: string, dst: string) =>
    rawPacket({ src: from, dst, protocol: 47, body: hex('00000800 61626364') });
  const [sent] = bed.out(gre(CLIENT, SERVER));
  expect(decode(sent!.packet)).toMatchObject({
    src: EXTERNAL,
    dst: SERVER,
    protocol: 47,
    ttl: 63,
    headerChecksumOk: true,
  });
  expect(bed.isOwned('protocol', 47)).toBe(true);
  const [back] = bed.in(gre(SERVER, EXTERNAL));
  expect(decode(back!.packet)).toMatchObject({ dst: CLIENT, headerChecksumOk: true });
  // Another client to the same remote: its answers could not be told apart.
  const refused = bed.out(gre('10.77.0.3', SERVER));
  expect(refused.map(({ packet }) => describePacket(packet))).toEqual([
    `icmp 3/13 10.77.0.1 > 10.77.0.3 [proto 47 10.77.0.3 > ${SERVER} ttl 64 length 28] ttl 64 length 56`,
  ]);
  expect(bed.drops).toEqual({ tuple_in_use: 1 });
  expect(to(PUBLIC, bed.out(gre('10.77.0.3', '203.0.113.10')))).toHaveLength(1);
  bed.checkInvariants();
});

describe('ports', () => {
  const query = (client: string, port: number, remote = `${SERVER}:53`) =>
    udpPacket({ from: `${client}:${port}`, to: remote });
  const externalOf = (bed: Bed, packet: Uint8Array) => decode(to(PUBLIC, bed.out(packet))[0]!).sport;

  test('kept when free and in the range; another of the range otherwise', () => {
    const bed = new Bed();
    expect(externalOf(bed, query(CLIENT, 40000))).toBe(40000);
    const second = externalOf(bed, query('10.77.0.3', 40000));
    expect(second).not.toBe(40000);
    expect(second).toBeGreaterThanOrEqual(32768);
    const low = externalOf(bed, query(CLIENT, 53));
    expect(low).toBeGreaterThanOrEqual(32768);
    // Both are answered, each its own.
    for (const [port, client, inside] of [
      [40000, CLIENT, 40000],
      [second, '10.77.0.3', 40000],
      [low, CLIENT, 53],
    ] as const) {
      const [back] = bed.in(udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:${port}` }));
      expect(decode(back!.packet)).toMatchObject({ dst: client, dport: inside, checksumOk: true });
    }
    bed.checkInvariants();
  });

  test('one internal endpoint has one external port, to whatever remote (RFC 4787 REQ-1)', () => {
    const bed = new Bed();
    bed.out(query('10.77.0.9', 40000));
    const ports = new Set<number>();
    for (let host = 1; host <= 20; host++) {
      ports.add(externalOf(bed, query(CLIENT, 40000, `203.0.113.${host}:${5000 + host}`)));
    }
    expect(ports.size).toBe(1);
    expect(bed.totals).toMatchObject({ flows_udp: 21, ports_udp: 2 });
    bed.checkInvariants();
  });

  test('but only the remote that was written to may answer', () => {
    const bed = new Bed();
    bed.out(query(CLIENT, 40000));
    expect(bed.in(udpPacket({ from: '203.0.113.77:53', to: `${EXTERNAL}:40000` }))).toEqual([]);
    expect(bed.in(udpPacket({ from: `${SERVER}:54`, to: `${EXTERNAL}:40000` }))).toEqual([]);
    expect(bed.drops).toEqual({ no_flow: 2 });
  });

  test('TCP and UDP have ports of their own', () => {
    const bed = new Bed();
    expect(externalOf(bed, query(CLIENT, 40000))).toBe(40000);
    expect(externalOf(bed, tcpPacket({ from: '10.77.0.3:40000', to: `${SERVER}:80`, flags: 'S' }))).toBe(
      40000,
    );
  });

  test('query ids: two clients with one id get two', () => {
    const bed = new Bed();
    const ping = (from: string) => echoPacket({ from, to: SERVER, identifier: 7 });
    const ids = [CLIENT, '10.77.0.3'].map((from) => decode(to(PUBLIC, bed.out(ping(from)))[0]!).icmpId);
    expect(ids[0]).toBe(7);
    expect(ids[1]).not.toBe(7);
    const [back] = bed.in(echoPacket({ from: SERVER, to: EXTERNAL, identifier: ids[1]!, reply: true }));
    expect(decode(back!.packet)).toMatchObject({ dst: '10.77.0.3', icmpId: 7, checksumOk: true });
  });

  test('a port that the host holds is not used', () => {
    const held = { tcp: [], udp: [40000] };
    const bed = new Bed({ held });
    expect(bed.isOwned('udp', 40000)).toBe(false);
    expect(externalOf(bed, query(CLIENT, 40000))).not.toBe(40000);
    bed.checkInvariants(undefined, held);
    bed.engine.setHeldPorts(17, []);
    expect(bed.isOwned('udp', 40000)).toBe(true);
    expect(externalOf(bed, query('10.77.0.3', 40000))).toBe(40000);
    bed.checkInvariants();
  });

  test('a port goes back when its last flow ends', () => {
    const bed = new Bed();
    expect(externalOf(bed, query(CLIENT, 40000))).toBe(40000);
    bed.pass(32_000);
    expect(externalOf(bed, query('10.77.0.3', 40000))).toBe(40000);
    bed.checkInvariants();
  });

  test('a SYN that reuses the ports of a finished connection keeps its external port', () => {
    const bed = new Bed();
    const from = `${CLIENT}:40000`;
    const syn = tcpPacket({ from, to: `${SERVER}:80`, flags: 'S' });
    bed.out(syn);
    bed.in(tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags: 'SA', ack: 1 }));
    bed.out(tcpPacket({ from, to: `${SERVER}:80`, flags: 'RA', seq: 1, ack: 1 }));
    expect(bed.flows()).toMatchObject([{ state: 'CLOSE' }]);
    expect(externalOf(bed, syn)).toBe(40000);
    expect(bed.flows()).toMatchObject([{ state: 'SYN_SENT', originalPackets: 1, unreplied: true }]);
    expect(bed.totals).toMatchObject({ flows_started: 2, flows_ended: 1, ports_tcp: 1 });
    bed.checkInvariants();
  });
});

test('a RST in answer to a SYN reaches the client, and its flow and port end at once', () => {
  const bed = new Bed();
  const ended: number[] = [];
  const { tracker } = bed.engine;
  const close = tracker.onClose;
  tracker.onClose = (flow, why) => {
    ended.push(why);
    close(flow, why);
  };
  bed.out(tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:80`, flags: 'S', seq: 9 }));
  const [answer] = bed.in(tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags: 'RA', ack: 10 }));
  expect(answer!.device).toBe(PRIVATE);
  expect(decode(answer!.packet)).toMatchObject({ dst: CLIENT, dport: 40000, checksumOk: true });
  expect(ended).toEqual([END_CLOSED]);
  expect(bed.flows()).toEqual([]);
  expect(bed.totals).toMatchObject({ flows_ended: 1, ports_tcp: 0 });
  bed.checkInvariants();
});

test('SCTP: addresses are translated, ports and CRC are left alone, errors find the flow', () => {
  const bed = new Bed();
  const init = (from: string, to: string) => sctpPacket({ from, to, tag: 0, chunks: [initChunk(7)] });
  const [sent] = bed.out(init(`${CLIENT}:5000`, `${SERVER}:38412`));
  expect(decode(sent!.packet)).toMatchObject({ src: EXTERNAL, dst: SERVER, headerChecksumOk: true });
  expect(sent!.packet.slice(20)).toEqual(init(`${CLIENT}:5000`, `${SERVER}:38412`).slice(20));
  const answer = (to: string) =>
    sctpPacket({ from: `${SERVER}:38412`, to, tag: 7, chunks: [initChunk(8, 2)] });
  const [received] = bed.in(answer(`${EXTERNAL}:5000`));
  expect(received!.packet.slice(16)).toEqual(answer(`${CLIENT}:5000`).slice(16));
  expect(bed.flows()).toMatchObject([{ state: 'COOKIE_WAIT', original: { sport: 5000, dport: 38412 } }]);
  // Another client may talk to the same remote, from another port.
  expect(bed.out(init('10.77.0.3:5001', `${SERVER}:38412`))).toHaveLength(1);
  expect(bed.out(init('10.77.0.3:5000', `${SERVER}:38412`))[0]!.device).toBe(PRIVATE);
  const error = icmpError({
    from: '198.18.0.9',
    to: EXTERNAL,
    type: 3,
    code: 2,
    packet: sent!.packet,
    quote: 28,
  });
  const [told] = bed.in(error);
  expect(decode(told!.packet)).toMatchObject({ dst: CLIENT, checksumOk: true });
  expect(bed.drops).toEqual({ tuple_in_use: 1 });
  bed.checkInvariants();
});

describe('batches', () => {
  test('64 packets of one new flow, and their answers: one flow, order kept', () => {
    const bed = new Bed();
    const batch = Array.from({ length: 64 }, (_, i) => ({
      device: PRIVATE,
      packet: udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, id: i }),
    }));
    const sent = bed.run(batch);
    expect(sent.map(({ packet }) => decode(packet).id)).toEqual([...Array(64).keys()]);
    expect(sent.every(({ device, packet }) => device === PUBLIC && decode(packet).checksumOk)).toBe(true);
    expect(bed.flows()).toMatchObject([{ originalPackets: 64 }]);
    expect(bed.rounds).toBe(1);
  });

  test('what the batch itself brings about counts for its later packets', () => {
    const bed = new Bed();
    const syn = tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:80`, flags: 'S' });
    const answer = (flags: string) => ({
      device: PUBLIC,
      packet: tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags }),
    });
    const sent = bed.run([
      answer('SA'),
      { device: PRIVATE, packet: syn },
      answer('RA'),
      { device: PRIVATE, packet: syn },
      answer('SA'),
    ]);
    expect(sent.map(({ device }) => device)).toEqual([PUBLIC, PRIVATE, PUBLIC, PRIVATE]);
    expect(bed.drops).toEqual({ no_flow: 1 });
    expect(bed.flows()).toMatchObject([{ state: 'SYN_RECV' }]);
    expect(bed.totals).toMatchObject({ flows_started: 2, flows_ended: 1, batches: 1 });
    bed.checkInvariants();
  });

  test('an empty batch is nothing', () => {
    const bed = new Bed();
    expect(bed.engine.process(0, 0, 0)).toBe(0);
    expect(bed.engine.outCount).toBe(0);
  });
});

test('the whole IPv4 header but addresses, TTL and checksum is kept: TOS, id, flags, options', () => {
  const bed = new Bed();
  for (const options of ['', '07070400000000 00', '440c05000000000000000000 00000000'.replaceAll(' ', '')]) {
    const packet = rawPacket({
      src: CLIENT,
      dst: SERVER,
      protocol: 17,
      body: hex('9c40003500080000'),
      tos: 0xb9,
      id: 0xbeef,
      flags: 0x4000,
      ttl: 200,
      options: hex(options),
    });
    const [sent] = bed.out(packet);
    const kept = (bytes: Uint8Array) => [...bytes.subarray(0, 8), bytes[9], ...bytes.subarray(16)];
    expect(kept(sent!.packet)).toEqual(kept(packet));
    expect(decode(sent!.packet)).toMatchObject({ src: EXTERNAL, ttl: 199, headerChecksumOk: true });
  }
});

test('link padding is cut off', () => {
  const bed = new Bed();
  const packet = udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53` });
  const padded = new Uint8Array(46);
  padded.set(packet);
  expect(bed.out(padded)[0]!.packet).toHaveLength(28);
});

test('flows say who, in which state, and for how long', () => {
  const bed = new Bed();
  bed.out(udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: 'hello' }));
  const [flow] = bed.flows();
  expect(flow).toMatchObject({
    protocol: 17,
    originalPackets: 1,
    originalBytes: 33,
    timeoutSeconds: 30,
    unreplied: true,
  });
  expect(formatAddress(flow!.reply.dst)).toBe(EXTERNAL);
  expect([flow!.original.sport, flow!.reply.dport]).toEqual([40000, 40000]);
});
