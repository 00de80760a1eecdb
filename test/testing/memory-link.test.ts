/** The link without devices, on which the engine's tests stand. */
import { expect, test } from 'vitest';
import { BATCH, IN_LIST, OUT_LIST, packetOffset } from '../../src/engine/arena.ts';
import { MemoryLink } from '../../src/link/memory.ts';
import { filler } from '../engine/packets.ts';

test('packets of a batch lie in the first slots, with device and length in the in list', () => {
  const link = new MemoryLink();
  const vnet = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  link.receive(0, filler(20, 1));
  link.receive(1, filler(30, 2), vnet);
  expect(link.takeBatch()).toBe(2);
  expect([...new Int32Array(link.arena, IN_LIST, 4)]).toEqual([0, 20, 1, 30]);
  const u8 = new Uint8Array(link.arena);
  expect(u8.slice(packetOffset(1), packetOffset(1) + 30)).toEqual(filler(30, 2));
  expect(u8.slice(packetOffset(1) - 10, packetOffset(1))).toEqual(vnet);
  expect(u8.slice(packetOffset(0) - 10, packetOffset(0))).toEqual(new Uint8Array(10));
  expect(link.takeBatch()).toBe(0);
});

test('a batch has 64 packets, the next one begins anew', () => {
  const link = new MemoryLink();
  for (let i = 0; i < BATCH; i++) expect(link.receive(0, filler(20))).toBe(true);
  expect(link.receive(0, filler(20))).toBe(false);
  expect(link.takeBatch()).toBe(BATCH);
  expect(link.receive(0, filler(20))).toBe(true);
});

test.each([20, 2036, 2037, 65535])('%i bytes go in and come out the same', (length) => {
  const link = new MemoryLink();
  link.receive(1, filler(length));
  const out = new Int32Array(link.arena, OUT_LIST, 2);
  out[0] = (1 << 16) | 0;
  out[1] = length;
  expect(link.sent(1)).toEqual([{ device: 1, packet: filler(length), vnet: new Uint8Array(10) }]);
});
