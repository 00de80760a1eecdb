/** Snapshots: what comes back is what was there, and nothing else is believed. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Conntrack, NatgateError } from '../../src/conntrack/index.ts';
import { crc32 } from '../../src/core/crc32.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';

const CLIENT = '10.0.0.2:40000';
const SERVER = '192.0.2.7:443';
const tcp = (from: string, to: string, flags: string) => tcpPacket({ from, to, flags });
const syn = tcp(CLIENT, SERVER, 'S');
const handshake = [syn, tcp(SERVER, CLIENT, 'SA'), tcp(CLIENT, SERVER, 'A')];
const query = udpPacket({ from: '10.0.0.2:5000', to: '192.0.2.53:53', payload: 'q' });
const answer = udpPacket({ from: '192.0.2.53:53', to: '10.0.0.2:5000', payload: 'a' });
const ping = echoPacket({ from: '10.0.0.2', to: '192.0.2.7', identifier: 77 });

function tracked(packets: Uint8Array[], now = 0): Conntrack {
  const conntrack = new Conntrack({ now, capacity: 64 });
  for (const packet of packets) conntrack.track(packet, now);
  return conntrack;
}

const live = [...handshake, query, ping];

/** The error that a restore throws, which must be a NatgateError with a remedy. */
function refusal(bytes: Uint8Array, options = {}): NatgateError | null {
  try {
    Conntrack.restore(bytes, { now: 0, ...options });
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(NatgateError);
    expect((error as NatgateError).hint).not.toBe('');
    return error as NatgateError;
  }
}

/** A snapshot changed as `change` does, with a checksum that says it is right. */
function forged(bytes: Uint8Array, change: (words: Int32Array) => void): Uint8Array {
  const copy = bytes.slice();
  const words = new Int32Array(copy.buffer);
  change(words);
  words[words.length - 1] = crc32(copy, 0, copy.length - 4);
  return copy;
}

test('flows, counters and times come back, and connections go on', () => {
  const before = tracked(live);
  const after = Conntrack.restore(before.snapshot(1000), { now: 1000 });
  expect([...after.flows(1000)]).toEqual([...before.flows(1000)]);
  expect(after.size).toBe(3);
  expect(after.track(answer, 1000).state).toBe('ESTABLISHED');
  expect(after.track(tcp(SERVER, CLIENT, 'FA'), 1000).flow).toMatchObject({
    state: 'FIN_WAIT',
    originalPackets: 2,
    replyPackets: 2,
  });
  expect(after.snapshot(1000)).not.toEqual(before.snapshot(1000));
});

test('a snapshot of what was restored is the same', () => {
  const bytes = tracked(live).snapshot(77);
  expect(Conntrack.restore(bytes, { now: 77 }).snapshot(77)).toEqual(bytes);
});

test('without flows', () => {
  const restored = Conntrack.restore(new Conntrack({ now: 0 }).snapshot(0), { now: 5 });
  expect(restored.size).toBe(0);
  expect(restored.track(query, 5).state).toBe('NEW');
});

describe('time', () => {
  test('that passed in between counts; flows whose time is up stay behind', () => {
    const bytes = tracked(live).snapshot(10_000);
    const later = Conntrack.restore(bytes, { now: 40_000 });
    expect(
      [...later.flows(40_000)].map(({ protocol, timeoutSeconds }) => [protocol, timeoutSeconds]),
    ).toEqual([[6, 431_960]]);
    expect(later.track(query, 40_000).state).toBe('NEW');
  });

  test('another clock: `elapsed` says how long ago the snapshot was made', () => {
    const origin = Date.UTC(2030, 0);
    const bytes = tracked(live, origin).snapshot(origin + 10_000);
    const restored = Conntrack.restore(bytes, { now: 3, elapsed: 15_000 });
    const left = () => [...restored.flows(3)].map(({ timeoutSeconds }) => timeoutSeconds);
    expect(left()).toEqual([431_975, 5, 5]);
    restored.expire(3 + 7000);
    expect(restored.size).toBe(1);
    const again = Conntrack.restore(restored.snapshot(8000), { now: 8000 });
    expect([...again.flows(8000)].map(({ timeoutSeconds }) => timeoutSeconds)).toEqual([431_968]);
  });

  test('a year is not mistaken for less', () => {
    const bytes = tracked(live).snapshot(0);
    for (const days of [25, 30, 50, 365, 10_000]) {
      expect(Conntrack.restore(bytes, { now: 0, elapsed: days * 86_400_000 }).size, `${days} days`).toBe(0);
    }
    expect(Conntrack.restore(bytes, { now: 4 * 86_400_000 }).size).toBe(1);
  });

  test('fractions of milliseconds, as performance.now() has them', () => {
    const bytes = tracked(live, 0.7).snapshot(100.2);
    const restored = Conntrack.restore(bytes, { now: 100.9 });
    expect(restored.size).toBe(3);
    expect(restored.track(answer, 101.5).state).toBe('ESTABLISHED');
  });

  test('a snapshot from the future is refused', () => {
    const bytes = tracked(live).snapshot(10_000);
    expect(refusal(bytes, { now: 9000 })).toMatchObject({ code: 'snapshot_time' });
    expect(refusal(bytes, { now: 9000, elapsed: -1 })).toMatchObject({ code: 'snapshot_time' });
    expect(refusal(bytes, { now: Number.NaN })).toMatchObject({ code: 'snapshot_time' });
    expect(refusal(bytes, { now: 9000, elapsed: 0 })).toBeNull();
  });
});

describe('refused', () => {
  const bytes = tracked(live).snapshot(0);

  test('at every length but its own', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(bytes.subarray(0, length)), `${length} bytes`).toMatchObject({
        code: 'snapshot_truncated',
      });
    }
    const longer = new Uint8Array(bytes.length + 4);
    longer.set(bytes);
    expect(refusal(longer)?.code).toBe('snapshot_damaged');
  });

  test('with any bit flipped', () => {
    const codes = new Map<string, number>();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = bytes.slice();
      copy[bit >> 3]! ^= 1 << (bit & 7);
      const error = refusal(copy);
      expect(error, `bit ${bit}`).not.toBeNull();
      codes.set(error!.code, (codes.get(error!.code) ?? 0) + 1);
    }
    expect([...codes.keys()].sort()).toEqual([
      'snapshot_damaged',
      'snapshot_foreign',
      'snapshot_truncated',
      'snapshot_version',
    ]);
    expect(codes.get('snapshot_foreign')).toBe(32);
    expect(codes.get('snapshot_version')).toBe(32);
  });

  test('other bytes, and other versions, by what they are', () => {
    expect(refusal(new Uint8Array(100))).toMatchObject({ code: 'snapshot_foreign' });
    const next = forged(bytes, (words) => {
      words[1] = 2;
    });
    expect(refusal(next)).toMatchObject({
      code: 'snapshot_version',
      message: 'the snapshot has version 2, this natgate reads version 1',
    });
  });

  test('with more flows than fit', () => {
    expect(refusal(bytes, { capacity: 2 })).toMatchObject({ code: 'snapshot_capacity' });
    expect(refusal(bytes, { capacity: 3 })).toBeNull();
  });

  const RECORD = 30;
  test.each<[string, (words: Int32Array) => void]>([
    ['two flows with one tuple', (words) => words.copyWithin(6, 6 + RECORD, 6 + 2 * RECORD)],
    ['a reply that is not the inverse', (words) => words.set([1], 6 + 3)],
    ['a dead flow', (words) => words.set([words[12]! & ~(1 << 16)], 12)],
    ['a TCP state that is none', (words) => words.set([words[12]! & ~0xf00], 12)],
    ['flags that a tracker has not', (words) => words.set([words[12]! | (1 << 23)], 12)],
    ['a time that is none', (words) => words.set([-1, -1], 4)],
    ['a negative count', (words) => words.set([-1], 2)],
  ])('with a right checksum, but %s', (_, change) => {
    expect(refusal(forged(bytes, change))).toMatchObject({ code: 'snapshot_damaged' });
  });

  test('or, whatever a forger wrote, accepted as a tracker that works', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length / 4 - 2), fc.integer()), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (changes, tame) => {
          const copy = forged(bytes, (words) => {
            // Tame ones leave the header alone, and so get further.
            for (const [at, value] of changes) words[tame ? Math.max(at, 6) : at] = value;
          });
          if (refusal(copy, { elapsed: 0 }) !== null) return;
          const restored = Conntrack.restore(copy, { now: 0, elapsed: 0 });
          for (const flow of restored.flows(0)) {
            expect(restored.find(flow.protocol, flow.original, 0)).not.toBeNull();
          }
          for (const packet of [...live, answer]) restored.track(packet, 10);
          restored.expire(10 ** 9);
          expect(restored.flush(10 ** 9)).toBeLessThanOrEqual(3);
          expect(restored.size).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });
});

test('a view at an odd place will do', () => {
  const bytes = tracked(live).snapshot(0);
  const memory = new Uint8Array(bytes.length + 1);
  memory.set(bytes, 1);
  expect(Conntrack.restore(memory.subarray(1), { now: 0 }).size).toBe(3);
});
