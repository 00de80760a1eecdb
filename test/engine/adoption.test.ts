/** An engine that dies and another that takes its state over: the connections of the private hosts go on. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { C_CHECK, COLD, H_DELTAS, H_SEQUENCE, H_STATUS, HOT } from '../../src/conntrack/flow-table.ts';
import { openState } from '../../src/engine/state.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, ROUTES, to } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const SERVER = '203.0.113.9';

/** Flows of every kind, two clients that clash on a port among them. Returns the external port of the second. */
function fill(bed: Bed): number {
  bed.out(udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53` }));
  const [clash] = bed.out(udpPacket({ from: '10.77.0.3:40000', to: `${SERVER}:53` }));
  bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' }));
  bed.in(tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags: 'SA' }));
  bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'A' }));
  bed.out(echoPacket({ from: '10.77.0.2', to: SERVER, identifier: 5 }));
  bed.out(rawPacket({ src: '10.77.0.2', dst: SERVER, protocol: 50, body: filler(8) }));
  return decode(clash!.packet).sport;
}

test('flows, states, counters and ports are as before; traffic goes on both ways', () => {
  const before = new Bed();
  const port = fill(before);
  before.pass(5000);
  const bed = new Bed({ after: before });
  expect(bed.flows()).toEqual(before.flows());
  bed.checkInvariants();
  expect(bed.totals).toMatchObject({ flows_lost_at_restart: 0, flows_started: 5, ports_udp: 2 });

  const answers: [Uint8Array, string][] = [
    [udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000` }), '10.77.0.2'],
    [udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:${port}` }), '10.77.0.3'],
    [tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags: 'PA', payload: 'data' }), '10.77.0.2'],
    [echoPacket({ from: SERVER, to: EXTERNAL, identifier: 5, reply: true }), '10.77.0.2'],
    [rawPacket({ src: SERVER, dst: EXTERNAL, protocol: 50, body: filler(8) }), '10.77.0.2'],
  ];
  for (const [packet, client] of answers) {
    const [received] = bed.in(packet);
    expect(received!.device).toBe(PRIVATE);
    expect(decode(received!.packet)).toMatchObject({ dst: client, checksumOk: true, headerChecksumOk: true });
  }
  const [again] = bed.out(udpPacket({ from: '10.77.0.3:40000', to: '203.0.113.10:53' }));
  expect(decode(again!.packet).sport).toBe(port);
  expect(bed.drops).toEqual({});
  bed.checkInvariants();
});

test('what is left of their time is kept', () => {
  const before = new Bed({ timeouts: { udp: 30, icmp: 30 } });
  fill(before);
  before.pass(20_000);
  const bed = new Bed({ after: before, timeouts: { udp: 30, icmp: 30 } });
  bed.pass(9000);
  expect(bed.flows()).toHaveLength(5);
  bed.pass(3000);
  expect(
    bed
      .flows()
      .map(({ protocol }) => protocol)
      .sort(),
  ).toEqual([50, 6]);
  bed.checkInvariants();
});

test('routes that are numbered otherwise do not mislead the flows taken over', () => {
  const before = new Bed();
  fill(before);
  const bed = new Bed({ after: before, routes: [...ROUTES].reverse() });
  const [client, server] = ['10.77.0.2:40000', `${SERVER}:80`];
  const back = bed.in(tcpPacket({ from: server, to: `${EXTERNAL}:40000`, flags: 'A' }));
  expect(to(PRIVATE, back)).toHaveLength(1);
  expect(to(PUBLIC, bed.out(tcpPacket({ from: client, to: server, flags: 'A' })))).toHaveLength(1);
});

test('in the place of flows of another external address new ones begin', () => {
  const before = new Bed();
  fill(before);
  const bed = new Bed({ after: before, external: '198.18.0.200' });
  bed.engine.tick(bed.now);
  expect(bed.flows()).toEqual([]);
  expect(bed.totals).toMatchObject({ flows_lost_at_restart: 5, ports_udp: 0, flows_tcp: 0 });
  bed.checkInvariants();
});

test('a port that the host took in between is not natgate’s any more', () => {
  const before = new Bed();
  fill(before);
  const held = { tcp: [], udp: [40000] };
  const bed = new Bed({ after: before, held });
  expect(bed.totals['flows_lost_at_restart']).toBe(1);
  bed.engine.tick(bed.now);
  bed.checkInvariants(undefined, held);
});

describe('datagrams in fragments', () => {
  const ids = { fragment: 0, id: 0x3131 };
  const [first, second, third] = cut(
    udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, payload: filler(3500), ...ids }),
    1480,
  ) as [Uint8Array, Uint8Array, Uint8Array];

  test('whose first one has passed go on, with the identification of the first', () => {
    const before = new Bed();
    const sent = before.out(first);
    const bed = new Bed({ after: before });
    sent.push(...bed.out(third), ...bed.out(second));
    const pieces = to(PUBLIC, sent).sort((a, b) => decode(a).offset - decode(b).offset);
    expect(new Set(pieces.map((packet) => (packet[4]! << 8) | packet[5]!)).size).toBe(1);
    expect(decode(reassemble(pieces))).toMatchObject({ src: EXTERNAL, sport: 40000, checksumOk: true });
    expect(bed.drops).toEqual({});
    bed.checkInvariants();
  });

  test('that were condemned stay condemned; their time goes on', () => {
    const before = new Bed();
    before.out(first);
    // It overlaps the first.
    before.out(
      cut(
        udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53`, payload: filler(3500), ...ids }),
        1400,
      )[1]!,
    );
    const bed = new Bed({ after: before });
    bed.out(second);
    expect(bed.drops).toEqual({ fragment_overlap: 2 });
    bed.pass(31_000);
    bed.out(second);
    expect(bed.totals).toMatchObject({ fragments_held: 1 });
  });

  test('whose flow is lost, or whose entry is damaged, do not pass, and that is said', () => {
    for (const damage of ['flow', 'entry'] as const) {
      const before = new Bed();
      before.out(first);
      const { fragments } = openState(before.state);
      if (damage === 'flow') before.engine.tracker.table.cold[C_CHECK]! ^= 1;
      else fragments[fragments.findIndex((word) => word !== 0) + 11]! ^= 1;
      const lines: string[] = [];
      const bed = new Bed({ after: before, log: (line) => lines.push(line) });
      expect(bed.out(second)).toEqual([]);
      const flow = damage === 'flow' ? '1 flow: 1 damaged; ' : '';
      expect(lines).toEqual([`not taken over from the engine before: ${flow}1 datagram in fragments`]);
    }
  });

  test('that waited for the first one are lost, counted and said', () => {
    const before = new Bed();
    before.out(second);
    before.out(third);
    const lines: string[] = [];
    const bed = new Bed({ after: before, log: (line) => lines.push(line) });
    expect(lines).toEqual([
      'not taken over from the engine before: 2 fragments that waited for the first one',
    ]);
    expect(bed.drops).toEqual({ fragment_timeout: 2 });
    bed.checkInvariants();
  });
});

test('what could not be taken over is said by cause', () => {
  const before = new Bed();
  fill(before);
  const { hot, cold } = before.engine.tracker.table;
  hot[H_SEQUENCE]! |= 1;
  cold[COLD + C_CHECK]! ^= 1;
  const lines: string[] = [];
  const held = { tcp: [40000], udp: [] };
  const bed = new Bed({ after: before, held, log: (line) => lines.push(line) });
  expect(lines).toEqual([
    'not taken over from the engine before: 3 flows: 1 half written, 1 damaged, 1 whose address, rule or port is gone',
  ]);
  expect(bed.totals['flows_lost_at_restart']).toBe(3);
});

describe('records that were being written', () => {
  test('checksum deltas that were not written yet are computed anew', () => {
    const before = new Bed();
    before.out(udpPacket({ from: '10.77.0.2:1000', to: `${SERVER}:53` }));
    before.engine.tracker.table.hot[H_DELTAS] = 0;
    const bed = new Bed({ after: before });
    const [sent] = bed.out(udpPacket({ from: '10.77.0.2:1000', to: `${SERVER}:53`, payload: 'more' }));
    expect(decode(sent!.packet)).toMatchObject({ src: EXTERNAL, checksumOk: true, headerChecksumOk: true });
  });

  test('any damage: what is taken over is whole, the rest is counted, and the gateway works', () => {
    const damage = fc.array(fc.tuple(fc.nat(9), fc.constantFrom('torn', 'doubled', 'garbage', 'state')), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(damage, fc.infiniteStream(fc.integer()), (damages, random) => {
        const before = new Bed({ flows: 10 });
        fill(before);
        const { hot } = before.engine.tracker.table;
        for (const [flow, how] of damages) {
          const h = flow * HOT;
          if (how === 'torn') hot[h + H_SEQUENCE]! |= 1;
          if (how === 'doubled') hot.copyWithin(h, 0, HOT);
          if (how === 'state') hot[h + H_STATUS]! ^= (random.next().value & 0xf) << 8;
          if (how === 'garbage') for (let i = 0; i < HOT; i++) hot[h + i] = random.next().value;
        }
        const bed = new Bed({ after: before });
        bed.engine.tick(bed.now);
        bed.checkInvariants();
        for (let i = 0; i < 20; i++) {
          const sent = bed.out(udpPacket({ from: `10.77.0.4:${41000 + i}`, to: `${SERVER}:53` }));
          for (const packet of to(PUBLIC, sent))
            expect(decode(packet)).toMatchObject({ src: EXTERNAL, checksumOk: true });
        }
        bed.checkInvariants();
        // The longest that one of another protocol may live: a UDP flow that a helper keeps.
        bed.pass(3_700_000);
        expect(bed.flows().every(({ protocol }) => protocol === 6)).toBe(true);
        bed.checkInvariants();
      }),
      { numRuns: 40 },
    );
  });
});
