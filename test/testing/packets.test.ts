/** The builders that most tests use, on literal bytes of another origin. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import {
  describePacket,
  echoPacket,
  icmpError,
  icmpPacket,
  tcpPacket,
  udpPacket,
  verifyChecksums,
} from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';

const C = '10.77.0.2';
const S = '198.18.0.2';

test('UDP', () => {
  expect(udpPacket({ from: `${C}:5000`, to: `${S}:53`, payload: 'hi' })).toEqual(
    hex('4500001e0001400040116a6b 0a4d0002 c6120002  1388 0035 000a b350  6869'),
  );
});

test('TCP, with options', () => {
  const options = hex('020405b4 0402080a 00000001 00000000 01030307');
  expect(
    tcpPacket({ from: `${C}:40000`, to: `${S}:80`, flags: 'S', seq: 0x11223344, window: 64240, options }),
  ).toEqual(
    hex(`
      4500003c 00014000 40066a58 0a4d0002 c6120002
      9c400050 11223344 00000000 a002faf0 9bb40000  020405b4 0402080a 00000001 00000000 01030307`),
  );
});

test('echo request', () => {
  expect(echoPacket({ from: C, to: S, identifier: 0x1234, sequence: 1, payload: 'ping' })).toEqual(
    hex('45000020 00014000 40016a79 0a4d0002 c6120002  0800 06fa 1234 0001  70696e67'),
  );
});

test('every field', () => {
  const packet = udpPacket({
    from: '1.2.3.4:65535',
    to: '5.6.7.8:1',
    ttl: 9,
    tos: 0xb8,
    id: 0xfffe,
    fragment: 0x2001,
  });
  expect(decode(packet)).toMatchObject({ ttl: 9, tos: 0xb8, id: 0xfffe, df: false, mf: true, offset: 8 });
  const tcp = tcpPacket({
    from: '1.2.3.4:5',
    to: '5.6.7.8:1',
    flags: 'FSRPAU',
    seq: 2 ** 32 - 1,
    ack: 2 ** 31,
  });
  expect([...tcp.subarray(24, 34)]).toEqual([255, 255, 255, 255, 128, 0, 0, 0, 0x50, 0x3f]);
});

test('checksums are right whatever the contents, and one flipped bit is noticed', () => {
  const port = fc.nat(65535);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      port,
      port,
      fc.nat(3),
      fc.nat(2000),
      (payload, a, b, kind, bit) => {
        const ends = { from: `${C}:${a}`, to: `${S}:${b}`, payload };
        const packet = [
          () => udpPacket(ends),
          () => tcpPacket({ ...ends, flags: 'PA' }),
          () => echoPacket({ from: C, to: S, identifier: a, sequence: b, payload }),
          () => icmpError({ from: S, to: C, type: 3, code: 3, packet: udpPacket(ends), rest: a * b }),
        ][kind]!();
        const seen = decode(packet);
        expect([seen.headerChecksumOk, seen.checksumOk, verifyChecksums(packet)]).toEqual([true, true, true]);
        const at = bit % (packet.length * 8);
        // Version and header length decide what is summed; a UDP checksum of 0 is none.
        if (at < 8 || (at >= 72 && at < 80)) return;
        packet[at >> 3]! ^= 1 << (at & 7);
        if (kind === 0 && packet[26] === 0 && packet[27] === 0) return;
        expect(verifyChecksums(packet)).toBe(false);
      },
    ),
    { numRuns: 300 },
  );
});

test('an error quotes as much as it is told, at most 548 bytes unless told', () => {
  const packet = udpPacket({ from: `${C}:1`, to: `${S}:2`, payload: new Uint8Array(1000) });
  const quoted = (quote?: number) =>
    decode(icmpError({ from: S, to: C, type: 11, code: 0, packet, ...(quote !== undefined && { quote }) }))
      .payload;
  expect(quoted()).toEqual(packet.subarray(0, 548));
  expect(quoted(28)).toEqual(packet.subarray(0, 28));
  expect(quoted(1028)).toEqual(packet);
});

describe('describePacket', () => {
  const udp = udpPacket({ from: `${C}:5000`, to: `${S}:53`, payload: 'hi' });
  test.each([
    ['udp 10.77.0.2:5000 > 198.18.0.2:53 ttl 64 length 30', udp],
    [
      'tcp SA 10.77.0.2:1 > 198.18.0.2:2 ttl 64 length 40',
      tcpPacket({ from: `${C}:1`, to: `${S}:2`, flags: 'SA' }),
    ],
    [
      'tcp - 10.77.0.2:1 > 198.18.0.2:2 ttl 64 length 40',
      tcpPacket({ from: `${C}:1`, to: `${S}:2`, flags: '' }),
    ],
    [
      'icmp echo request 10.77.0.2 > 198.18.0.2 id 7 ttl 64 length 28',
      echoPacket({ from: C, to: S, identifier: 7 }),
    ],
    [
      'icmp echo reply 10.77.0.2 > 198.18.0.2 id 7 ttl 1 length 28',
      echoPacket({ from: C, to: S, identifier: 7, reply: true, ttl: 1 }),
    ],
    [
      'icmp 13/0 10.77.0.2 > 198.18.0.2 ttl 64 length 24',
      icmpPacket({ from: C, to: S, type: 13, code: 0, body: new Uint8Array(0) }),
    ],
    [
      'icmp 3/3 198.18.0.2 > 10.77.0.2 [udp 10.77.0.2:5000 > 198.18.0.2:53 ttl 64 length 30] ttl 64 length 56',
      icmpError({ from: S, to: C, type: 3, code: 3, packet: udp, quote: 28 }),
    ],
    [
      'icmp 3/3 198.18.0.2 > 10.77.0.2 [7 bytes] ttl 64 length 35',
      icmpError({ from: S, to: C, type: 3, code: 3, packet: udp, quote: 7 }),
    ],
    [
      'fragment 10.77.0.2 > 198.18.0.2 ttl 64 length 30',
      udpPacket({ from: `${C}:5000`, to: `${S}:53`, payload: 'hi', fragment: 3 }),
    ],
    ['3 bytes', new Uint8Array(3)],
  ])('%s', (line, packet) => expect(describePacket(packet)).toBe(line));
});

test.each([
  ['bad_endpoint', () => udpPacket({ from: C, to: `${S}:1` })],
  ['bad_endpoint', () => udpPacket({ from: `${C}:65536`, to: `${S}:1` })],
  ['bad_endpoint', () => udpPacket({ from: `${C}:-1`, to: `${S}:1` })],
  ['bad_address', () => udpPacket({ from: '1.2.3:5', to: `${S}:1` })],
  ['bad_address', () => echoPacket({ from: 'localhost', to: S, identifier: 1 })],
  ['bad_flags', () => tcpPacket({ from: `${C}:1`, to: `${S}:1`, flags: 'SX' })],
])('%s is said, with what would be right', (code, make) => {
  expect(make).toThrow(NatgateError);
  try {
    make();
  } catch (error) {
    expect(error).toMatchObject({ code });
    expect((error as NatgateError).hint).not.toBe('');
  }
});
