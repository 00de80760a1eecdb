import { describe, expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import {
  parseFlows,
  parseInterface,
  parseLinger,
  parseName,
  parsePortRange,
  parseTxQueueLength,
} from '../../src/gateway/options.ts';

function usage(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof NatgateError && error.code === 'usage' && error.hint !== '') return error.message;
    throw error;
  }
  throw new Error('accepted');
}

describe('ports', () => {
  test('both ends belong to the range', () => {
    expect(parsePortRange('32768-65535')).toEqual({ first: 32768, last: 65535 });
    expect(parsePortRange('1024-1087')).toEqual({ first: 1024, last: 1087 });
  });

  test.each([
    '',
    '5',
    '40000-',
    '-40000',
    '1000-2000',
    '40000-39000',
    '40000-40062',
    '40000-65536',
    '4e4-5e4',
    '1-2-3',
  ])('refuses %j', (text) => {
    expect(usage(() => parsePortRange(text))).toContain('--ports');
  });
});

test('a name is safe as the name of a folder', () => {
  expect(parseName('office-2.lan')).toBe('office-2.lan');
  for (const text of ['', '.', '..', '.hidden', 'a/b', 'a b', 'ä', 'x'.repeat(33)]) {
    expect(usage(() => parseName(text))).toContain('--name');
  }
});

test('an interface name is what the kernel accepts', () => {
  expect(parseInterface('private', 'enp0s31f6.100')).toBe('enp0s31f6.100');
  for (const text of ['', '.', '..', 'a/b', 'eth0:1', 'a b', 'sixteen-letters-'])
    expect(usage(() => parseInterface('private', text))).toContain('--private');
});

test('numbers are whole and within their limits', () => {
  expect(parseFlows(1024)).toBe(1024);
  expect(parseLinger(0)).toBe(0);
  expect(parseTxQueueLength(1)).toBe(1);
  for (const value of [Number.NaN, -1, 0.5, 1023, 16_777_217]) usage(() => parseFlows(value));
  for (const value of [Number.NaN, -1, 0.5, 86_401]) usage(() => parseLinger(value));
  for (const value of [Number.NaN, 0, 100_001]) usage(() => parseTxQueueLength(value));
});
