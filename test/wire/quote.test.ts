import { describe, expect, test } from 'vitest';
import { reasonNames } from '../../src/core/reasons.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import {
  M_DESTINATION,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
  META,
  parseQuote,
} from '../../src/wire/parse.ts';
import { corpus } from '../corpus/load.ts';
import { hex } from './hex.ts';

const UNREACHABLE = hex('03 03 00 00 00 00 00 00');
// 198.18.0.2:53 > 10.77.0.2:5000, 36 bytes, 8 of them behind the header.
const UDP = hex('45 00 00 24 00 01 40 00 40 11 6a 65 c6 12 00 02 0a 4d 00 02  00 35 13 88 00 10 39 cc');

function quote(quoted: Uint8Array, offset = 20) {
  const bytes = new Bytes(new ArrayBuffer(256));
  bytes.u8.fill(0xa5);
  bytes.u8.set(UNREACHABLE, offset);
  bytes.u8.set(quoted, offset + 8);
  const meta = new Int32Array(META).fill(-1);
  const reason = parseQuote(bytes, offset, 8 + quoted.length, meta, 0);
  return { reason: reasonNames[reason]!, meta };
}

test('a UDP packet: endpoints as they stand in it', () => {
  const { reason, meta } = quote(UDP);
  expect(reason).toBe('ok');
  expect(meta[M_OFFSET]).toBe(28);
  expect(meta[M_L4]).toBe(48);
  expect(meta[M_LENGTH]).toBe(28);
  expect(meta[M_PROTOCOL]).toBe(17);
  expect(formatAddress(meta[M_SOURCE]!)).toBe('198.18.0.2');
  expect(formatAddress(meta[M_DESTINATION]!)).toBe('10.77.0.2');
  expect(meta[M_PORTS]).toBe(0x88133500 | 0);
});

test('options of the quoted header are stepped over (RFC 5508 REQ-3b)', () => {
  const withOptions = hex(`
    47 00 00 2c 00 01 40 00 40 11 0d 55 c6 12 00 02 0a 4d 00 02
    44 08 05 00 12 00 00 00   00 35 13 88 00 10 39 cc`);
  const { reason, meta } = quote(withOptions);
  expect(reason).toBe('ok');
  expect(meta[M_L4]).toBe(20 + 8 + 28);
  expect(meta[M_PORTS]).toBe(0x88133500 | 0);
});

test('an ICMP query: id, type and code', () => {
  const echo = hex('45 00 00 20 00 01 40 00 40 01 6a 79 0a 4d 00 02 c6 12 00 02  08 00 39 82 12 34 00 01');
  const { reason, meta } = quote(echo);
  expect(reason).toBe('ok');
  expect(meta[M_PORTS]).toBe(0x00083412);
});

test('a first fragment is quoted like a whole packet', () => {
  const first = hex('45 00 00 24 00 01 20 00 40 11 8a 65 c6 12 00 02 0a 4d 00 02  00 35 13 88 00 10 39 cc');
  expect(quote(first).reason).toBe('ok');
});

test('another protocol has no ports', () => {
  const gre = hex('45 00 00 24 00 01 40 00 40 2f 6a 47 c6 12 00 02 0a 4d 00 02  00 00 08 00 61 62 63 64');
  const { reason, meta } = quote(gre);
  expect([reason, meta[M_PORTS]]).toEqual(['ok', 0]);
});

test('the transport checksum is not looked at (REQ-3c)', () => {
  const wrong = UDP.slice();
  wrong[26]! ^= 0xff;
  expect(quote(wrong).reason).toBe('ok');
});

test('every length: at least 8 bytes behind the header must be there', () => {
  for (let length = 0; length <= UDP.length; length++) {
    expect(quote(UDP.subarray(0, length)).reason, `${length} bytes`).toBe(length < 28 ? 'bad_quote' : 'ok');
  }
});

test('every bit of the quoted header is covered by its checksum (REQ-3a)', () => {
  for (let bit = 0; bit < 160; bit++) {
    const wrong = UDP.slice();
    wrong[bit >> 3]! ^= 1 << (bit & 7);
    expect(quote(wrong).reason, `bit ${bit}`).toBe('bad_quote');
  }
});

describe('corpus', () => {
  test.each(corpus.filter(({ reason }) => reason === 'bad_quote'))('$name: $about', ({ packet }) => {
    expect(quote(packet.subarray(28)).reason).toBe('bad_quote');
  });
});
