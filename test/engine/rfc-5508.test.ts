/** RFC 5508 on packets, where no other test has it. (icmp-errors.test.ts has each type and code, both ways.) */
import { describe, expect, test } from 'vitest';
import { echoPacket, icmpError, icmpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { Bed, EXTERNAL, NEXT_HOP, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith, ends, only, PAIR, poolOf, portOf, tcp, udp, X, Y } from './nat-bed.ts';
import { rawPacket } from './packets.ts';

const ROUTER = '192.0.2.1';
const pairs = { ...poolOf([EXTERNAL]), rules: [], prefixes: [PAIR] };

/** An error of `from` about `packet`, and what it quotes as it arrives on `device`. */
function errorAbout(bed: Bed, device: number, from: string, dst: string, packet: Uint8Array) {
  const error = icmpError({ from, to: dst, type: 3, code: 3, packet });
  const seen = only(device, device === PRIVATE ? bed.in(error) : bed.out(error));
  return { seen, quoted: decode(seen.payload) };
}

describe('REQ-1, REQ-2: queries', () => {
  test.each([
    ['echo', 8, 0],
    ['timestamp', 13, 14],
    ['information', 15, 16],
    ['address mask', 17, 18],
  ])('%s goes out and its reply comes back', (_, request, reply) => {
    const bed = new Bed();
    const body = Uint8Array.from([0x12, 0x34, 0, 1, ...new Uint8Array(12)]);
    const out = only(PUBLIC, bed.out(icmpPacket({ from: X, to: A, type: request, code: 0, body })));
    expect([out.src, out.type]).toEqual([EXTERNAL, request]);
    const answer = body.slice();
    answer.set([out.icmpId >> 8, out.icmpId & 255]);
    const back = only(
      PRIVATE,
      bed.in(icmpPacket({ from: A, to: EXTERNAL, type: reply, code: 0, body: answer })),
    );
    expect([back.dst, back.type, back.icmpId]).toEqual([X, reply, 0x1234]);
  });

  test('one id has one external id, whatever the remote', () => {
    const bed = new Bed();
    bed.out(echoPacket({ from: Y, to: A, identifier: 7 }));
    const ids = [A, B, ROUTER].map(
      (dst) => only(PUBLIC, bed.out(echoPacket({ from: X, to: dst, identifier: 7 }))).icmpId,
    );
    expect(ids[0]).not.toBe(7);
    expect(new Set(ids).size).toBe(1);
    bed.checkInvariants();
  });

  test('a query has 60 s for its reply, or as many as configured', () => {
    for (const icmp of [60, 90]) {
      const bed = new Bed({ timeouts: { icmp } });
      bed.out(echoPacket({ from: X, to: A, identifier: 7 }));
      bed.pass((icmp - 1) * 1000);
      expect(bed.in(echoPacket({ from: A, to: EXTERNAL, identifier: 7, reply: true }))[0]!.device).toBe(
        PRIVATE,
      );
      bed.pass((icmp + 2) * 1000);
      expect(bed.flows()).toEqual([]);
    }
    expect(new Bed().out(echoPacket({ from: X, to: A, identifier: 7 }))).toHaveLength(1);
  });

  test('the default is 60 s', () => {
    const bed = new Bed();
    bed.out(echoPacket({ from: X, to: A, identifier: 7 }));
    bed.pass(59_000);
    expect(bed.flows()).toHaveLength(1);
    bed.pass(3000);
    expect(bed.flows()).toEqual([]);
  });
});

describe('REQ-3: what an error must look like', () => {
  const begin = () => {
    const bed = new Bed();
    const sent = bed.out(udp(`${X}:40000`, `${A}:7`))[0]!.packet;
    return { bed, sent, error: icmpError({ from: ROUTER, to: EXTERNAL, type: 3, code: 1, packet: sent }) };
  };

  test('a wrong ICMP checksum: dropped in silence', () => {
    const { bed, error } = begin();
    error[22]! ^= 1;
    expect(bed.in(error)).toEqual([]);
    expect(bed.drops).toEqual({ bad_icmp_checksum: 1 });
  });

  test('a wrong checksum of the quoted header: dropped in silence, from inside too (3a)', () => {
    const { bed, sent } = begin();
    const answer = bed.in(udp(`${A}:7`, `${EXTERNAL}:40000`))[0]!.packet;
    for (const quoted of [sent, answer]) quoted[10]! ^= 1;
    bed.out(icmpError({ from: X, to: A, type: 3, code: 3, packet: answer }));
    expect(bed.in(icmpError({ from: ROUTER, to: EXTERNAL, type: 3, code: 1, packet: sent }))).toEqual([
      // The host's own error, for all that the engine can tell.
      expect.objectContaining({ device: PUBLIC }),
    ]);
    expect(bed.drops).toEqual({ bad_quote: 1 });
    expect(bed.totals).toMatchObject({ icmp_errors_translated: 0, handed_back: 1 });
  });

  test('options of the quoted header are stepped over (3b)', () => {
    const bed = new Bed();
    const body = udp(`${X}:40000`, `${A}:7`).subarray(20);
    const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
    const sent = bed.out(rawPacket({ src: X, dst: A, protocol: 17, body, options }))[0]!.packet;
    expect(sent[0]).toBe(0x47);
    const { seen, quoted } = errorAbout(bed, PRIVATE, ROUTER, EXTERNAL, sent);
    expect(seen.dst).toBe(X);
    expect([ends(quoted), quoted.options.length]).toEqual([`${X}:40000 > ${A}:7`, 8]);
    expect(quoted.headerChecksumOk).toBe(true);
  });

  test('a wrong transport checksum in the quote is nobody’s business (3c)', () => {
    const { bed, sent } = begin();
    sent[27]! ^= 0x55;
    const { seen, quoted } = errorAbout(bed, PRIVATE, ROUTER, EXTERNAL, sent);
    expect([seen.dst, ends(quoted), quoted.checksumOk]).toEqual([X, `${X}:40000 > ${A}:7`, false]);
  });

  test('zero padding and RFC 4884 extensions behind the quote take no part, and stay (3d)', () => {
    const { bed, sent } = begin();
    const extensions = Uint8Array.of(0x20, 0, 0xd6, 0xf7, 0, 8, 1, 1, 0x01, 0x86, 0xa1, 0x01);
    const padded = new Uint8Array(128 + extensions.length);
    padded.set(sent);
    padded.set(extensions, 128);
    // Length of the quote in 32-bit words: the second byte behind the checksum.
    const rest = (128 / 4) << 16;
    const error = icmpError({ from: ROUTER, to: EXTERNAL, type: 11, code: 0, packet: padded, rest });
    const seen = only(PRIVATE, bed.in(error));
    expect(seen.body.subarray(4, 8)).toEqual(Uint8Array.of(0, 32, 0, 0));
    expect(seen.payload.subarray(sent.length)).toEqual(padded.subarray(sent.length));
    expect(decode(seen.payload.slice(0, sent.length))).toMatchObject({
      src: X,
      sport: 40000,
      checksumOk: true,
    });
  });
});

describe('REQ-4: errors from outside', () => {
  test('about nothing that is mapped, to an address of natgate’s own: dropped in silence', () => {
    const bed = new Bed({ nat: poolOf(['198.18.0.20']) });
    const packet = udp('198.18.0.20:40000', `${A}:7`);
    expect(bed.in(icmpError({ from: ROUTER, to: '198.18.0.20', type: 3, code: 1, packet }))).toEqual([]);
    expect(bed.drops).toEqual({ no_related: 1 });
  });
});

describe('REQ-5: errors from inside, under Basic NAT (5c)', () => {
  const begin = () => {
    const bed = new Bed({ nat: pairs });
    const packet = bed.in(udp(`${A}:7`, '198.18.1.18:5'))[0]!.packet;
    expect(decode(packet)).toMatchObject({ src: A, dst: X });
    return { bed, packet };
  };

  test('of the host itself: from its own public address', () => {
    const { bed, packet } = begin();
    const { seen, quoted } = errorAbout(bed, PUBLIC, X, A, packet);
    expect([seen.src, seen.dst, ends(quoted)]).toEqual(['198.18.1.18', A, `${A}:7 > 198.18.1.18:5`]);
  });

  test('of a router that has a public address: from that one', () => {
    const { bed, packet } = begin();
    const { seen, quoted } = errorAbout(bed, PUBLIC, '10.77.0.5', A, packet);
    expect([seen.src, seen.dst, ends(quoted)]).toEqual(['198.18.1.21', A, `${A}:7 > 198.18.1.18:5`]);
  });

  test('of a router that has none: from the gateway’s own', () => {
    const { bed, packet } = begin();
    const { seen } = errorAbout(bed, PUBLIC, '10.77.0.200', A, packet);
    expect([seen.src, seen.dst]).toEqual([EXTERNAL, A]);
  });
});

describe('REQ-6: errors about queries', () => {
  test('neither refresh nor end the session, whoever sends them', () => {
    const bed = new Bed();
    const sent = bed.out(echoPacket({ from: X, to: A, identifier: 7 }))[0]!.packet;
    const reply = bed.in(echoPacket({ from: A, to: EXTERNAL, identifier: 7, reply: true }))[0]!.packet;
    for (let second = 0; second < 59; second++) {
      expect(bed.in(icmpError({ from: ROUTER, to: EXTERNAL, type: 11, code: 0, packet: sent }))).toHaveLength(
        1,
      );
      expect(bed.out(icmpError({ from: X, to: A, type: 3, code: 1, packet: reply }))).toHaveLength(1);
      bed.pass(1000);
      expect(bed.flows()).toHaveLength(1);
    }
    bed.pass(3000);
    expect(bed.flows()).toEqual([]);
  });
});

describe('REQ-7: hairpinned errors', () => {
  test('UDP: about what came, to the host that sent it, in its words', () => {
    const bed = bedWith({});
    const port = portOf(bed, `${Y}:5000`, `${A}:1`);
    const there = bed.out(udp(`${X}:40000`, `${EXTERNAL}:${port}`))[0]!.packet;
    const error = icmpError({ from: Y, to: EXTERNAL, type: 3, code: 3, packet: there });
    const seen = only(PRIVATE, bed.out(error));
    const quoted = decode(seen.payload);
    expect([seen.src, seen.dst, seen.type, seen.code]).toEqual([EXTERNAL, X, 3, 3]);
    expect(ends(quoted)).toBe(`${X}:40000 > ${EXTERNAL}:${port}`);
    // 7a: the outer destination is the source of the quoted packet after the translation.
    expect(seen.dst).toBe(quoted.src);
    expect([quoted.checksumOk, quoted.headerChecksumOk]).toEqual([true, true]);
    bed.checkInvariants();
  });

  test('TCP: about the answer, to the host that was called', () => {
    const bed = bedWith({});
    bed.out(tcp(`${Y}:40001`, `${A}:1`, 'S'));
    bed.out(tcp(`${X}:40000`, `${EXTERNAL}:40001`, 'S', { seq: 1 }));
    const back = bed.out(tcp(`${Y}:40001`, `${EXTERNAL}:40000`, 'SA', { seq: 5, ack: 2 }))[0]!.packet;
    const seen = only(PRIVATE, bed.out(icmpError({ from: X, to: EXTERNAL, type: 3, code: 1, packet: back })));
    const quoted = decode(seen.payload);
    expect([seen.src, seen.dst]).toEqual([EXTERNAL, Y]);
    expect(ends(quoted)).toBe(`${Y}:40001 > ${EXTERNAL}:40000`);
    expect([quoted.checksumOk, quoted.headerChecksumOk]).toEqual([true, true]);
  });

  test('a query: about what came', () => {
    const bed = bedWith({});
    bed.out(echoPacket({ from: Y, to: A, identifier: 7 }));
    const there = bed.out(echoPacket({ from: X, to: EXTERNAL, identifier: 7 }))[0]!.packet;
    const seen = only(
      PRIVATE,
      bed.out(icmpError({ from: Y, to: EXTERNAL, type: 3, code: 2, packet: there })),
    );
    const quoted = decode(seen.payload);
    expect([seen.src, seen.dst, quoted.src, quoted.dst, quoted.type]).toEqual([EXTERNAL, X, X, EXTERNAL, 8]);
    expect([quoted.checksumOk, quoted.headerChecksumOk]).toEqual([true, true]);
  });

  test('under Basic NAT: both addresses in public words', () => {
    const bed = new Bed({ nat: pairs });
    const there = bed.out(udp(`${X}:5`, '198.18.1.19:6'))[0]!.packet;
    expect(ends(decode(there))).toBe(`198.18.1.18:5 > ${Y}:6`);
    const seen = only(
      PRIVATE,
      bed.out(icmpError({ from: Y, to: '198.18.1.18', type: 3, code: 3, packet: there })),
    );
    const quoted = decode(seen.payload);
    expect([seen.src, seen.dst, ends(quoted)]).toEqual(['198.18.1.19', X, `${X}:5 > 198.18.1.19:6`]);
    expect([quoted.checksumOk, quoted.headerChecksumOk]).toEqual([true, true]);
  });
});

describe('REQ-11: what is neither query nor error', () => {
  test('redirects, router discovery and the rest are dropped by name, both ways', () => {
    const bed = new Bed();
    const packet = bed.out(udp(`${X}:40000`, `${A}:7`))[0]!.packet;
    for (const type of [5, 9, 10, 30, 37, 40]) {
      expect(to(PRIVATE, bed.in(icmpError({ from: NEXT_HOP, to: EXTERNAL, type, code: 0, packet })))).toEqual(
        [],
      );
      expect(bed.out(icmpError({ from: X, to: A, type, code: 0, packet }))).toEqual([]);
    }
    expect(bed.drops).toEqual({ icmp_type: 12 });
  });
});
