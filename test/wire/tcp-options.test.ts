import { expect, test } from 'vitest';
import { Bytes, swap32 } from '../../src/wire/bytes.ts';
import {
  highestSack,
  SYN_HAS_SACK,
  SYN_HAS_SCALE,
  SYN_SCALE,
  synOptions,
} from '../../src/wire/tcp-options.ts';
import { hex } from './hex.ts';

/** A header with these options, padded with `pad` to a multiple of four, at offset 4. */
function header(options: string): { bytes: Bytes; length: number } {
  const data = hex(options);
  const bytes = new Bytes(new ArrayBuffer(128));
  bytes.u8.fill(0xa5);
  bytes.u8.set(data, 24);
  return { bytes, length: 20 + data.length };
}

function offered(options: string): { scale?: number; sack?: true } {
  const { bytes, length } = header(options);
  const found = synOptions(bytes.u8, 4, length);
  return {
    ...((found & SYN_HAS_SCALE) !== 0 && { scale: found & SYN_SCALE }),
    ...((found & SYN_HAS_SACK) !== 0 && { sack: true }),
  };
}

test.each([
  ['none', '', {}],
  [
    'MSS, SACK permitted, timestamps, NOP, scale 7',
    '020405b4 0402 080a0000000100000000 01 030307',
    { scale: 7, sack: true },
  ],
  ['scale 0 is an offer', '01 030300', { scale: 0 }],
  ['scale 15 and more count as 14', '01 03030f', { scale: 14 }],
  ['scale 255', '01 0303ff', { scale: 14 }],
  ['behind the end of the list', '00 030307', {}],
  ['a length of 0 ends it', '0200 0402', {}],
  ['a length of 1 ends it', '0201 0402', {}],
  ['a length beyond the header ends it', '0402 0305', { sack: true }],
  ['a kind without length at the end', '010101 03', {}],
  ['scale of a wrong length', '03040700', {}],
  ['SACK permitted of a wrong length', '04030001', {}],
  ['unknown ones are stepped over', 'fe04abcd 01030302', { scale: 2 }],
  ['the last scale counts', '01030302 01030305', { scale: 5 }],
])('SYN options: %s', (_, options, expected) => {
  expect(offered(options)).toEqual(expected);
});

function highest(options: string, ack: number): number {
  const { bytes, length } = header(options);
  return highestSack(bytes.u8, bytes.i32, 4, length, ack);
}

test.each([
  ['none', '', 100, 100],
  ['timestamps alone', '0101080a0000ffff0000fffe', 100, 100],
  ['one block', '0101050a 00000200 00000300', 100, 0x300],
  [
    'three blocks, the highest in the middle',
    '0101051a 00000200 00000300 00000800 00000900 00000400 00000500',
    100,
    0x900,
  ],
  ['behind timestamps', '0101080a0000000100000002 0101050a 00000200 00000300', 100, 0x300],
  ['below the ACK (a duplicate, RFC 2883)', '0101050a 00000010 00000020', 100, 100],
  ['across the wrap', '0101050a fffffff0 00000010', -50, 0x10],
  ['a length that is no block', '0101050b 00000200 00000300 00', 100, 100],
  ['no block at all', '01010502', 100, 100],
  ['truncated', '01010512 00000200 00000300', 100, 100],
])('SACK: %s', (_, options, ack, expected) => {
  expect(highest(options, ack)).toBe(expected);
});

test('swap32', () => {
  expect(swap32(0x01020304)).toBe(0x04030201);
  expect(swap32(swap32(-559038737))).toBe(-559038737);
  expect(swap32(0xff)).toBe(-16777216);
});
