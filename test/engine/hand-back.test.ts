/** What either side brings that is the host's own goes back to it, untouched. */
import { describe, expect, test } from 'vitest';
import { type Forward, masqueradeAll } from '../../src/nat/config.ts';
import { echoPacket, icmpError, icmpPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { hex } from '../wire/hex.ts';
import { address, Bed, EXTERNAL, GATEWAY, PRIVATE, PUBLIC } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const SERVER = '203.0.113.9';
const CLIENT = '10.77.0.2';

function expectHandedBack(bed: Bed, packets: Uint8Array[], device = PUBLIC): void {
  for (const packet of packets) {
    expect(bed.run([{ device, packet }])).toEqual([{ device, packet, vnet: new Uint8Array(10) }]);
  }
  expect(bed.totals['handed_back']).toBe(packets.length);
  expect(bed.drops).toEqual({});
  expect(bed.flows()).toEqual([]);
  bed.checkInvariants();
}

test('echo requests and replies that no flow expects', () => {
  expectHandedBack(new Bed(), [
    echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5 }),
    echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5, reply: true, ttl: 1 }),
    icmpPacket({ from: SERVER, to: EXTERNAL, type: 14, code: 0, body: hex('0005000100000000') }),
  ]);
});

test('ICMP errors about the host’s own connections, and those that quote nothing known', () => {
  const own = tcpPacket({ from: `${EXTERNAL}:20000`, to: `${SERVER}:443`, flags: 'S' });
  expectHandedBack(new Bed(), [
    icmpError({ from: '192.0.2.1', to: EXTERNAL, type: 3, code: 4, rest: 1400, packet: own }),
    icmpError({ from: '192.0.2.1', to: EXTERNAL, type: 11, code: 0, packet: own, quote: 28 }),
    icmpError({ from: '192.0.2.1', to: EXTERNAL, type: 3, code: 1, packet: own, quote: 27 }),
  ]);
});

test('fragments of the host’s own datagrams, in order', () => {
  const pieces = cut(
    udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:20000`, payload: filler(4000), fragment: 0 }),
    1480,
  );
  expectHandedBack(new Bed(), pieces);
});

test('fragments of the host’s own datagrams, out of order: when the first tells whose they are', () => {
  const datagram = udpPacket({
    from: `${SERVER}:53`,
    to: `${EXTERNAL}:20000`,
    payload: filler(8000),
    fragment: 0,
  });
  const [first, ...later] = cut(datagram, 1480) as [Uint8Array, ...Uint8Array[]];
  const bed = new Bed();
  const before = later.slice(0, -1).reverse();
  for (const packet of before) expect(bed.in(packet)).toEqual([]);
  expect(bed.totals).toMatchObject({ handed_back: 0, fragments_held: before.length });
  const vnet = new Uint8Array(10);
  expect(bed.in(first)).toEqual([first, ...before].map((packet) => ({ device: PUBLIC, packet, vnet })));
  const last = later.at(-1)!;
  expect(bed.in(last)).toEqual([{ device: PUBLIC, packet: last, vnet }]);
  expect(bed.totals).toMatchObject({ handed_back: later.length + 1, fragments_held: 0 });
  expect(bed.drops).toEqual({});
  bed.checkInvariants();
});

test('what is the host’s is the host’s to judge: overlaps and duplicates go back too', () => {
  const datagram = udpPacket({
    from: `${SERVER}:53`,
    to: `${EXTERNAL}:20000`,
    payload: filler(4000),
    fragment: 0,
  });
  const pieces = cut(datagram, 1480);
  expectHandedBack(new Bed(), [pieces[0]!, pieces[1]!, pieces[1]!, cut(datagram, 1472)[1]!, pieces[0]!]);
});

test('from a private host: what the steering cannot tell from hairpin', () => {
  const host = EXTERNAL;
  const datagram = udpPacket({
    from: `${CLIENT}:53`,
    to: `${host}:20000`,
    payload: filler(4000),
    fragment: 0,
  });
  const own = tcpPacket({ from: `${host}:20000`, to: `${CLIENT}:443`, flags: 'S' });
  expectHandedBack(
    new Bed(),
    [
      ...cut(datagram, 1480),
      echoPacket({ from: CLIENT, to: host, identifier: 5, reply: true }),
      icmpError({ from: CLIENT, to: host, type: 3, code: 3, packet: own }),
      rawPacket({ src: CLIENT, dst: host, protocol: 50, body: filler(40) }),
    ],
    PRIVATE,
  );
  // Out of order: once the first has come, which tells whose they are.
  const [first, ...later] = cut(datagram, 1480) as [Uint8Array, ...Uint8Array[]];
  const bed = new Bed();
  for (const packet of later.reverse()) expect(bed.out(packet)).toEqual([]);
  const vnet = new Uint8Array(10);
  expect(bed.out(first)).toEqual([first, ...later].map((packet) => ({ device: PRIVATE, packet, vnet })));
});

test('with twice NAT: what comes to the private address and no flow expects', () => {
  const own = tcpPacket({ from: `${GATEWAY}:40000`, to: `${CLIENT}:443`, flags: 'S' });
  const datagram = udpPacket({
    from: `${CLIENT}:53`,
    to: `${GATEWAY}:40000`,
    payload: filler(4000),
    fragment: 0,
  });
  const target = { address: address(CLIENT), port: 8080 };
  const forward: Forward = {
    name: 'web',
    protocol: 6,
    address: 0,
    ports: { first: 80, last: 80 },
    sources: [],
    targets: [target],
    affinitySeconds: 0,
    twice: true,
  };
  const nat = { ...masqueradeAll({ first: 32768, last: 65535 }), forwards: [forward] };
  const packets = [
    tcpPacket({ from: `${CLIENT}:5000`, to: `${GATEWAY}:40000`, flags: 'S' }),
    udpPacket({ from: `${CLIENT}:5000`, to: `${GATEWAY}:40000` }),
    icmpError({ from: CLIENT, to: GATEWAY, type: 3, code: 3, packet: own }),
    echoPacket({ from: CLIENT, to: GATEWAY, identifier: 5, reply: true }),
    ...cut(datagram, 1480),
  ];
  expectHandedBack(new Bed({ nat }), packets, PRIVATE);
  // From outside nobody has business there.
  const bed = new Bed({ nat });
  expect(bed.in(udpPacket({ from: `${SERVER}:5000`, to: `${GATEWAY}:40000` }))).toEqual([]);
  expect(bed.totals['handed_back']).toBe(0);
});

test('fragments to a port of the range that a host socket holds', () => {
  const pieces = cut(
    udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:50000`, payload: filler(4000), fragment: 0 }),
    1480,
  );
  const bed = new Bed({ held: { tcp: [], udp: [50000] } });
  for (const packet of pieces) expect(bed.in(packet)).toHaveLength(1);
  expect(bed.totals['handed_back']).toBe(3);
});

test('protocols that no private host uses with that remote', () => {
  expectHandedBack(new Bed(), [
    rawPacket({ src: SERVER, dst: EXTERNAL, protocol: 50, body: filler(40) }),
    rawPacket({ src: SERVER, dst: EXTERNAL, protocol: 132, body: filler(40) }),
    rawPacket({ src: SERVER, dst: EXTERNAL, protocol: 2, body: filler(8), options: hex('94040000') }),
  ]);
});

test('in a batch with translated traffic, in order', () => {
  const bed = new Bed();
  const ping = echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5 });
  const out = udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53` });
  const back = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000` });
  const sent = bed.run([
    { device: PUBLIC, packet: ping },
    { device: 0, packet: out },
    { device: PUBLIC, packet: ping },
    { device: PUBLIC, packet: back },
  ]);
  expect(sent.map(({ device }) => device)).toEqual([PUBLIC, PUBLIC, PUBLIC, 0]);
  expect(sent[2]!.packet).toEqual(ping);
});

describe('not handed back', () => {
  test.each([
    ['TCP', tcpPacket({ from: `${SERVER}:1`, to: `${EXTERNAL}:40000`, flags: 'S' })],
    ['UDP', udpPacket({ from: `${SERVER}:1`, to: `${EXTERNAL}:40000` })],
    ['ICMP to another address', echoPacket({ from: SERVER, to: '198.18.0.9', identifier: 1 })],
    [
      'an ICMP error with a wrong checksum',
      wrong(
        icmpError({
          from: SERVER,
          to: EXTERNAL,
          type: 3,
          code: 1,
          packet: udpPacket({ from: `${EXTERNAL}:1`, to: `${SERVER}:1` }),
        }),
      ),
    ],
  ])('%s', (_, packet) => {
    const bed = new Bed();
    expect(bed.in(packet)).toEqual([]);
    expect(bed.totals['handed_back']).toBe(0);
  });

  test('anything once the address has gone', () => {
    const bed = new Bed();
    bed.engine.setDevice(PUBLIC, { address: 0, mtu: 1500 });
    expect(bed.in(echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5 }))).toEqual([]);
    bed.engine.setDevice(PUBLIC, { address: address('198.18.0.9'), mtu: 1500 });
    expect(bed.in(echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5 }))).toEqual([]);
    expect(bed.in(echoPacket({ from: SERVER, to: '198.18.0.9', identifier: 5 }))).toHaveLength(1);
  });

  test('to the private address of the host', () => {
    const bed = new Bed();
    expect(bed.out(echoPacket({ from: CLIENT, to: '10.77.0.1', identifier: 5 }))).toEqual([]);
    expect(bed.totals['handed_back']).toBe(0);
  });

  test('from a forged source on the private side', () => {
    const bed = new Bed();
    expect(bed.out(echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5 }))).toEqual([]);
    expect(bed.drops).toEqual({ martian_source: 1 });
  });
});

function wrong(packet: Uint8Array): Uint8Array {
  packet[22]! ^= 1;
  return packet;
}
