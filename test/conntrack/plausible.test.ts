/** What an adopted flow's changing words may be, and what becomes of those that cannot be. */
import { describe, expect, test } from 'vitest';
import {
  ASSURED,
  FlowTable,
  H_LAST,
  H_STATUS,
  HOT,
  SEEN_REPLY,
  STATE_SHIFT,
  TIMER_SHIFT,
  TRACK,
} from '../../src/conntrack/flow-table.ts';
import { hasState, mend } from '../../src/conntrack/plausible.ts';
import { isPossible } from '../../src/conntrack/tcp-restored.ts';
import {
  F_LIBERAL,
  F_MAXACK,
  F_SACK,
  SIDE,
  W_END,
  W_FLAGS,
  W_LAST,
  W_LAST_WINDOW,
  W_MAXACK,
  W_MAXEND,
  W_MAXWIN,
} from '../../src/conntrack/tcp-window.ts';

const status = (protocol: number, state: number, timer = 0) =>
  protocol | (state << STATE_SHIFT) | (timer << TIMER_SHIFT);

test.each([
  ['TCP', 6, [1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1, 2, 3, 4]],
  ['UDP', 17, [0, 1, 2, 4, 5, 6], [0]],
  ['GRE', 47, [0, 1], [0]],
  ['SCTP', 132, [0, 1, 2, 3, 4, 5, 6, 7, 8], [0]],
  ['ICMP', 1, [0], [0]],
  ['another protocol', 50, [0], [0]],
])('%s has these states and timers, and no other', (_, protocol, states, timers) => {
  for (let state = 0; state < 16; state++) {
    for (let timer = 0; timer < 8; timer++) {
      const can = states.includes(state) && timers.includes(timer);
      expect(hasState(status(protocol, state, timer)), `${state} ${timer}`).toBe(can);
    }
  }
});

function made(protocol: number, flags = 0): FlowTable {
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(2)), 0, 2, [1, 2]);
  table.create(protocol, 1, 2, 3, 2, 1, 4, flags, 5000);
  return table;
}

test('a flow whose last packet is in the future, or before it began, is as old as its adoption', () => {
  for (const [last, now, is] of [
    [5000, 9000, 5000],
    [9000, 9000, 9000],
    [9001, 9000, 9000],
    [4999, 9000, 9000],
    [-2147480000, 9000, 9000],
  ] as const) {
    const table = made(17);
    table.hot[H_LAST] = last;
    expect(mend(table, 0, now)).toBe(last !== is);
    expect(table.hot[H_LAST]).toBe(is);
  }
});

test('a flow that nobody answered is not ASSURED', () => {
  const table = made(17, ASSURED);
  expect(mend(table, 0, 5000)).toBe(true);
  expect(table.hot[H_STATUS]! & ASSURED).toBe(0);
  expect(mend(made(17, ASSURED | SEEN_REPLY), 0, 5000)).toBe(false);
});

describe('what TCP remembers', () => {
  function right(): Int32Array {
    const track = new Int32Array(TRACK);
    for (const [side, end] of [
      [0, 0x7ffffff0],
      [SIDE, -1000],
    ] as const) {
      track[side + W_END] = end;
      // The widest window there is, RFC 7323 2.3.
      track[side + W_MAXEND] = (end + (65535 << 14)) | 0;
      track[side + W_MAXWIN] = 65535 << 14;
      track[side + W_FLAGS] = F_SACK | F_MAXACK | (14 << 8);
    }
    track[W_MAXACK] = (-1000 - (65535 << 14)) | 0;
    track[SIDE + W_MAXACK] = 0x7ffffff0;
    return track;
  }

  test('new, and at its widest, it can be', () => {
    expect(isPossible(new Int32Array(TRACK), 0)).toBe(true);
    expect(isPossible(right(), 0)).toBe(true);
  });

  test.each([
    ['a scale of 15', W_FLAGS, 15 << 8],
    ['flags that there are not', SIDE + W_FLAGS, 1 << 20],
    ['a negative window', W_MAXWIN, -1],
    ['an end far from what is allowed', SIDE + W_END, 0x60000000],
    ['an acknowledgement of what was never sent', SIDE + W_MAXACK, 0x10000000],
    ['a class that there is not', W_LAST, 7],
    ['a last packet with unknown bits', W_LAST, 1 << 12],
    ['too many repetitions', W_LAST_WINDOW, 256 << 16],
  ])('%s: the connection is picked up anew, and nothing is asked of its windows', (_, word, value) => {
    const table = made(6);
    table.track.set(right());
    table.track[word] = value;
    expect(mend(table, 0, 5000)).toBe(true);
    const expected = new Int32Array(TRACK);
    expected[W_FLAGS] = F_SACK | F_LIBERAL;
    expected[SIDE + W_FLAGS] = F_SACK | F_LIBERAL;
    expect(table.track.subarray(0, TRACK)).toEqual(expected);
    expect(table.hot[HOT]).toBe(0);
  });
});
