import { expect, test } from 'vitest';
import { FlowSlots, S_WORDS } from '../../src/conntrack/flow-slots.ts';
import { FlowTable } from '../../src/conntrack/flow-table.ts';
import { callIdOf, GreKeys } from '../../src/conntrack/gre-keys.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { hex } from '../wire/hex.ts';

test.each([
  ['30 01 88 0b 00 04 12 34 00 00 00 01', 0x3412],
  ['20 81 88 0b 00 00 12 34 00 00 00 01', 0x3412],
  ['30 00 88 0b 00 04 12 34', -1], // version 0
  ['10 01 88 0b 00 04 12 34', -1], // no key
  ['30 01 08 00 00 04 12 34', -1], // not PPP
  ['30 01 88 0b 00 04 12', -1],
])('the call id of %s', (text, id) => {
  const bytes = new Bytes(new ArrayBuffer(16));
  const packet = hex(text);
  bytes.u8.set(packet);
  expect(callIdOf(bytes.u8, bytes.u16, 0, packet.length)).toBe(id);
});

test('both ids of a call, as long as it lasts', () => {
  const keys = new GreKeys([1, 2]);
  expect(keys.portsOf(10, 20, 5)).toBe(0);
  expect(keys.add(10, 20, 5, 7)).toBe(true);
  expect(keys.portsOf(10, 20, 5)).toBe(7 | (5 << 16));
  for (const [source, destination, id] of [
    [11, 20, 5],
    [10, 21, 5],
    [10, 20, 6],
  ] as const) {
    expect(keys.portsOf(source, destination, id)).toBe(0);
  }
  keys.add(10, 20, 5, 8);
  expect(keys.portsOf(10, 20, 5)).toBe(8 | (5 << 16));
  expect(keys.count).toBe(1);
  keys.remove(10, 20, 5);
  keys.remove(10, 20, 5);
  expect(keys.portsOf(10, 20, 5)).toBe(0);
  expect(keys.count).toBe(0);
});

test('the table is bounded, and what was removed makes room', () => {
  const keys = new GreKeys([1, 2]);
  let added = 0;
  while (added < 10_000 && keys.add(added, 1, 2, 3)) added++;
  expect(added).toBe(4096);
  keys.remove(17, 1, 2);
  expect(keys.add(-1, 1, 2, 3)).toBe(true);
  expect(keys.portsOf(4095, 1, 2)).not.toBe(0);
});

test('words for flows: kept for a life, gone with it, bounded', () => {
  const capacity = 256;
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(capacity)), 0, capacity, [1, 2]);
  const slots = new FlowSlots(new Int32Array(64 * 4), 4, 64, table.hot);
  const flows = Array.from({ length: capacity }, (_, i) => table.create(6, i, 1, 2, 3, i, 4, 0, 0));
  const [first] = flows as [number];
  expect(slots.find(first)).toBe(-1);
  const at = slots.take(first);
  slots.words[at + S_WORDS] = 99;
  expect(slots.take(first)).toBe(at);
  expect(slots.words[slots.find(first) + S_WORDS]).toBe(99);
  const taken = flows.filter((flow) => slots.take(flow) >= 0);
  expect(taken).toHaveLength(64);
  expect(new Set(taken.map((flow) => slots.find(flow))).size).toBe(64);
  table.destroy(first);
  const next = table.create(6, 9999, 1, 2, 3, 9999, 4, 0, 0);
  expect(next).toBe(first);
  expect(slots.find(next)).toBe(-1);
  expect(slots.words[slots.take(next) + S_WORDS]).toBe(0);
});
