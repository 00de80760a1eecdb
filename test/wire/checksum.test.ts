import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Bytes, swap16 } from '../../src/wire/bytes.ts';
import {
  adjust,
  checksum,
  delta16,
  delta32,
  fold,
  pseudoHeaderSum,
  sumBytes,
} from '../../src/wire/checksum.ts';
import { onesSum } from './decode.ts';
import { hex } from './hex.ts';

const word16 = fc.integer({ min: 0, max: 0xffff });
const word32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

function memory(data: Uint8Array): Bytes {
  const bytes = new Bytes(new ArrayBuffer((data.length + 3) & ~3));
  bytes.u8.fill(0xa5);
  bytes.u8.set(data);
  return bytes;
}

test('the example of RFC 1071 section 3: 0001 f203 f4f5 f6f7 sum up to ddf2', () => {
  const { u8, u16 } = memory(hex('00 01 f2 03 f4 f5 f6 f7'));
  expect(swap16(fold(sumBytes(u8, u16, 0, 8)))).toBe(0xddf2);
  expect(swap16(checksum(u8, u16, 0, 8))).toBe(0x220d);
});

test('the example of RFC 1624 section 4: dd2f with 5555 → 3285 becomes 0000', () => {
  expect(adjust(0xdd2f, delta16(0x5555, 0x3285))).toBe(0x0000);
});

test('any stretch of memory: as the plain big-endian sum', () => {
  const stretch = fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat(20), fc.nat(300));
  fc.assert(
    fc.property(stretch, ([data, from, length]) => {
      const bytes = memory(data);
      const offset = Math.min(from * 2, data.length & ~1);
      const count = Math.min(length, data.length - offset);
      const sum = onesSum(data.subarray(offset, offset + count));
      expect(swap16(fold(sumBytes(bytes.u8, bytes.u16, offset, count)))).toBe(sum);
      expect(swap16(checksum(bytes.u8, bytes.u16, offset, count))).toBe(0xffff - sum);
    }),
  );
});

test('64 KiB of 0xff neither overflow nor lose a carry', () => {
  const bytes = new Bytes(new ArrayBuffer(65536));
  bytes.u8.fill(0xff);
  for (const length of [65536, 65535, 65534]) {
    const sum = sumBytes(bytes.u8, bytes.u16, 0, length);
    expect(sum).toBeLessThan(2 ** 31);
    expect(swap16(fold(sum))).toBe(onesSum(bytes.u8.subarray(0, length)));
  }
});

test('changing 16- and 32-bit words by deltas is as good as summing again', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 12, maxLength: 64 }).filter((data) => data.length % 4 === 0),
      fc.array(fc.tuple(fc.nat(15), word32), { minLength: 1, maxLength: 5 }),
      fc.tuple(fc.nat(31), word16),
      (data, changes, [at16, value16]) => {
        const bytes = memory(data);
        const before = checksum(bytes.u8, bytes.u16, 0, data.length);
        let delta = 0;
        for (const [at, value] of changes) {
          const word = at % bytes.i32.length;
          delta = fold(delta + delta32(bytes.i32[word]!, value));
          bytes.i32[word] = value;
        }
        const half = at16 % bytes.u16.length;
        delta = fold(delta + delta16(bytes.u16[half]!, value16));
        bytes.u16[half] = value16;
        expect(delta).toBe(delta & 0xffff);
        const after = checksum(bytes.u8, bytes.u16, 0, data.length);
        expect(sameSum(adjust(before, delta), after)).toBe(true);
        // The way back: the complement of the delta.
        expect(sameSum(adjust(after, ~delta & 0xffff), before)).toBe(true);
      },
    ),
  );
});

test('out and back restores a checksum bit for bit, 0000 included; ffff, which no sum gives, becomes 0000', () => {
  fc.assert(
    fc.property(word32, word32, word16, (from, to, sum) => {
      const delta = delta32(from, to);
      const back = adjust(adjust(sum, delta), ~delta & 0xffff);
      expect(back === sum || (sum === 0xffff && back === 0)).toBe(true);
    }),
  );
});

test('a partial checksum (NEEDS_CSUM) takes the delta of the addresses on the sum itself', () => {
  const endpoint = fc.tuple(word32, word32);
  fc.assert(
    fc.property(endpoint, endpoint, fc.nat(65535), fc.uint8Array(), (before, after, length, data) => {
      fc.pre(before[0] !== 0 && after[0] !== 0);
      const partial = fold(pseudoHeaderSum(before[0], before[1], 17, length));
      const delta = fold(delta32(before[0], after[0]) + delta32(before[1], after[1]));
      const updated = fold(partial + delta);
      expect(updated % 0xffff).toBe(fold(pseudoHeaderSum(after[0], after[1], 17, length)) % 0xffff);
      // What a device then makes of it is the checksum of the changed packet.
      const bytes = memory(data);
      const sum = sumBytes(bytes.u8, bytes.u16, 0, data.length);
      const whole = fold(sum + pseudoHeaderSum(after[0], after[1], 17, length)) ^ 0xffff;
      expect(sameSum(fold(sum + updated) ^ 0xffff, whole)).toBe(true);
    }),
  );
});

test('pseudo-header: protocol and length count as big-endian words', () => {
  fc.assert(
    fc.property(word32, word32, fc.nat(255), fc.nat(65535), (source, destination, protocol, length) => {
      const header = new DataView(new ArrayBuffer(12));
      header.setInt32(0, source, true);
      header.setInt32(4, destination, true);
      header.setUint8(9, protocol);
      header.setUint16(10, length);
      expect(swap16(fold(pseudoHeaderSum(source, destination, protocol, length)))).toBe(
        onesSum(new Uint8Array(header.buffer)),
      );
    }),
  );
});

/** One's complement has two zeros. */
function sameSum(a: number, b: number): boolean {
  return a === b || (a % 0xffff === 0 && b % 0xffff === 0);
}
