import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DROPPED, FOR_HOST, Fragments, UNKNOWN } from '../../src/conntrack/fragments.ts';

const LIFETIME = 30_000;

function find(fragments: Fragments, key: readonly [number, number, number, number], now: number) {
  const at = fragments.find(...key, now);
  return at === UNKNOWN ? null : [fragments.verdict(at), fragments.sequence(at)];
}

test('a datagram is known by its four words until 30 s have passed', () => {
  const fragments = new Fragments([1, 2]);
  fragments.remember(10, 20, 17, 0x1234, 6, 8, 1000);
  expect(find(fragments, [10, 20, 17, 0x1234], 1000)).toEqual([6, 8]);
  expect(find(fragments, [10, 20, 17, 0x1234], 1000 + LIFETIME - 1)).toEqual([6, 8]);
  expect(find(fragments, [10, 20, 17, 0x1234], 1000 + LIFETIME)).toBeNull();
  for (const other of [
    [11, 20, 17, 0x1234],
    [10, 21, 17, 0x1234],
    [10, 20, 6, 0x1234],
    [10, 20, 17, 0x1235],
    [20, 10, 17, 0x1234],
  ] as const) {
    expect(find(fragments, other, 1000)).toBeNull();
  }
});

test('a new first fragment takes the place of the old one, the lifetime begins anew', () => {
  const fragments = new Fragments([1, 2]);
  fragments.remember(10, 20, 17, 7, 6, 8, 0);
  fragments.remember(10, 20, 17, 7, DROPPED, 0, 20_000);
  expect(find(fragments, [10, 20, 17, 7], 40_000)).toEqual([DROPPED, 0]);
  fragments.remember(10, 20, 17, 7, FOR_HOST, 0, 40_000);
  expect(find(fragments, [10, 20, 17, 7], 40_000)).toEqual([FOR_HOST, 0]);
});

test('the clock may wrap in between', () => {
  const fragments = new Fragments([1, 2]);
  const now = 2 ** 31 - 1000;
  fragments.remember(10, 20, 17, 7, 6, 8, now);
  expect(find(fragments, [10, 20, 17, 7], (now + 20_000) | 0)).toEqual([6, 8]);
  expect(find(fragments, [10, 20, 17, 7], (now + 40_000) | 0)).toBeNull();
});

test('against a Map: what is found is what was remembered last, and the latest are always found', () => {
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
      const model = new Map<string, { verdict: number; at: number; key: [number, number, number, number] }>();
      let now = 0;
      for (const { source, destination, protocol, id, verdict, after } of datagrams) {
        now += after;
        fragments.remember(source, destination, protocol, id, verdict, 2, now);
        const known: [number, number, number, number] = [source, destination, protocol, id];
        model.set(known.join(), { verdict, at: now, key: known });
        expect(find(fragments, known, now)).toEqual([verdict, 2]);
      }
      for (const { verdict, at, key: known } of model.values()) {
        const found = find(fragments, known, now);
        // An entry may have been pushed out; it is never another's.
        if (found !== null) {
          expect(found).toEqual([verdict, 2]);
          expect(now - at).toBeLessThan(LIFETIME);
        }
      }
    }),
  );
});

test('4096 datagrams in flight: most are there; a set that is full loses its oldest', () => {
  const fragments = new Fragments([3, 4]);
  for (let id = 0; id < 2048; id++) fragments.remember(10, 20, 17, id, id, 2, id);
  const kept = [...Array(2048).keys()].filter((id) => find(fragments, [10, 20, 17, id], 2048) !== null);
  expect(kept.length).toBeGreaterThan(1900);
  for (let id = 2048; id < 40_000; id++) fragments.remember(10, 20, 17, id, id, 2, id >> 3);
  const recent = [...Array(1000).keys()].map((i) => 39_000 + i);
  expect(recent.filter((id) => find(fragments, [10, 20, 17, id], 5000) !== null).length).toBeGreaterThan(900);
});
