/** Fragments that nothing whole comes of: dropped by name, all of the datagram, without harm to others. */
import { describe, expect, test } from 'vitest';
import { udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { answer, CLIENT, query, SERVER, whole } from './fragment-bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

describe('dropped whole', () => {
  const pieces = cut(query(5000), 1480);

  test.each([
    ['overlapping', cut(query(5000), 1472)[2]!],
    ['inside another', cut(query(5000), 744)[3]!],
    ['around another', cut(query(5000), 2960)[1]!],
    [
      'after the last',
      rawPacket({ src: CLIENT, dst: SERVER, protocol: 17, id: 0x3131, flags: 0x2000 | 650, body: filler(8) }),
    ],
    [
      'another last',
      rawPacket({ src: CLIENT, dst: SERVER, protocol: 17, id: 0x3131, flags: 650, body: filler(8) }),
    ],
  ])('%s: what is held and what comes later', (_, bad) => {
    const bed = new Bed();
    for (const packet of [pieces[3]!, pieces[1]!]) expect(bed.out(packet)).toEqual([]);
    expect(bed.out(bad)).toEqual([]);
    expect(bed.drops).toEqual({ fragment_overlap: 3 });
    for (const packet of [pieces[0]!, pieces[2]!]) expect(bed.out(packet)).toEqual([]);
    expect(bed.drops).toEqual({ fragment_overlap: 5 });
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
    // The identification is free again when its time is up.
    bed.pass(30_000);
    expect(cut(query(5000), 1480).flatMap((packet) => bed.out(packet))).toHaveLength(4);
  });

  test('an overlap behind the first: the rest', () => {
    const bed = new Bed();
    bed.out(query(10, 0, { id: 1 }));
    const [first, second, third, last] = cut(answer(5000), 1480) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    expect(bed.in(second)).toEqual([]);
    expect(bed.in(first)).toHaveLength(2);
    for (const packet of [cut(answer(5000), 1472)[2]!, third, last, first])
      expect(bed.in(packet)).toEqual([]);
    expect(bed.drops).toEqual({ fragment_overlap: 4 });
    bed.checkInvariants();
  });

  test('its first is refused: what was held goes with it', () => {
    const bed = new Bed();
    const [first, ...later] = cut(query(5000, 0, { ttl: 1 }), 1480) as [Uint8Array, ...Uint8Array[]];
    for (const packet of later) expect(bed.out(packet)).toEqual([]);
    expect(bed.out(first).map(({ packet }) => decode(packet).type)).toEqual([11]);
    expect(bed.drops).toEqual({ ttl_exceeded: 1, fragment_first_missing: 3 });
    // Nothing of it was sent, so the sender may try again with the same identification, and has 30 s anew.
    bed.pass(29_000);
    const again = bed.out(pieces[0]!);
    bed.pass(29_000);
    again.push(...pieces.slice(1).flatMap((packet) => bed.out(packet)));
    expect(whole(to(PUBLIC, again)).checksumOk).toBe(true);
    bed.checkInvariants();
  });

  test('uninvited: held pieces too', () => {
    const bed = new Bed();
    const [first, ...later] = cut(
      udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:50000`, payload: filler(5000), fragment: 0 }),
      1480,
    ) as [Uint8Array, ...Uint8Array[]];
    for (const packet of [...later, first]) expect(bed.in(packet)).toEqual([]);
    expect(bed.drops).toEqual({ no_flow: 1, fragment_first_missing: 3 });
    bed.checkInvariants();
  });
});

test('duplicates are dropped, once complete the identification is free', () => {
  const bed = new Bed();
  const pieces = cut(query(5000), 1480);
  const twice = [
    pieces[2]!,
    pieces[2]!,
    pieces[0]!,
    pieces[0]!,
    pieces[2]!,
    pieces[1]!,
    pieces[1]!,
    pieces[3]!,
  ];
  const sent = to(
    PUBLIC,
    twice.flatMap((packet) => bed.out(packet)),
  );
  expect(sent).toHaveLength(4);
  expect(whole(sent).payload).toEqual(filler(5000));
  expect(bed.drops).toEqual({ fragment_duplicate: 4 });
  const next = cut(query(5000, 8), 1480).reverse();
  expect(
    whole(
      to(
        PUBLIC,
        next.flatMap((packet) => bed.out(packet)),
      ),
    ).payload,
  ).toEqual(filler(5000, 8));
  bed.checkInvariants();
});

test('one side cannot spoil the datagrams of the other', () => {
  const bed = new Bed();
  bed.out(query(10, 0, { id: 1 }));
  const [first, second] = cut(answer(2000), 1480) as [Uint8Array, Uint8Array];
  // In the name of the server, from inside: an overlap with what comes from outside.
  bed.out(cut(answer(2000), 1472)[1]!);
  expect(to(PRIVATE, bed.in(second))).toEqual([]);
  expect(to(PRIVATE, bed.in(first))).toHaveLength(2);
  expect(bed.drops).toEqual({ martian_source: 1 });
});

test('one source cannot keep others from being held, and the store is bounded', () => {
  const bed = new Bed();
  const flood = (id: number) =>
    rawPacket({ src: CLIENT, dst: SERVER, protocol: 17, id, flags: 0x2000 | 185, body: filler(1480) });
  const of = (host: number) =>
    cut(
      udpPacket({
        from: `10.77.0.${host}:1000`,
        to: `${SERVER}:53`,
        payload: filler(3000, host),
        fragment: 0,
      }),
      1480,
    );
  const hosts = Array.from({ length: 50 }, (_, i) => 100 + i);
  for (let id = 0; id < 1000; id++) bed.out(flood(id));
  for (const host of hosts) bed.out(of(host)[1]!);
  for (let id = 1000; id < 6000; id++) bed.out(flood(id));
  expect(bed.totals['fragments_held']).toBeLessThanOrEqual(2048 / 3 + 50);
  const sent = hosts.map((host) => [...bed.out(of(host)[0]!), ...bed.out(of(host)[2]!)]);
  const lost = sent.filter((pieces) => pieces.length < 3);
  // A host whose count the flood shares, or whose set of the table was full without it, may lose.
  expect(lost.length).toBeLessThan(3);
  for (const [i, pieces] of sent.entries()) {
    if (pieces.length === 3) expect(whole(to(PUBLIC, pieces)).payload).toEqual(filler(3000, hosts[i]));
  }
  bed.checkInvariants();
  bed.pass(30_000);
  expect(bed.totals['fragments_held']).toBe(0);
  bed.checkInvariants();
});
