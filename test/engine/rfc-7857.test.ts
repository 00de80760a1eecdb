/** RFC 7857 on packets, where no other test has it: RSTs, what refreshes, timers apart. */
import { describe, expect, test } from 'vitest';
import { echoPacket, icmpError } from '../../src/testing/index.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith, connect, ends, only, portOf, tcp, udp, X } from './nat-bed.ts';

describe('timers of opening and closing', () => {
  test('are set apart, below four minutes where wanted', () => {
    const bed = new Bed({ timeouts: { tcpSynSent: 30, tcpFinWait: 90 } });
    connect(bed);
    bed.out(tcp(`${X}:40000`, `${A}:80`, 'FA', { seq: 101, ack: 501 }));
    bed.out(tcp(`${X}:41000`, `${A}:81`, 'S', { seq: 1 }));
    expect(bed.flows()).toHaveLength(2);
    bed.pass(32_000);
    expect(bed.flows().map(({ state }) => state)).toEqual(['FIN_WAIT']);
    bed.pass(60_000);
    expect(bed.flows()).toEqual([]);
  });
});

describe('RST', () => {
  test.each(['in', 'out'] as const)('is translated (%s), and the session stays four minutes', (from) => {
    const bed = new Bed();
    const external = connect(bed);
    if (from === 'in') {
      const seen = only(PRIVATE, bed.in(tcp(`${A}:80`, external, 'R', { seq: 501 })));
      expect(ends(seen)).toBe(`${A}:80 > ${X}:40000`);
    } else {
      const seen = only(PUBLIC, bed.out(tcp(`${X}:40000`, `${A}:80`, 'R', { seq: 101 })));
      expect(ends(seen)).toBe(`${external} > ${A}:80`);
    }
    bed.pass(239_000);
    expect(bed.flows().map(({ state }) => state)).toEqual(['CLOSE']);
    expect(only(PRIVATE, bed.in(tcp(`${A}:80`, external, 'A', { seq: 501, ack: 101 }))).dst).toBe(X);
    bed.pass(243_000);
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('a forged one that its receiver would challenge leaves the connection what it was', () => {
    const bed = new Bed();
    const external = connect(bed);
    bed.in(tcp(`${A}:80`, external, 'PA', { seq: 501, ack: 101, payload: 'x' }));
    bed.in(tcp(`${A}:80`, external, 'R', { seq: 9000 }));
    bed.out(tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 101, ack: 502 }));
    bed.pass(3_600_000);
    expect(bed.flows().map(({ state }) => state)).toEqual(['ESTABLISHED']);
  });
});

describe('unwanted packets under endpoint-independent filtering', () => {
  test('TCP: SYNs that nobody answers, from ever new ports, keep no mapping', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' }, { flows: 512 });
    bed.out(tcp(`${X}:40000`, `${A}:80`, 'S', { seq: 1 }));
    for (let i = 0; i < 8; i++) {
      bed.in(tcp(`${B}:7`, `${EXTERNAL}:40000`, 'S', { seq: 1 }));
      bed.pass(100_000);
    }
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });
});

describe('outbound errors do not refresh', () => {
  test('ICMP errors that answer what came in', () => {
    const bed = new Bed();
    const port = portOf(bed, `${X}:40000`, `${A}:1000`);
    const packet = bed.in(udp(`${A}:1000`, `${EXTERNAL}:${port}`))[0]!.packet;
    for (let i = 0; i < 4; i++) {
      bed.pass(74_000);
      expect(bed.out(icmpError({ from: X, to: A, type: 3, code: 3, packet }))).toHaveLength(1);
    }
    bed.pass(8000);
    expect(bed.flows()).toEqual([]);
  });

  test('RSTs on a connection that a RST has closed', () => {
    const bed = new Bed();
    connect(bed);
    for (let i = 0; i < 3; i++) {
      expect(to(PUBLIC, bed.out(tcp(`${X}:40000`, `${A}:80`, 'R', { seq: 101 })))).toHaveLength(1);
      bed.pass(80_000);
    }
    bed.pass(4000);
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('a RST of a private host that answers an uninvited SYN ends what the SYN began', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    connect(bed);
    bed.in(tcp(`${B}:7`, `${EXTERNAL}:40000`, 'S', { seq: 1 }));
    expect(bed.flows()).toHaveLength(2);
    bed.out(tcp(`${X}:40000`, `${B}:7`, 'RA', { seq: 0, ack: 2 }));
    bed.pass(2000);
    expect(bed.flows().map(({ state }) => state)).toEqual(['ESTABLISHED']);
    bed.checkInvariants();
  });
});

describe('ICMP query mappings', () => {
  test('go with their last session', () => {
    const bed = new Bed();
    bed.out(echoPacket({ from: X, to: A, identifier: 7 }));
    bed.pass(40_000);
    bed.out(echoPacket({ from: X, to: B, identifier: 7 }));
    bed.pass(25_000);
    expect([bed.flows().length, bed.isOwned('icmp', 7)]).toEqual([1, true]);
    bed.pass(40_000);
    expect([bed.flows().length, bed.isOwned('icmp', 7)]).toEqual([0, false]);
  });
});
