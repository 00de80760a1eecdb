/** RFC 4787’s words on packets: mapping × filtering, hairpin, port choice, and what is let in. */
import { describe, expect, test } from 'vitest';
import { echoPacket, tcpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith, only, portOf, udp, X, Y } from './nat-bed.ts';

const DEPENDENCES = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const;

describe('mapping (RFC 4787 4.1)', () => {
  test.each(DEPENDENCES)('%s', (mapping) => {
    const bed = bedWith({ mapping });
    const ports = [`${A}:1`, `${A}:2`, `${B}:1`].map((remote) => portOf(bed, `${X}:40000`, remote));
    expect(ports[0]).toBe(40000);
    expect(ports[1] === ports[0]).toBe(mapping !== 'address-and-port-dependent');
    expect(ports[2] === ports[0]).toBe(mapping === 'endpoint-independent');
    // Answers come back to the one who asked, whichever port it was.
    for (const [i, remote] of [`${A}:1`, `${A}:2`, `${B}:1`].entries()) {
      const back = only(PRIVATE, bed.in(udp(remote, `${EXTERNAL}:${ports[i]}`)));
      expect([back.dst, back.dport]).toEqual([X, 40000]);
    }
    bed.checkInvariants();
  });
});

describe('filtering (RFC 4787 5)', () => {
  test.each(DEPENDENCES)('%s', (filtering) => {
    const bed = bedWith({ filtering });
    const port = portOf(bed, `${X}:40000`, `${A}:1`);
    const passes = (remote: string) => to(PRIVATE, bed.in(udp(remote, `${EXTERNAL}:${port}`))).length === 1;
    expect(passes(`${A}:1`)).toBe(true);
    expect(passes(`${A}:2`)).toBe(filtering !== 'address-and-port-dependent');
    expect(passes(`${B}:1`)).toBe(filtering === 'endpoint-independent');
    bed.checkInvariants();
  });

  test('what came in uninvited is answered from the mapped port', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    portOf(bed, `${X}:40000`, `${A}:1`);
    const seen = only(PRIVATE, bed.in(udp(`${B}:7`, `${EXTERNAL}:40000`)));
    expect([seen.src, seen.sport, seen.dst, seen.dport]).toEqual([B, 7, X, 40000]);
    const answer = only(PUBLIC, bed.out(udp(`${X}:40000`, `${B}:7`)));
    expect([answer.src, answer.sport]).toEqual([EXTERNAL, 40000]);
    bed.checkInvariants();
  });

  test('address-dependent: forgotten with the last flow to that address', () => {
    const bed = bedWith({ filtering: 'address-dependent' });
    portOf(bed, `${X}:40000`, `${A}:1`);
    bed.pass(200_000);
    portOf(bed, `${X}:40000`, `${B}:1`);
    bed.pass(150_000);
    expect(bed.flows()).toHaveLength(1);
    expect(bed.in(udp(`${A}:2`, `${EXTERNAL}:40000`))).toEqual([]);
    expect(bed.in(udp(`${B}:2`, `${EXTERNAL}:40000`))).toHaveLength(1);
    bed.checkInvariants();
  });

  test('nobody keeps a mapping alive from outside that is not answered (RFC 7857, EIF mapping refresh)', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    portOf(bed, `${X}:40000`, `${A}:1`);
    for (let i = 0; i < 8; i++) {
      bed.in(udp(`${B}:7`, `${EXTERNAL}:40000`));
      bed.pass(100_000);
    }
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('TCP from outside begins with a SYN', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    bed.out(tcpPacket({ from: `${X}:40000`, to: `${A}:1`, flags: 'S' }));
    const tcp = (flags: string) => bed.in(tcpPacket({ from: `${B}:7`, to: `${EXTERNAL}:40000`, flags }));
    expect(tcp('A')).toEqual([]);
    expect(tcp('S')).toHaveLength(1);
    expect(bed.drops).toEqual({ invalid_tcp: 1 });
  });
});

describe('hairpin (RFC 4787 REQ-9, RFC 5382 REQ-8)', () => {
  test('UDP: the other host sees the external source, answers come back', () => {
    const bed = bedWith({});
    portOf(bed, `${Y}:5000`, `${A}:1`);
    const there = only(
      PRIVATE,
      bed.out(udp(`${X}:40000`, `${EXTERNAL}:${portOf(bed, `${Y}:5000`, `${A}:1`)}`)),
    );
    expect([there.src, there.sport, there.dst, there.dport]).toEqual([EXTERNAL, 40000, Y, 5000]);
    const back = only(PRIVATE, bed.out(udp(`${Y}:5000`, `${EXTERNAL}:40000`)));
    expect(back.src).toBe(EXTERNAL);
    expect([back.dst, back.dport]).toEqual([X, 40000]);
    expect(to(PUBLIC, bed.out(udp(`${X}:40000`, `${A}:1`)))).toHaveLength(1);
    bed.checkInvariants();
  });

  test('TCP, and an ICMP error about it', () => {
    const bed = bedWith({});
    bed.out(tcpPacket({ from: `${Y}:40001`, to: `${A}:1`, flags: 'S' }));
    const syn = to(
      PRIVATE,
      bed.out(tcpPacket({ from: `${X}:40000`, to: `${EXTERNAL}:40001`, flags: 'S' })),
    )[0]!;
    expect(decode(syn)).toMatchObject({
      src: EXTERNAL,
      sport: 40000,
      dst: Y,
      dport: 40001,
      checksumOk: true,
    });
    const ack = only(
      PRIVATE,
      bed.out(tcpPacket({ from: `${Y}:40001`, to: `${EXTERNAL}:40000`, flags: 'SA' })),
    );
    expect([ack.src, ack.sport, ack.dst, ack.dport]).toEqual([EXTERNAL, 40001, X, 40000]);
    bed.checkInvariants();
  });

  test('a host reaches itself', () => {
    const bed = bedWith({});
    portOf(bed, `${X}:40000`, `${A}:1`);
    const seen = only(PRIVATE, bed.out(udp(`${X}:40001`, `${EXTERNAL}:40000`)));
    expect([seen.src, seen.sport, seen.dst, seen.dport]).toEqual([EXTERNAL, 40001, X, 40000]);
  });

  test('a query to an id that another host has', () => {
    const bed = bedWith({});
    bed.out(echoPacket({ from: Y, to: A, identifier: 7 }));
    const there = only(PRIVATE, bed.out(echoPacket({ from: X, to: EXTERNAL, identifier: 7 })));
    expect([there.src, there.dst, there.type]).toEqual([EXTERNAL, Y, 8]);
    const back = only(PRIVATE, bed.out(echoPacket({ from: Y, to: EXTERNAL, identifier: 7, reply: true })));
    expect([back.src, back.dst, back.type]).toEqual([EXTERNAL, X, 0]);
    bed.checkInvariants();
  });

  test('is taken over by a new engine, both mappings with it', () => {
    const before = bedWith({});
    portOf(before, `${Y}:5000`, `${A}:1`);
    const port = portOf(before, `${Y}:5000`, `${A}:1`);
    before.out(udp(`${X}:40000`, `${EXTERNAL}:${port}`));
    const bed = bedWith({}, { after: before });
    expect(bed.flows()).toEqual(before.flows());
    expect(only(PRIVATE, bed.out(udp(`${Y}:5000`, `${EXTERNAL}:40000`))).dst).toBe(X);
    bed.checkInvariants();
  });
});

describe('ports (RFC 4787 4.2)', () => {
  test('parity and class are kept when the port cannot be', () => {
    const ports = { first: 512, last: 65535 };
    const bed = bedWith({}, { ports });
    for (const port of [600, 601, 40000, 40001]) {
      expect(portOf(bed, `${X}:${port}`, `${A}:1`)).toBe(port);
      const other = portOf(bed, `${Y}:${port}`, `${A}:1`);
      expect(other).not.toBe(port);
      expect(other & 1).toBe(port & 1);
      expect(other < 1024).toBe(port < 1024);
    }
    bed.checkInvariants(ports);
  });

  test('random: not the internal port; sequential: one after the other', () => {
    const random = bedWith({ ports: 'random' }, { flows: 512 });
    const kept = Array.from(
      { length: 200 },
      (_, i) => portOf(random, `${X}:${40000 + i}`, `${A}:1`) === 40000 + i,
    );
    expect(kept.filter(Boolean).length).toBeLessThan(5);
    const sequential = bedWith({ ports: 'sequential', parity: false });
    expect([0, 1, 2].map((i) => portOf(sequential, `${X}:${50000 + i}`, `${A}:1`))).toEqual([
      32768, 32769, 32770,
    ]);
  });
});

describe('a SYN that nothing expects (RFC 5382 REQ-4)', () => {
  const syn = tcpPacket({ from: `${A}:5`, to: `${EXTERNAL}:40000`, flags: 'S' });
  /** What ticks send, second by second. */
  const answers = (bed: Bed, seconds: number) => {
    const sent: number[] = [];
    for (let second = 1; second <= seconds; second++) {
      bed.now += 1000;
      bed.engine.tick(bed.now);
      for (const packet of bed.link.sent(bed.engine.outCount)) {
        expect(decode(packet.packet)).toMatchObject({ src: EXTERNAL, dst: A, type: 3, code: 3 });
        sent.push(second);
      }
      bed.engine.clearOut();
    }
    return sent;
  };

  test('silent: never answered', () => {
    const bed = new Bed();
    expect(bed.in(syn)).toEqual([]);
    expect(answers(bed, 10)).toEqual([]);
  });

  test('unreachable: 3/3 after six seconds', () => {
    const bed = new Bed({ unsolicited: 'unreachable' });
    expect(bed.in(syn)).toEqual([]);
    expect(answers(bed, 10)).toEqual([6]);
  });

  test('unreachable: not when the other half of a simultaneous open comes in time', () => {
    const bed = new Bed({ unsolicited: 'unreachable' });
    bed.in(syn);
    expect(answers(bed, 5)).toEqual([]);
    bed.out(tcpPacket({ from: `${X}:40000`, to: `${A}:5`, flags: 'S' }));
    expect(answers(bed, 5)).toEqual([]);
    expect(bed.in(syn)).toHaveLength(1);
  });
});
