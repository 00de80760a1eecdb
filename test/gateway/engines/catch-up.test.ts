/** Expiry after a pause. */
import { expect, test } from 'vitest';
import { CatchUp } from '../../../src/gateway/engines/catch-up.ts';

test('expires in each turn while the clock goes on evenly', () => {
  const catchUp = new CatchUp();
  for (let now = 0; now < 10_000; now += 1000) expect(catchUp.mayExpire(now, 3)).toBe(true);
});

test('after a pause what waits comes first, until nothing waits', () => {
  const catchUp = new CatchUp();
  catchUp.mayExpire(1000, 1);
  expect([64, 64, 12].map((count, i) => catchUp.mayExpire(61_000 + i, count))).toEqual([false, false, false]);
  expect(catchUp.mayExpire(61_004, 0)).toBe(true);
  expect(catchUp.mayExpire(61_005, 64)).toBe(true);
});

test('a line that is never silent does not put expiry off for ever', () => {
  const catchUp = new CatchUp();
  catchUp.mayExpire(0, 1);
  const turns = Array.from({ length: 100 }, (_, i) => catchUp.mayExpire(60_000 + i, 64));
  expect(turns.indexOf(true)).toBe(64);
  expect(turns.slice(64)).not.toContain(false);
});

test('the clock may wrap', () => {
  const catchUp = new CatchUp();
  catchUp.mayExpire(2 ** 31 - 100, 1);
  expect(catchUp.mayExpire(-(2 ** 31) + 100, 1)).toBe(true);
  expect(catchUp.mayExpire(-(2 ** 31) + 60_000, 1)).toBe(false);
});
