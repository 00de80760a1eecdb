import fc from 'fast-check';
import { expect, test } from 'vitest';
import { masqueradeAll, matchAll, type Prefix } from '../../src/nat/config.ts';
import { addressesOf, aggregate, contains, dedicatedPrefixes, overlaps } from '../../src/nat/dedicated.ts';
import { formatAddress, formatPrefix, hostOrder, parseAddress, parsePrefix } from '../../src/wire/address.ts';

const prefix = (text: string) => parsePrefix(text) as Prefix;
const address = (text: string) => parseAddress(text) as number;
const texts = (prefixes: readonly Prefix[]) => prefixes.map(formatPrefix);

test.each([
  [[], []],
  [['10.0.0.1/32'], ['10.0.0.1/32']],
  [['10.0.0.1/32', '10.0.0.1/32'], ['10.0.0.1/32']],
  [['10.0.0.1/32', '10.0.0.0/32'], ['10.0.0.0/31']],
  [
    ['10.0.0.1/32', '10.0.0.2/32'],
    ['10.0.0.1/32', '10.0.0.2/32'],
  ],
  [['10.0.0.0/32', '10.0.0.1/32', '10.0.0.2/31', '10.0.0.4/30'], ['10.0.0.0/29']],
  [['10.0.0.77/32', '10.0.0.0/24'], ['10.0.0.0/24']],
  [['128.0.0.0/1', '0.0.0.0/1'], ['0.0.0.0/0']],
  [
    ['200.0.0.0/8', '9.0.0.0/8'],
    ['9.0.0.0/8', '200.0.0.0/8'],
  ],
])('%j is %j', (given, expected) => {
  expect(texts(aggregate(given.map(prefix)))).toEqual(expected);
});

test('covers the same addresses, each once, in no more prefixes than needed', () => {
  const within = fc.tuple(fc.nat(63), fc.integer({ min: 26, max: 32 })).map(([host, length]) => {
    return prefix(`192.0.2.${host}/${length}`);
  });
  fc.assert(
    fc.property(fc.array(within, { maxLength: 12 }), (given) => {
      const result = aggregate(given);
      const all = result.flatMap(addressesOf);
      const order = (a: number, b: number) => (hostOrder(a) >>> 0) - (hostOrder(b) >>> 0);
      expect(all).toEqual([...new Set(given.flatMap(addressesOf))].sort(order));
      // Two that could be one would be halves of the same whole.
      const wholes = result.map(({ address: at, length }) =>
        formatPrefix(prefix(`${formatAddress(at)}/${length - 1}`)),
      );
      expect(new Set(wholes).size).toBe(wholes.length);
    }),
  );
});

test('containment and overlap', () => {
  const [net, host, other] = ['10.1.0.0/16', '10.1.2.3/32', '10.2.0.0/16'].map(prefix) as [
    Prefix,
    Prefix,
    Prefix,
  ];
  expect([contains(net, host), contains(host, net), contains(net, net)]).toEqual([true, false, true]);
  expect([overlaps(host, net), overlaps(net, other)]).toEqual([true, false]);
});

test('dedicated are pools, external prefixes and forwards with an address; not the shared address', () => {
  const { rules } = masqueradeAll({ first: 32768, last: 65535 });
  const forward = {
    name: 'web',
    protocol: 6,
    address: 0,
    ports: { first: 80, last: 80 },
    sources: [],
    targets: [{ address: address('10.0.0.2'), port: 80 }],
    affinitySeconds: 0,
    twice: false,
  };
  const masquerade = rules[0]!;
  const pool = { ...masquerade, match: matchAll, action: 'pool' as const };
  const nat = {
    rules: [masquerade, { ...pool, addresses: [address('192.0.2.1'), address('192.0.2.0')] }],
    forwards: [forward, { ...forward, address: address('203.0.113.5') }],
    prefixes: [{ name: 'lab', internal: prefix('10.1.0.0/28'), external: prefix('198.51.100.16/28') }],
  };
  expect(texts(dedicatedPrefixes({ rules, forwards: [forward], prefixes: [] }))).toEqual([]);
  expect(texts(dedicatedPrefixes(nat))).toEqual(['192.0.2.0/31', '198.51.100.16/28', '203.0.113.5/32']);
});
