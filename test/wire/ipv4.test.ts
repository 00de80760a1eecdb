import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OK, reasonNames } from '../../src/core/reasons.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { Bytes, be16 } from '../../src/wire/bytes.ts';
import {
  checkIpv4,
  DONT_FRAGMENT,
  FRAGMENT_OFFSET,
  headerLength,
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_ID,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TOS,
  IP_TTL,
  isMartian,
  MORE_FRAGMENTS,
  totalLength,
} from '../../src/wire/ipv4.ts';
import { onesSum } from './decode.ts';
import { hex } from './hex.ts';

// 192.0.2.1 > 198.51.100.2, DSCP 46, id 0x0102, MF, offset 185 * 8, ttl 26, protocol 17.
const PACKET = hex(`
  45 b8 00 1e  01 02 20 b9  1a 11 92 25
  c0 00 02 01  c6 33 64 02
  aa 00 ff 00 aa 00 ff 00 aa 00`);

function at(offset: number, packet: Uint8Array): Bytes {
  const bytes = new Bytes(new ArrayBuffer(offset + ((packet.length + 3) & ~3) + 64));
  bytes.u8.fill(0xa5);
  bytes.u8.set(packet, offset);
  return bytes;
}

function check(packet: Uint8Array, length = packet.length): string {
  return reasonNames[checkIpv4(at(8, packet), 8, length)]!;
}

/** The packet with some bytes replaced and the header checksum made right again. */
function changed(changes: Record<number, number>, packet = PACKET): Uint8Array {
  const copy = packet.slice();
  for (const [i, byte] of Object.entries(changes)) copy[Number(i)] = byte;
  const header = Math.min((copy[0]! & 15) * 4, copy.length);
  if (header >= 20) {
    copy.fill(0, IP_CHECKSUM, IP_CHECKSUM + 2);
    const sum = 0xffff - onesSum(copy.subarray(0, header));
    copy[IP_CHECKSUM] = sum >> 8;
    copy[IP_CHECKSUM + 1] = sum & 255;
  }
  return copy;
}

test('deconstruct', () => {
  const { u8, i32 } = at(8, PACKET);
  expect(headerLength(u8, 8)).toBe(20);
  expect(totalLength(u8, 8)).toBe(30);
  expect(u8[8 + IP_TOS]).toBe(0xb8);
  expect(be16(u8, 8 + IP_ID)).toBe(0x0102);
  const fragment = be16(u8, 8 + IP_FRAGMENT);
  expect([fragment & DONT_FRAGMENT, fragment & MORE_FRAGMENTS, fragment & FRAGMENT_OFFSET]).toEqual([
    0, 0x2000, 185,
  ]);
  expect(u8[8 + IP_TTL]).toBe(26);
  expect(u8[8 + IP_PROTOCOL]).toBe(17);
  expect(be16(u8, 8 + IP_CHECKSUM)).toBe(0x9225);
  expect(i32[(8 + IP_SOURCE) >> 2]).toBe(parseAddress('192.0.2.1'));
  expect(i32[(8 + IP_DESTINATION) >> 2]).toBe(parseAddress('198.51.100.2'));
  expect(IP_HEADER).toBe(20);
});

describe('the length of what came', () => {
  // Ten bytes of payload are no multiple of eight, so the fragment is made the last one.
  const last = changed({ [IP_FRAGMENT]: 0 });
  test.each([0, 1, 19])('%i bytes are short', (length) => expect(check(last, length)).toBe('short_packet'));
  test('20 to 29 bytes are less than the total length', () => {
    for (let length = 20; length < 30; length++) expect(check(last, length)).toBe('bad_total_length');
  });
  test('30 bytes are right, and so is padding behind them', () => {
    expect(check(last, 30)).toBe('ok');
    expect(check(last, 46)).toBe('ok');
  });
});

test('every IHL: below 5 and beyond the packet is refused, 5 to 7 checks the bytes as options', () => {
  const plain = changed({ [IP_FRAGMENT]: 0, 20: 1, 21: 1, 22: 1, 23: 1, 24: 0 });
  for (let ihl = 0; ihl < 16; ihl++) {
    const reason = check(changed({ 0: 0x40 | ihl }, plain));
    expect(reason, `IHL ${ihl}`).toBe(ihl < 5 || ihl > 7 ? 'bad_header_length' : 'ok');
  }
});

test('every version but 4 is refused', () => {
  for (let version = 0; version < 16; version++) {
    const reason = check(changed({ 0: (version << 4) | 5, [IP_FRAGMENT]: 0 }));
    expect(reason).toBe(version === 4 ? 'ok' : 'not_ipv4');
  }
});

test('every single bit of the header is covered by its checksum', () => {
  const good = changed({ [IP_FRAGMENT]: 0 });
  for (let bit = 0; bit < 160; bit++) {
    const bad = good.slice();
    bad[bit >> 3]! ^= 1 << (bit & 7);
    expect(check(bad), `bit ${bit}`).not.toBe('ok');
  }
});

test('options: the walk agrees with a recursive one, whatever the bytes', () => {
  const walk = (o: number[]): string => {
    if (o.length === 0 || o[0] === 0) return 'ok';
    if (o[0] === 1) return walk(o.slice(1));
    if (o[0] === 131 || o[0] === 137) return 'source_route';
    if (o.length < 2 || o[1]! < 2 || o[1]! > o.length) return 'bad_options';
    return walk(o.slice(o[1]));
  };
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 6 }),
    fc.constantFrom(0, 1, 7, 68, 131, 137, 148),
    fc.nat(255),
  );
  const options = fc
    .integer({ min: 1, max: 10 })
    .chain((n) => fc.array(byte, { minLength: n * 4, maxLength: n * 4 }));
  fc.assert(
    fc.property(options, (bytes) => {
      const packet = new Uint8Array(20 + bytes.length + 4);
      packet.set(changed({ [IP_FRAGMENT]: 0 }).subarray(0, 20));
      packet.set(bytes, 20);
      packet[3] = packet.length;
      expect(check(changed({ 0: 0x45 + bytes.length / 4 }, packet))).toBe(walk(bytes));
    }),
    { numRuns: 500 },
  );
});

test('fragments: a piece passes when it lies within a datagram of 65535 bytes, on 8-byte borders', () => {
  const pieces = fc.record({
    offset: fc.oneof(fc.nat(8191), fc.constantFrom(0, 1, 2, 8186, 8187, 8188, 8189)),
    size: fc.nat(64),
    more: fc.boolean(),
    protocol: fc.constantFrom(1, 6, 17, 50),
  });
  fc.assert(
    fc.property(pieces, ({ offset, size, more, protocol }) => {
      const packet = new Uint8Array(20 + size);
      packet.set(PACKET.subarray(0, 20));
      packet[3] = packet.length;
      packet[IP_PROTOCOL] = protocol;
      const field = (more ? MORE_FRAGMENTS : 0) | offset;
      packet[IP_FRAGMENT] = field >> 8;
      packet[IP_FRAGMENT + 1] = field & 255;
      const isFragment = more || offset !== 0;
      const impossible =
        size === 0 ||
        offset * 8 + size + 20 > 65535 ||
        (more && size % 8 !== 0) ||
        (protocol === 6 && offset === 1);
      expect(check(changed({}, packet))).toBe(isFragment && impossible ? 'bad_fragment' : 'ok');
    }),
    { numRuns: 1000 },
  );
});

test('checkIpv4 reads only what came', () => {
  const packet = changed({ [IP_FRAGMENT]: 0 });
  const bytes = new Bytes(new ArrayBuffer(32));
  bytes.u8.set(packet);
  expect(checkIpv4(bytes, 0, 30)).toBe(OK);
});

test.each([
  ['0.0.0.0', true],
  ['0.255.255.255', true],
  ['1.0.0.0', false],
  ['10.0.0.1', false],
  ['126.255.255.255', false],
  ['127.0.0.0', true],
  ['127.255.255.255', true],
  ['128.0.0.0', false],
  ['169.253.255.255', false],
  ['169.254.0.0', true],
  ['169.254.255.255', true],
  ['169.255.0.0', false],
  ['223.255.255.255', false],
  ['224.0.0.0', true],
  ['239.255.255.255', true],
  ['240.0.0.0', true],
  ['255.255.255.255', true],
])('%s is a martian: %j', (text, martian) => expect(isMartian(parseAddress(text)!)).toBe(martian));
