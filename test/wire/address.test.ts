import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { expect, test } from 'vitest';
import {
  formatAddress,
  formatPrefix,
  hostOrder,
  parseAddress,
  parsePrefix,
  prefixMask,
} from '../../src/wire/address.ts';

const octet = fc.integer({ min: 0, max: 255 });
const address = fc.tuple(octet, octet, octet, octet);
/** Texts near an address: mostly wrong ones. */
const nearly = fc
  .array(
    fc.oneof(
      octet.map(String),
      fc.constantFrom('', '00', '01', '256', '999', '0x1', '1e1', ' 1', '-1', '+1'),
    ),
    {
      minLength: 3,
      maxLength: 5,
    },
  )
  .chain((parts) => fc.constantFrom('.', '..', ',', ':').map((dot) => parts.join(dot)));

test('10.0.0.1 is 0x0100000a: the bytes as they stand in a packet, loaded little-endian', () => {
  expect(parseAddress('10.0.0.1')).toBe(0x0100000a);
  expect(parseAddress('0.0.0.0')).toBe(0);
  expect(parseAddress('255.255.255.255')).toBe(-1);
  expect(parseAddress('10.0.0.200')).toBe(0xc800000a | 0);
});

test('text and number are each other’s inverse, and ipaddr.js sees the same bytes', () => {
  fc.assert(
    fc.property(address, (bytes) => {
      const text = bytes.join('.');
      const parsed = parseAddress(text)!;
      expect(parsed).toBe(parsed | 0);
      expect([0, 8, 16, 24].map((shift) => (parsed >>> shift) & 255)).toEqual(
        ipaddr.IPv4.parse(text).toByteArray(),
      );
      expect(formatAddress(parsed)).toBe(text);
      expect(hostOrder(parsed) >>> 0).toBe(bytes.reduce((n, byte) => n * 256 + byte, 0));
      expect(hostOrder(hostOrder(parsed))).toBe(parsed);
    }),
  );
});

test('what ipaddr.js does not take for four decimal parts is refused', () => {
  fc.assert(
    fc.property(fc.oneof(nearly, fc.string()), (text) => {
      const valid = ipaddr.IPv4.isValidFourPartDecimal(text);
      expect(parseAddress(text) !== null).toBe(valid);
    }),
  );
});

test.each([
  '',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4 ',
  '1.2.3.4\n',
  '::1',
  '1.2.3.٤',
  '1.2.3.-4',
])('no address: %j', (text) => expect(parseAddress(text)).toBeNull());

test('prefixes match as ipaddr.js matches them', () => {
  const length = fc.integer({ min: 0, max: 32 });
  fc.assert(
    fc.property(address, length, address, (bytes, bits, other) => {
      const text = `${bytes.join('.')}/${bits}`;
      const prefix = parsePrefix(text)!;
      expect(prefix.length).toBe(bits);
      expect(formatPrefix(prefix)).toBe(`${ipaddr.IPv4.networkAddressFromCIDR(text).toString()}/${bits}`);
      const candidate = parseAddress(other.join('.'))!;
      const matches = ipaddr.IPv4.parse(other.join('.')).match(ipaddr.IPv4.parseCIDR(text));
      expect((candidate & prefixMask(bits)) === prefix.address).toBe(matches);
      expect(formatAddress(prefixMask(bits))).toBe(ipaddr.IPv4.subnetMaskFromPrefixLength(bits).toString());
    }),
  );
});

test('an address alone is a prefix of 32 bits', () => {
  expect(parsePrefix('192.0.2.7')).toEqual({ address: parseAddress('192.0.2.7'), length: 32 });
});

test.each([
  '192.0.2.0/33',
  '192.0.2.0/',
  '192.0.2.0/-1',
  '192.0.2.0/08',
  '192.0.2.0/8/8',
  '192.0.2.0/ 8',
  '/8',
  '1.2.3/8',
])('no prefix: %j', (text) => expect(parsePrefix(text)).toBeNull());
