import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  DROPPED,
  DUPLICATE,
  FOR_HOST,
  FRESH,
  Fragments,
  fragmentKey,
  OVERLAP,
  UNKNOWN,
} from '../../src/conntrack/fragments.ts';

const LIFETIME = 30_000;
type Key = readonly [source: number, destination: number, protocol: number, id: number, side?: number];

function find(fragments: Fragments, [source, destination, protocol, id, side = 0]: Key, now: number) {
  const at = fragments.find(source, destination, fragmentKey(protocol, id, side), now);
  return at === UNKNOWN ? null : [fragments.verdict(at), fragments.sequence(at)];
}

function remember(
  fragments: Fragments,
  [source, destination, protocol, id, side = 0]: Key,
  verdict: number,
  sequence: number,
  now: number,
): number {
  const at = fragments.open(source, destination, fragmentKey(protocol, id, side), now);
  fragments.decide(at, verdict, sequence);
  return at;
}

test('a datagram is known by its key until 30 s have passed', () => {
  const fragments = new Fragments([1, 2]);
  remember(fragments, [10, 20, 17, 0x1234], 6, 8, 1000);
  expect(find(fragments, [10, 20, 17, 0x1234], 1000)).toEqual([6, 8]);
  for (const other of [
    [11, 20, 17, 0x1234],
    [10, 21, 17, 0x1234],
    [10, 20, 6, 0x1234],
    [10, 20, 17, 0x1235],
    [20, 10, 17, 0x1234],
    [10, 20, 17, 0x1234, 1],
  ] as const) {
    expect(find(fragments, other, 1000)).toBeNull();
  }
  expect(find(fragments, [10, 20, 17, 0x1234], 1000 + LIFETIME - 1)).toEqual([6, 8]);
  expect(find(fragments, [10, 20, 17, 0x1234], 1000 + LIFETIME)).toBeNull();
});

test('a new datagram has no verdict; it is the same until it is freed', () => {
  const fragments = new Fragments([1, 2]);
  const at = fragments.open(10, 20, 7, 0);
  expect(fragments.verdict(at)).toBe(UNKNOWN);
  fragments.decide(at, FOR_HOST, 0);
  expect(fragments.open(10, 20, 7, 20_000)).toBe(at);
  expect(fragments.verdict(at)).toBe(FOR_HOST);
  fragments.free(at);
  expect(fragments.verdict(fragments.open(10, 20, 7, 20_000))).toBe(UNKNOWN);
});

test('the clock may wrap in between', () => {
  const fragments = new Fragments([1, 2]);
  const now = 2 ** 31 - 1000;
  remember(fragments, [10, 20, 17, 7], 6, 8, now);
  expect(find(fragments, [10, 20, 17, 7], (now + 20_000) | 0)).toEqual([6, 8]);
  expect(find(fragments, [10, 20, 17, 7], (now + 40_000) | 0)).toBeNull();
});

test('against a Map: what is found is what was decided last, and the latest are always found', () => {
  const datagram = fc.record({
    source: fc.nat(50),
    destination: fc.nat(3),
    protocol: fc.constantFrom(1, 6, 17),
    id: fc.oneof(fc.nat(65535), fc.nat(20)),
    verdict: fc.oneof(fc.nat(1000), fc.constantFrom(FOR_HOST, DROPPED)),
    after: fc.nat(2000),
  });
  fc.assert(
    fc.property(fc.array(datagram, { maxLength: 300 }), fc.integer(), (datagrams, key) => {
      const fragments = new Fragments([key, ~key]);
      const model = new Map<string, { verdict: number; key: Key }>();
      let now = 0;
      for (const { source, destination, protocol, id, verdict, after } of datagrams) {
        now += after;
        const known: Key = [source, destination, protocol, id];
        remember(fragments, known, verdict, 2, now);
        model.set(known.join(), { verdict, key: known });
        expect(find(fragments, known, now)).toEqual([verdict, 2]);
      }
      for (const { verdict, key: known } of model.values()) {
        const found = find(fragments, known, now);
        // An entry may have been pushed out; it is never another's.
        if (found !== null) expect(found).toEqual([verdict, 2]);
        expect(find(fragments, known, (now + LIFETIME) | 0)).toBeNull();
      }
    }),
  );
});

test('4096 datagrams in flight: most are there; a set that is full loses its oldest', () => {
  const fragments = new Fragments([3, 4]);
  for (let id = 0; id < 2048; id++) remember(fragments, [10, 20, 17, id], id, 2, id);
  const kept = [...Array(2048).keys()].filter((id) => find(fragments, [10, 20, 17, id], 2048) !== null);
  expect(kept.length).toBeGreaterThan(1900);
  for (let id = 2048; id < 40_000; id++) remember(fragments, [10, 20, 17, id], id, 2, id >> 3);
  const recent = [...Array(1000).keys()].map((i) => 39_000 + i);
  expect(recent.filter((id) => find(fragments, [10, 20, 17, id], 5000) !== null).length).toBeGreaterThan(900);
});

test('a source that floods the table displaces itself', () => {
  const fragments = new Fragments([3, 4]);
  const forgotten: [number, boolean][] = [];
  fragments.onForget = (datagram, expired) => forgotten.push([fragments.sourceOf(datagram), expired]);
  for (let id = 0; id < 400; id++) remember(fragments, [100 + id, 20, 17, id], id, 2, 0);
  for (let id = 0; id < 50_000; id++) remember(fragments, [10, 20, 17, id], id, 2, 1);
  const kept = [...Array(400).keys()].filter((id) => find(fragments, [100 + id, 20, 17, id], 1) !== null);
  // Where four of the 400 shared a set, the flood had no place of its own: there it took one, and no more.
  const lost = forgotten.filter(([source]) => source !== 10);
  expect(lost.length).toBe(400 - kept.length);
  expect(lost.length).toBeLessThan(5);
  expect(forgotten.every(([, expired]) => !expired)).toBe(true);
});

test('what is in the way and expired is forgotten as such', () => {
  const fragments = new Fragments([3, 4]);
  const forgotten: boolean[] = [];
  fragments.onForget = (_, expired) => forgotten.push(expired);
  for (let id = 0; id < 100; id++) remember(fragments, [10, 20, 17, id], id, 2, 0);
  for (let id = 0; id < 100; id++) remember(fragments, [10, 20, 17, id], id, 2, LIFETIME);
  expect(forgotten).toEqual(Array(100).fill(true));
});

/** The pieces of a cut of `total` bytes at multiples of 8. */
const cuts = fc
  .tuple(fc.integer({ min: 9, max: 65_515 }), fc.array(fc.nat(8189), { maxLength: 40 }))
  .map(([total, at]) => {
    const marks = [...new Set(at.map((unit) => (unit % Math.ceil(total / 8)) * 8))].filter(
      (mark) => mark > 0,
    );
    const starts = [0, ...marks.sort((a, b) => a - b)];
    return starts.map((start, i) => ({
      start,
      end: starts[i + 1] ?? total,
      more: i + 1 < starts.length,
    }));
  });

test('any cut in any order is fresh, its repetitions are duplicates, and the last piece completes it', () => {
  fc.assert(
    fc.property(
      cuts.chain((pieces) =>
        fc.tuple(fc.constant(pieces), fc.shuffledSubarray(pieces, { minLength: pieces.length })),
      ),
      ([, pieces]) => {
        const fragments = new Fragments([1, 2]);
        const at = fragments.open(1, 2, 3, 0);
        const seen: typeof pieces = [];
        for (const piece of pieces) {
          expect(fragments.examine(at, piece.start, piece.end, piece.more, 20)).toBe(FRESH);
          const complete = fragments.cover(at, piece.start, piece.end, piece.more, 20);
          seen.push(piece);
          expect(complete).toBe(seen.length === pieces.length);
          for (const old of seen)
            expect(fragments.examine(at, old.start, old.end, old.more, 20)).toBe(DUPLICATE);
        }
      },
    ),
  );
});

test('against a model of single units: fresh, duplicate or overlap', () => {
  const piece = fc
    .tuple(
      fc.nat(60),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 0, max: 5 }),
    )
    .map(([first, units, tail, last]) =>
      last === 0
        ? { start: first * 8, end: (first + units) * 8 - 8 + tail, more: false }
        : { start: first * 8, end: (first + units) * 8, more: true },
    );
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 40 }), (pieces) => {
      const fragments = new Fragments([1, 2]);
      const at = fragments.open(1, 2, 3, 0);
      const taken: typeof pieces = [];
      for (const one of pieces) {
        const touching = taken.filter((old) => old.start < one.end && one.start < old.end);
        const last = taken.find(({ more }) => !more);
        const same = touching.some(
          (old) => old.start === one.start && old.end === one.end && old.more === one.more,
        );
        const impossible = one.more
          ? last !== undefined && one.end >= last.end
          : last !== undefined
            ? last.end !== one.end
            : taken.some(({ end }) => end >= one.end);
        const expected = same ? DUPLICATE : touching.length > 0 || impossible ? OVERLAP : FRESH;
        expect(fragments.examine(at, one.start, one.end, one.more, 20)).toBe(expected);
        if (expected !== FRESH) continue;
        fragments.cover(at, one.start, one.end, one.more, 20);
        taken.push(one);
      }
    }),
    { numRuns: 1000 },
  );
});

test('a datagram larger than 65535 bytes with its first header is refused', () => {
  const fragments = new Fragments([1, 2]);
  const at = fragments.open(1, 2, 3, 0);
  expect(fragments.examine(at, 65_504, 65_515, false, 20)).toBe(FRESH);
  fragments.cover(at, 65_504, 65_515, false, 20);
  expect(fragments.examine(at, 0, 8, true, 24)).toBe(OVERLAP);
  expect(fragments.examine(at, 0, 8, true, 20)).toBe(FRESH);
  const other = fragments.open(1, 2, 4, 0);
  fragments.cover(other, 0, 8, true, 60);
  expect(fragments.examine(other, 65_472, 65_475, false, 20)).toBe(FRESH);
  expect(fragments.examine(other, 65_472, 65_476, false, 20)).toBe(OVERLAP);
});

test('a freed entry begins with nothing, however far the one before reached', () => {
  const fragments = new Fragments([1, 2]);
  const at = fragments.open(1, 2, 3, 0);
  fragments.cover(at, 65_504, 65_515, false, 20);
  fragments.cover(at, 0, 1480, true, 20);
  fragments.free(at);
  expect(fragments.open(1, 2, 3, 0)).toBe(at);
  expect(fragments.examine(at, 0, 8, true, 20)).toBe(FRESH);
  expect(fragments.examine(at, 65_504, 65_512, true, 20)).toBe(FRESH);
});
