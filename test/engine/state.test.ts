import { expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import { WRITE_DOWN, WRITE_REFUSED } from '../../src/engine/arena.ts';
import { COUNTERS, readCounters } from '../../src/engine/counters.ts';
import { readPortGauges } from '../../src/engine/port-gauges.ts';
import {
  formatState,
  isFormatted,
  openState,
  S_HEARTBEAT,
  S_NOW,
  stateBytes,
} from '../../src/engine/state.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { Bed } from './bed.ts';

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(NatgateError);
    expect((error as NatgateError).hint).not.toBe('');
    return (error as NatgateError).code;
  }
  return 'none';
}

test('an all-zero buffer is no state; formatted it is one, with its key', () => {
  const buffer = new ArrayBuffer(stateBytes(100));
  expect(isFormatted(buffer)).toBe(false);
  expect(codeOf(() => openState(buffer))).toBe('state_foreign');
  formatState(buffer, 100, [-5, 7]);
  expect(isFormatted(buffer)).toBe(true);
  const state = openState(buffer);
  expect([state.capacity, state.seed, state.counters.length]).toEqual([100, [-5, 7], COUNTERS]);
  expect(state.keys).toEqual({ key: [-5, 7], former: null });
});

test('another version, another boot, and a buffer too small, are refused', () => {
  const buffer = new ArrayBuffer(stateBytes(100));
  formatState(buffer, 100, [1, 2], undefined, { boot: 7, created: 1_700_000_000 });
  const header = new Int32Array(buffer);
  header[1]!++;
  expect(codeOf(() => openState(buffer))).toBe('state_foreign');
  header[1]!--;
  expect(codeOf(() => openState(buffer, undefined, 7))).toBe('none');
  expect(codeOf(() => openState(buffer, undefined, 8))).toBe('state_other_boot');
  expect(() => openState(buffer, undefined, 8)).toThrow('begun at 2023-11-14T22:13:20.000Z');
  expect(codeOf(() => openState(buffer.slice(0, -4)))).toBe('state_truncated');
  expect(codeOf(() => openState(new ArrayBuffer(0)))).toBe('state_truncated');
});

test('of the words that a header is made of, each bit counts; the others change while a gateway runs', () => {
  const buffer = new ArrayBuffer(stateBytes(100));
  formatState(buffer, 100, [-5, 7], { workers: 4, number: 2 }, { boot: 7, created: 9 });
  const header = new Int32Array(buffer, 0, 32);
  const codes = Array.from(header, (_, word) => {
    const found = new Set<string>();
    for (let bit = 0; bit < 32; bit++) {
      header[word]! ^= 1 << bit;
      found.add(codeOf(() => openState(buffer)));
      header[word]! ^= 1 << bit;
    }
    return [...found].join(' ');
  });
  const damaged = 'state_damaged';
  const constant = ['state_foreign', 'state_foreign', damaged, damaged, damaged];
  expect(codes.slice(0, 5)).toEqual(constant);
  expect(codes.slice(5)).toEqual([
    ...['none', 'none', damaged, 'none', damaged, damaged, damaged],
    // Which key is current, that key with its check, and a slot for another one.
    ...['none', damaged, damaged, damaged, 'none', 'none', 'none'],
    ...Array(13).fill('none'),
  ]);
  expect(codeOf(() => openState(buffer))).toBe('none');
});

test('numbers that cannot be begin anew when an engine takes the state over', () => {
  const before = new Bed();
  before.out(new Uint8Array(3));
  const { counters, shortages, ports, rules } = openState(before.state);
  counters.set([Number.NaN, -1, Number.POSITIVE_INFINITY, 2 ** 60, 0.5, -0]);
  rules.set([-3, Number.NaN, 7]);
  shortages.set([1, 0xffff, 5, 0, 1, 3, 9, 0]);
  ports.fill(-1);
  const bed = new Bed({ after: before });
  expect([...counters.subarray(0, 6)].map((number) => Object.is(number, -0))).not.toContain(true);
  expect([...counters].every((number) => number >= 0 && number <= Number.MAX_SAFE_INTEGER)).toBe(true);
  expect([...rules].every((number) => number >= 0)).toBe(true);
  expect(bed.shortages).toEqual([expect.objectContaining({ reason: expect.any(String), count: 9 })]);
  expect(readPortGauges([openState(bed.state)])).toEqual([]);
});

test('each tick moves the heartbeat and tells the time', () => {
  const bed = new Bed();
  const { header } = openState(bed.state);
  const before = header[S_HEARTBEAT]!;
  bed.pass(3000);
  expect(header[S_HEARTBEAT]).toBe(before + 3);
  expect(header[S_NOW]).toBe(3000);
});

test('counters have names, and drops that did not happen are left out', () => {
  const bed = new Bed();
  bed.out(udpPacket({ from: '10.77.0.2:40000', to: '203.0.113.9:53' }));
  bed.out(new Uint8Array(3));
  const { drops, totals } = readCounters(openState(bed.state).counters);
  expect(drops).toEqual({ short_packet: 1 });
  expect(totals).toMatchObject({ flows_started: 1, flows_udp: 1, ports_udp: 1, batches: 2, handed_back: 0 });
});

test('what the link counts appears under its reason, also when its counters wrap or begin anew', () => {
  const bed = new Bed();
  const control = new Int32Array(bed.link.arena, 0, 16);
  control[WRITE_REFUSED] = 3;
  bed.engine.tick(0);
  bed.engine.tick(0);
  control[WRITE_REFUSED] = 5;
  control[WRITE_DOWN] = 1;
  bed.engine.tick(0);
  expect(bed.drops).toEqual({ write_refused: 5, write_down: 1 });
  const second = new Bed({ after: bed });
  new Int32Array(second.link.arena, 0, 16)[WRITE_REFUSED] = 2;
  second.engine.tick(0);
  expect(second.drops).toEqual({ write_refused: 7, write_down: 1 });
});
