/**
 * Segments whose bits were flipped on the way: what their receiver throws away must not be what natgate believes. X:40000 to A:80, initial
 * sequence numbers 100 and 500.
 */
import { describe, expect, test } from 'vitest';
import { Bed, PRIVATE, PUBLIC, to, vnetHeader } from './bed.ts';
import { A, connect, ends, only, tcp, X } from './nat-bed.ts';
import { partial } from './packets.ts';

const SERVER = `${A}:80`;
const CLIENT = `${X}:40000`;
const SEQUENCE = 20 + 4;
const FLAGS = 20 + 13;

/** The packet with the bits of `mask` flipped in byte `at`, and its checksum as it was. */
function flipped(packet: Uint8Array, at: number, mask: number): Uint8Array {
  const damaged = packet.slice();
  damaged[at]! ^= mask;
  return damaged;
}

test('a damaged answer to a SYN is not believed: the connection comes about when it is sent again', () => {
  const bed = new Bed();
  const external = ends(only(PUBLIC, bed.out(tcp(CLIENT, SERVER, 'S', { seq: 100 })))).split(' ')[0]!;
  const answer = tcp(SERVER, external, 'SA', { seq: 500, ack: 101 });
  // A number 2^24 ahead; and what looks like a window scale.
  expect(bed.in(flipped(answer, SEQUENCE, 1))).toEqual([]);
  expect(bed.in(flipped(answer, 20 + 15, 0x40))).toEqual([]);
  expect(bed.drops).toEqual({ bad_tcp_checksum: 2 });
  expect(to(PRIVATE, bed.in(answer))).toHaveLength(1);
  expect(to(PUBLIC, bed.out(tcp(CLIENT, SERVER, 'A', { seq: 101, ack: 501 })))).toHaveLength(1);
  // All that the server sends from here on would have been too old.
  expect(to(PRIVATE, bed.in(tcp(SERVER, external, 'A', { seq: 501, ack: 101 })))).toHaveLength(1);
  expect(bed.flows()[0]).toMatchObject({ state: 'ESTABLISHED' });
});

describe('in a connection', () => {
  for (const [flag, bit] of [
    ['FIN', 1],
    ['SYN', 2],
    ['RST', 4],
  ] as const) {
    test(`a flipped bit that makes a ${flag} is none`, () => {
      const bed = new Bed();
      const external = connect(bed);
      const before = bed.flows();
      expect(bed.in(flipped(tcp(SERVER, external, 'A', { seq: 501, ack: 101 }), FLAGS, bit))).toEqual([]);
      expect(bed.out(flipped(tcp(CLIENT, SERVER, 'A', { seq: 101, ack: 501 }), FLAGS, bit))).toEqual([]);
      expect(bed.drops).toEqual({ bad_tcp_checksum: 2 });
      expect(bed.flows()).toEqual(before);
    });
  }

  test('any flipped bit of a FIN, header and payload; whole it is taken', () => {
    const bed = new Bed();
    const external = connect(bed);
    const last = tcp(SERVER, external, 'FA', { seq: 501, ack: 101, payload: 'odd' });
    const before = bed.flows();
    // Ports lead elsewhere; the offset of the data, and the flags, are asked for themselves.
    for (let at = SEQUENCE; at < last.length; at++) {
      if (at === FLAGS - 1 || at === FLAGS) continue;
      for (let bit = 0; bit < 8; bit++) expect(bed.in(flipped(last, at, 1 << bit))).toEqual([]);
    }
    expect(bed.flows()).toEqual(before);
    expect(to(PRIVATE, bed.in(last))).toHaveLength(1);
    expect(bed.flows()[0]).not.toMatchObject({ state: 'ESTABLISHED' });
  });

  test('what carries data only is for the ends to verify', () => {
    const bed = new Bed();
    const external = connect(bed);
    const data = tcp(SERVER, external, 'PA', { seq: 501, ack: 101, payload: 'data' });
    expect(to(PRIVATE, bed.in(flipped(data, data.length - 1, 1)))).toHaveLength(1);
  });
});

test('a checksum that is yet to be made, or that the kernel has verified, is not asked', () => {
  const bed = new Bed();
  const syn = tcp(CLIENT, SERVER, 'S', { seq: 100 });
  const offload = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 });
  expect(to(PUBLIC, bed.out(partial(syn), offload))).toHaveLength(1);
  const other = flipped(tcp(`${X}:40001`, SERVER, 'S', { seq: 100 }), SEQUENCE, 1);
  expect(to(PUBLIC, bed.out(other, vnetHeader({ flags: 2 })))).toHaveLength(1);
  expect(bed.out(other)).toEqual([]);
  expect(bed.drops).toEqual({ bad_tcp_checksum: 1 });
});
