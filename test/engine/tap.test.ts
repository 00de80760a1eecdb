import { describe, expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import { PRIVATE_SIDE, PUBLIC_SIDE, type TapFilter } from '../../src/engine/tap-filter.ts';
import {
  KIND_IN,
  KIND_OUT,
  MAP_KEPT,
  TAP_HELD,
  TAP_MADE,
  TAP_NEW,
  TAP_RELATED,
  TAP_TO_HOST,
  type TapRecord,
} from '../../src/engine/tap-record.ts';
import { parseFilter } from '../../src/gateway/observe/filter-parse.ts';
import { compileForEngine } from '../../src/gateway/observe/filter-program.ts';
import { memorySource, TapReader } from '../../src/gateway/observe/tap-reader.ts';
import { masqueradeAll } from '../../src/nat/config.ts';
import { icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { corpus } from '../corpus/load.ts';
import { type Arriving, Bed, type BedOptions, EXTERNAL, PRIVATE, PUBLIC, vnetHeader } from './bed.ts';
import { cut, filler, partial } from './packets.ts';

const SERVER = '203.0.113.9';
const CLIENT = '10.77.0.2';

function filter(text: string, fields: Partial<TapFilter> = {}): TapFilter {
  const { program } = compileForEngine(parseFilter(text));
  return { program, sides: PRIVATE_SIDE | PUBLIC_SIDE, dropped: false, snapLength: 65_535, ...fields };
}

function tapped(filters: readonly TapFilter[], options: BedOptions = {}) {
  const bed = new Bed(options);
  bed.engine.tap!.set(filters);
  const reader = new TapReader(memorySource(bed.tap), 'tap', 'now');
  const read = (): TapRecord[] => {
    const records: TapRecord[] = [];
    for (let more = true; more; ) {
      const batch = reader.read();
      expect(batch.missed).toBe(0);
      records.push(...batch.records);
      more = batch.more;
    }
    return records;
  };
  return { bed, read };
}

/** `in 0 10.77.0.2>203.0.113.9` for each record. */
function lines(records: readonly TapRecord[]): string[] {
  return records.map(({ kind, device, packet }) => {
    const view = new DataView(packet.buffer);
    const ends = [12, 16].map((at) => formatAddress(view.getInt32(at, true)));
    return `${kind === KIND_IN ? 'in' : 'out'} ${device} ${ends.join('>')}`;
  });
}

const query = (fields = {}) =>
  udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: 'x', ...fields });
const answer = (fields = {}) =>
  udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000`, payload: 'y', ...fields });

describe('what is written down', () => {
  test('a packet as it came and as it left, with its flow, both ways', () => {
    const { bed, read } = tapped([filter('')]);
    const [left] = bed.out(query());
    const [back] = bed.in(answer());
    const records = read();
    expect(records.map(({ kind }) => kind)).toEqual([KIND_IN, KIND_OUT, KIND_IN, KIND_OUT]);
    expect(records.map(({ packet }) => packet)).toEqual([query(), left!.packet, answer(), back!.packet]);
    expect(records.map(({ handle }) => handle)).toEqual([0, 0, 1, 1]);
    expect(records[0]!.flags & TAP_NEW).toBe(TAP_NEW);
    expect(records[2]!.flags & TAP_NEW).toBe(0);
    expect(records[1]!.cause).toBe(records[0]!.sequence);
    expect(records[0]).toMatchObject({ externalPort: 40000, internalPort: 40000, rule: 0, firewall: 0 });
    expect(records[2]!.to).toMatchObject({ destinationPort: 40000 });
  });

  test('a filter on the private address has the answers too, which come to another one', () => {
    const { bed, read } = tapped([filter(`host ${CLIENT}`)]);
    bed.out(query());
    bed.in(answer());
    bed.out(udpPacket({ from: '10.77.0.3:5', to: `${SERVER}:53` }));
    expect(lines(read())).toEqual([
      `in ${PRIVATE} ${CLIENT}>${SERVER}`,
      `out ${PUBLIC} ${EXTERNAL}>${SERVER}`,
      `in ${PUBLIC} ${SERVER}>${EXTERNAL}`,
      `out ${PRIVATE} ${SERVER}>${CLIENT}`,
    ]);
  });

  test('a filter on the external port has the packet that began the flow', () => {
    const { bed, read } = tapped([filter(`src ${EXTERNAL} and sport 40000`)]);
    bed.out(query());
    bed.out(udpPacket({ from: '10.77.0.3:40001', to: `${SERVER}:53` }));
    expect(lines(read())).toEqual([
      `in ${PRIVATE} ${CLIENT}>${SERVER}`,
      `out ${PUBLIC} ${EXTERNAL}>${SERVER}`,
    ]);
  });

  test('one side only', () => {
    const { bed, read } = tapped([filter('', { sides: PUBLIC_SIDE })]);
    bed.out(query());
    bed.in(answer());
    expect(lines(read())).toEqual([
      `out ${PUBLIC} ${EXTERNAL}>${SERVER}`,
      `in ${PUBLIC} ${SERVER}>${EXTERNAL}`,
    ]);
  });

  test('dropped packets only, those of a flow too, as they came', () => {
    const { bed, read } = tapped([filter('', { dropped: true })]);
    bed.out(tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:80`, flags: 'S', seq: 1 }));
    bed.in(tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags: 'SA', seq: 5, ack: 2 }));
    expect(read()).toEqual([]);
    const bad = tcpPacket({
      from: `${SERVER}:80`,
      to: `${EXTERNAL}:40000`,
      flags: 'A',
      seq: 9_000_000,
      ack: 2,
    });
    bed.in(bad);
    bed.in(udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:50000` }));
    const records = read();
    expect(records.map(({ reasonName, handle }) => [reasonName, handle])).toEqual([
      ['invalid_window', 1],
      ['no_flow', -1],
    ]);
    expect(records[0]!.packet).toEqual(bad);
  });

  test('no more than the snap length; super-packets as such', () => {
    const { bed, read } = tapped([filter('', { snapLength: 64 }), filter('tcp', { snapLength: 50 })]);
    const large = partial(
      udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: filler(40_000), fragment: 0 }),
    );
    const vnet = vnetHeader({ flags: 1, gso: 5, gsoSize: 1400, csumStart: 20, csumOffset: 6 });
    bed.out(large, vnet);
    const records = read();
    expect(records.map(({ length, packet }) => [length, packet.length])).toEqual([
      [40_028, 64],
      [40_028, 64],
    ]);
    expect(records[1]!.vnet).toBe(1 | (5 << 8) | (1400 << 16));
  });

  test('whole packets whose memory breaks', () => {
    const { bed, read } = tapped([filter('')], { mtu: [9000, 9000] });
    const large = udpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:53`, payload: filler(5001) });
    const [sent] = bed.out(large);
    expect(read().map(({ packet }) => packet)).toEqual([large, sent!.packet]);
  });

  test('what the engine answers belongs to the packet that it answers', () => {
    const { bed, read } = tapped([filter(`src ${CLIENT}`)]);
    bed.out(query({ ttl: 1 }));
    const [came, made] = read();
    expect(came!.reasonName).toBe('ttl_exceeded');
    expect(made!.flags & TAP_MADE).toBe(TAP_MADE);
    expect(made!.cause).toBe(came!.sequence);
    expect(made!.packet[9]).toBe(1);
  });

  test('fragments: held ones leave with the first one; a filter on ports has all of them', () => {
    const { bed, read } = tapped([filter('dport 53')]);
    const [first, later] = cut(query({ payload: filler(2000), fragment: 0 }), 1480);
    bed.out(later!);
    const [held] = read();
    expect(held!.flags & TAP_HELD).toBe(TAP_HELD);
    const sent = bed.out(first!);
    const [came, ...left] = read();
    expect(sent).toHaveLength(2);
    expect(left.map(({ packet }) => packet)).toEqual(sent.map(({ packet }) => packet));
    expect(left.map(({ cause }) => cause)).toEqual([came!.sequence, came!.sequence]);
  });

  test('an ICMP error is found by the flow that it is about', () => {
    const { bed, read } = tapped([filter('dport 53')]);
    const [left] = bed.out(query());
    read();
    bed.in(icmpError({ from: '198.51.100.1', to: EXTERNAL, type: 3, code: 1, packet: left!.packet }));
    const [came, sent] = read();
    expect(came!.flags & TAP_RELATED).toBe(TAP_RELATED);
    expect(came!.handle).toBe(1);
    expect(lines([sent!])).toEqual([`out ${PRIVATE} 198.51.100.1>${CLIENT}`]);
  });

  test('the host’s own packets', () => {
    const { bed, read } = tapped([filter('')]);
    const [first] = cut(
      udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:500`, payload: filler(2000), fragment: 0 }),
      1480,
    );
    bed.in(first!);
    expect(read()[0]!.flags & TAP_TO_HOST).toBe(TAP_TO_HOST);
  });

  test('why a port was not preserved, and that a mapping was kept', () => {
    const { bed, read } = tapped([filter('')]);
    bed.out(query());
    bed.out(udpPacket({ from: '10.77.0.3:40000', to: `${SERVER}:53` }));
    bed.out(udpPacket({ from: '10.77.0.3:40000', to: `${SERVER}:54` }));
    const records = read().filter(({ kind }) => kind === KIND_IN);
    expect(records.map(({ mapping, holder }) => [mapping >>> 4, formatAddress(holder)])).toEqual([
      [0, '0.0.0.0'],
      [5, CLIENT],
      [5, CLIENT],
    ]);
    expect(records.map(({ mapping }) => mapping & MAP_KEPT)).toEqual([0, 0, MAP_KEPT]);
  });

  test('for want of what a flow was refused', () => {
    const nat = masqueradeAll({ first: 40000, last: 40001 }, { portsPerHost: 1, overload: 'never' });
    const bed = new Bed({ nat, ports: { first: 40000, last: 40001 } });
    bed.out(query());
    bed.out(query({ from: `${CLIENT}:40001` }));
    bed.out(udpPacket({ from: '10.77.0.3:1', to: `${SERVER}:53` }));
    bed.out(udpPacket({ from: '10.77.0.4:1', to: `${SERVER}:53` }));
    const { records } = bed.dropLog;
    expect(
      records.map(({ reasonName, limit, client }) => [reasonName, limit, formatAddress(client)]),
    ).toEqual([
      ['host_port_limit', 1, CLIENT],
      ['no_free_port', 2, '10.77.0.4'],
    ]);
    expect(formatAddress(records[1]!.external)).toBe(EXTERNAL);
  });
});

describe('bounds', () => {
  test('of a flood of dropped packets some are written, and all are counted', () => {
    const bed = new Bed();
    const flood = Array.from({ length: 64 }, (_, i) => ({
      device: PUBLIC,
      packet: udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:${40_000 + i}` }),
    }));
    for (let batch = 0; batch < 1000; batch++) {
      bed.now = batch;
      bed.run(flood);
    }
    const { records, leftOut } = bed.dropLog;
    expect(records.length).toBe(4000);
    expect(records.length + leftOut).toBe(64_000);
    // In a tenth of a second no more than so many, however many batches there are.
    for (let batch = 0; batch < 1000; batch++) bed.run(flood);
    expect(bed.dropLog.records.at(-1)!.sequence + 1).toBe(4000 + 512 - 4 * 100);
  });
});

test('engines with and without a tap do the same, and what is written is what came and left', () => {
  const seed = Number(process.env['NATGATE_SEED'] ?? 20261129);
  const random = new Random(seed);
  const below = (limit: number) => (random.next() >>> 1) % limit;
  const helpers = [{ name: 'ftp', protocol: 6, port: 21 }] as const;
  const options: BedOptions = { flows: 64, ports: { first: 33_000, last: 33_063 }, helpers };
  const plain = new Bed({ ...options, tap: false });
  const { bed, read } = tapped([filter('')], options);
  const seen: Uint8Array[] = [query()];
  const make = (): Arriving[] => {
    const kind = below(8);
    const device = below(3) === 0 ? PUBLIC : PRIVATE;
    if (kind === 0) {
      const { packet, side } = corpus[below(corpus.length)]!;
      return [{ device: side === 'private' ? PRIVATE : PUBLIC, packet }];
    }
    const ends = {
      from: `10.77.0.${2 + below(6)}:${1000 + below(30)}`,
      to: `203.0.113.${1 + below(4)}:${[21, 53, 80][below(3)]}`,
    };
    if (kind === 1) {
      const pieces = cut(
        udpPacket({ ...ends, payload: filler(100 + below(6000)), fragment: 0 }),
        8 * (1 + below(90)),
      );
      const order = below(2) === 0 ? pieces.toReversed() : pieces;
      return order.slice(0, 20).map((packet) => ({ device: PRIVATE, packet }));
    }
    if (kind === 2) {
      const packet = partial(udpPacket({ ...ends, payload: filler(below(30_000)), fragment: 0 }));
      return [
        {
          device: PRIVATE,
          packet,
          vnet: vnetHeader({ flags: 1, gso: 5, gsoSize: 100 + below(1400), csumStart: 20, csumOffset: 6 }),
        },
      ];
    }
    if (kind === 3) {
      const about = seen[below(seen.length)]!;
      return [
        {
          device,
          packet: icmpError({ from: '198.51.100.1', to: EXTERNAL, type: 3, code: below(4), packet: about }),
        },
      ];
    }
    if (kind === 4) {
      // An answer to something that left.
      const packet = Uint8Array.from(seen[below(seen.length)]!);
      const source = packet.slice(12, 16);
      packet.copyWithin(12, 16, 20);
      packet.set(source, 16);
      const ports = packet.slice(20, 22);
      packet.copyWithin(20, 22, 24);
      packet.set(ports, 22);
      return [{ device: PUBLIC, packet }];
    }
    const flags = ['S', 'A', 'FA', 'R', 'PA'][below(5)]!;
    return [
      {
        device: PRIVATE,
        packet: tcpPacket({
          ...ends,
          flags,
          seq: below(1000),
          ack: below(1000),
          payload: below(2) === 0 ? '' : 'PORT 10,77,0,2,4,1\r\n',
        }),
      },
    ];
  };
  // Texts, since vitest takes its time over large arrays.
  const text = (device: number, ...parts: Uint8Array[]) =>
    `${device} ${parts.map((part) => Buffer.from(part).toString('latin1')).join('|')}`;
  let [came, left] = [0, 0];
  for (let round = 0; round < 600; round++) {
    const batch = Array.from({ length: 1 + below(20) }, make)
      .flat()
      .slice(0, 64);
    bed.now += below(200);
    plain.now = bed.now;
    const sent = bed.run(batch);
    const why = `seed ${seed}, round ${round}`;
    const same = plain.run(batch).map(({ device, packet, vnet }) => text(device, packet, vnet));
    expect(
      sent.map(({ device, packet, vnet }) => text(device, packet, vnet)),
      why,
    ).toEqual(same);
    const records = read();
    const ins = records.filter(({ kind }) => kind === KIND_IN);
    const outs = records.filter(({ kind }) => kind === KIND_OUT);
    came += ins.length;
    left += outs.length;
    expect(
      outs.map(({ device, packet }) => text(device, packet)),
      why,
    ).toEqual(sent.map(({ device, packet }) => text(device, packet)));
    expect(
      ins.map(({ device, packet }) => text(device, packet)),
      why,
    ).toEqual(batch.map(({ device, packet }, i) => text(device, packet.subarray(0, ins[i]?.length))));
    for (const { packet, device } of sent)
      if (device === PUBLIC && packet.length > 24) seen[below(50)] = packet;
    for (let i = 0; i < 50; i++) seen[i] ??= query();
  }
  expect(bed.flows()).toEqual(plain.flows());
  expect(bed.drops).toEqual(plain.drops);
  expect(bed.totals).toEqual(plain.totals);
  expect(came).toBeGreaterThan(5000);
  expect(left).toBeGreaterThan(3000);
});
