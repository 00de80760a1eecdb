import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FAR, TagIndex } from '../../src/conntrack/tag-index.ts';
import { hashTuple } from '../../src/conntrack/tuple.ts';
import { Random } from '../../src/core/random.ts';

const VALUES = 24;

/** Every candidate for `hash`, in probing order. */
function candidates(index: TagIndex, hash: number): number[] {
  const found: number[] = [];
  for (let slot = index.seek(hash, hash); slot >= 0; slot = index.seek(hash, slot + 1)) {
    found.push(index.valueAt(slot));
    expect(found.length).toBeLessThanOrEqual(VALUES);
  }
  return found;
}

/** Hashes that collide: few homes (at the end of the table, so that probing wraps) and few tags. */
const hash = fc
  .tuple(fc.constantFrom(0, 1, 2, 30, 60, 61, 62, 63), fc.constantFrom(0, 1, 0x7fffff, 0x1000000, 0x1ffffff))
  .map(([home, tag]) => (tag << 6) | home);

test('against a Map: inserting and removing in any order leaves every value findable and no other', () => {
  const steps = fc.array(fc.tuple(fc.nat(VALUES - 1), hash), { maxLength: 120 });
  fc.assert(
    fc.property(steps, (toggles) => {
      const index = new TagIndex(new Int32Array(TagIndex.slots(VALUES)), VALUES);
      const model = new Map<number, number>();
      for (const [value, itsHash] of toggles) {
        const known = model.get(value);
        if (known === undefined) {
          index.insert(itsHash, value);
          model.set(value, itsHash);
        } else {
          index.remove(known, value, (other) => model.get(other)!);
          model.delete(value);
        }
        expect(index.words.filter((word) => word !== 0)).toHaveLength(model.size);
        for (let v = 0; v < VALUES; v++) {
          const at = model.get(v);
          if (at === undefined) continue;
          expect(candidates(index, at), `value ${v}`).toContain(v);
        }
        for (const v of candidates(index, itsHash)) expect(model.has(v)).toBe(true);
      }
      index.clear();
      expect(index.words.every((word) => word === 0)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('a full index, all with one hash, emptied in any order', () => {
  const order = fc.shuffledSubarray([...Array(VALUES).keys()], { minLength: VALUES });
  fc.assert(
    fc.property(order, hash, (values, same) => {
      const index = new TagIndex(new Int32Array(TagIndex.slots(VALUES)), VALUES);
      for (let value = 0; value < VALUES; value++) index.insert(same, value);
      const left = new Set(values);
      for (const value of values) {
        index.remove(same, value, () => same);
        left.delete(value);
        expect(new Set(candidates(index, same))).toEqual(left);
      }
    }),
    { numRuns: 50 },
  );
});

test('load stays at or below one half; value and tag never overlap', () => {
  for (const values of [1, 7, 8, 9, 4096, 65536 * 3, 2 ** 27]) {
    expect(TagIndex.slots(values)).toBeGreaterThanOrEqual(values * 2);
    const index = new TagIndex(new Int32Array(16), values);
    expect(index.valueMask).toBeGreaterThanOrEqual(values);
    expect(index.valueMask & index.tagMask).toBe(0);
    expect(index.valueMask | index.tagMask).toBe(-1);
  }
});

test('the tag spares a look at most false candidates', () => {
  const index = new TagIndex(new Int32Array(TagIndex.slots(VALUES)), VALUES);
  for (let value = 0; value < VALUES; value++) index.insert((value << 20) | 5, value);
  expect(candidates(index, (7 << 20) | 5)).toEqual([7]);
  expect(candidates(index, (99 << 20) | 5)).toEqual([]);
});

const SEED = Number(process.env['NATGATE_SEED'] ?? 20261129);

test(`a full index whose keys nobody knows: no entry is far from home, seed ${SEED}`, () => {
  const random = new Random(SEED);
  const values = 2 ** 17;
  const index = new TagIndex(new Int32Array(TagIndex.slots(values)), values);
  expect(index.words.length).toBe(values * 2);
  let worst = 0;
  for (let turn = 0; turn < 12; turn++) {
    const [key0, key1] = [random.next(), random.next()];
    const base = random.next();
    index.clear();
    // So that it notes all of them.
    index.farthest = 0;
    for (let value = 0; value < values; value++) {
      // One host after the other with all its ports; one host to many addresses; at random.
      const tuples: [number, number, number][] = [
        [base + (value >> 14), 7, value & 0x3fff],
        [base, value, 9],
        [random.next(), random.next(), random.next()],
      ];
      index.insert(hashTuple(...tuples[turn % 3]!, 17, key0, key1), value);
    }
    worst = Math.max(worst, index.farthest);
  }
  console.log(`the farthest of ${12 * values} entries: ${worst} places`);
  expect(worst).toBeLessThan(FAR);
  expect(worst).toBeGreaterThan(10);
});
