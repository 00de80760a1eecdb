/** Fragmented datagrams through the NAT, in order: the first decides, the rest follow. */
import { describe, expect, test } from 'vitest';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const CLIENT = '10.77.0.2';
const SERVER = '203.0.113.9';
const loose = { fragment: 0, id: 0x3131 };
const query = udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: filler(5000), ...loose });
const answer = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000`, payload: filler(5000), ...loose });

describe('in order, both ways', () => {
  test.each([8, 16, 512, 1480])('pieces of %i bytes', (size) => {
    const bed = new Bed();
    const out = cut(query, size).flatMap((piece) => bed.out(piece));
    expect(out.every(({ device }) => device === PUBLIC)).toBe(true);
    const sent = decode(reassemble(out.map(({ packet }) => packet)));
    expect(sent).toMatchObject({ src: EXTERNAL, dst: SERVER, sport: 40000, ttl: 63, checksumOk: true });
    expect(sent.payload).toEqual(filler(5000));

    const back = cut(answer, size).flatMap((piece) => bed.in(piece));
    expect(back.every(({ device }) => device === PRIVATE)).toBe(true);
    const received = decode(reassemble(back.map(({ packet }) => packet)));
    expect(received).toMatchObject({ src: SERVER, dst: CLIENT, dport: 40000, checksumOk: true });
    expect(received.payload).toEqual(filler(5000));
    const pieces = Math.ceil(5008 / size);
    expect(bed.flows()).toMatchObject([
      { originalPackets: pieces, originalBytes: 5008 + pieces * 20, replyPackets: pieces },
    ]);
    bed.checkInvariants();
  });

  test('in one batch', () => {
    const bed = new Bed();
    const sent = bed.run(cut(query, 1480).map((packet) => ({ device: PRIVATE, packet })));
    expect(decode(reassemble(to(PUBLIC, sent)))).toMatchObject({ src: EXTERNAL, checksumOk: true });
  });

  test('with a translated port, TCP, and ping', () => {
    const bed = new Bed();
    bed.out(udpPacket({ from: '10.77.0.9:40000', to: `${SERVER}:53` }));
    const other = to(
      PUBLIC,
      cut(query, 1480).flatMap((piece) => bed.out(piece)),
    );
    expect(decode(reassemble(other)).sport).not.toBe(40000);
    expect(decode(reassemble(other)).checksumOk).toBe(true);
    const tcp = tcpPacket({
      from: `${CLIENT}:40000`,
      to: `${SERVER}:80`,
      flags: 'A',
      payload: filler(3000),
      ...loose,
    });
    const ping = echoPacket({ from: CLIENT, to: SERVER, identifier: 40000, payload: filler(3000), ...loose });
    for (const packet of [tcp, ping]) {
      const sent = to(
        PUBLIC,
        cut(packet, 1480).flatMap((piece) => bed.out(piece)),
      );
      expect(decode(reassemble(sent))).toMatchObject({ src: EXTERNAL, checksumOk: true });
    }
    bed.checkInvariants();
  });

  test('a protocol without ports', () => {
    const bed = new Bed();
    const gre = rawPacket({ src: CLIENT, dst: SERVER, protocol: 47, body: filler(4000) });
    const sent = to(
      PUBLIC,
      cut(gre, 1480).flatMap((piece) => bed.out(piece)),
    );
    expect(decode(reassemble(sent)).body).toEqual(filler(4000));
  });
});

test('two clients with one IP id keep apart', () => {
  const bed = new Bed();
  const of = (client: string, seed: number) =>
    cut(
      udpPacket({ from: `${client}:40000`, to: `${SERVER}:53`, payload: filler(3000, seed), ...loose }),
      1480,
    );
  const [a, b] = [of(CLIENT, 1), of('10.77.0.3', 2)];
  const sent: Uint8Array[][] = [[], []];
  for (let i = 0; i < a.length; i++) {
    sent[0]!.push(...to(PUBLIC, bed.out(a[i]!)));
    sent[1]!.push(...to(PUBLIC, bed.out(b[i]!)));
  }
  for (const [i, pieces] of sent.entries()) {
    const whole = decode(reassemble(pieces));
    expect(whole.checksumOk).toBe(true);
    expect(whole.payload).toEqual(filler(3000, i + 1));
  }
});

test('a datagram has 30 s: then what comes of it waits for another first fragment, in vain', () => {
  const bed = new Bed();
  const [first, second, third] = cut(query, 1480) as [Uint8Array, Uint8Array, Uint8Array];
  bed.out(first);
  bed.now += 29_999;
  expect(bed.out(second)).toHaveLength(1);
  bed.now += 1;
  expect(bed.out(third)).toEqual([]);
  expect(bed.totals['fragments_held']).toBe(1);
  bed.pass(29_999);
  expect(bed.drops).toEqual({});
  bed.pass(1000);
  expect(bed.drops).toEqual({ fragment_timeout: 1 });
  expect(bed.totals['fragments_held']).toBe(0);
});

test('when its flow has ended, a later fragment does not find another in its place', () => {
  const bed = new Bed({ flows: 1, timeouts: { udp: 5 } });
  const [first, second] = cut(query, 1480) as [Uint8Array, Uint8Array];
  bed.out(first);
  bed.pass(7000);
  expect(bed.flows()).toEqual([]);
  bed.out(udpPacket({ from: '10.77.0.3:1', to: `${SERVER}:53` }));
  expect(bed.flows()).toHaveLength(1);
  expect(bed.out(second)).toEqual([]);
  expect(bed.drops).toEqual({ fragment_first_missing: 1 });
});

test('of an uninvited datagram all pieces are dropped, also when the first comes with the port of natgate’s', () => {
  const bed = new Bed();
  const pieces = cut(
    udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:50000`, payload: filler(4000), ...loose }),
    1480,
  );
  expect(pieces.flatMap((piece) => bed.in(piece))).toEqual([]);
  expect(bed.drops).toEqual({ no_flow: 1, fragment_first_missing: 2 });
});
