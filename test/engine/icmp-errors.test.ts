/** ICMP errors through the engine: RELATED, both ways. (test/nat/translate-error.test.ts has the bytes.) */
import { describe, expect, test } from 'vitest';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const CLIENT = '10.77.0.2';
const SERVER = '203.0.113.9';
const ROUTER = '192.0.2.1';
const sentBy = {
  UDP: udpPacket({ from: `${CLIENT}:5000`, to: `${SERVER}:53`, payload: 'query' }),
  TCP: tcpPacket({ from: `${CLIENT}:5000`, to: `${SERVER}:80`, flags: 'S' }),
  echo: echoPacket({ from: CLIENT, to: SERVER, identifier: 9 }),
  GRE: rawPacket({ src: CLIENT, dst: SERVER, protocol: 47, body: filler(12) }),
};

describe.each(Object.entries(sentBy))('about %s', (_, packet) => {
  test.each([
    [3, 0],
    [3, 1],
    [3, 3],
    [3, 4],
    [3, 13],
    [4, 0],
    [11, 0],
    [11, 1],
    [12, 0],
  ])('type %i code %i from a router reaches the client, who knows what it quotes', (type, code) => {
    const bed = new Bed();
    const [sent] = bed.out(packet);
    const before = bed.flows();
    const error = icmpError({ from: ROUTER, to: EXTERNAL, type, code, packet: sent!.packet, rest: 1234 });
    const [received, ...more] = bed.in(error);
    expect(more).toEqual([]);
    expect(received!.device).toBe(PRIVATE);
    const seen = decode(received!.packet);
    expect(seen).toMatchObject({
      src: ROUTER,
      dst: CLIENT,
      type,
      code,
      ttl: 63,
      checksumOk: true,
      headerChecksumOk: true,
    });
    expect(seen.body.subarray(4, 8)).toEqual(Uint8Array.of(0, 0, 1234 >> 8, 1234 & 255));
    const quoted = decode(seen.payload);
    expect(quoted).toMatchObject({
      src: CLIENT,
      dst: SERVER,
      headerChecksumOk: true,
      checksumOk: true,
      ttl: 63,
    });
    expect(quoted.body).toEqual(decode(packet).body);
    // It neither refreshes nor ends the flow, nor counts for it (RFC 5508 REQ-6).
    bed.now += 1000;
    expect(bed.in(error)).toHaveLength(1);
    expect(bed.flows()).toEqual(before.map((flow) => ({ ...flow, timeoutSeconds: flow.timeoutSeconds - 1 })));
    expect(bed.totals).toMatchObject({ icmp_errors_translated: 2, icmp_errors_sent: 0 });
    bed.checkInvariants();
  });
});

describe('from inside', () => {
  test('a client’s port unreachable leaves with the external address and quotes what the server sent', () => {
    const bed = new Bed();
    bed.out(sentBy.UDP);
    const port = bed.flows()[0]!.reply.dport;
    const answer = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:${port}`, payload: 'late' });
    const [received] = bed.in(answer);
    const [sent, ...more] = bed.out(
      icmpError({ from: CLIENT, to: SERVER, type: 3, code: 3, packet: received!.packet }),
    );
    expect(more).toEqual([]);
    expect(sent!.device).toBe(PUBLIC);
    const seen = decode(sent!.packet);
    expect(seen).toMatchObject({
      src: EXTERNAL,
      dst: SERVER,
      type: 3,
      code: 3,
      checksumOk: true,
      headerChecksumOk: true,
    });
    const quoted = decode(seen.payload);
    expect(quoted).toMatchObject({ src: SERVER, dst: EXTERNAL, headerChecksumOk: true, checksumOk: true });
    expect(quoted.body).toEqual(decode(answer).body);
    bed.checkInvariants();
  });

  test('about nothing known: dropped', () => {
    const bed = new Bed();
    const packet = udpPacket({ from: `${SERVER}:53`, to: `${CLIENT}:5000` });
    expect(bed.out(icmpError({ from: CLIENT, to: SERVER, type: 3, code: 3, packet }))).toEqual([]);
    expect(bed.drops).toEqual({ no_related: 1 });
  });

  test('about a known flow, but to somebody else: dropped', () => {
    const bed = new Bed();
    bed.out(sentBy.UDP);
    const packet = udpPacket({ from: `${SERVER}:53`, to: `${CLIENT}:5000` });
    expect(bed.out(icmpError({ from: CLIENT, to: '203.0.113.10', type: 3, code: 3, packet }))).toEqual([]);
    expect(bed.drops).toEqual({ no_related: 1 });
  });
});

test('reassembly time exceeded (11/1) about a first fragment', () => {
  const bed = new Bed();
  const pieces = cut(
    udpPacket({ from: `${CLIENT}:5000`, to: `${SERVER}:53`, payload: filler(3000), fragment: 0 }),
    1480,
  );
  const [first] = bed.out(pieces[0]!);
  const [received] = bed.in(
    icmpError({ from: SERVER, to: EXTERNAL, type: 11, code: 1, packet: first!.packet }),
  );
  const quoted = decode(decode(received!.packet).payload);
  expect(quoted).toMatchObject({ src: CLIENT, sport: 5000, mf: true, headerChecksumOk: true });
});

test('a long error, quoting 1400 bytes: its checksum is verified and kept right across the slot’s overflow', () => {
  const bed = new Bed({ mtu: [9000, 9000] });
  const [sent] = bed.out(udpPacket({ from: `${CLIENT}:5000`, to: `${SERVER}:53`, payload: filler(8000) }));
  const error = icmpError({
    from: ROUTER,
    to: EXTERNAL,
    type: 3,
    code: 1,
    packet: sent!.packet,
    quote: 7000,
  });
  const [received] = bed.in(error);
  expect(decode(received!.packet)).toMatchObject({ dst: CLIENT, checksumOk: true });
  error[6500]! ^= 1;
  expect(bed.in(error)).toEqual([]);
  expect(bed.drops).toEqual({ bad_icmp_checksum: 1 });
});

test('an error of the gateway’s own fits the way back, however small its MTU', () => {
  const bed = new Bed({ mtu: [300, 1500] });
  const packet = udpPacket({ from: `${CLIENT}:5000`, to: `${SERVER}:53`, payload: filler(1000), ttl: 1 });
  const [error] = bed.out(packet);
  expect(error!.packet).toHaveLength(300);
  expect(decode(error!.packet)).toMatchObject({
    type: 11,
    length: 300,
    checksumOk: true,
    payload: packet.subarray(0, 272),
  });
});
