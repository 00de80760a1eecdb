import { expect, test } from 'vitest';
import { formatBytes, formatCount, formatDuration } from '../../src/cli/units.ts';

test('bytes have three digits and binary units', () => {
  expect([0, 999, 1000, 1024, 1536, 10_240, 1_048_576, 5 * 2 ** 40].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '0.977 KiB',
    '1.00 KiB',
    '1.50 KiB',
    '10.0 KiB',
    '1.00 MiB',
    '5.00 TiB',
  ]);
});

test('a duration shows its two largest units', () => {
  expect([0, 999, 1000, 61_000, 3_600_000, 90_061_000, 200_000_000].map(formatDuration)).toEqual([
    '0 seconds',
    '0 seconds',
    '1 second',
    '1 minute, 1 second',
    '1 hour',
    '1 day, 1 hour',
    '2 days, 7 hours',
  ]);
});

test('digits stand in groups of three', () => {
  expect([0, 999, 1000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1 000', '1 234 567']);
});
