/**
 * The window rules: each by a literal scenario, then all of them on random segments against a model that is written down
 * once more, slowly, in unsigned numbers, after the description in nf_conntrack_proto_tcp.c.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ASSURED, H_PACKETS } from '../../src/conntrack/flow-table.ts';
import type { TcpOptions } from '../../src/conntrack/tcp-tracker.ts';
import * as w from '../../src/conntrack/tcp-window.ts';
import { type TcpFields, tcpPacket } from '../../src/testing/index.ts';
import { hex } from '../wire/hex.ts';
import { Bed } from './tracker-bed.ts';

const A = '10.77.0.2:40000';
const B = '198.18.0.2:80';
type Segment = Partial<Omit<TcpFields, 'payload'>> & { flags: string; length?: number };

const segment = (from: string, to: string) => (fields: Segment) =>
  tcpPacket({ from, to, payload: new Uint8Array(fields.length ?? 0), ...fields });
const out = segment(A, B);
const back = segment(B, A);

/** Client at 1000, server at 5000; windows 8000 and 4000 unless told otherwise; established. */
function connected(
  fields: {
    syn?: Partial<Segment>;
    synAck?: Partial<Segment>;
    ack?: Partial<Segment>;
    tcp?: TcpOptions;
  } = {},
): Bed {
  const bed = new Bed(fields.tcp ? { tcp: fields.tcp } : {});
  const steps = [
    out({ flags: 'S', seq: 1000, window: 8000, ...fields.syn }),
    back({ flags: 'SA', seq: 5000, ack: 1001, window: 4000, ...fields.synAck }),
    out({ flags: 'A', seq: 1001, ack: 5001, window: 8000, ...fields.ack }),
  ];
  for (const step of steps) expect(bed.feed(step)).toMatch(/original|reply/);
  expect(bed.flow()).toMatchObject({ state: 'ESTABLISHED', assured: true });
  return bed;
}

/** Whether the packet passed with effect, passed without, or was dropped. */
function outcome(bed: Bed, packet: Uint8Array): string {
  bed.now += 7;
  const before = bed.flow()!;
  const verdict = bed.feed(packet);
  if (verdict !== 'original' && verdict !== 'reply') return verdict;
  const refreshed = bed.table.hot[7] === (bed.now | 0);
  expect(bed.flow()!.originalPackets + bed.flow()!.replyPackets).toBe(
    before.originalPackets + before.replyPackets + 1,
  );
  return refreshed ? 'in' : 'passed';
}

describe('I: seq <= maxend', () => {
  test('the last number that the window allows, and one more', () => {
    const bed = connected();
    expect(outcome(bed, out({ flags: 'A', seq: 1001 + 4000, ack: 5001 }))).toBe('in');
    // The overshoot is 2 by netfilter's count: within the receiver's window, so it passes beside.
    expect(outcome(bed, out({ flags: 'A', seq: 1001 + 4001, ack: 5001 }))).toBe('passed');
  });

  test('an overshoot by at most the receiver’s window passes without effect, but for END', () => {
    const bed = connected();
    expect(outcome(bed, out({ flags: 'A', seq: 5002, ack: 5001, length: 3998 }))).toBe('passed');
    expect(bed.table.track[w.W_END]).toBe(9000);
    // So its acknowledgement is right.
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 9000, window: 4000 }))).toBe('in');
  });

  test('by more it is INVALID', () => {
    const bed = connected();
    expect(outcome(bed, out({ flags: 'A', seq: 5002, ack: 5001, length: 4000 }))).toBe('invalid_window');
    expect(bed.table.track[w.W_END]).toBe(1001);
  });

  test('an overshoot whose ACK is wrong as well is INVALID', () => {
    const bed = connected();
    expect(outcome(bed, out({ flags: 'A', seq: 5002, ack: 5002, length: 1 }))).toBe('invalid_window');
  });
});

describe('II: seq + len >= end - maxwin of the receiver', () => {
  test('old data passes without effect, at the bound with', () => {
    const bed = connected();
    for (const seq of [1001, 3001]) {
      expect(outcome(bed, out({ flags: 'PA', seq, ack: 5001, length: 2000 }))).toBe('in');
    }
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 5001, window: 4000 }))).toBe('in');
    expect(outcome(bed, out({ flags: 'PA', seq: 5001, ack: 5001, length: 2000 }))).toBe('in');
    // END is 7001, the server's window 4000.
    expect(outcome(bed, out({ flags: 'A', seq: 2001, ack: 5001, length: 1000 }))).toBe('in');
    expect(outcome(bed, out({ flags: 'A', seq: 2001, ack: 5001, length: 999 }))).toBe('passed');
  });
});

describe('III: sack <= end of the receiver', () => {
  test('what was sent may be acknowledged, one more not', () => {
    const bed = connected();
    expect(outcome(bed, out({ flags: 'A', seq: 1001, ack: 5002 }))).toBe('invalid_window');
    expect(outcome(bed, out({ flags: 'A', seq: 1001, ack: 5001 }))).toBe('in');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1002 }))).toBe('invalid_window');
  });

  test('the acknowledgement of a blocked SYN/ACK’s data never was', () => {
    const bed = new Bed();
    bed.feed(out({ flags: 'S', seq: 1000 }));
    expect(bed.feed(back({ flags: 'SA', seq: 5000, ack: 1002 }))).toBe('invalid_window');
    expect(bed.flow()).toMatchObject({ state: 'SYN_SENT', unreplied: true });
  });
});

describe('IV: ack >= end of the receiver - max(66000, maxwin)', () => {
  test('a delayed ACK passes without effect', () => {
    const bed = connected({ synAck: { window: 65535 } });
    for (let at = 1001; at < 67_001; at += 33_000) {
      expect(outcome(bed, out({ flags: 'A', seq: at, ack: 5001, length: 33_000 }))).toBe('in');
      expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: at + 33_000, window: 65535 }))).toBe('in');
    }
    expect(outcome(bed, out({ flags: 'A', seq: 67001, ack: 5001, length: 1 }))).toBe('in');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1002, window: 65535 }))).toBe('in');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, window: 65535 }))).toBe('passed');
  });
});

describe('window scale', () => {
  const scale = (shift: number) => hex(`01 0303 ${shift.toString(16).padStart(2, '0')}`);
  const far = out({ flags: 'A', seq: 1001 + 300_000, ack: 5001 });

  test('offered by both, windows are shifted', () => {
    const bed = connected({ syn: { options: scale(2) }, synAck: { options: scale(7) } });
    // Of a SYN it counts as it stands: 4000.
    expect(outcome(bed, far)).toBe('invalid_window');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, window: 4000 }))).toBe('in');
    expect(bed.table.track[w.SIDE + w.W_MAXWIN]).toBe(4000 << 7);
    expect(outcome(bed, far)).toBe('in');
  });

  test.each([
    ['only the client', { syn: { options: scale(2) } }],
    ['only the server', { synAck: { options: scale(7) } }],
    ['nobody', {}],
  ])('offered by %s it does not hold', (_, fields) => {
    const bed = connected(fields);
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, window: 4000 }))).toBe('in');
    expect(bed.table.track[w.SIDE + w.W_MAXWIN]).toBe(4000);
    expect(outcome(bed, far)).toBe('invalid_window');
  });

  test('the widest window there is: 65535 << 14', () => {
    const bed = connected({ syn: { options: scale(14) }, synAck: { options: scale(99) } });
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, window: 65535 }))).toBe('in');
    expect(outcome(bed, out({ flags: 'A', seq: 1001 + (65535 << 14), ack: 5001 }))).toBe('in');
  });
});

describe('SACK', () => {
  const block = (left: number, right: number) =>
    hex(`0101050a ${[left, right].map((n) => (n >>> 0).toString(16).padStart(8, '0')).join(' ')}`);
  const permitted = { options: hex('01010402') };

  test('a block beyond what was sent is INVALID, for who permitted SACK', () => {
    const bed = connected({ syn: permitted, synAck: permitted });
    expect(outcome(bed, out({ flags: 'A', seq: 2001, ack: 5001, length: 1000 }))).toBe('in');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, options: block(2001, 3002) }))).toBe(
      'invalid_window',
    );
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, options: block(2001, 3001) }))).toBe('in');
  });

  test('blocks of a peer that was not asked for them are not read', () => {
    const bed = connected();
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, options: block(2001, 3002) }))).toBe('in');
  });

  test('the window counts from the highest edge', () => {
    const bed = connected({ syn: permitted, synAck: permitted });
    expect(outcome(bed, out({ flags: 'A', seq: 3001, ack: 5001, length: 2000 }))).toBe('in');
    bed.feed(back({ flags: 'A', seq: 5001, ack: 1001, window: 4000, options: block(3001, 5001) }));
    expect(bed.table.track[w.W_MAXEND]).toBe(9001);
    expect(bed.table.track[w.SIDE + w.W_MAXWIN]).toBe(8000);
  });
});

test('sequence numbers wrap in the middle of a connection', () => {
  const bed = new Bed();
  const seq = (n: number) => n >>> 0;
  bed.feed(out({ flags: 'S', seq: seq(-3) }));
  bed.feed(back({ flags: 'SA', seq: seq(2 ** 31 - 3), ack: seq(-2) }));
  expect(bed.feed(out({ flags: 'A', seq: seq(-2), ack: seq(2 ** 31 - 2) }))).toBe('original');
  let client = -2;
  let server = 2 ** 31 - 2;
  for (let i = 0; i < 400; i++) {
    expect(outcome(bed, out({ flags: 'PA', seq: seq(client), ack: seq(server), length: 1000 }))).toBe('in');
    client += 1000;
    expect(outcome(bed, back({ flags: 'PA', seq: seq(server), ack: seq(client), length: 10 }))).toBe('in');
    server += 10;
  }
  expect(outcome(bed, out({ flags: 'A', seq: seq(client + 200_000), ack: seq(server) }))).toBe(
    'invalid_window',
  );
});

test('a super-packet is one segment of its whole length', () => {
  const bed = connected({ synAck: { window: 65535 } });
  expect(outcome(bed, out({ flags: 'PA', seq: 1001, ack: 5001, length: 64_000 }))).toBe('in');
  expect(bed.table.track[w.W_END]).toBe(65_001);
  expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 65_002 }))).toBe('invalid_window');
  expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 65_001 }))).toBe('in');
});

describe('a segment in fragments', () => {
  const first = (length: number) => out({ flags: 'A', seq: 1001, ack: 5001, length, fragment: 0x2000 });

  test('counts as long as its fragments, once', () => {
    const bed = connected();
    for (let again = 0; again < 2; again++) {
      expect(outcome(bed, first(564))).toBe('in');
      bed.tracker.touch(0, 0, 620, bed.now | 0);
      bed.tracker.touch(0, 0, 320, bed.now | 0);
      expect(bed.table.track[w.W_END]).toBe(1001 + 564 + 600 + 300);
    }
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 2466 }))).toBe('invalid_window');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 2465 }))).toBe('in');
  });

  test('of both sides at once: nothing that was sent is taken for not sent', () => {
    const bed = connected();
    expect(outcome(bed, first(564))).toBe('in');
    expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1001, length: 564, fragment: 0x2000 }))).toBe(
      'in',
    );
    bed.tracker.touch(0, 0, 620, bed.now | 0);
    bed.tracker.touch(0, 1, 620, bed.now | 0);
    expect(outcome(bed, back({ flags: 'A', seq: 6165, ack: 2165 }))).toBe('in');
    expect(outcome(bed, out({ flags: 'A', seq: 2165, ack: 6165 }))).toBe('in');
  });
});

describe('modes', () => {
  const wild = out({ flags: 'A', seq: 900_000, ack: 700_000 });

  test('liberal: everything passes, with effect on state and timer', () => {
    const bed = connected({ tcp: { liberal: true } });
    expect(outcome(bed, wild)).toBe('in');
    expect(outcome(bed, out({ flags: 'FA', seq: 900_000, ack: 700_000 }))).toBe('in');
    expect(bed.flow()).toMatchObject({ state: 'FIN_WAIT' });
  });

  test('loose: picked up from its middle, both sides are liberal', () => {
    const bed = new Bed();
    expect(bed.feed(out({ flags: 'A', seq: 100, ack: 200 }))).toBe('original');
    expect(bed.feed(back({ flags: 'PA', seq: 200, ack: 100, length: 10 }))).toBe('reply');
    expect(outcome(bed, wild)).toBe('in');
    expect(bed.table.track[w.W_FLAGS]! & w.F_LIBERAL).toBe(w.F_LIBERAL);
    expect(bed.table.track[w.SIDE + w.W_FLAGS]! & w.F_LIBERAL).toBe(w.F_LIBERAL);
  });

  test('not loose: the middle of a connection begins nothing', () => {
    const bed = new Bed({ tcp: { loose: false } });
    expect(bed.feed(out({ flags: 'A', seq: 100, ack: 200 }))).toBe('invalid first');
    expect(bed.feed(out({ flags: 'S', seq: 100 }))).toBe('original');
  });
});

test('a helper’s offset: the peer counts more bytes than the sender sent', () => {
  const bed = connected();
  bed.tracker.tcp.sequenceOffset = (_flow, direction) => (direction === 0 ? 12 : 0);
  bed.table.hot[6]! |= 1 << 20;
  expect(outcome(bed, out({ flags: 'PA', seq: 1001, ack: 5001, length: 100 }))).toBe('in');
  expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1114 }))).toBe('invalid_window');
  expect(outcome(bed, back({ flags: 'A', seq: 5001, ack: 1113 }))).toBe('in');
  expect(outcome(bed, out({ flags: 'A', seq: 1101, ack: 5001 }))).toBe('in');
});

/** The rules once more. Numbers are unsigned, distances are computed the long way. */
interface Side {
  end: number;
  maxEnd: number;
  maxWin: number;
}
const MOD = 2 ** 32;
const norm = (n: number) => ((n % MOD) + MOD) % MOD;
/** How far a is ahead of b, -2^31 to 2^31 - 1. */
const ahead = (a: number, b: number) => {
  const distance = norm(a - b);
  return distance >= MOD / 2 ? distance - MOD : distance;
};

/** Whether a is later than b; exactly half the space away counts as later, as with the kernel's after(). */
const later = (a: number, b: number) => norm(a - b) !== 0 && norm(a - b) <= MOD / 2;

function model(sides: [Side, Side], direction: 0 | 1, seq: number, length: number, ack: number, win: number) {
  const sender = sides[direction];
  const receiver = sides[direction === 0 ? 1 : 0];
  const end = norm(seq + length);
  const upperData = !later(seq, sender.maxEnd);
  const lowerData = ahead(end, norm(sender.end - receiver.maxWin)) >= 0;
  const upperAck = !later(ack, receiver.end);
  const lowerAck = ahead(ack, norm(receiver.end - Math.max(66_000, sender.maxWin))) >= 0;
  if (!upperData) {
    const overshoot = norm(end - sender.maxEnd + 1);
    if (!(lowerData && upperAck && lowerAck && overshoot <= receiver.maxWin)) return 'invalid_window';
    sender.end = end;
    return 'passed';
  }
  if (!upperAck) return 'invalid_window';
  if (!lowerData || !lowerAck) return 'passed';
  sender.maxWin = Math.max(sender.maxWin, win);
  if (later(end, sender.end)) sender.end = end;
  if (later(end, sender.maxEnd)) receiver.maxWin += norm(end - sender.maxEnd);
  const allowed = norm(ack + Math.max(win, 1));
  if (ahead(norm(ack + win), receiver.maxEnd) >= 0) receiver.maxEnd = allowed;
  return 'in';
}

test('random segments: the verdict and the numbers of the model', () => {
  const hits: Record<string, number> = {};
  const near = fc.oneof(
    fc.integer({ min: -3, max: 3 }),
    fc.integer({ min: -150_000, max: 150_000 }),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  );
  const step = fc.record({
    direction: fc.constantFrom(0 as const, 1 as const),
    /** What sequence number and acknowledgement are near to. */
    seqBase: fc.constantFrom('end', 'maxEnd', 'low'),
    seq: near,
    ackBase: fc.constantFrom('end', 'end', 'low'),
    ack: fc.oneof(fc.constant(0), near),
    length: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2000 }), fc.constant(60_000)),
    window: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65535 })),
  });
  const isn = fc.oneof(fc.constantFrom(0, 2 ** 31 - 500, MOD - 500), fc.integer({ min: 0, max: MOD - 1 }));
  fc.assert(
    fc.property(isn, isn, fc.array(step, { maxLength: 40 }), (client, server, steps) => {
      const bed = new Bed();
      bed.feed(out({ flags: 'S', seq: client, window: 8000 }));
      bed.feed(back({ flags: 'SA', seq: server, ack: norm(client + 1), window: 4000 }));
      bed.feed(out({ flags: 'A', seq: norm(client + 1), ack: norm(server + 1), window: 8000 }));
      const sides: [Side, Side] = [
        { end: norm(client + 1), maxEnd: norm(client + 4001), maxWin: 8000 },
        { end: norm(server + 1), maxEnd: norm(server + 8001), maxWin: 4000 },
      ];
      for (const { direction, seqBase, seq, ackBase, ack, length, window } of steps) {
        const sender = sides[direction];
        const receiver = sides[direction === 0 ? 1 : 0];
        const low = seqBase === 'low' ? sender.end - receiver.maxWin - length : sender[seqBase];
        const lowAck = receiver.end - (ackBase === 'low' ? Math.max(66_000, sender.maxWin) : 0);
        const fields = { flags: 'A', seq: norm(low + seq), ack: norm(lowAck + ack), length, window };
        const expected = model(sides, direction, fields.seq, length, fields.ack, window);
        expect(outcome(bed, (direction === 0 ? out : back)(fields))).toBe(expected);
        hits[expected] = (hits[expected] ?? 0) + 1;
        const { track } = bed.table;
        for (const d of [0, 1] as const) {
          const found = [w.W_END, w.W_MAXEND, w.W_MAXWIN].map((word) => track[d * w.SIDE + word]! >>> 0);
          expect(found).toEqual([sides[d].end, sides[d].maxEnd, sides[d].maxWin]);
        }
      }
      expect(bed.table.hot[6]! & ASSURED).toBe(ASSURED);
      expect(bed.table.hot[H_PACKETS]).toBeGreaterThan(1);
    }),
    { numRuns: 300 },
  );
  for (const kind of ['in', 'passed', 'invalid_window']) expect(hits[kind], kind).toBeGreaterThan(200);
});
