import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TagIndex } from '../../src/conntrack/tag-index.ts';

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
