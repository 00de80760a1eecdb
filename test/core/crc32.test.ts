import { expect, test } from 'vitest';
import { crc32 } from '../../src/core/crc32.ts';

const text = (words: string) => new TextEncoder().encode(words);

test('the check value of the standard, and others', () => {
  expect(crc32(text('123456789'))).toBe(0xcbf43926);
  expect(crc32(text(''))).toBe(0);
  expect(crc32(text('a'))).toBe(0xe8b7be43);
  expect(crc32(new Uint8Array(32))).toBe(0x190a55ad);
});

test('of a part', () => {
  expect(crc32(text('x123456789y'), 1, 10)).toBe(0xcbf43926);
});
