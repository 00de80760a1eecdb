/**
 * Packets and super-packets larger than the next link. The oracle: what a device and a receiver would have made of
 * the packet without the gateway (segment, complete, reassemble), compared with what they make of what was sent.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SentPacket } from '../../src/link/memory.ts';
import { tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to, vnetHeader } from './bed.ts';
import { complete, filler, partial, rawPacket, segment } from './packets.ts';

const CLIENT = '10.77.0.2';
const SERVER = '203.0.113.9';
const udp = (payload: Uint8Array, fields = {}) =>
  udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload, fragment: 0, ...fields });
const tcp = (payload: Uint8Array, fields = {}) =>
  tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:80`, flags: 'A', payload, ...fields });

const noOffload = new Uint8Array(10);
const udpGso = (gsoSize: number) =>
  vnetHeader({ flags: 1, gso: 5, hdrLen: 99, gsoSize, csumStart: 20, csumOffset: 6 });
const tcpGso = (gsoSize: number, gso = 1) =>
  vnetHeader({ flags: 1, gso, hdrLen: 99, gsoSize, csumStart: 20, csumOffset: 16 });

/** Groups fragments by id and puts them together; whole packets stay. */
function datagrams(sent: SentPacket[]): Uint8Array[] {
  const groups = new Map<number, Uint8Array[]>();
  for (const { packet } of sent) {
    const { id } = decode(packet);
    groups.set(id, [...(groups.get(id) ?? []), packet]);
  }
  return [...groups.values()].map((group) => (group.length === 1 ? group[0]! : reassemble(group)));
}

describe('a packet without DF', () => {
  test('fragments that fit, are in order, and make the datagram again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 68, max: 1400 }), fc.integer({ min: 0, max: 1472 }), (mtu, size) => {
        const bed = new Bed({ mtu: [1500, mtu] });
        const packet = udp(filler(size), { id: 0x4242 });
        const sent = bed.out(packet);
        for (const { device, packet: piece, vnet } of sent) {
          expect(device).toBe(PUBLIC);
          expect(piece.length).toBeLessThanOrEqual(mtu);
          expect(vnet).toEqual(noOffload);
          expect(decode(piece)).toMatchObject({ src: EXTERNAL, ttl: 63, headerChecksumOk: true });
          expect(decode(piece).id).toBe(decode(sent[0]!.packet).id);
        }
        const pieces = packet.length <= mtu ? 1 : Math.ceil((packet.length - 20) / ((mtu - 20) & ~7));
        expect(sent).toHaveLength(pieces);
        const [whole] = datagrams(sent);
        expect(decode(whole!)).toMatchObject({ src: EXTERNAL, sport: 40000, checksumOk: true });
        expect(decode(whole!).payload).toEqual(filler(size));
        expect(bed.totals['fragmented']).toBe(pieces > 1 ? 1 : 0);
        bed.checkInvariants();
      }),
      { numRuns: 60 },
    );
  });

  test('TCP without DF is fragmented as well', () => {
    const bed = new Bed({ mtu: [1500, 600] });
    const [whole] = datagrams(bed.out(tcp(filler(1200), { fragment: 0 })));
    expect(decode(whole!)).toMatchObject({ src: EXTERNAL, checksumOk: true });
    expect(decode(whole!).payload).toEqual(filler(1200));
  });

  test('towards the private side too', () => {
    const bed = new Bed({ mtu: [700, 1500] });
    bed.out(udp(filler(10)));
    const answer = udpPacket({
      from: `${SERVER}:53`,
      to: `${EXTERNAL}:40000`,
      payload: filler(1400),
      fragment: 0,
    });
    const sent = bed.in(answer);
    expect(sent).toHaveLength(3);
    expect(decode(datagrams(sent)[0]!)).toMatchObject({ dst: CLIENT, dport: 40000, checksumOk: true });
  });

  test('a checksum the device was to complete is completed first', () => {
    const bed = new Bed({ mtu: [1500, 600] });
    const packet = udp(filler(1401));
    const vnet = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 6 });
    const sent = bed.out(partial(packet), vnet);
    expect(sent).toHaveLength(3);
    expect(sent.every((piece) => piece.vnet.every((byte) => byte === 0))).toBe(true);
    const [whole] = datagrams(sent);
    expect(decode(whole!)).toMatchObject({ sport: 40000, checksumOk: true });
    expect(decode(whole!).payload).toEqual(filler(1401));
  });

  test('a computed checksum of 0 is sent as ffff', () => {
    // The first word of the payload takes up what is missing in the sum.
    const payload = filler(1400);
    const view = new DataView(payload.buffer);
    view.setUint16(0, 0);
    const seen = decode(udpPacket({ from: `${EXTERNAL}:40000`, to: `${SERVER}:53`, payload }));
    view.setUint16(0, seen.body[6]! * 256 + seen.body[7]!);
    const bed = new Bed({ mtu: [1500, 600] });
    const vnet = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 6 });
    const [whole] = datagrams(bed.out(partial(udp(payload)), vnet));
    expect(decode(whole!)).toMatchObject({ checksumOk: true });
    expect(decode(whole!).body.subarray(6, 8)).toEqual(Uint8Array.of(0xff, 0xff));
  });

  test('of options only those to be copied stand in later fragments (RFC 791)', () => {
    const bed = new Bed({ mtu: [1500, 200] });
    // Record route (7, not copied), stream id (136, copied), no-operation, end.
    const options = hex('07 07 04 00 00 00 00  88 04 12 34  01 00 00 00 00');
    const packet = rawPacket({
      src: CLIENT,
      dst: SERVER,
      protocol: 17,
      body: udp(filler(400)).slice(20),
      options,
    });
    const sent = bed.out(packet).map(({ packet: piece }) => decode(piece));
    expect(sent.length).toBeGreaterThan(2);
    expect(sent[0]!.options).toEqual(options);
    for (const later of sent.slice(1)) {
      expect(later.options).toEqual(hex('01 01 01 01 01 01 01  88 04 12 34  01 00 00 00 00'));
      expect(later.headerChecksumOk).toBe(true);
    }
  });

  test('a fragment is fragmented further: flags and offsets go on', () => {
    const bed = new Bed({ mtu: [1500, 576] });
    const packet = udp(filler(2900), { id: 77 });
    const header = packet.slice(0, 20);
    const body = packet.subarray(20);
    const piece = (from: number, upTo: number, more: boolean) =>
      rawPacket({
        src: CLIENT,
        dst: SERVER,
        protocol: header[9]!,
        id: 77,
        flags: (more ? 0x2000 : 0) | (from / 8),
        body: body.slice(from, upTo),
      });
    const sent = [piece(0, 1480, true), piece(1480, body.length, false)].flatMap((fragment) =>
      bed.out(fragment),
    );
    expect(sent.length).toBe(6);
    expect(sent.every((fragment) => fragment.packet.length <= 576)).toBe(true);
    const whole = reassemble(sent.map((fragment) => fragment.packet));
    expect(decode(whole)).toMatchObject({ src: EXTERNAL, sport: 40000, checksumOk: true });
    expect(decode(whole).payload).toEqual(filler(2900));
  });

  test('64 KiB in one piece, from the overflow of its slot', () => {
    const bed = new Bed({ mtu: [65535, 1500] });
    const sent = bed.out(udp(filler(65507)));
    expect(sent).toHaveLength(45);
    const [whole] = datagrams(sent);
    expect(whole).toHaveLength(65535);
    expect(decode(whole!)).toMatchObject({ checksumOk: true, sport: 40000 });
    expect(decode(whole!).payload).toEqual(filler(65507));
  });
});

test.each([2040, 4000, 9000])('pieces for an MTU of %i reach into the overflow of their slots', (mtu) => {
  const bed = new Bed({ mtu: [65535, mtu] });
  const [whole] = datagrams(bed.out(udp(filler(30_001))));
  expect(decode(whole!)).toMatchObject({ src: EXTERNAL, checksumOk: true });
  expect(decode(whole!).payload).toEqual(filler(30_001));
  const packet = partial(udp(filler(40_000), { id: 9 }));
  const sent = bed.out(packet, udpGso(mtu + 100));
  expect(sent.every((piece) => piece.packet.length <= mtu)).toBe(true);
  const payloads = datagrams(sent).map(decode);
  expect(payloads.every(({ checksumOk }) => checksumOk)).toBe(true);
  expect(Buffer.concat(payloads.map(({ payload }) => payload))).toEqual(Buffer.from(filler(40_000)));
});

describe('TCP super-packets', () => {
  const packet = tcp(filler(20_000), {
    seq: 0xfffff000,
    flags: 'PA',
    options: hex('0101080a0000000100000002'),
  });

  test('whose segments fit pass as they are; hdr_len is set', () => {
    const bed = new Bed();
    const [sent, ...more] = bed.out(partial(packet), tcpGso(1448));
    expect(more).toEqual([]);
    expect(sent!.vnet).toEqual(
      vnetHeader({ flags: 1, gso: 1, hdrLen: 52, gsoSize: 1448, csumStart: 20, csumOffset: 16 }),
    );
    const segments = segment(sent!.packet, sent!.vnet).map(decode);
    expect(
      segments.every(({ checksumOk, src, sport }) => checksumOk && src === EXTERNAL && sport === 40000),
    ).toBe(true);
    expect(Buffer.concat(segments.map(({ payload }) => payload))).toEqual(Buffer.from(filler(20_000)));
  });

  test('with DF, segments too large: 3/4', () => {
    const bed = new Bed({ mtu: [1500, 1400] });
    const [sent, ...more] = bed.out(partial(packet), tcpGso(1448));
    expect(more).toEqual([]);
    expect(sent!.device).toBe(PRIVATE);
    expect(decode(sent!.packet)).toMatchObject({ type: 3, code: 4 });
    expect(bed.drops).toEqual({ too_big: 1 });
  });

  test('without DF they get smaller segments', () => {
    const bed = new Bed({ mtu: [1500, 1400] });
    const free = partial(tcp(filler(20_000), { fragment: 0 }));
    const [sent, ...more] = bed.out(free, tcpGso(1460, 0x81));
    expect(more).toEqual([]);
    expect(sent!.vnet).toEqual(
      vnetHeader({ flags: 1, gso: 0x81, hdrLen: 40, gsoSize: 1360, csumStart: 20, csumOffset: 16 }),
    );
    const segments = segment(sent!.packet, sent!.vnet);
    expect(segments.every((one) => one.length <= 1400 && decode(one).checksumOk)).toBe(true);
    expect(Buffer.concat(segments.map((one) => decode(one).payload))).toEqual(Buffer.from(filler(20_000)));
  });
});

describe('UDP super-packets', () => {
  test('whose datagrams fit pass as they are', () => {
    const bed = new Bed();
    const packet = udp(filler(10_000));
    const [sent, ...more] = bed.out(partial(packet), udpGso(1200));
    expect(more).toEqual([]);
    const made = segment(sent!.packet, sent!.vnet).map(decode);
    expect(made).toHaveLength(9);
    expect(made.every(({ checksumOk, src }) => checksumOk && src === EXTERNAL)).toBe(true);
    expect(Buffer.concat(made.map(({ payload }) => payload))).toEqual(Buffer.from(filler(10_000)));
  });

  test('with DF, datagrams too large: 3/4', () => {
    const bed = new Bed({ mtu: [1500, 1000] });
    const packet = udp(filler(10_000), { fragment: 0x4000 });
    expect(decode(bed.out(partial(packet), udpGso(1200))[0]!.packet)).toMatchObject({ type: 3, code: 4 });
  });

  test('without DF: datagram boundaries stay the sender’s, each datagram in fragments', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 300, max: 1400 }),
        fc.integer({ min: 200, max: 1472 }),
        fc.integer({ min: 1500, max: 12_000 }),
        (mtu, gsoSize, size) => {
          fc.pre(gsoSize + 28 > mtu && Math.ceil(size / gsoSize) * 6 < 192);
          const bed = new Bed({ mtu: [1500, mtu] });
          const packet = udp(filler(size), { id: 0xfff0 });
          const sent = bed.out(partial(packet), udpGso(gsoSize));
          for (const piece of sent) {
            expect(piece.packet.length).toBeLessThanOrEqual(mtu);
            expect(piece.vnet).toEqual(noOffload);
          }
          const made = datagrams(sent).map(decode);
          const expected = segment(partial(packet), udpGso(gsoSize)).map(decode);
          // The identifications are the gateway's (RFC 6864), consecutive as the sender's.
          const ids = expected.map(({ id }) => (id - 0xfff0 + made[0]!.id) & 0xffff);
          expect(made.map(({ id }) => id)).toEqual(ids);
          for (const [i, one] of made.entries()) {
            expect(one).toMatchObject({
              src: EXTERNAL,
              sport: 40000,
              ttl: 63,
              checksumOk: true,
              headerChecksumOk: true,
            });
            expect(one.payload).toEqual(expected[i]!.payload);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test('more pieces than the arena has slots: dropped under its reason', () => {
    const bed = new Bed({ mtu: [1500, 300] });
    expect(bed.out(partial(udp(filler(65_000))), udpGso(400))).toEqual([]);
    expect(bed.drops).toEqual({ no_slot: 1 });
    bed.checkInvariants();
  });
});

describe('partial checksums', () => {
  test.each([
    ['UDP', partial(udp(filler(701))), vnetHeader({ flags: 1, csumStart: 20, csumOffset: 6 })],
    ['TCP', partial(tcp(filler(701))), vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 })],
  ])('%s: passed on to be completed by the device, which then gets it right', (_, packet, vnet) => {
    const bed = new Bed();
    const [sent] = bed.out(packet, vnet);
    expect(sent!.vnet).toEqual(vnet);
    expect(decode(sent!.packet).checksumOk).toBe(false);
    expect(decode(complete(sent!.packet))).toMatchObject({ src: EXTERNAL, sport: 40000, checksumOk: true });
  });
});

test('a batch of oversize super-packets runs out of slots, waits for the list to be written, and loses nothing', () => {
  const bed = new Bed({ mtu: [1500, 1000], flows: 64 });
  const batch = Array.from({ length: 64 }, (_, i) => ({
    device: PRIVATE,
    packet: partial(udp(filler(9000, i), { id: i * 64 })),
    vnet: udpGso(1200),
  }));
  const sent = bed.run(batch);
  // 8 datagrams of 1 + 2 slots each: 24 slots a packet, 192 slots.
  expect(bed.rounds).toBe(8);
  const made = datagrams(sent).map(decode);
  expect(made).toHaveLength(64 * 8);
  for (let i = 0; i < 64; i++) {
    const payloads = made.slice(i * 8, i * 8 + 8).map(({ payload }) => payload);
    expect(Buffer.concat(payloads)).toEqual(Buffer.from(filler(9000, i)));
  }
  expect(made.every(({ checksumOk }) => checksumOk)).toBe(true);
  expect(bed.drops).toEqual({});
  expect(bed.flows()).toMatchObject([{ originalPackets: 64 }]);
  expect(bed.totals).toMatchObject({ fragmented: 64, batches: 1, flows_started: 1 });
  bed.checkInvariants();
});

test('when the last slot is taken, an ICMP error waits, too', () => {
  const bed = new Bed({ mtu: [1500, 100] });
  const batch = Array.from({ length: 64 }, (_, i) => ({
    device: PRIVATE,
    packet: i < 10 ? udp(filler(1400)) : udp(filler(1), { ttl: 1, from: `10.77.0.${2 + (i & 1)}:40000` }),
  }));
  // Of two senders: one alone gets fewer answers at once. 10 packets of 18 pieces leave 12 slots for 54 errors.
  const sent = bed.run(batch);
  expect(to(PRIVATE, sent)).toHaveLength(54);
  expect(to(PUBLIC, sent)).toHaveLength(180);
  expect(bed.rounds).toBe(2);
  expect(bed.totals).toMatchObject({ icmp_errors_sent: 54, icmp_errors_suppressed: 0 });
});

test('a batch of 64 ICMP errors and 64 packets each in pieces fits the out list', () => {
  const bed = new Bed({ mtu: [1500, 100] });
  const sent = bed.run(
    Array.from({ length: 64 }, (_, i) => ({
      device: PRIVATE,
      packet: udp(filler(i % 2 === 0 ? 1400 : 1), { ttl: i % 2 === 0 ? 9 : 1 }),
    })),
  );
  expect(to(PRIVATE, sent)).toHaveLength(32);
  expect(to(PUBLIC, sent)).toHaveLength(32 * 18);
  expect(bed.rounds).toBeGreaterThan(1);
  bed.checkInvariants();
});
