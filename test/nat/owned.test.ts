import { expect, test } from 'vitest';
import {
  OWNED_BYTES,
  OWNED_ICMP,
  OWNED_PROTOCOLS,
  OWNED_TCP,
  OWNED_UDP,
  setOwned,
} from '../../src/nat/owned.ts';

test('the layout that the steering programs read', () => {
  expect([OWNED_TCP, OWNED_UDP, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_BYTES]).toEqual([
    0, 8192, 16384, 24576, 24608,
  ]);
});

test('port p is bit p & 7 of byte p >> 3; neighbours keep theirs', () => {
  const bitmap = new Uint8Array(OWNED_BYTES);
  setOwned(bitmap, OWNED_UDP, 53, true);
  setOwned(bitmap, OWNED_UDP, 55, true);
  expect(bitmap[8192 + 6]).toBe(0b1010_0000);
  setOwned(bitmap, OWNED_UDP, 55, false);
  setOwned(bitmap, OWNED_UDP, 54, false);
  expect(bitmap[8192 + 6]).toBe(0b0010_0000);
  setOwned(bitmap, OWNED_TCP, 65535, true);
  setOwned(bitmap, OWNED_PROTOCOLS, 47, true);
  expect(bitmap[8191]).toBe(0x80);
  expect(bitmap[24576 + 5]).toBe(0x80);
  expect(bitmap.reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0)).toBe(3);
});
