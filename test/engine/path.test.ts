/** TTL, routes, MTU and next hops: what stops a packet, and what its sender is told. */
import { describe, expect, test } from 'vitest';
import { TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import { describePacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode, onesSum } from '../wire/decode.ts';
import { address, Bed, EXTERNAL, GATEWAY, NEXT_HOP, PRIVATE, PUBLIC, ROUTES, route, to } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const CLIENT = '10.77.0.2';
const SERVER = '203.0.113.9';
const query = (fields = {}) =>
  udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: 'hi', ...fields });
const answer = (fields = {}) =>
  udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000`, payload: 'ok', ...fields });

function lines(sent: { device: number; packet: Uint8Array }[]): string[] {
  return sent.map(
    ({ device, packet }) => `${device === PUBLIC ? 'public' : 'private'}: ${describePacket(packet)}`,
  );
}

describe('TTL', () => {
  test('1 and 0 are answered 11/0 from the gateway’s own address on that side, with the packet as it came', () => {
    for (const ttl of [1, 0]) {
      const bed = new Bed();
      const packet = query({ ttl });
      const [sent, ...more] = bed.out(packet);
      expect(more).toEqual([]);
      expect(sent!.device).toBe(PRIVATE);
      const seen = decode(sent!.packet);
      expect(seen).toMatchObject({
        src: GATEWAY,
        dst: CLIENT,
        type: 11,
        code: 0,
        ttl: 64,
        tos: 0xc0,
        headerChecksumOk: true,
        checksumOk: true,
      });
      expect(seen.payload).toEqual(packet);
      expect(bed.drops).toEqual({ ttl_exceeded: 1 });
      expect(bed.flows()).toEqual([]);
      bed.checkInvariants();
    }
  });

  test('from outside, on a known flow: answered from the external address, quoting nothing private', () => {
    const bed = new Bed();
    bed.out(query());
    const packet = answer({ ttl: 1 });
    const [sent, ...more] = bed.in(packet);
    expect(more).toEqual([]);
    expect(sent!.device).toBe(PUBLIC);
    expect(decode(sent!.packet)).toMatchObject({ src: EXTERNAL, dst: SERVER, type: 11, checksumOk: true });
    expect(decode(sent!.packet).payload).toEqual(packet);
  });

  test('uninvited from outside: no answer', () => {
    const bed = new Bed();
    expect(bed.in(answer({ ttl: 1 }))).toEqual([]);
    expect(bed.drops).toEqual({ no_flow: 1 });
  });

  test('an ICMP error whose TTL runs out is dropped in silence', () => {
    const bed = new Bed();
    bed.out(query());
    const error = icmpError({
      from: '192.0.2.1',
      to: EXTERNAL,
      type: 3,
      code: 1,
      packet: bed.out(query())[0]!.packet,
      ttl: 1,
    });
    expect(bed.in(error)).toEqual([]);
    expect(bed.drops).toEqual({ ttl_exceeded: 1 });
  });
});

describe('routes', () => {
  test('none: 3/0', () => {
    const bed = new Bed();
    bed.engine.setRoutes(ROUTES.filter(({ length }) => length !== 0));
    expect(lines(bed.out(query()))).toEqual([
      `private: icmp 3/0 ${GATEWAY} > ${CLIENT} [${describePacket(query())}] ttl 64 length 58`,
    ]);
    expect(bed.drops).toEqual({ no_route: 1 });
  });

  test('unreachable, within a default route: 3/0', () => {
    const bed = new Bed();
    bed.engine.setRoutes([...ROUTES, route('203.0.113.0/24', UNREACHABLE)]);
    expect(decode(bed.out(query())[0]!.packet)).toMatchObject({ type: 3, code: 0 });
    expect(bed.drops).toEqual({ no_route: 1 });
  });

  test('to the host: not forwarded, not answered', () => {
    const bed = new Bed();
    bed.engine.setRoutes([...ROUTES, route('192.0.2.0/24', TO_HOST)]);
    for (const dst of ['192.0.2.1', GATEWAY, EXTERNAL]) {
      expect(bed.out(query({ to: `${dst}:53` }))).toEqual([]);
    }
    expect(bed.drops).toEqual({ not_public: 3 });
    bed.checkInvariants();
  });

  test('longest prefix first', () => {
    const bed = new Bed();
    bed.engine.setRoutes([
      route('203.0.0.0/8', TO_HOST),
      ...ROUTES,
      route('203.0.113.9/32', PUBLIC),
      route('203.0.113.0/24', UNREACHABLE),
    ]);
    expect(to(PUBLIC, bed.out(query()))).toHaveLength(1);
    expect(decode(bed.out(query({ to: '203.0.113.10:53' }))[0]!.packet)).toMatchObject({ type: 3, code: 0 });
    expect(bed.out(query({ to: '203.0.112.1:53' }))).toEqual([]);
    expect(bed.drops).toEqual({ no_route: 1, not_public: 1 });
  });

  test('a change of routes reaches flows that exist, both ways', () => {
    const bed = new Bed();
    bed.out(query());
    expect(to(PUBLIC, bed.out(query()))).toHaveLength(1);
    bed.engine.setRoutes(ROUTES.filter(({ length }) => length !== 0));
    expect(decode(bed.out(query())[0]!.packet)).toMatchObject({ type: 3, code: 0 });
    bed.engine.setRoutes(ROUTES);
    expect(to(PUBLIC, bed.out(query()))).toHaveLength(1);
    expect(to(PRIVATE, bed.in(answer()))).toHaveLength(1);
    expect(bed.flows()).toMatchObject([{ originalPackets: 3, replyPackets: 1 }]);
  });

  test('when the client’s own route goes, its answers do not turn round to the public side', () => {
    const bed = new Bed();
    bed.out(query());
    bed.engine.setRoutes(ROUTES.filter(({ length }) => length !== 24));
    const sent = bed.in(answer());
    expect(to(PRIVATE, sent)).toEqual([]);
    for (const packet of to(PUBLIC, sent)) expect(decode(packet)).toMatchObject({ src: EXTERNAL, type: 3 });
    bed.checkInvariants();
  });

  test('a private host with a source that is not behind the private side gets no flow', () => {
    const bed = new Bed();
    for (const source of ['192.168.7.7', '203.0.113.50', '198.18.0.77']) {
      expect(bed.out(query({ from: `${source}:40000` }))).toEqual([]);
    }
    expect(bed.drops).toEqual({ martian_source: 3 });
    expect(bed.flows()).toEqual([]);
    // A network behind another router on the private side has a route.
    bed.engine.setRoutes([...ROUTES, route('192.168.7.0/24', PRIVATE, '10.77.0.200')]);
    expect(to(PUBLIC, bed.out(query({ from: '192.168.7.7:40000' })))).toHaveLength(1);
    expect(to(PRIVATE, bed.in(answer()))).toHaveLength(1);
  });
});

describe('MTU', () => {
  const big = (payload: number, fields = {}) => query({ payload: filler(payload), ...fields });

  test('with DF: 3/4 with the MTU of the way; what fits exactly passes', () => {
    const bed = new Bed({ mtu: [1500, 1400] });
    expect(to(PUBLIC, bed.out(big(1372)))).toHaveLength(1);
    const packet = big(1373);
    const [sent, ...more] = bed.out(packet);
    expect(more).toEqual([]);
    const seen = decode(sent!.packet);
    expect(seen).toMatchObject({ src: GATEWAY, dst: CLIENT, type: 3, code: 4, checksumOk: true });
    expect(seen.body.subarray(4, 8)).toEqual(Uint8Array.of(0, 0, 1400 >> 8, 1400 & 255));
    expect(seen.payload).toEqual(packet.subarray(0, 548));
    expect(bed.drops).toEqual({ too_big: 1 });
    bed.checkInvariants();
  });

  test.each([
    ['of the route, when lower', 9000, 1300, 1300],
    ['of the device, when the route’s is higher', 1400, 9000, 1400],
    ['of the device, when the route has none', 1400, 0, 1400],
  ])('%s', (_, device, ofRoute, expected) => {
    const bed = new Bed({ mtu: [9000, device] });
    bed.engine.setRoutes([...ROUTES, route('203.0.113.0/24', PUBLIC, NEXT_HOP, ofRoute)]);
    const { body } = decode(bed.out(big(5000))[0]!.packet);
    expect(body[6]! * 256 + body[7]!).toBe(expected);
    expect(to(PUBLIC, bed.out(big(expected - 28)))).toHaveLength(1);
    expect(to(PUBLIC, bed.out(big(expected - 27)))).toHaveLength(0);
  });

  test('towards the private side: the remote is told, from the external address', () => {
    const bed = new Bed({ mtu: [1280, 1500] });
    bed.out(query());
    const packet = answer({ payload: filler(1400) });
    const [sent, ...more] = bed.in(packet);
    expect(more).toEqual([]);
    expect(sent!.device).toBe(PUBLIC);
    const seen = decode(sent!.packet);
    expect(seen).toMatchObject({ src: EXTERNAL, dst: SERVER, type: 3, code: 4, checksumOk: true });
    expect(seen.body[6]! * 256 + seen.body[7]!).toBe(1280);
    expect(seen.payload).toEqual(packet.subarray(0, 548));
  });

  test('setDevice() changes it at once', () => {
    const bed = new Bed();
    expect(to(PUBLIC, bed.out(big(1472)))).toHaveLength(1);
    bed.engine.setDevice(PUBLIC, { address: address(EXTERNAL), mtu: 1280 });
    expect(to(PUBLIC, bed.out(big(1472)))).toHaveLength(0);
    expect(bed.flows()).toHaveLength(1);
  });

  test('an ICMP error that does not fit is dropped in silence', () => {
    const bed = new Bed({ mtu: [576, 1500] });
    const [sent] = bed.out(query());
    const error = icmpError({ from: '192.0.2.1', to: EXTERNAL, type: 11, code: 0, packet: sent!.packet });
    const padded = rawPacket({ src: '192.0.2.1', dst: EXTERNAL, protocol: 1, body: error.slice(20) });
    expect(to(PRIVATE, bed.in(padded))).toHaveLength(1);
    const long = new Uint8Array(600);
    long.set(error.subarray(20));
    long.fill(0, 2, 4);
    new DataView(long.buffer).setUint16(2, 0xffff - onesSum(long));
    expect(bed.in(rawPacket({ src: '192.0.2.1', dst: EXTERNAL, protocol: 1, body: long }))).toEqual([]);
    expect(bed.drops).toEqual({ too_big: 1 });
  });
});

describe('next hops that do not answer', () => {
  test('the gateway of a route: 3/1, and the packet goes on so that the kernel asks again', () => {
    const bed = new Bed();
    bed.engine.setNeighbour(PUBLIC, address(NEXT_HOP), true);
    const sent = bed.out(query());
    expect(lines(sent)).toEqual([
      `private: icmp 3/1 ${GATEWAY} > ${CLIENT} [${describePacket(query())}] ttl 64 length 58`,
      `public: udp ${EXTERNAL}:40000 > ${SERVER}:53 ttl 63 length 30`,
    ]);
    expect(bed.drops).toEqual({});
    expect(bed.totals['neighbour_failed']).toBe(1);
    bed.checkInvariants();
    bed.engine.setNeighbour(PUBLIC, address(NEXT_HOP), false);
    expect(lines(bed.out(query()))).toHaveLength(1);
  });

  test('on the link it is the destination itself', () => {
    const bed = new Bed();
    bed.engine.setNeighbour(PUBLIC, address('198.18.0.77'), true);
    expect(to(PRIVATE, bed.out(query()))).toHaveLength(0);
    expect(to(PRIVATE, bed.out(query({ to: '198.18.0.78:53' })))).toHaveLength(0);
    expect(to(PRIVATE, bed.out(query({ to: '198.18.0.77:53' })))).toHaveLength(1);
  });

  test('a client that is gone: the remote is told 3/1', () => {
    const bed = new Bed();
    bed.out(query());
    bed.engine.setNeighbour(PRIVATE, address(CLIENT), true);
    const [error] = to(PUBLIC, bed.in(answer()));
    expect(decode(error!)).toMatchObject({ src: EXTERNAL, dst: SERVER, type: 3, code: 1 });
    expect(decode(error!).payload).toEqual(answer());
  });

  test('one packet gets one error, though it is also too big', () => {
    const bed = new Bed({ mtu: [1500, 1000] });
    bed.engine.setNeighbour(PUBLIC, address(NEXT_HOP), true);
    expect(bed.out(query({ payload: filler(1200) }))).toHaveLength(1);
  });
});

describe('errors of the gateway’s own', () => {
  test('none about an ICMP error', () => {
    const bed = new Bed();
    const [sent] = bed.out(query());
    bed.engine.setRoutes([]);
    const error = icmpError({ from: '192.0.2.1', to: EXTERNAL, type: 11, code: 0, packet: sent!.packet });
    expect(bed.in(error)).toEqual([]);
    expect(bed.drops).toEqual({ no_route: 1 });
  });

  test('none about a later fragment; one about a first', () => {
    const bed = new Bed({ mtu: [1500, 1500] });
    const fragments = cut(query({ payload: filler(3000), fragment: 0, ttl: 1 }), 1480);
    const sent = fragments.flatMap((packet) => bed.out(packet));
    expect(lines(sent)).toHaveLength(1);
    expect(decode(sent[0]!.packet)).toMatchObject({ type: 11 });
    expect(bed.drops).toEqual({ ttl_exceeded: 1, fragment_first_missing: 2 });
  });

  test('none about a later fragment of a datagram whose first has passed', () => {
    const bed = new Bed();
    const [first, later] = cut(query({ payload: filler(2000), fragment: 0 }), 1480) as [
      Uint8Array,
      Uint8Array,
    ];
    expect(to(PUBLIC, bed.out(first))).toHaveLength(1);
    const { body } = decode(later);
    const dying = rawPacket({ src: CLIENT, dst: SERVER, protocol: 17, flags: 1480 / 8, ttl: 1, body });
    expect(bed.out(dying)).toEqual([]);
    expect(bed.drops).toEqual({ ttl_exceeded: 1 });
    expect(to(PUBLIC, bed.out(later))).toHaveLength(1);
  });

  test('at most 200 at once, then 1000 a second, to a hundred senders', () => {
    const bed = new Bed();
    const flood = (n: number) => {
      let answered = 0;
      for (let i = 0; i < n; i++)
        answered += bed.out(query({ ttl: 1, from: `10.77.0.${2 + (i % 100)}:40000` })).length;
      return answered;
    };
    expect(flood(300)).toBe(200);
    bed.now += 50;
    expect(flood(300)).toBe(50);
    expect(bed.totals).toMatchObject({ icmp_errors_sent: 250, icmp_errors_suppressed: 350 });
    expect(bed.drops).toEqual({ ttl_exceeded: 600 });
  });

  test('no session: 3/13, the address is missing', () => {
    const bed = new Bed({ external: '0.0.0.0' });
    expect(lines(bed.out(query()))).toEqual([
      `private: icmp 3/13 ${GATEWAY} > ${CLIENT} [${describePacket(query())}] ttl 64 length 58`,
    ]);
    expect(bed.drops).toEqual({ no_external_address: 1 });
    bed.engine.setDevice(PUBLIC, { address: address(EXTERNAL), mtu: 1500 });
    expect(to(PUBLIC, bed.out(query()))).toHaveLength(1);
    bed.checkInvariants();
  });

  test('they quote TCP with its options as it came', () => {
    const bed = new Bed();
    const syn = tcpPacket({
      from: `${CLIENT}:40000`,
      to: `${SERVER}:80`,
      flags: 'S',
      options: filler(40),
      ttl: 1,
    });
    expect(decode(bed.out(syn)[0]!.packet).payload).toEqual(syn);
  });
});
