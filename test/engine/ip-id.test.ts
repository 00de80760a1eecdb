/** Identifications of non-atomic datagrams (RFC 6864): the gateway's own, unique among all that share its address. */
import { describe, expect, test } from 'vitest';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to, vnetHeader } from './bed.ts';
import { cut, filler, partial, rawPacket, segment } from './packets.ts';

const CLIENT = '10.77.0.2';
const OTHER = '10.77.0.3';
const SERVER = '203.0.113.9';
const query = (client: string, fields = {}) =>
  udpPacket({
    from: `${client}:40000`,
    to: `${SERVER}:53`,
    payload: filler(40),
    id: 7,
    fragment: 0,
    ...fields,
  });
const idOf = (packet: Uint8Array) => decode(packet).id;
const sentId = (bed: Bed, packet: Uint8Array, vnet?: Uint8Array) =>
  idOf(to(PUBLIC, bed.out(packet, vnet))[0]!);

describe('outwards', () => {
  test('datagrams without DF are numbered one after the other, whoever sends them', () => {
    const bed = new Bed();
    const first = sentId(bed, query(CLIENT));
    const ids = [OTHER, CLIENT, OTHER].map((client) => sentId(bed, query(client)));
    expect(ids).toEqual([1, 2, 3].map((n) => (first + n) & 0xffff));
    const [sent] = to(PUBLIC, bed.out(query(CLIENT)));
    expect(decode(sent!)).toMatchObject({ headerChecksumOk: true, checksumOk: true, src: EXTERNAL });
  });

  test('65536 in a row, all different, checksums right', () => {
    const bed = new Bed();
    const seen = new Set<number>();
    for (let i = 0; i < 65_536 / 64; i++) {
      const batch = Array.from({ length: 64 }, (_, n) => ({
        device: PRIVATE,
        packet: query(n % 2 === 0 ? CLIENT : OTHER, { id: n }),
      }));
      for (const { packet } of bed.run(batch)) {
        const { id, headerChecksumOk } = decode(packet);
        if (!headerChecksumOk) throw new Error(`a wrong checksum at ${id}`);
        seen.add(id);
      }
    }
    expect(seen.size).toBe(65_536);
  });

  test('destinations and protocols have numbers of their own', () => {
    const bed = new Bed();
    const ids = [
      query(CLIENT),
      query(CLIENT, { to: '203.0.113.10:53' }),
      echoPacket({ from: CLIENT, to: SERVER, identifier: 5, fragment: 0 }),
      rawPacket({ src: CLIENT, dst: SERVER, protocol: 47, body: filler(8) }),
      tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:80`, flags: 'S', fragment: 0 }),
    ].map((packet) => sentId(bed, packet));
    const again = sentId(bed, query(CLIENT));
    expect(new Set(ids).size).toBe(ids.length);
    expect(again).toBe((ids[0]! + 1) & 0xffff);
  });

  test('another seed begins elsewhere', () => {
    expect(sentId(new Bed({ seed: 5 }), query(CLIENT))).not.toBe(sentId(new Bed(), query(CLIENT)));
  });

  test('atomic datagrams keep theirs', () => {
    const bed = new Bed();
    expect(sentId(bed, query(CLIENT, { fragment: 0x4000 }))).toBe(7);
    expect(sentId(bed, query(CLIENT, { fragment: 0xc000 }))).toBe(7);
  });

  test('a reserved bit does not make a datagram atomic', () => {
    const bed = new Bed();
    expect(sentId(bed, query(CLIENT, { fragment: 0x8000 }))).not.toBe(7);
  });

  test('errors of private routers are numbered, what they quote is not', () => {
    const bed = new Bed();
    bed.out(query(CLIENT, { fragment: 0x4000 }));
    const answer = udpPacket({ from: `${SERVER}:53`, to: `${CLIENT}:40000`, id: 99 });
    const error = icmpError({
      from: CLIENT,
      to: SERVER,
      type: 3,
      code: 3,
      packet: answer,
      id: 7,
      fragment: 0,
    });
    const [sent] = to(PUBLIC, bed.out(error));
    const outer = decode(sent!);
    expect(outer).toMatchObject({ src: EXTERNAL, headerChecksumOk: true, checksumOk: true });
    expect(outer.id).not.toBe(7);
    expect(new DataView(outer.payload.buffer, outer.payload.byteOffset).getUint16(4)).toBe(99);
  });
});

test('inwards nothing is renumbered', () => {
  const bed = new Bed();
  bed.out(query(CLIENT));
  const answer = udpPacket({
    from: `${SERVER}:53`,
    to: `${EXTERNAL}:40000`,
    payload: filler(3000),
    fragment: 0,
    id: 77,
  });
  const sent = to(
    PRIVATE,
    cut(answer, 1480).flatMap((packet) => bed.in(packet)),
  );
  expect(sent.map(idOf)).toEqual([77, 77, 77]);
});

test('the fragments of one datagram have one, two hosts with the same have two', () => {
  const bed = new Bed();
  const of = (client: string, seed: number, flags = 0) =>
    cut(query(client, { payload: filler(4000, seed) }), 1480).map((packet) => {
      // DF in a fragment does not make it atomic.
      packet[6]! |= flags;
      new DataView(packet.buffer).setUint16(10, 0);
      return rawPacket({
        src: decode(packet).src,
        dst: SERVER,
        protocol: 17,
        id: 7,
        flags: new DataView(packet.buffer).getUint16(6),
        body: decode(packet).body,
      });
    });
  const a = of(CLIENT, 1);
  const b = of(OTHER, 2, 0x40);
  const sent = [a[1]!, b[2]!, b[0]!, a[0]!, b[1]!, a[2]!].flatMap((packet) => to(PUBLIC, bed.out(packet)));
  const ids = [...new Set(sent.map(idOf))];
  expect(ids).toHaveLength(2);
  for (const id of ids) {
    const pieces = sent.filter((packet) => idOf(packet) === id);
    const sorted = pieces.sort((x, y) => decode(x).offset - decode(y).offset);
    expect(decode(reassemble(sorted))).toMatchObject({ checksumOk: true, src: EXTERNAL });
  }
  bed.checkInvariants();
});

describe('super-packets', () => {
  const udpGso = vnetHeader({ flags: 1, gso: 5, gsoSize: 1000, csumStart: 20, csumOffset: 6, hdrLen: 28 });
  const tcpGso = vnetHeader({ flags: 1, gso: 1, gsoSize: 1400, csumStart: 20, csumOffset: 16, hdrLen: 40 });
  const tcp = (size: number) =>
    partial(
      tcpPacket({
        from: `${CLIENT}:40000`,
        to: `${SERVER}:80`,
        flags: 'A',
        payload: filler(size),
        fragment: 0,
      }),
    );

  test('what follows is numbered behind all their segments', () => {
    const bed = new Bed();
    const [large] = bed.out(partial(query(CLIENT, { payload: filler(4001) })), udpGso);
    const segments = segment(large!.packet, large!.vnet).map(idOf);
    expect(segments).toHaveLength(5);
    expect(sentId(bed, query(OTHER))).toBe((segments.at(-1)! + 1) & 0xffff);
  });

  test('TCP: by the size that the path allows', () => {
    const bed = new Bed({ mtu: [1500, 576] });
    const [large] = bed.out(tcp(5000), tcpGso);
    const segments = segment(large!.packet, large!.vnet).map(idOf);
    expect(segments).toHaveLength(Math.ceil(5000 / 536));
    const [next] = bed.out(tcp(100), vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 }));
    expect(idOf(next!.packet)).toBe((segments.at(-1)! + 1) & 0xffff);
  });
});
