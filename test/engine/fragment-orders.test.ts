/** Fragments in any order, several datagrams among each other: each comes out whole and translated. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { type Decoded, decode, reassemble } from '../wire/decode.ts';
import { type Arriving, Bed, EXTERNAL, PRIVATE, PUBLIC, to, vnetHeader } from './bed.ts';
import { answer, arriving, CLIENT, loose, query, SERVER, whole } from './fragment-bed.ts';
import { cut, filler, partial, rawPacket } from './packets.ts';

describe('the first comes late', () => {
  test('what came before it follows it, in order of arrival, then the rest', () => {
    const bed = new Bed();
    const [first, b, c, d] = cut(query(5000), 1480) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    expect([c, b].flatMap((packet) => bed.out(packet))).toEqual([]);
    expect(bed.totals['fragments_held']).toBe(2);
    const sent = [...bed.out(first), ...bed.out(d)];
    expect(sent.map(({ packet }) => decode(packet).offset)).toEqual([0, 2960, 1480, 4440]);
    expect(whole(to(PUBLIC, sent))).toMatchObject({ src: EXTERNAL, sport: 40000, ttl: 63, checksumOk: true });
    expect(sent.every(({ vnet }) => vnet.every((byte) => byte === 0))).toBe(true);
    expect(bed.totals['fragments_held']).toBe(0);
    expect(bed.drops).toEqual({});
    expect(bed.flows()).toMatchObject([{ originalPackets: 4 }]);
    bed.checkInvariants();
  });

  test('65507 bytes in reverse, there and back', () => {
    const bed = new Bed();
    const out = to(
      PUBLIC,
      cut(query(65_507, 1), 1480)
        .reverse()
        .flatMap((packet) => bed.out(packet)),
    );
    expect(whole(out)).toMatchObject({ src: EXTERNAL, checksumOk: true });
    expect(whole(out).payload).toEqual(filler(65_507, 1));
    const back = to(
      PRIVATE,
      cut(answer(65_507, 2), 1480)
        .reverse()
        .flatMap((packet) => bed.in(packet)),
    );
    expect(whole(back)).toMatchObject({ dst: CLIENT, dport: 40000, checksumOk: true });
    expect(whole(back).payload).toEqual(filler(65_507, 2));
    bed.checkInvariants();
  });

  test('more than there are slots: nothing overtakes what is released', () => {
    const bed = new Bed();
    const pieces = cut(query(8 * 400), 8);
    for (const packet of pieces.slice(1).reverse()) expect(bed.out(packet)).toEqual([]);
    const next = udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: 'next' });
    const sent = bed.run(arriving(PRIVATE, [next, pieces[0]!, next, next]));
    expect(bed.rounds).toBeGreaterThan(2);
    const offsets = sent.map(({ packet }) => decode(packet).offset);
    const expected = [
      0,
      ...pieces
        .slice(1)
        .map((packet) => decode(packet).offset)
        .reverse(),
    ];
    expect(offsets).toEqual([0, ...expected, 0, 0]);
    expect(whole(to(PUBLIC, sent.slice(1, -2))).payload).toEqual(filler(8 * 400));
    bed.checkInvariants();
  });

  test('onto a smaller MTU: each is cut further', () => {
    const bed = new Bed({ mtu: [1500, 576] });
    const sent = to(
      PUBLIC,
      cut(query(65_507), 1480)
        .reverse()
        .flatMap((packet) => bed.out(packet)),
    );
    expect(sent.every((packet) => packet.length <= 576)).toBe(true);
    expect(whole(sent).payload).toEqual(filler(65_507));
    expect(new Set(sent.map((packet) => decode(packet).id)).size).toBe(1);
    bed.checkInvariants();
  });

  test('a held one that needs more slots than there are is dropped, the rest goes on', () => {
    const bed = new Bed({ mtu: [65_535, 300] });
    // 192 slots, 280 bytes a piece: all for the pieces, and none for the fragment itself.
    const length = 192 * 280;
    const piece = (start: number, body: Uint8Array, more: boolean) =>
      rawPacket({
        src: CLIENT,
        dst: SERVER,
        protocol: 17,
        id: 5,
        flags: (more ? 0x2000 : 0) | (start / 8),
        body,
      });
    const first = piece(0, query(56).slice(20), true);
    const held = [piece(64, filler(length), true), piece(64 + length, filler(10), false)];
    for (const packet of held) expect(bed.out(packet)).toEqual([]);
    expect(bed.out(first).map(({ packet }) => decode(packet).offset)).toEqual([0, 64 + length]);
    expect(bed.drops).toEqual({ no_slot: 1 });
    bed.checkInvariants();
  });

  test('TCP, ping and a protocol without ports', () => {
    const bed = new Bed();
    const tcp = tcpPacket({
      from: `${CLIENT}:40000`,
      to: `${SERVER}:80`,
      flags: 'A',
      payload: filler(3000),
      ...loose,
    });
    const ping = echoPacket({ from: CLIENT, to: SERVER, identifier: 7, payload: filler(3000), ...loose });
    const gre = rawPacket({ src: CLIENT, dst: SERVER, protocol: 47, body: filler(4000), id: 9 });
    for (const packet of [tcp, ping, gre]) {
      const sent = cut(packet, 1480)
        .reverse()
        .flatMap((piece) => bed.out(piece));
      expect(whole(to(PUBLIC, sent))).toMatchObject({ src: EXTERNAL, checksumOk: true });
      expect(whole(to(PUBLIC, sent)).body.subarray(20)).toEqual(decode(packet).body.subarray(20));
    }
    bed.checkInvariants();
  });

  test('among super-packets in one batch', () => {
    const bed = new Bed();
    const [first, b, c] = cut(query(4000), 1480) as [Uint8Array, Uint8Array, Uint8Array];
    const large = partial(
      udpPacket({ from: `${CLIENT}:41000`, to: `${SERVER}:53`, payload: filler(12_000, 3), fragment: 0 }),
    );
    const vnet = vnetHeader({ flags: 1, gso: 5, gsoSize: 1200, csumStart: 20, csumOffset: 6, hdrLen: 28 });
    const sent = bed.run([
      { device: PRIVATE, packet: c },
      { device: PRIVATE, packet: large, vnet },
      { device: PRIVATE, packet: b },
      { device: PRIVATE, packet: first },
      { device: PRIVATE, packet: large, vnet },
    ]);
    expect(sent.map(({ packet }) => packet.length)).toEqual([12_028, 1500, c.length, b.length, 12_028]);
    expect(sent[0]!.vnet).toEqual(vnet);
    expect(sent.slice(1, 4).every(({ vnet: none }) => none.every((byte) => byte === 0))).toBe(true);
    expect(whole(to(PUBLIC, sent.slice(1, 4))).payload).toEqual(filler(4000));
    bed.checkInvariants();
  });
});

describe('any datagrams, cut anyhow, in any order, in batches', () => {
  const datagram = fc.record({
    host: fc.integer({ min: 2, max: 5 }),
    size: fc.integer({ min: 20, max: 9000 }),
    cutAt: fc.array(fc.integer({ min: 3, max: 1100 }), { minLength: 1, maxLength: 12 }),
    id: fc.nat(3),
    inbound: fc.boolean(),
  });
  const scenario = fc.record({
    datagrams: fc.array(datagram, { minLength: 1, maxLength: 12 }),
    order: fc.infiniteStream(fc.nat(1_000_000)),
    lose: fc.oneof(fc.constant(0), fc.integer({ min: 2, max: 8 })),
    overlap: fc.boolean(),
    batch: fc.integer({ min: 1, max: 64 }),
    mtu: fc.constantFrom(1500, 1500, 576, 9000),
  });

  test('each comes out whole and translated, or what is missing is in the drop counters', () => {
    fc.assert(
      fc.property(scenario, ({ datagrams, order, lose, overlap, batch, mtu }) => {
        const bed = new Bed({ mtu: [mtu, mtu] });
        for (let host = 2; host <= 5; host++) {
          bed.out(udpPacket({ from: `10.77.0.${host}:${40_000 + host}`, to: `${SERVER}:53`, payload: 'x' }));
        }
        const pending: Arriving[] = [];
        const expected = new Map<string, Uint8Array>();
        const clean = lose === 0 && !overlap;
        const keys = new Set<string>();
        for (const [i, { host, size, cutAt, id, inbound }] of datagrams.entries()) {
          // Two datagrams of one sender do not share an identification while both are in flight.
          const key = inbound ? `in ${id}` : `${host} ${id}`;
          if (keys.has(key)) continue;
          keys.add(key);
          const [from, dst] = inbound
            ? [`${SERVER}:53`, `${EXTERNAL}:${40_000 + host}`]
            : [`10.77.0.${host}:${40_000 + host}`, `${SERVER}:53`];
          const payload = filler(size, i * 17);
          const fields = { from, to: dst, payload, fragment: 0, id };
          const pieces = cutAtUnits(udpPacket(fields), cutAt);
          if (overlap && i % 2 === 0)
            pieces.push(
              ...cutAtUnits(
                udpPacket(fields),
                cutAt.map((at) => at + 2),
              ).slice(1, 2),
            );
          expected.set(`${inbound ? PRIVATE : PUBLIC} ${Buffer.from(payload).toString('hex')}`, payload);
          pending.push(...arriving(inbound ? PUBLIC : PRIVATE, pieces));
        }
        const packets: Arriving[] = [];
        while (pending.length > 0) packets.push(...pending.splice(order.next().value! % pending.length, 1));
        const kept = lose === 0 ? packets : packets.filter((_, i) => i % lose !== 0);
        const sent = [];
        for (let at = 0; at < kept.length; at += batch) {
          sent.push(...bed.run(kept.slice(at, at + batch)));
          bed.checkInvariants();
        }
        const groups = new Map<string, Uint8Array[]>();
        for (const { device, packet } of sent) {
          const one = decode(packet);
          expect(one.headerChecksumOk).toBe(true);
          expect(device === PUBLIC ? one.src : one.dst.slice(0, 8)).toBe(
            device === PUBLIC ? EXTERNAL : '10.77.0.',
          );
          const key = `${device} ${one.src} ${one.dst} ${one.id}`;
          groups.set(key, [...(groups.get(key) ?? []), packet]);
        }
        let complete = 0;
        for (const [key, pieces] of groups) {
          const sorted = [...pieces].sort((a, b) => decode(a).offset - decode(b).offset);
          let datagramOut: Decoded;
          try {
            datagramOut = decode(reassemble(sorted));
          } catch {
            expect(clean).toBe(false);
            continue;
          }
          expect(datagramOut.checksumOk).toBe(true);
          const known = `${key.split(' ')[0]} ${Buffer.from(datagramOut.payload).toString('hex')}`;
          expect(expected.has(known)).toBe(true);
          complete++;
        }
        if (clean) expect(complete).toBe(expected.size);
        bed.pass(30_000);
        expect(bed.totals['fragments_held']).toBe(0);
        bed.checkInvariants();
        const names = Object.keys(bed.drops);
        const allowed = clean ? [] : ['fragment_overlap', 'fragment_timeout', 'fragment_duplicate'];
        expect(names.filter((name) => !allowed.includes(name))).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });
});

/** The packet cut where each piece has as many units of 8 bytes as the list says, over and over. */
function cutAtUnits(packet: Uint8Array, units: number[]): Uint8Array[] {
  const { body, src, dst, id } = decode(packet);
  const pieces: Uint8Array[] = [];
  for (let at = 0, i = 0; at < body.length; i++) {
    const size = units[i % units.length]! * 8;
    const part = body.slice(at, at + size);
    const more = at + part.length < body.length ? 0x2000 : 0;
    pieces.push(rawPacket({ src, dst, protocol: 17, id, flags: more | (at / 8), body: part }));
    at += part.length;
  }
  return pieces;
}
