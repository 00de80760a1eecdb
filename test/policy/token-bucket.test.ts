import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TokenBucket } from '../../src/policy/token-bucket.ts';

/** How many of `tries` succeed at `now`. */
function take(bucket: TokenBucket, now: number, tries: number): number {
  let taken = 0;
  for (let i = 0; i < tries; i++) if (bucket.take(now)) taken++;
  return taken;
}

test('a burst, then the rate', () => {
  const bucket = new TokenBucket(10, 5, 0);
  expect(take(bucket, 0, 20)).toBe(5);
  expect(take(bucket, 99, 20)).toBe(0);
  expect(take(bucket, 200, 20)).toBe(2);
  expect(take(bucket, 60_000, 20)).toBe(5);
});

test('small steps lose nothing', () => {
  const bucket = new TokenBucket(100, 10, 0);
  take(bucket, 0, 10);
  let taken = 0;
  for (let now = 1; now <= 10_000; now++) taken += take(bucket, now, 1);
  expect(Math.abs(taken - 1000)).toBeLessThanOrEqual(1);
});

test('never more than burst + rate × time, whatever the times', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5000), fc.nat(30)), { maxLength: 50 }), (steps) => {
      const bucket = new TokenBucket(7, 20, -3000);
      let now = -3000;
      let taken = 0;
      for (const [ms, tries] of steps) {
        now += ms;
        taken += take(bucket, now, tries);
        expect(taken).toBeLessThanOrEqual(20 + ((now + 3000) * 7) / 1000 + 1e-6);
      }
    }),
  );
});

test('the clock may wrap', () => {
  const bucket = new TokenBucket(10, 5, 2 ** 31 - 100);
  expect(take(bucket, 2 ** 31 - 100, 9)).toBe(5);
  expect(take(bucket, (2 ** 31 + 200) | 0, 9)).toBe(3);
});

test('after a month of silence it is full', () => {
  const bucket = new TokenBucket(10, 5, 0);
  expect(take(bucket, 0, 9)).toBe(5);
  const month = (30 * 86_400_000) | 0;
  expect(month).toBeLessThan(0);
  expect(take(bucket, month, 9)).toBe(5);
  expect(take(bucket, (month + 300) | 0, 9)).toBe(3);
});
