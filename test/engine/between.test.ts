/**
 * From one private network to another, or out where it came in: tracked, not translated.
 *
 *     10.77.0.0/24 ── .1 device 0 │        │ device 1 198.18.0.1 ── the rest
 *     10.88.0.0/24 ── .1 device 2 │ engine │
 *     10.99.0.0/24 ── behind 10.77.0.9, a router on device 0
 */
import { describe, expect, test } from 'vitest';
import { TO_HOST } from '../../src/engine/routes.ts';
import { defaultBehaviour, masqueradeAll, matchAll } from '../../src/nat/config.ts';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import {
  address,
  Bed,
  type BedOptions,
  EXTERNAL,
  GATEWAY,
  PRIVATE,
  PUBLIC,
  ROUTES,
  route,
  to,
} from './bed.ts';
import { A, ends, only, PORTS, udp, X, Y } from './nat-bed.ts';
import { cut, filler } from './packets.ts';

const OTHER = 2;
const OTHER_GATEWAY = '10.88.0.1';
/** A host on the other private network, and one behind the router. */
const Z = '10.88.0.2';
const FAR = '10.99.0.2';

function bedBetween(options: BedOptions = {}): Bed {
  return new Bed({
    further: [{ address: OTHER_GATEWAY }],
    routes: [
      ...ROUTES,
      route('10.88.0.0/24', OTHER),
      route(`${OTHER_GATEWAY}/32`, TO_HOST),
      route('10.99.0.0/24', PRIVATE, '10.77.0.9'),
    ],
    ...options,
  });
}
const from = (bed: Bed, device: number, packet: Uint8Array) => bed.run([{ device, packet }]);

describe('two private networks', () => {
  test('a datagram and its answer keep their addresses and ports', () => {
    const bed = bedBetween();
    const there = only(OTHER, from(bed, PRIVATE, udp(`${X}:4000`, `${Z}:53`)));
    expect([ends(there), there.ttl]).toEqual([`${X}:4000 > ${Z}:53`, 63]);
    const back = only(PRIVATE, from(bed, OTHER, udp(`${Z}:53`, `${X}:4000`)));
    expect(ends(back)).toBe(`${Z}:53 > ${X}:4000`);
    expect(bed.flows()).toHaveLength(1);
    expect([bed.totals['ports_udp'], bed.drops]).toEqual([0, {}]);
    bed.checkInvariants();
  });

  test('TCP is followed as strictly as to the internet', () => {
    const bed = bedBetween();
    const tcp = (src: string, dst: string, flags: string, seq: number, ack = 0) =>
      tcpPacket({ from: src, to: dst, flags, seq, ack });
    const [x, z] = [`${X}:4000`, `${Z}:80`];
    only(OTHER, from(bed, PRIVATE, tcp(x, z, 'S', 100)));
    only(PRIVATE, from(bed, OTHER, tcp(z, x, 'SA', 500, 101)));
    only(OTHER, from(bed, PRIVATE, tcp(x, z, 'A', 101, 501)));
    expect(bed.flows()[0]).toMatchObject({ state: 'ESTABLISHED', assured: true });
    expect(from(bed, OTHER, tcp(z, x, 'A', 90_000_000, 101))).toEqual([]);
    expect(bed.drops).toEqual({ invalid_window: 1 });
    // A connection that begins with an answer is none, from a network of its own.
    expect(from(bed, OTHER, tcp(`${Z}:81`, x, 'SA', 1, 1))).toEqual([]);
    expect(bed.drops).toEqual({ invalid_window: 1, invalid_tcp: 1 });
  });

  test('either side may begin; a ping keeps its id', () => {
    const bed = bedBetween();
    expect(
      decode(to(PRIVATE, from(bed, OTHER, echoPacket({ from: Z, to: X, identifier: 7 })))[0]!),
    ).toMatchObject({ src: Z, dst: X, icmpId: 7 });
    const reply = echoPacket({ from: X, to: Z, identifier: 7, reply: true });
    expect(decode(to(OTHER, from(bed, PRIVATE, reply))[0]!)).toMatchObject({ src: X, dst: Z, icmpId: 7 });
  });

  test('no rule translates them, whatever it matches', () => {
    const rule = {
      name: 'pool',
      match: matchAll,
      action: 'pool',
      addresses: [address('198.18.0.40')],
      ports: { first: 1024, last: 65535 },
      behaviour: defaultBehaviour,
    } as const;
    const bed = bedBetween({ nat: { rules: [rule], forwards: [], prefixes: [] } });
    expect(only(OTHER, from(bed, PRIVATE, udp(`${X}:4000`, `${Z}:53`))).src).toBe(X);
    const none = bedBetween({ nat: { rules: [], forwards: [], prefixes: [] } });
    expect(only(OTHER, from(none, PRIVATE, udp(`${X}:4000`, `${Z}:53`))).src).toBe(X);
  });

  test('errors: of the host, of a router on the way, of the gateway', () => {
    const bed = bedBetween({ further: [{ address: OTHER_GATEWAY, mtu: 600 }] });
    const query = udp(`${X}:4000`, `${Z}:53`);
    const seen = to(OTHER, from(bed, PRIVATE, query))[0]!;
    for (const sender of [Z, '10.88.0.77']) {
      const error = icmpError({ from: sender, to: X, type: 3, code: 3, packet: seen });
      const [packet] = to(PRIVATE, from(bed, OTHER, error));
      expect(decode(packet!)).toMatchObject({ src: sender, dst: X, type: 3, code: 3, checksumOk: true });
      expect(decode(packet!.subarray(28))).toMatchObject({ src: X, dst: Z });
    }
    const big = udpPacket({ from: `${X}:4000`, to: `${Z}:53`, payload: filler(1000) });
    const [answer] = to(PRIVATE, from(bed, PRIVATE, big));
    expect(decode(answer!)).toMatchObject({ src: GATEWAY, dst: X, type: 3, code: 4 });
    expect(Buffer.from(answer!).readUInt16BE(26)).toBe(600);
    const dying = udpPacket({ from: `${Z}:53`, to: `${X}:4000`, ttl: 1 });
    expect(decode(to(OTHER, from(bed, OTHER, dying))[0]!)).toMatchObject({
      src: OTHER_GATEWAY,
      dst: Z,
      type: 11,
    });
  });

  test('fragments, in any order', () => {
    const bed = bedBetween();
    const pieces = cut(udpPacket({ from: `${X}:1`, to: `${Z}:2`, payload: filler(4000), fragment: 0 }), 1480);
    const sent = pieces.toReversed().flatMap((packet) => to(OTHER, from(bed, PRIVATE, packet)));
    expect(sent).toHaveLength(pieces.length);
    for (const packet of sent) expect(decode(packet)).toMatchObject({ src: X, dst: Z, id: 1 });
    const whole = sent.map(decode).sort((a, b) => a.offset - b.offset);
    expect(Buffer.concat(whole.map(({ body }) => body)).subarray(8)).toEqual(Buffer.from(filler(4000)));
  });

  test('hosts of both reach each other by external endpoints as well', () => {
    const behaviour = { filtering: 'endpoint-independent' } as const;
    const bed = bedBetween({ nat: masqueradeAll(PORTS, behaviour) });
    const port = only(PUBLIC, from(bed, PRIVATE, udp(`${X}:40000`, `${A}:1`))).sport!;
    const there = only(PRIVATE, from(bed, OTHER, udp(`${Z}:40001`, `${EXTERNAL}:${port}`)));
    expect(ends(there)).toBe(`${EXTERNAL}:40001 > ${X}:40000`);
    expect(ends(only(OTHER, from(bed, PRIVATE, udp(`${X}:40000`, `${EXTERNAL}:40001`))))).toBe(
      `${EXTERNAL}:${port} > ${Z}:40001`,
    );
    bed.checkInvariants();
  });

  test('twice NAT: the target sees the gateway’s address on its own network', () => {
    const forward = (name: string, port: number, target: string) => ({
      name,
      protocol: 6 as const,
      address: 0,
      ports: { first: port, last: port },
      sources: [],
      targets: [{ address: address(target), port: 80 }],
      affinitySeconds: 0,
      twice: true,
    });
    const nat = { ...masqueradeAll(PORTS), forwards: [forward('x', 8080, X), forward('z', 8081, Z)] };
    const bed = bedBetween({ nat });
    const syn = (port: number) => tcpPacket({ from: `${A}:40000`, to: `${EXTERNAL}:${port}`, flags: 'S' });
    const first = only(PRIVATE, bed.in(syn(8080)));
    expect(ends(first)).toBe(`${GATEWAY}:40000 > ${X}:80`);
    const second = only(OTHER, bed.in(syn(8081)));
    expect([second.src, second.dst]).toEqual([OTHER_GATEWAY, Z]);
    const answer = tcpPacket({
      from: `${Z}:80`,
      to: `${OTHER_GATEWAY}:${second.sport}`,
      flags: 'SA',
      ack: 1,
    });
    expect(ends(only(PUBLIC, from(bed, OTHER, answer)))).toBe(`${EXTERNAL}:8081 > ${A}:40000`);
    // What comes to the address of the other interface has no flow and is the host's.
    const astray = udp(`${X}:1`, `${OTHER_GATEWAY}:40000`);
    expect(from(bed, PRIVATE, astray)).toEqual([]);
    const after = bedBetween({ nat, after: bed });
    expect(after.flows()).toEqual(bed.flows());
    after.checkInvariants();
  });

  test('flows live on in a new engine', () => {
    const bed = bedBetween();
    from(bed, PRIVATE, udp(`${X}:4000`, `${Z}:53`));
    const after = bedBetween({ after: bed });
    expect(after.flows()).toHaveLength(1);
    expect(ends(only(PRIVATE, from(after, OTHER, udp(`${Z}:53`, `${X}:4000`))))).toBe(`${Z}:53 > ${X}:4000`);
    after.checkInvariants();
  });

  test('when the way to a private network is gone, its packets do not go outside', () => {
    const bed = bedBetween();
    from(bed, PRIVATE, udp(`${X}:4000`, `${Z}:53`));
    bed.engine.setRoutes(ROUTES);
    const sent = from(bed, PRIVATE, udp(`${X}:4000`, `${Z}:53`));
    expect(to(PUBLIC, sent)).toEqual([]);
    expect(decode(to(PRIVATE, sent)[0]!)).toMatchObject({ type: 3, code: 0 });
  });
});

describe('out where it came in: a network behind a router on the same link', () => {
  const tcp = (src: string, dst: string, flags: string, payload = '') =>
    tcpPacket({ from: src, to: dst, flags, seq: 1, ack: 1, payload });

  test('one direction of a connection is enough, whichever it is', () => {
    for (const first of ['S', 'SA', 'A']) {
      const bed = bedBetween();
      for (const flags of [first, first, 'A', 'PA', 'FA', 'A']) {
        const sent = from(bed, PRIVATE, tcp(`${X}:4000`, `${FAR}:80`, flags));
        expect(ends(only(PRIVATE, sent))).toBe(`${X}:4000 > ${FAR}:80`);
      }
      expect(bed.flows()).toMatchObject([{ state: 'FIN_WAIT', assured: false }]);
      // The ports are used again.
      only(PRIVATE, from(bed, PRIVATE, tcp(`${X}:4000`, `${FAR}:80`, 'S')));
      expect(bed.flows()).toMatchObject([{ state: 'ESTABLISHED' }]);
      only(PRIVATE, from(bed, PRIVATE, tcp(`${X}:4000`, `${FAR}:80`, 'RA')));
      expect(bed.flows()).toMatchObject([{ state: 'CLOSE' }]);
      bed.pass(300_000);
      expect([bed.flows(), bed.drops]).toEqual([[], {}]);
    }
  });

  test('both directions, when they come', () => {
    const bed = bedBetween();
    only(PRIVATE, from(bed, PRIVATE, tcp(`${X}:4000`, `${FAR}:80`, 'S')));
    only(PRIVATE, from(bed, PRIVATE, tcp(`${FAR}:80`, `${X}:4000`, 'SA')));
    only(PRIVATE, from(bed, PRIVATE, tcp(`${X}:4000`, `${FAR}:80`, 'PA', 'data')));
    expect(bed.flows()).toHaveLength(1);
    expect(from(bed, PRIVATE, tcp(`${X}:4000`, `${FAR}:80`, 'SF'))).toEqual([]);
    expect(bed.drops).toEqual({ invalid_tcp: 1 });
  });

  test('an answer to a ping that was not seen', () => {
    const bed = bedBetween();
    const reply = echoPacket({ from: X, to: FAR, identifier: 7, reply: true });
    expect(to(PRIVATE, from(bed, PRIVATE, reply))).toHaveLength(1);
    // To another network it would have come by here.
    expect(from(bed, PRIVATE, echoPacket({ from: X, to: Z, identifier: 7, reply: true }))).toEqual([]);
    expect(bed.drops).toEqual({ no_flow: 1 });
  });

  test('hosts behind the router go to the internet and to the other network', () => {
    const bed = bedBetween();
    const out = only(PUBLIC, from(bed, PRIVATE, udp(`${FAR}:40000`, `${A}:53`)));
    expect(ends(out)).toBe(`${EXTERNAL}:40000 > ${A}:53`);
    expect(only(PRIVATE, bed.in(udp(`${A}:53`, `${EXTERNAL}:40000`))).dst).toBe(FAR);
    expect(ends(only(OTHER, from(bed, PRIVATE, udp(`${FAR}:1`, `${Z}:2`))))).toBe(`${FAR}:1 > ${Z}:2`);
    // Without a route back a source cannot be answered.
    expect(from(bed, PRIVATE, udp('192.168.7.7:1', `${A}:53`))).toEqual([]);
    expect(bed.drops).toEqual({ martian_source: 1 });
  });

  test('a host sends what is for its neighbour to the gateway', () => {
    const bed = bedBetween();
    expect(ends(only(PRIVATE, from(bed, PRIVATE, udp(`${X}:1`, `${Y}:2`))))).toBe(`${X}:1 > ${Y}:2`);
  });
});

describe('one interface for both sides', () => {
  test('with twice NAT, too, private hosts reach each other by the address of both', () => {
    const forward = (port: number, twice: boolean) => ({
      name: `${port}`,
      protocol: 6 as const,
      address: 0,
      ports: { first: port, last: port },
      sources: [],
      targets: [{ address: address(X), port: 80 }],
      affinitySeconds: 0,
      twice,
    });
    // Both devices have the external address.
    const nat = { ...masqueradeAll(PORTS), forwards: [forward(8080, false), forward(8081, true)] };
    const bed = new Bed({ nat, external: GATEWAY });
    const syn = (from: string, port: number) => tcpPacket({ from, to: `${GATEWAY}:${port}`, flags: 'S' });
    const hairpin = only(PRIVATE, bed.out(syn(`${Y}:40000`, 8080)));
    expect(ends(hairpin)).toBe(`${GATEWAY}:40000 > ${X}:80`);
    const twice = only(PRIVATE, bed.in(syn(`${A}:40001`, 8081)));
    expect(ends(twice)).toBe(`${GATEWAY}:40001 > ${X}:80`);
    const answer = tcpPacket({ from: `${X}:80`, to: `${GATEWAY}:40001`, flags: 'SA', ack: 1 });
    expect(ends(only(PUBLIC, bed.out(answer)))).toBe(`${GATEWAY}:8081 > ${A}:40001`);
    // What is nobody's is the host's own.
    const own = echoPacket({ from: X, to: GATEWAY, identifier: 1 });
    expect(bed.out(own).map(({ packet }) => packet)).toEqual([own]);
    bed.checkInvariants();
  });
});
