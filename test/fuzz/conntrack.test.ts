/** The tracker alone (`natgate/conntrack`), with what the fuzzer makes: bytes in, a verdict out, never an exception. */
import { expect, test } from 'vitest';
import { Conntrack, type Verdict } from '../../src/conntrack/index.ts';
import type { Tracker } from '../../src/conntrack/tracker.ts';
import { reasonNames } from '../../src/core/reasons.ts';
import { checkTable } from '../engine/invariants.ts';
import { Dice } from './dice.ts';
import { AT, mutate, Packet } from './mutations.ts';
import { seeds } from './seeds.ts';

const PACKETS = 40_000;
const DAY = 86_400_000;

function checkVerdict(verdict: Verdict): void {
  const { state, reason, direction, flow } = verdict;
  if (state === 'INVALID') {
    expect(reasonNames).toContain(reason);
    expect({ direction, flow }).toEqual({ direction: '', flow: null });
    return;
  }
  expect(['NEW', 'ESTABLISHED', 'RELATED']).toContain(state);
  expect(reason).toBe('');
  expect(['original', 'reply']).toContain(direction);
  expect(flow).not.toBeNull();
  if (state === 'ESTABLISHED') expect(flow!.unreplied).toBe(false);
  if (state === 'NEW') expect(flow!.unreplied).toBe(true);
}

/** The packet as its receiver would answer it. */
function turn(packet: Packet): void {
  const { u8, header } = packet;
  if (packet.length < header + 8 || header < 20) return;
  for (const [at, bytes] of [
    [12, 4],
    [header, 2],
  ] as const) {
    const first = u8.slice(AT + at, AT + at + bytes);
    u8.copyWithin(AT + at, AT + at + bytes, AT + at + 2 * bytes);
    u8.set(first, AT + at + bytes);
  }
  if (packet.protocol === 6) u8[AT + header + 13] = 0x12;
  packet.mendHeader();
}

test.each([1, 2, Math.floor(Math.random() * 2 ** 32)])(`${PACKETS} packets, seed %i`, (seed) => {
  const dice = new Dice(seed);
  // The clock wraps on the way.
  let now = 0x7fff_0000;
  const conntrack = new Conntrack({
    now,
    capacity: 200,
    seed: [seed, ~seed],
    timeouts: { udp: 4, generic: 3 },
  });
  const { tracker } = conntrack as unknown as { tracker: Tracker };
  const packet = new Packet();
  const states = new Set<string>();
  for (let n = 0; n < PACKETS; n++) {
    const seed = dice.one(seeds);
    packet.load(seed.packet, seed.packet.length);
    if (dice.chance(128)) packet.u8[AT + 15] = dice.below(12);
    if (dice.chance(100)) turn(packet);
    if (dice.chance(90)) mutate(packet, dice);
    if (dice.chance(200)) packet.mendLength();
    if (dice.chance(120)) packet.mendIcmp();
    if (dice.chance(230)) packet.mendHeader();
    if (dice.chance(30)) now = (now + dice.below(3000)) | 0;
    if (n % 10_000 === 77) now = (now + DAY * (1 + dice.below(20))) | 0;
    const verdict = conntrack.track(packet.u8.subarray(AT, AT + packet.length), now);
    checkVerdict(verdict);
    states.add(verdict.state);
    if (n % 500 === 0) {
      checkTable(tracker);
      expect([...conntrack.flows(now)]).toHaveLength(conntrack.size);
    }
  }
  checkTable(tracker);
  expect([...states].sort()).toEqual(['ESTABLISHED', 'INVALID', 'NEW', 'RELATED']);
});
