import { describe, expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import {
  parseFlows,
  parseHelpers,
  parseInterface,
  parseLinger,
  parseName,
  parsePortRange,
  parsePrivate,
  parseTxQueueLength,
} from '../../src/gateway/options.ts';

import { formatPrefix } from '../../src/wire/address.ts';

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

describe('helpers', () => {
  test('a name alone has the port of its protocol; SIP is read over UDP and TCP', () => {
    expect(parseHelpers([])).toEqual([]);
    expect(parseHelpers(['ftp', 'ftp=2121', 'sip=5062'])).toEqual([
      { name: 'ftp', protocol: 6, port: 21 },
      { name: 'ftp', protocol: 6, port: 2121 },
      { name: 'sip', protocol: 17, port: 5062 },
      { name: 'sip', protocol: 6, port: 5062 },
    ]);
  });

  test.each([
    ['h323', 'no helper of that name'],
    ['', 'no helper of that name'],
    ['toString', 'no helper of that name'],
    ['FTP', 'no helper of that name'],
    ['ftp=', 'not a port'],
    ['ftp=0', 'not a port'],
    ['ftp=65536', 'not a port'],
    ['ftp=2e3', 'not a port'],
    ['ftp=21=22', 'not a port'],
  ])('refuses %j', (text, why) => {
    expect(usage(() => parseHelpers([text]))).toBe(`--helper ${text}: ${why}`);
  });

  test('refuses a second helper for the same port, but not for that of another protocol', () => {
    expect(usage(() => parseHelpers(['ftp', 'irc=21']))).toContain('has the helper ftp already');
    expect(usage(() => parseHelpers(['ftp', 'ftp']))).toContain('has the helper ftp already');
    expect(parseHelpers(['ftp', 'tftp=21'])).toHaveLength(2);
  });
});

describe('--private', () => {
  test('a name, or one with the networks behind it', () => {
    expect(parsePrivate('eth1')).toEqual({ name: 'eth1', networks: [] });
    const { name, networks } = parsePrivate('eth0=10.0.0.0/16,172.16.5.9/12');
    expect([name, ...networks.map(formatPrefix)]).toEqual(['eth0', '10.0.0.0/16', '172.16.0.0/12']);
  });

  test.each([
    ['eth0=', '"" is not a network'],
    ['eth0=10.0.0.0/33', '"10.0.0.0/33" is not a network'],
    ['eth0=10.0.0.0/16,', '"" is not a network'],
    ['=10.0.0.0/16', ': not an interface name'],
  ])('refuses %j', (text, why) => {
    expect(usage(() => parsePrivate(text))).toContain(why);
  });
});
