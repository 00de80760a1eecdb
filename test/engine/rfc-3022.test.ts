/** RFC 3022 on packets, where no other test has it. */
import { describe, expect, test } from 'vitest';
import { echoPacket, icmpError } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, ends, only, PAIR, poolOf, tcp, udp, X } from './nat-bed.ts';
import { filler, rawPacket } from './packets.ts';

describe('Basic NAT', () => {
  test('addresses alone are translated, both ways, for every protocol', () => {
    const bed = new Bed({ nat: { ...poolOf(['198.18.0.20']), rules: [], prefixes: [PAIR] } });
    for (const packet of [
      udp(`${X}:5`, `${A}:6`),
      tcp(`${X}:5`, `${A}:6`, 'S'),
      echoPacket({ from: X, to: A, identifier: 5 }),
      rawPacket({ src: X, dst: A, protocol: 47, body: filler(12) }),
    ]) {
      const seen = decode(to(PUBLIC, bed.out(packet))[0]!);
      const before = decode(packet);
      expect([seen.src, seen.dst, seen.protocol]).toEqual(['198.18.1.18', A, before.protocol]);
      expect([seen.sport, seen.dport, seen.icmpId]).toEqual([before.sport, before.dport, before.icmpId]);
      expect([seen.headerChecksumOk, seen.checksumOk]).toEqual([true, true]);
    }
    expect(ends(only(PRIVATE, bed.in(udp(`${A}:6`, '198.18.1.18:5'))))).toBe(`${A}:6 > ${X}:5`);
  });
});

describe('private addresses', () => {
  test('none leaves: not in a packet, not in an error, not of a host without a rule', () => {
    const bed = new Bed({ nat: { ...poolOf(['198.18.0.20']), rules: [] } });
    expect(only(PRIVATE, bed.out(udp(`${X}:5`, `${A}:6`)))).toMatchObject({ type: 3, code: 13, dst: X });
    expect(bed.drops).toEqual({ no_rule_matches: 1 });
    const other = new Bed();
    const packet = udp(`${B}:5`, `${X}:6`);
    expect(other.out(icmpError({ from: X, to: B, type: 3, code: 3, packet }))).toEqual([]);
    expect(to(PUBLIC, other.out(tcp(`${X}:5`, `${A}:6`, 'FA')))).toEqual([]);
    expect(other.drops).toEqual({ no_related: 1, invalid_tcp: 1 });
  });
});
