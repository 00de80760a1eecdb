/**
 * Port shadowing (CVE-2021-3773 and its kin): nobody, inside or outside, makes packets that are another's go to himself, whatever he
 * sends from or to. X attacks Y, who is inside too, and the gateway's own traffic; M is outside.
 */
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, GATEWAY, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, ends, only, udp, X, Y } from './nat-bed.ts';

/** Remote, an attacker's. */
const M = '203.0.113.66';

test('a port that another has outside is not given by asking for it', () => {
  const bed = new Bed();
  const mine = ends(only(PUBLIC, bed.out(udp(`${Y}:40000`, `${A}:53`)))).split(' ')[0]!;
  expect(mine).toBe(`${EXTERNAL}:40000`);
  for (const remote of [`${A}:53`, `${A}:54`, `${M}:53`]) {
    const { src, sport } = only(PUBLIC, bed.out(udp(`${X}:40000`, remote)));
    expect(src).toBe(EXTERNAL);
    expect(sport).not.toBe(40000);
  }
  expect(only(PRIVATE, bed.in(udp(`${A}:53`, mine))).dst).toBe(Y);
});

test('ports that sockets of the host hold are nobody’s: answers to the gateway stay the gateway’s', () => {
  const bed = new Bed({ held: { tcp: [40000], udp: [40000] } });
  for (const make of [
    udpPacket,
    (ends_: { from: string; to: string }) => tcpPacket({ ...ends_, flags: 'S' }),
  ]) {
    const { sport } = only(PUBLIC, bed.out(make({ from: `${X}:40000`, to: `${A}:53` })));
    expect(sport).not.toBe(40000);
  }
  expect(bed.isOwned('udp', 40000)).toBe(false);
  expect(bed.isOwned('tcp', 40000)).toBe(false);
});

describe('forged sources make no flow', () => {
  test.each([EXTERNAL, GATEWAY, A, M, '0.0.0.0', '255.255.255.255', '127.0.0.1'])(
    '%s from inside',
    (source) => {
      const bed = new Bed();
      expect(to(PUBLIC, bed.out(udp(`${source}:53`, `${A}:53`)))).toEqual([]);
      expect(to(PUBLIC, bed.out(udp(`${source}:53`, `${Y}:53`)))).toEqual([]);
      expect(bed.flows()).toEqual([]);
    },
  );

  test.each([EXTERNAL, GATEWAY, X, Y])('%s from outside', (source) => {
    const bed = new Bed();
    bed.out(udp(`${Y}:40000`, `${A}:53`));
    expect(to(PRIVATE, bed.in(udp(`${source}:53`, `${EXTERNAL}:40000`)))).toEqual([]);
    expect(bed.flows()).toHaveLength(1);
  });
});

test('whatever X and M send, what is for Y comes to Y alone, and what Y sends leaves as Y', () => {
  const seed = Number(process.env['NATGATE_SEED'] ?? 20261129);
  const random = new Random(seed);
  const below = (limit: number) => (random.next() >>> 1) % limit;
  const one = <T>(items: readonly T[]) => items[below(items.length)]!;
  const bed = new Bed({ flows: 4096, tap: false });
  const ports = [53, 80, 40000, 40001, 33000];
  bed.out(udp(`${Y}:40000`, `${A}:53`));
  bed.out(tcpPacket({ from: `${Y}:40001`, to: `${A}:80`, flags: 'S', seq: 1 }));
  bed.in(tcpPacket({ from: `${A}:80`, to: `${EXTERNAL}:40001`, flags: 'SA', seq: 7, ack: 2 }));
  bed.out(tcpPacket({ from: `${Y}:40001`, to: `${A}:80`, flags: 'A', seq: 2, ack: 8 }));
  bed.out(echoPacket({ from: Y, to: A, identifier: 40000 }));
  for (let i = 0; i < 1500; i++) {
    const isInside = below(2) === 0;
    // M may forge anything but the endpoints that Y talks with; X nothing that the gateway would take for Y's.
    const from = isInside ? one([X, EXTERNAL, GATEWAY, A, M]) : one([M, X, Y, EXTERNAL, GATEWAY]);
    const dst = one([EXTERNAL, GATEWAY, A, M, Y]);
    const name = { from: `${from}:${one(ports)}`, to: `${dst}:${one(ports)}` };
    const kind = below(3);
    const packet =
      kind === 0
        ? udpPacket(name)
        : kind === 1
          ? tcpPacket({ ...name, flags: one(['S', 'A', 'SA', 'R', 'FA']), seq: below(4), ack: below(9) })
          : echoPacket({ from, to: dst, identifier: one([40000, 1]), reply: below(2) === 0 });
    for (const { device, packet: sent } of isInside ? bed.out(packet) : bed.in(packet)) {
      const { src } = decode(sent);
      // Nothing private shows outside.
      if (device === PUBLIC && isInside) expect(src, `packet ${i}, seed ${seed}`).toBe(EXTERNAL);
    }
    if (i % 100 !== 0) continue;
    const why = `after packet ${i}, seed ${seed}`;
    expect(only(PRIVATE, bed.in(udp(`${A}:53`, `${EXTERNAL}:40000`))).dst, why).toBe(Y);
    expect(ends(only(PUBLIC, bed.out(udp(`${Y}:40000`, `${A}:53`)))), why).toBe(
      `${EXTERNAL}:40000 > ${A}:53`,
    );
    const data = tcpPacket({ from: `${A}:80`, to: `${EXTERNAL}:40001`, flags: 'A', seq: 8, ack: 2 });
    expect(only(PRIVATE, bed.in(data)).dst, why).toBe(Y);
    const pong = echoPacket({ from: A, to: EXTERNAL, identifier: 40000, reply: true });
    expect(only(PRIVATE, bed.in(pong)).dst, why).toBe(Y);
    bed.checkInvariants();
  }
});

test('a scan from outside of every port of the shared address: silence, and only the port that was opened is there', () => {
  const bed = new Bed({ tap: false });
  bed.out(udp(`${Y}:40000`, `${A}:53`));
  const sent: string[] = [];
  for (let port = 32_768; port < 65_536; port += 7) {
    for (const packet of [
      tcpPacket({ from: `${M}:4000`, to: `${EXTERNAL}:${port}`, flags: 'S' }),
      tcpPacket({ from: `${M}:4000`, to: `${EXTERNAL}:${port}`, flags: 'A' }),
      udpPacket({ from: `${M}:4000`, to: `${EXTERNAL}:${port}` }),
    ]) {
      for (const { packet: answer } of bed.in(packet)) sent.push(decode(answer).dst);
    }
  }
  expect(sent).toEqual([]);
  expect(bed.flows()).toHaveLength(1);
});
