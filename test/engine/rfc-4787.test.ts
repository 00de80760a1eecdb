/** RFC 4787 on packets, where no other test has it: timers, refreshing, conflicts, determinism, ICMP. */
import { describe, expect, test } from 'vitest';
import { TO_HOST } from '../../src/engine/routes.ts';
import { icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, GATEWAY, NEXT_HOP, PRIVATE, PUBLIC, route, to } from './bed.ts';
import { A, B, bedWith, only, portOf, udp, X, Y } from './nat-bed.ts';

describe('REQ-3: overload never', () => {
  test('an external port is never two hosts’, not even when none is left and the remotes differ', () => {
    const ports = { first: 40000, last: 40003 };
    const bed = bedWith({ overload: 'never' }, { ports, evict: 'never' });
    const given = [1, 2, 3, 4].map((port) => portOf(bed, `${X}:${port}`, `${A}:1`));
    expect(new Set(given).size).toBe(4);
    expect(only(PRIVATE, bed.out(udp(`${Y}:1`, `${B}:9`)))).toMatchObject({ type: 3, code: 13, dst: Y });
    expect(bed.drops).toEqual({ no_free_port: 1 });
    expect(bed.totals).toMatchObject({ ports_overloaded: 0, ports_udp: 4 });
    bed.checkInvariants(ports);
  });
});

describe('REQ-5: timers of UDP mappings', () => {
  test('five minutes of silence, whether answered or not', () => {
    for (const answered of [false, true]) {
      const bed = new Bed();
      const port = portOf(bed, `${X}:40000`, `${A}:1000`);
      if (answered) bed.in(udp(`${A}:1000`, `${EXTERNAL}:${port}`));
      bed.pass(299_000);
      expect(bed.in(udp(`${A}:1000`, `${EXTERNAL}:${port}`))).toHaveLength(1);
      bed.pass(302_000);
      expect(bed.in(udp(`${A}:1000`, `${EXTERNAL}:${port}`))).toEqual([]);
      expect(bed.flows()).toEqual([]);
    }
  });

  test('towards port 53 ten seconds, once it has been answered', () => {
    const bed = new Bed();
    const port = portOf(bed, `${X}:40000`, `${A}:53`);
    bed.pass(200_000);
    expect(bed.in(udp(`${A}:53`, `${EXTERNAL}:${port}`))).toHaveLength(1);
    bed.pass(9000);
    expect(bed.flows()).toHaveLength(1);
    bed.pass(3000);
    expect(bed.flows()).toEqual([]);
  });

  test('the timer is configurable', () => {
    const bed = new Bed({ timeouts: { udp: 20, udpStream: 20 } });
    portOf(bed, `${X}:40000`, `${A}:1000`);
    bed.pass(22_000);
    expect(bed.flows()).toEqual([]);
  });
});

describe('REQ-6: refreshing', () => {
  test('what leaves keeps the mapping, for all remotes, without any answer', () => {
    const bed = new Bed();
    const port = portOf(bed, `${X}:40000`, `${A}:1000`);
    for (let i = 0; i < 10; i++) {
      bed.pass(250_000);
      expect(portOf(bed, `${X}:40000`, i % 2 === 0 ? `${A}:1000` : `${B}:7`)).toBe(port);
    }
    expect(portOf(bed, `${X}:40000`, '203.0.113.77:5')).toBe(port);
    bed.checkInvariants();
  });

  test('what comes in from who was written to keeps it, too', () => {
    const bed = new Bed();
    const port = portOf(bed, `${X}:40000`, `${A}:1000`);
    for (let i = 0; i < 10; i++) {
      bed.pass(250_000);
      expect(bed.in(udp(`${A}:1000`, `${EXTERNAL}:${port}`))).toHaveLength(1);
    }
  });
});

describe('REQ-7: the public network inside the private one', () => {
  const external = '10.77.128.1';
  const bed = () =>
    new Bed({
      external,
      routes: [
        route('10.77.0.0/16', PRIVATE),
        route('10.77.128.0/24', PUBLIC),
        route('0.0.0.0/0', PUBLIC, NEXT_HOP),
        route(`${GATEWAY}/32`, TO_HOST),
        route(`${external}/32`, TO_HOST),
      ],
    });

  test('the longer prefix decides: its nodes are translated to, like any', () => {
    const b = bed();
    const out = only(PUBLIC, b.out(udp(`${X}:40000`, '10.77.128.9:7')));
    expect([out.src, out.dst]).toEqual([external, '10.77.128.9']);
    expect(only(PRIVATE, b.in(udp('10.77.128.9:7', `${external}:40000`))).dst).toBe(X);
    expect(only(PUBLIC, b.out(udp(`${X}:40000`, `${A}:7`))).src).toBe(external);
    b.checkInvariants();
  });

  test('a source of the one side on the other is forged', () => {
    const b = bed();
    expect(b.out(udp('10.77.128.9:7', `${A}:1`))).toEqual([]);
    expect(b.drops).toEqual({ martian_source: 1 });
  });
});

describe('REQ-10: no ALG unless asked for', () => {
  test.each<[string, Uint8Array]>([
    [
      'FTP',
      tcpPacket({ from: `${X}:40000`, to: `${A}:21`, flags: 'S', payload: 'PORT 10,77,0,2,156,64\r\n' }),
    ],
    ['SIP', udpPacket({ from: `${X}:5060`, to: `${A}:5060`, payload: `c=IN IP4 ${X}\r\nm=audio 40000` })],
    ['TFTP', udpPacket({ from: `${X}:40000`, to: `${A}:69`, payload: '\0\x01boot\0octet\0' })],
  ])('the payload of %s stays as it is', (_, packet) => {
    const seen = only(PUBLIC, new Bed().out(packet));
    expect(seen.payload).toEqual(decode(packet).payload);
  });
});

describe('REQ-11: deterministic', () => {
  test('who did not get his port is mapped and filtered as who did', () => {
    const bed = new Bed();
    const ports = [X, Y].map((host) => portOf(bed, `${host}:40000`, `${A}:1`));
    expect(ports[0]).not.toBe(ports[1]);
    for (const [i, host] of [X, Y].entries()) {
      for (const remote of [`${A}:2`, `${B}:1`, `${B}:2`]) {
        expect(portOf(bed, `${host}:40000`, remote)).toBe(ports[i]);
      }
      expect(to(PRIVATE, bed.in(udp(`${B}:1`, `${EXTERNAL}:${ports[i]}`)))).toHaveLength(1);
      expect(bed.in(udp(`${B}:3`, `${EXTERNAL}:${ports[i]}`))).toEqual([]);
    }
    bed.checkInvariants();
  });

  test('with every port in use each mapping is as before, for new remotes too (overload never)', () => {
    const ports = { first: 40000, last: 40031 };
    const bed = bedWith({ overload: 'never' }, { ports, flows: 256, evict: 'never' });
    const given = Array.from({ length: 32 }, (_, i) => portOf(bed, `${X}:${1000 + i}`, `${A}:1`));
    bed.out(udp(`${Y}:1`, `${A}:1`));
    for (const [i, port] of given.entries()) {
      expect(portOf(bed, `${X}:${1000 + i}`, `${B}:1`)).toBe(port);
      expect(bed.in(udp(`${B}:2`, `${EXTERNAL}:${port}`))).toEqual([]);
      expect(bed.in(udp(`${B}:1`, `${EXTERNAL}:${port}`))).toHaveLength(1);
    }
    bed.checkInvariants(ports);
  });
});

describe('REQ-12: ICMP ends no mapping', () => {
  test('no type and no code, from outside or from inside', () => {
    const bed = new Bed();
    const sent = bed.out(udp(`${X}:40000`, `${A}:1`))[0]!.packet;
    const answer = bed.in(udp(`${A}:1`, `${EXTERNAL}:40000`))[0]!.packet;
    const before = bed.flows();
    for (let type = 0; type < 256; type++) {
      for (const code of [0, 1, 2, 3, 4, 9, 10, 13]) {
        bed.in(icmpError({ from: A, to: EXTERNAL, type, code, packet: sent }));
        bed.out(icmpError({ from: X, to: A, type, code, packet: answer }));
      }
    }
    const udpFlows = bed.flows().filter(({ protocol }) => protocol === 17);
    expect(udpFlows).toEqual(before);
    expect(portOf(bed, `${X}:40000`, `${B}:1`)).toBe(40000);
    expect(only(PRIVATE, bed.in(udp(`${A}:1`, `${EXTERNAL}:40000`))).dst).toBe(X);
    bed.checkInvariants();
  });
});
