import { expect, test } from 'vitest';
import { Bytes, be16, putBe16, swap16 } from '../../src/wire/bytes.ts';

test('the views share memory, 16- and 32-bit loads are little-endian', () => {
  const bytes = new Bytes(Uint8Array.from([0x0a, 0x4d, 0x00, 0x02, 0xc6, 0x12, 0x00, 0x80]).buffer);
  expect(bytes.u16[0]).toBe(0x4d0a);
  expect(bytes.i32[0]).toBe(0x02004d0a);
  expect(bytes.i32[1]).toBe(0x800012c6 | 0);
});

test('be16 reads values, putBe16 writes their two bytes and no other', () => {
  const u8 = new Uint8Array(6).fill(0xa5);
  putBe16(u8, 2, 0x1234);
  expect([...u8]).toEqual([0xa5, 0xa5, 0x12, 0x34, 0xa5, 0xa5]);
  expect(be16(u8, 2)).toBe(0x1234);
  putBe16(u8, 3, 0xfffe);
  expect([...u8]).toEqual([0xa5, 0xa5, 0x12, 0xff, 0xfe, 0xa5]);
});

test('swap16 is its own inverse', () => {
  expect(swap16(0x1234)).toBe(0x3412);
  for (let value = 0; value < 65536; value++) {
    if (swap16(swap16(value)) !== value) expect.fail(`swap16(swap16(${value}))`);
  }
});
