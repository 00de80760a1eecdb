import { expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import { WRITE_DOWN, WRITE_REFUSED } from '../../src/engine/arena.ts';
import { COUNTERS, readCounters } from '../../src/engine/counters.ts';
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
});

test('another version, and a buffer too small, are refused', () => {
  const buffer = new ArrayBuffer(stateBytes(100));
  formatState(buffer, 100, [1, 2]);
  const header = new Int32Array(buffer);
  header[1]!++;
  expect(codeOf(() => openState(buffer))).toBe('state_foreign');
  header[1]!--;
  expect(codeOf(() => openState(buffer.slice(0, -4)))).toBe('state_truncated');
  header[2] = -1;
  expect(codeOf(() => openState(buffer))).toBe('state_truncated');
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
