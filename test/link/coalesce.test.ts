/** Which packets of an out list leave as one super-packet, and that they are the same packets when the kernel cuts it. */
import { closeSync, openSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { COALESCED, SUPER_PACKETS, WRITE_ERRNO, WRITE_REFUSED } from '../../src/engine/arena.ts';
import { addon } from '../../src/link/addon.ts';
import { onOldKernel } from './old-kernel.ts';
import { type Entry, put, write } from './out-file.ts';
import { checksumHolds, pseudoSum } from './packets.ts';
import {
  ACK,
  cut,
  essence,
  headerHolds,
  PSH,
  type Segment,
  type SegmentFields,
  segment,
} from './segments.ts';

const EBADF = 9;

const on = (device: number, ...segments: Segment[]): Entry[] => segments.map((it) => ({ ...it, device }));

/** Consecutive segments of one flow: sequence numbers and identifications count up. */
function stream(fields: SegmentFields, ...changes: SegmentFields[]): Segment[] {
  let sequence = fields.sequence ?? 0xffffff80;
  return changes.map((change, i) => {
    const made = segment({
      id: 0xffff + i,
      seed: i + 1,
      ...fields,
      sequence,
      ...change,
      ...wrapped(fields, change, i),
    });
    sequence += change.size ?? fields.size ?? 100;
    return made;
  });
}

/** Identifications have 16 bits. */
function wrapped(fields: SegmentFields, change: SegmentFields, i: number): SegmentFields {
  return { id: (change.id ?? (fields.id ?? 0xffff) + i) & 0xffff };
}

const TIMESTAMPS = Uint8Array.from([1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 5]);
const LATER = Uint8Array.from([1, 1, 8, 10, 0, 0, 0, 10, 0, 0, 0, 5]);

/** Number of packets in each record that was written. */
const sizes = (segments: readonly Segment[], devices = 1) =>
  write(on(0, ...segments), devices).written[0]!.map((it) => cut(it).length);

describe('a super-packet, by bytes', () => {
  test('of TCP segments', () => {
    const segments = stream({ options: TIMESTAMPS, tos: 0x28 }, {}, {}, { size: 33, flags: ACK | PSH });
    const { written, control } = write(on(0, ...segments));
    expect(written[0]).toHaveLength(1);
    const { packet, vnet } = written[0]![0]!;
    expect(vnet).toEqual({
      flags: 1,
      gsoType: 1,
      headerLength: 52,
      gsoSize: 100,
      checksumStart: 20,
      checksumOffset: 16,
    });
    expect(packet.length).toBe(52 + 233);
    expect(headerHolds(packet)).toBe(true);
    expect(packet.readUInt16BE(36)).toBe(pseudoSum(packet));
    // All else is the first one's, but for PSH.
    const first = segments[0]!.packet;
    for (const [from, to] of [
      [0, 2],
      [4, 10],
      [12, 33],
      [34, 36],
      [38, 52],
    ]) {
      expect(packet.subarray(from, to)).toEqual(first.subarray(from, to));
    }
    expect(packet[33]).toBe(ACK | PSH);
    expect(packet.subarray(52)).toEqual(Buffer.concat(segments.map((it) => it.packet.subarray(52))));
    expect([control[SUPER_PACKETS], control[COALESCED], control[WRITE_REFUSED]]).toEqual([1, 3, 0]);
    expect(cut(written[0]![0]!)).toEqual(segments.map((it) => it.packet));
  });

  test('of UDP datagrams', () => {
    const segments = stream({ protocol: 17, fragment: 0 }, {}, {}, {}, { size: 1 });
    const { written } = write(on(0, ...segments));
    expect(written[0]).toHaveLength(1);
    const { packet, vnet } = written[0]![0]!;
    expect(vnet).toEqual({
      flags: 1,
      gsoType: 5,
      headerLength: 28,
      gsoSize: 100,
      checksumStart: 20,
      checksumOffset: 6,
    });
    expect(packet.length).toBe(28 + 301);
    expect(packet.readUInt16BE(24)).toBe(8 + 301);
    expect(packet.readUInt16BE(26)).toBe(pseudoSum(packet));
    expect(headerHolds(packet)).toBe(true);
    expect(cut(written[0]![0]!)).toEqual(segments.map((it) => it.packet));
  });

  test('of packets that reach beyond their header slots', () => {
    for (const size of [1995, 1996, 1997, 8001]) {
      const segments = stream({ size }, {}, {}, { size: 1990 });
      const { written } = write(on(0, ...segments));
      expect(written[0]!.flatMap(cut)).toEqual(segments.map((it) => it.packet));
      expect(written[0]).toHaveLength(1);
    }
  });

  test('one packet alone is written as it is', () => {
    const [only] = stream({ checksum: 'partial' }, {});
    const { written, control } = write(on(0, only!));
    expect(written[0]).toEqual([only]);
    expect(control[SUPER_PACKETS]).toBe(0);
  });
});

describe('what continues a flow', () => {
  test.each<[string, Segment[], number[]]>([
    ['three of a flow', stream({}, {}, {}, {}), [3]],
    ['a gap', stream({}, {}, { size: 100 }, { sequence: 5 }, {}), [2, 1, 1]],
    ['the same segment twice', stream({}, {}, { sequence: 0xffffff80 }), [1, 1]],
    ['another acknowledgement', stream({}, {}, {}, { acknowledgement: 8 }), [2, 1]],
    ['another window', stream({}, {}, { window: 501 }, { window: 501 }), [1, 2]],
    [
      'other options',
      stream({ options: TIMESTAMPS }, {}, {}, { options: LATER }, { options: LATER }),
      [2, 2],
    ],
    ['options and none', stream({}, {}, { options: TIMESTAMPS }, {}), [1, 1, 1]],
    ['PSH in the middle', stream({}, {}, { flags: ACK | PSH }, {}, {}), [2, 2]],
    ['PSH on the first', stream({}, { flags: ACK | PSH }, {}, {}), [1, 2]],
    ['FIN', stream({}, {}, {}, { flags: ACK | 1 }), [2, 1]],
    ['SYN', stream({ flags: 2 }, {}, {}), [1, 1]],
    ['RST', stream({}, {}, { flags: ACK | 4 }, {}), [1, 1, 1]],
    ['URG', stream({ flags: ACK | 0x20 }, {}, {}), [1, 1]],
    ['an urgent pointer without URG', stream({}, {}, { urgent: 3 }), [1, 1]],
    ['ECE', stream({ flags: ACK | 0x40 }, {}, {}), [1, 1]],
    ['CWR', stream({ flags: ACK | 0x80 }, {}, {}), [1, 1]],
    ['accurate ECN', stream({ reserved: 1 }, {}, {}), [1, 1]],
    ['no ACK', stream({ flags: 0 }, {}, {}), [1, 1]],
    ['acknowledgements without data', stream({ size: 0 }, {}, {}), [1, 1]],
    ['one without data between', stream({}, {}, { size: 0 }, {}), [1, 1, 1]],
    ['a shorter one, then another', stream({}, {}, { size: 99 }, {}, {}), [2, 2]],
    ['a longer one', stream({}, {}, { size: 101 }, { size: 101 }), [1, 2]],
    ['another TTL', stream({}, {}, { ttl: 62 }), [1, 1]],
    ['another TOS', stream({}, {}, { tos: 4 }), [1, 1]],
    ['congestion experienced', stream({ tos: 2 }, {}, { tos: 3 }, {}), [1, 1, 1]],
    ['DF and none', stream({}, {}, { fragment: 0 }), [1, 1]],
    ['the reserved flag', stream({ fragment: 0xc000 }, {}, {}), [1, 1]],
    ['fragments', stream({ protocol: 17, fragment: 0x2000 }, {}, {}), [1, 1]],
    ['IP options', stream({ ipOptions: Uint8Array.of(1, 1, 1, 0) }, {}, {}), [1, 1]],
    ['identifications that stand still, with DF', stream({}, { id: 0 }, { id: 0 }, { id: 0 }), [3]],
    ['identifications that stand still, without', stream({ fragment: 0 }, { id: 0 }, { id: 0 }), [1, 1]],
    ['identifications that count up, without DF', stream({ fragment: 0 }, {}, {}, {}), [3]],
    ['an identification left out, without DF', stream({ fragment: 0 }, {}, {}, { id: 3 }, { id: 4 }), [2, 2]],
    ['datagrams of one length', stream({ protocol: 17 }, {}, {}, {}), [3]],
    ['datagrams without data', stream({ protocol: 17, size: 0 }, {}, {}), [1, 1]],
    ['datagrams without checksum', stream({ protocol: 17, checksum: 'none' }, {}, {}), [1, 1]],
    ['one without checksum', stream({ protocol: 17 }, {}, { checksum: 'none' }, {}, {}), [1, 1, 2]],
    [
      'datagrams without checksum, verified',
      stream({ protocol: 17, checksum: 'none-valid' }, {}, {}),
      [1, 1],
    ],
    ['datagrams shorter than their packets', stream({ protocol: 17, udpLength: 90 }, {}, {}), [1, 1]],
    ['a shorter datagram, then another', stream({ protocol: 17 }, {}, { size: 5 }, {}, {}), [2, 2]],
    ['partial checksums', stream({ checksum: 'partial' }, {}, {}), [2]],
    ['verified checksums', stream({ checksum: 'valid' }, {}, {}), [2]],
    ['all kinds of right checksums', stream({}, { checksum: 'partial' }, {}, { checksum: 'valid' }), [3]],
    ['a damaged one in the middle', stream({}, {}, {}, { checksum: 'wrong' }, {}, {}), [2, 1, 2]],
    ['a damaged one at the beginning', stream({}, { checksum: 'wrong' }, {}, {}), [1, 2]],
    ['a damaged datagram', stream({ protocol: 17 }, {}, { checksum: 'wrong' }, {}), [1, 1, 1]],
    ['a wrong pseudo-header', stream({ checksum: 'wrong-partial' }, {}, {}), [1, 1]],
  ])('%s', (_, segments, expected) => {
    const { written } = write(on(0, ...segments));
    expect(written[0]!.map((it) => cut(it).length)).toEqual(expected);
    expect(written[0]!.flatMap(cut).map(essence)).toEqual(segments.flatMap(cut).map(essence));
  });

  test('flows that alternate, whichever way their addresses and ports are alike', () => {
    const flows: SegmentFields[] = [
      {},
      { ports: [1000, 2001] },
      { ports: [2000, 1000] },
      { from: '10.1.0.3' },
      { to: '10.2.0.3' },
      { from: '10.2.0.2', to: '10.1.0.2' },
      { protocol: 17 },
    ];
    const streams = flows.map((flow) => stream(flow, {}, {}, {}));
    const mixed = [0, 1, 2].flatMap((i) => streams.map((it) => it[i]!));
    expect(sizes(mixed)).toEqual(flows.map(() => 3));
  });

  test('packets to different devices stay apart', () => {
    const segments = stream({}, {}, {}, {}, {});
    const { written } = write(
      segments.map((it, i) => ({ ...it, device: i % 2 })),
      2,
    );
    expect(written.map((it) => it.length)).toEqual([2, 2]);
  });

  test('a super-packet that came as one passes as it is, and ends what came before it', () => {
    const [a, b, c, d] = stream({}, {}, {}, { size: 300, checksum: 'partial' }, {});
    c!.vnet = { ...c!.vnet, gsoType: 1, gsoSize: 100, headerLength: 40 };
    const { written } = write(on(0, a!, b!, c!, d!));
    expect(written[0]!.map((it) => cut(it).length)).toEqual([2, 3, 1]);
    expect(written[0]![1]).toEqual(c);
  });

  test('what has no ports is overtaken by nobody', () => {
    const [a, b, c] = stream({ protocol: 17 }, {}, {}, {});
    const fragment = segment({ protocol: 17, fragment: 0x00b9 });
    expect(sizes([a!, b!, fragment, c!])).toEqual([2, 1, 1]);
  });

  test('packets whose vnet header or length is another than theirs', () => {
    const partial = stream({ checksum: 'partial' }, {}, {});
    for (const wrong of [{ checksumStart: 24 }, { checksumOffset: 6 }]) {
      const entries = on(0, ...partial.map((it) => ({ ...it, vnet: { ...it.vnet, ...wrong } })));
      expect(write(entries).control[SUPER_PACKETS], JSON.stringify(wrong)).toBe(0);
    }
    const padded = stream({ checksum: 'valid' }, {}, {}).map((it) => ({
      ...it,
      packet: Buffer.concat([it.packet, Buffer.alloc(6)]),
    }));
    expect(write(on(0, ...padded)).control[SUPER_PACKETS]).toBe(0);
  });

  test('as many as a kernel takes: 64 segments and 65535 bytes', () => {
    const many = stream({ size: 18, protocol: 17 }, ...Array<SegmentFields>(130).fill({}));
    expect(sizes(many)).toEqual([64, 64, 2]);
    // 40 + 45 × 1455 = 65515; with options 52 + 45 × 1455 = 65527; 52 + 45 × 1456 = 65572.
    const long = (size: number, options: Uint8Array) =>
      sizes(stream({ size, options }, ...Array<SegmentFields>(46).fill({})));
    expect(long(1455, new Uint8Array(0))).toEqual([45, 1]);
    expect(long(1455, TIMESTAMPS)).toEqual([45, 1]);
    expect(long(1456, TIMESTAMPS)).toEqual([44, 2]);
    // Exactly 65535, and one more.
    expect(sizes(stream({ size: 13099 }, ...Array<SegmentFields>(5).fill({})))).toEqual([5]);
    expect(sizes(stream({ size: 13099 }, ...Array<SegmentFields>(4).fill({ size: 13100 })))).toEqual([4]);
    expect(sizes(stream({ size: 13100 }, ...Array<SegmentFields>(5).fill({})))).toEqual([4, 1]);
  });
});

/** Random streams with random faults, in random order of flows: what comes out, cut again, is what went in, flow by flow. */
describe('any list of packets', () => {
  const change: fc.Arbitrary<SegmentFields> = fc.record(
    {
      size: fc.constantFrom(0, 1, 99, 100, 100, 100, 100, 101, 2100),
      id: fc.integer({ min: 0, max: 0xffff }),
      fragment: fc.constantFrom(0, 0x4000, 0x2000, 0x0010),
      ttl: fc.constantFrom(62, 63),
      flags: fc.constantFrom(ACK, ACK, ACK | PSH, ACK | 1, 2, ACK | 4),
      acknowledgement: fc.constantFrom(7, 8),
      sequence: fc.constantFrom(0, 100),
      options: fc.constantFrom(new Uint8Array(0), TIMESTAMPS, LATER),
      checksum: fc.constantFrom('right', 'valid', 'partial', 'wrong', 'wrong-partial', 'none', 'none-valid'),
    },
    { requiredKeys: [] },
  );
  /** A datagram can do without a checksum; a TCP segment without one was not verified by any kernel. */
  const possible = (protocol: 6 | 17, it: SegmentFields): SegmentFields =>
    protocol === 6 && it.checksum === 'none-valid' ? { ...it, checksum: 'none' } : it;
  const flow = fc.record({
    base: fc.record({
      protocol: fc.constantFrom<6 | 17>(6, 17),
      ports: fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom(53, 443)),
      fragment: fc.constantFrom(0, 0x4000),
      checksum: fc.constantFrom<NonNullable<SegmentFields['checksum']>>('right', 'partial', 'valid'),
      sequence: fc.integer({ min: 0, max: 0xffffffff }),
      id: fc.integer({ min: 0, max: 0xffff }),
    }),
    device: fc.integer({ min: 0, max: 1 }),
    changes: fc.array(
      fc.oneof({ arbitrary: fc.constant<SegmentFields>({}), weight: 8 }, { arbitrary: change, weight: 1 }),
      { minLength: 1, maxLength: 40 },
    ),
  });
  /** Flows take turns: each picks the next packet of the flow with that number. */
  const lists = fc.record({
    flows: fc.array(flow, { minLength: 1, maxLength: 4 }),
    turns: fc.array(fc.nat(3), { minLength: 60, maxLength: 60 }),
  });

  function mix({ flows, turns }: typeof lists extends fc.Arbitrary<infer T> ? T : never): Entry[] {
    const queues = flows.map(({ base, device, changes }) =>
      on(device, ...stream(base, ...changes.map((it) => possible(base.protocol, it)))),
    );
    return turns.flatMap((turn) => queues[turn % queues.length]!.splice(0, 1));
  }

  /** The packets of one flow; what has no ports belongs to all, so that its place among them is compared too. */
  function perFlow(packets: readonly Buffer[]): Map<string, string[]> {
    const hasPorts = (packet: Buffer) => (packet.readUInt16BE(6) & 0x3fff) === 0;
    const key = (packet: Buffer) => `${packet[9]} ${packet.toString('hex', 12, 24)}`;
    const keys = new Set(packets.filter(hasPorts).map(key));
    return new Map(
      [...keys].map((it) => [
        it,
        packets.filter((packet) => !hasPorts(packet) || key(packet) === it).map(essence),
      ]),
    );
  }

  test('is the same packets, in the same order within each flow, once the kernel has cut them', () => {
    let superPackets = 0;
    let packets = 0;
    fc.assert(
      fc.property(lists, (list) => {
        const entries = mix(list);
        const { written, control } = write(entries, 2);
        for (const device of [0, 1]) {
          const sent = entries.filter((entry) => entry.device === device).flatMap(cut);
          const got = written[device]!.flatMap(cut);
          expect(got.every(headerHolds)).toBe(true);
          expect(perFlow(got)).toEqual(perFlow(sent));
          expect(got.map(essence).sort()).toEqual(sent.map(essence).sort());
        }
        expect(control[WRITE_REFUSED]).toBe(0);
        const merged = written.flat().filter((it) => it.vnet.gsoType !== 0);
        expect(control[SUPER_PACKETS]).toBe(merged.length);
        expect(control[COALESCED]).toBe(merged.flatMap(cut).length);
        superPackets += merged.length;
        packets += entries.length;
      }),
      { numRuns: 400 },
    );
    // Otherwise this would say nothing.
    expect(superPackets).toBeGreaterThan(1000);
    expect(packets).toBeGreaterThan(5000);
  });

  test('no checksum that was wrong comes out right', () => {
    fc.assert(
      fc.property(lists, (list) => {
        const entries = mix(list);
        const { written } = write(entries, 2);
        const right = (all: readonly Buffer[]) =>
          all.filter((packet) => (packet.readUInt16BE(6) & 0x3fff) === 0 && checksumHolds(packet)).length;
        expect(right(written.flat().flatMap(cut))).toBe(right(entries.flatMap(cut)));
      }),
      { numRuns: 200 },
    );
  });
});

describe('a super-packet that is refused', () => {
  test('by a queue that refuses everything is counted packet by packet', () => {
    const fd = openSync('/proc/self/status', 'r');
    const wakeFd = addon().eventfd();
    try {
      const exchange = addon().exchangeOpen([fd], wakeFd);
      const control = new Int32Array(exchange.arena);
      put(exchange.arena, on(0, ...stream({}, {}, {}, {})));
      exchange.flush(3);
      expect([control[WRITE_REFUSED], control[WRITE_ERRNO], control[SUPER_PACKETS]]).toEqual([3, EBADF, 0]);
    } finally {
      closeSync(fd);
      closeSync(wakeFd);
    }
  });

  test('by a kernel that does not know its kind leaves singly, and is the last of its kind', async () => {
    const tcp = stream({}, {}, {}, {});
    const udp = stream({ protocol: 17 }, {}, {}, {});
    const { written, control } = onOldKernel([on(0, ...tcp, ...udp), on(0, ...udp, ...tcp)]);
    expect(written.map((it) => cut(it).length)).toEqual([3, 1, 1, 1, 1, 1, 1, 3]);
    expect(written.flatMap(cut).map(essence)).toEqual(
      [...tcp, ...udp, ...udp, ...tcp].map((it) => essence(it.packet)),
    );
    expect(control).toEqual({ superPackets: 2, coalesced: 6, refused: 0 });
  });
});
