import { expect, it } from 'vitest';
import { Bogons } from '../../../src/policy/firewall/bogons.ts';
import { parseAddress, parsePrefix } from '../../../src/wire/address.ts';

const RESERVED: readonly [first: string, last: string][] = [
  ['0.0.0.0', '0.255.255.255'],
  ['10.0.0.0', '10.255.255.255'],
  ['100.64.0.0', '100.127.255.255'],
  ['127.0.0.0', '127.255.255.255'],
  ['169.254.0.0', '169.254.255.255'],
  ['172.16.0.0', '172.31.255.255'],
  ['192.0.0.0', '192.0.0.255'],
  ['192.168.0.0', '192.168.255.255'],
  ['198.18.0.0', '198.19.255.255'],
  ['224.0.0.0', '239.255.255.255'],
  ['240.0.0.0', '255.255.255.255'],
];
const address = (text: string) => parseAddress(text)!;

it('reserved prefixes, from their first address to their last', () => {
  const bogons = new Bogons([]);
  bogons.setExternal(address('203.0.113.1'));
  for (const text of RESERVED.flat()) expect(bogons.has(address(text)), text).toBe(true);
  const outside = [
    '1.0.0.0',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '172.15.255.255',
    '172.32.0.0',
    '191.255.255.255',
    '192.0.1.0',
    '192.167.255.255',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
  ];
  for (const text of outside) expect(bogons.has(address(text)), text).toBe(false);
  // Those of documentation.
  for (const text of ['192.0.2.1', '198.51.100.1', '203.0.113.9'])
    expect(bogons.has(address(text))).toBe(false);
});

it('but for the one that the gateway itself is in, as long as it is', () => {
  const bogons = new Bogons([]);
  expect(bogons.has(address('192.168.7.7'))).toBe(true);
  bogons.setExternal(address('192.168.1.2'));
  expect(bogons.has(address('192.168.7.7'))).toBe(false);
  expect(bogons.has(address('10.0.0.1'))).toBe(true);
  bogons.setExternal(address('203.0.113.1'));
  expect(bogons.has(address('192.168.7.7'))).toBe(true);
  // No address is not an address of 0.0.0.0/8.
  bogons.setExternal(0);
  expect(bogons.has(address('0.1.2.3'))).toBe(true);
});

it('and those that are trusted', () => {
  const bogons = new Bogons([parsePrefix('10.20.0.0/16')!]);
  expect(bogons.has(address('10.20.3.4'))).toBe(false);
  expect(bogons.has(address('10.21.3.4'))).toBe(true);
});
