/** RFC 5382 on packets, where no other test has it: connections begun by either side, timers, ICMP. */
import { describe, expect, test } from 'vitest';
import { icmpError } from '../../src/testing/index.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith, connect, ends, only, tcp, X } from './nat-bed.ts';

const HOUR = 3_600_000;
const MINUTE = 60_000;

describe('REQ-1: mapping', () => {
  test('one internal endpoint has one external port for all its connections', () => {
    const bed = new Bed();
    const seen = [`${A}:80`, `${A}:81`, `${B}:80`].map((remote) => connect(bed, `${X}:1000`, remote));
    expect(new Set(seen).size).toBe(1);
    bed.checkInvariants();
  });
});

describe('REQ-2: all valid sequences', () => {
  test('begun outside, where the filter lets it in: handshake, data both ways, closed by the remote first', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    connect(bed);
    const [remote, external, inside] = [`${B}:7`, `${EXTERNAL}:40000`, `${X}:40000`];
    const steps: [from: 'in' | 'out', flags: string, seq: number, ack: number, payload?: string][] = [
      ['in', 'S', 100, 0],
      ['out', 'SA', 500, 101],
      ['in', 'A', 101, 501],
      ['in', 'PA', 101, 501, 'hello'],
      ['out', 'PA', 501, 106, 'hallo'],
      ['in', 'FA', 106, 506],
      ['out', 'A', 506, 107],
      ['out', 'PA', 506, 107, 'still'],
      ['out', 'FA', 511, 107],
      ['in', 'A', 107, 512],
    ];
    for (const [from, flags, seq, ack, payload] of steps) {
      const fields = { seq, ack, ...(payload && { payload }) };
      if (from === 'in') {
        expect(ends(only(PRIVATE, bed.in(tcp(remote, external, flags, fields))))).toBe(`${B}:7 > ${inside}`);
      } else {
        expect(ends(only(PUBLIC, bed.out(tcp(inside, remote, flags, fields))))).toBe(`${external} > ${B}:7`);
      }
    }
    expect(bed.flows().map(({ state }) => state)).toContain('TIME_WAIT');
    bed.checkInvariants();
  });

  test.each(['ours first', 'theirs first'])('simultaneous open, %s', (order) => {
    const bed = new Bed();
    const remote = `${A}:80`;
    const external = `${EXTERNAL}:40000`;
    const theirs = () => bed.in(tcp(remote, external, 'S', { seq: 500 }));
    // Theirs comes to nothing while nothing is mapped, and is sent again.
    if (order === 'theirs first') expect(theirs()).toEqual([]);
    expect(ends(only(PUBLIC, bed.out(tcp(`${X}:40000`, remote, 'S', { seq: 100 }))))).toContain(external);
    expect(ends(only(PRIVATE, theirs()))).toBe(`${A}:80 > ${X}:40000`);
    only(PUBLIC, bed.out(tcp(`${X}:40000`, remote, 'SA', { seq: 100, ack: 501 })));
    only(PRIVATE, bed.in(tcp(remote, external, 'SA', { seq: 500, ack: 101 })));
    only(PUBLIC, bed.out(tcp(`${X}:40000`, remote, 'A', { seq: 101, ack: 501 })));
    expect(only(PRIVATE, bed.in(tcp(remote, external, 'PA', { seq: 501, ack: 101, payload: 'x' }))).dst).toBe(
      X,
    );
    expect(bed.flows().map(({ state }) => state)).toEqual(['ESTABLISHED']);
    bed.checkInvariants();
  });
});

describe('REQ-4: a SYN that nothing expects', () => {
  test('neither a RST nor an ICMP error leaves, for whatever port of the range, by default', () => {
    const bed = new Bed();
    for (let port = 32768; port < 32868; port++) {
      expect(bed.in(tcp(`${A}:5`, `${EXTERNAL}:${port}`, 'S'))).toEqual([]);
    }
    bed.pass(10_000);
    expect(bed.link.sent(bed.engine.outCount)).toEqual([]);
    expect(bed.drops).toEqual({ no_flow: 100 });
  });
});

describe('REQ-5: idle timers', () => {
  test('an established connection has two hours and four minutes, with data outstanding too', () => {
    for (const outstanding of [false, true]) {
      const bed = new Bed();
      const external = connect(bed);
      if (outstanding) bed.out(tcp(`${X}:40000`, `${A}:80`, 'PA', { seq: 101, ack: 501, payload: 'x' }));
      bed.pass(2 * HOUR + 4 * MINUTE - 1000);
      expect(bed.flows().map(({ state }) => state)).toEqual(['ESTABLISHED']);
      expect(to(PRIVATE, bed.in(tcp(`${A}:80`, external, 'A', { seq: 501, ack: 101 })))).toHaveLength(1);
    }
  });

  test.each<[string, (bed: Bed, external: string) => void]>([
    ['half open', (bed) => bed.out(tcp(`${X}:41000`, `${A}:81`, 'S', { seq: 1 }))],
    ['half closed', (bed) => bed.out(tcp(`${X}:40000`, `${A}:80`, 'FA', { seq: 101, ack: 501 }))],
    [
      'closed by both',
      (bed, external) => {
        bed.out(tcp(`${X}:40000`, `${A}:80`, 'FA', { seq: 101, ack: 501 }));
        bed.in(tcp(`${A}:80`, external, 'FA', { seq: 501, ack: 102 }));
        bed.out(tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 102, ack: 502 }));
      },
    ],
    ['reset', (bed, external) => bed.in(tcp(`${A}:80`, external, 'R', { seq: 501 }))],
  ])('a transitory one has four minutes: %s', (_, bring) => {
    const bed = new Bed();
    const external = connect(bed);
    bring(bed, external);
    const flows = bed.flows().length;
    bed.pass(239_000);
    expect(bed.flows()).toHaveLength(flows);
    bed.pass(4000);
    expect(bed.flows().filter(({ state }) => state !== 'ESTABLISHED')).toEqual([]);
    bed.checkInvariants();
  });

  test('the timers are configurable', () => {
    const bed = new Bed({ timeouts: { tcpEstablished: 9000, tcpSynSent: 20 } });
    connect(bed);
    bed.out(tcp(`${X}:41000`, `${A}:81`, 'S', { seq: 1 }));
    bed.pass(22_000);
    expect(bed.flows().map(({ state }) => state)).toEqual(['ESTABLISHED']);
    bed.pass(8_970_000);
    expect(bed.flows()).toHaveLength(1);
    bed.pass(12_000);
    expect(bed.flows()).toEqual([]);
  });
});

describe('REQ-10: ICMP ends neither mapping nor connection', () => {
  test('no type and no code, from outside or from inside, in any state', () => {
    const bed = new Bed();
    const syn = bed.out(tcp(`${X}:41000`, `${A}:81`, 'S', { seq: 1 }))[0]!.packet;
    const external = connect(bed);
    const sent = bed.out(tcp(`${X}:40000`, `${A}:80`, 'PA', { seq: 101, ack: 501, payload: 'x' }))[0]!.packet;
    const answer = bed.in(tcp(`${A}:80`, external, 'A', { seq: 501, ack: 102 }))[0]!.packet;
    const before = bed.flows();
    for (let type = 0; type < 256; type++) {
      for (const code of [0, 1, 2, 3, 4, 9, 10, 13]) {
        for (const packet of [syn, sent]) bed.in(icmpError({ from: A, to: EXTERNAL, type, code, packet }));
        bed.out(icmpError({ from: X, to: A, type, code, packet: answer }));
      }
    }
    expect(bed.flows().filter(({ protocol }) => protocol === 6)).toEqual(before);
    expect(to(PUBLIC, bed.out(tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 102, ack: 501 })))).toHaveLength(1);
    expect(to(PRIVATE, bed.in(tcp(`${A}:81`, `${EXTERNAL}:41000`, 'SA', { seq: 9, ack: 2 })))).toHaveLength(
      1,
    );
    bed.checkInvariants();
  });
});
