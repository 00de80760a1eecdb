/** Options of what goes out: behaviour, pools and blocks, external addresses, exemptions, timeouts. */
import { describe, expect, test } from 'vitest';
import { forPrivateNetworks, type NatArguments, natWarnings } from '../../src/gateway/nat-options.ts';
import { parseTimeouts } from '../../src/gateway/timeout-option.ts';
import { defaultBehaviour, masqueradeAll, matchAll } from '../../src/nat/config.ts';
import { formatAddress, formatPrefix } from '../../src/wire/address.ts';
import { behaviour, PORTS, parse, prefix, refusal } from './nat-options-support.ts';

test('without options: everything is masqueraded, by the RFCs', () => {
  expect(parse({})).toEqual(masqueradeAll(PORTS));
  expect(natWarnings(parse({}))).toEqual([]);
});

describe('behaviour', () => {
  const [ei, ad, apd] = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'];
  test.each([
    ['eim', 'eif', ei, ei],
    ['eim', 'adf', ei, ad],
    ['eim', 'apdf', ei, apd],
    ['adm', 'eif', ad, ei],
    ['adm', 'adf', ad, ad],
    ['adm', 'apdf', ad, apd],
    ['apdm', 'eif', apd, ei],
    ['apdm', 'adf', apd, ad],
    ['apdm', 'apdf', apd, apd],
    [ei!, ad!, ei, ad],
    [apd!, apd!, apd, apd],
  ])('--mapping %s --filtering %s', (mapping, filtering, expectedMapping, expectedFiltering) => {
    expect(behaviour({ mapping, filtering })).toEqual({
      ...defaultBehaviour,
      mapping: expectedMapping,
      filtering: expectedFiltering,
    });
  });

  test('open filtering of a mapping that is for one remote host is warned of', () => {
    for (const [mapping, filtering, warnings] of [
      ['eim', 'eif', 0],
      ['adm', 'eif', 1],
      ['apdm', 'eif', 1],
      ['apdm', 'adf', 0],
    ] as const) {
      expect(natWarnings(parse({ mapping, filtering }))).toHaveLength(warnings);
    }
  });

  test('the other words and numbers', () => {
    const words = {
      hairpin: false,
      portChoice: 'random',
      parity: false,
      portClass: false,
      overload: 'never',
      quarantine: 0,
      portsPerHost: 1024,
      flowsPerHost: 2000,
      blockSize: 256,
    };
    expect(behaviour(words)).toEqual({
      ...defaultBehaviour,
      hairpin: false,
      ports: 'random',
      parity: false,
      portClass: false,
      overload: 'never',
      quarantineSeconds: 0,
      portsPerHost: 1024,
      flowsPerHost: 2000,
      blockSize: 256,
    });
  });

  test('overloading at any time goes with an endpoint-independent mapping (RFC 7857 3)', () => {
    expect(behaviour({ overload: 'always' })).toMatchObject({
      overload: 'always',
      mapping: 'endpoint-independent',
    });
  });

  test.each<[Partial<NatArguments>, string]>([
    [{ mapping: 'eif' }, '--mapping eif: there is no such behaviour\nchoose eim (endpoint-independent)'],
    [{ mapping: '' }, '--mapping : there is no such'],
    [{ filtering: 'eim' }, '--filtering eim: there is no such behaviour\nchoose eif'],
    [{ portChoice: 'parity' }, '--port-choice parity: there is no such choice\nchoose preserve, random'],
    [{ pooling: 'any' }, '--pooling any: there is no such choice\nchoose paired, arbitrary'],
    [{ overload: 'yes' }, '--overload yes: there is no such choice\nchoose never, exhausted, always'],
    [{ quarantine: -1 }, '--quarantine -1: not a usable number\ngive a whole number from 0 to 86400'],
    [{ quarantine: 0.5 }, '--quarantine 0.5'],
    [{ quarantine: Number.NaN }, '--quarantine NaN'],
    [{ portsPerHost: 65_536 }, '--ports-per-host 65536: not a usable number'],
    [{ flowsPerHost: -5 }, '--flows-per-host -5: not a usable number'],
    [{ blockSize: 15 }, '--block-size 15: not a usable number\ngive a whole number from 16 to 32768'],
  ])('%j is refused', (words, message) => {
    expect(refusal(() => parse(words))).toContain(message);
  });
});

describe('blocks and pools', () => {
  const pool = ['203.0.113.8-203.0.113.9'];
  test('deterministic blocks count from the private networks', () => {
    const nat = parse({ deterministic: true, blockSize: 128, exempt: ['10.8.0.0/16'] });
    const networks = [prefix('192.168.1.0/24')];
    const [exempt, rule] = forPrivateNetworks(nat, networks).rules;
    expect(rule!.match).toEqual({ ...matchAll, sources: networks });
    expect(exempt).toEqual(nat.rules[0]);
    expect(forPrivateNetworks(parse({}), networks)).toEqual(parse({}));
  });

  test('blocks leave the system ports of a pool out', () => {
    expect(parse({ external: pool }).rules[0]!.ports).toEqual({ first: 1, last: 65535 });
    expect(parse({ external: pool, blockSize: 64 }).rules[0]!.ports).toEqual({ first: 1024, last: 65535 });
    expect(parse({ blockSize: 64 }).rules[0]!.ports).toEqual(PORTS);
  });

  test.each<[Partial<NatArguments>, string]>([
    [
      { deterministic: true },
      '--deterministic: it says which block of ports a host has, and there are no blocks\ngive --block-size',
    ],
    [
      { blockSize: 32_768, deterministic: true, external: pool, pooling: 'arbitrary' },
      '--pooling arbitrary: with --deterministic',
    ],
    [
      { blockSize: 128, deterministic: true, portsPerHost: 256 },
      '--ports-per-host 256: with --deterministic a host never has more than its block of 128',
    ],
    [{ blockSize: 128, portsPerHost: 127 }, '--ports-per-host 127: less than a block of 128'],
    [{ portsPerHost: 32_769 }, '--ports-per-host 32769: there are 32768 ports'],
    [{ pooling: 'arbitrary' }, '--pooling arbitrary: there is one external address\ngive several'],
    [{ pooling: 'arbitrary', external: ['203.0.113.8'] }, '--pooling arbitrary: there is one'],
  ])('%j is refused', (words, message) => {
    expect(refusal(() => parse(words))).toContain(message);
  });

  test('a block that the range has no room for is refused', () => {
    const narrow = { first: 40_000, last: 40_063 };
    expect(parse({ blockSize: 64 }, narrow).rules[0]!.behaviour.blockSize).toBe(64);
    expect(refusal(() => parse({ blockSize: 65 }, narrow))).toContain(
      '--block-size 65: larger than the 64 ports 40000-40063',
    );
  });
});

describe('external', () => {
  const addresses = (...external: string[]) => parse({ external }).rules.at(-1)!.addresses.map(formatAddress);

  test('single addresses, ranges and prefixes make one pool, in the order given', () => {
    expect(addresses('203.0.113.9', '203.0.112.254-203.0.113.1', '198.51.100.4/30')).toEqual([
      '203.0.113.9',
      ...['203.0.112.254', '203.0.112.255', '203.0.113.0', '203.0.113.1'],
      ...['198.51.100.4', '198.51.100.5', '198.51.100.6', '198.51.100.7'],
    ]);
    const [rule, ...others] = parse({ external: ['203.0.113.9'] }).rules;
    expect(rule).toMatchObject({ name: 'pool', action: 'pool', match: matchAll });
    expect(others).toEqual([]);
    expect(addresses('203.0.0.0/20')).toHaveLength(4096);
  });

  test.each([
    [['203.0.113'], 'is no prefix of IPv4 addresses\ne.g. --external 203.0.113.8-203.0.113.15'],
    [[''], '--external : an empty word is no prefix'],
    [['203.0.113.9-'], '--external 203.0.113.9-: an empty word is no IPv4 address'],
    [['203.0.113.9-203.0.113.8'], 'the range ends before it begins'],
    [['203.0.113.9/28'], '203.0.113.9/28 has bits set behind its length\nthe prefix is 203.0.113.0/28'],
    [['203.0.113.0/33'], 'is no prefix'],
    [['203.0.0.0/19'], '8192 addresses\na pool has 4096 at most'],
    [['203.0.113.9', '203.0.113.9'], '203.0.113.9 is in it already'],
    [['203.0.113.0/28', '203.0.113.9'], '203.0.113.9 is in --external 203.0.113.0/28 already'],
    [['0.0.0.0'], '0.0.0.0 is within 0.0.0.0/8'],
    [['127.0.0.1'], '127.0.0.1 is within loopback'],
    [['224.0.0.1'], '224.0.0.1 is multicast or reserved'],
    [['255.255.255.255'], 'is multicast or reserved'],
  ])('%j is refused', (external, message) => {
    expect(refusal(() => parse({ external }))).toContain(message);
  });
});

describe('exempt', () => {
  test('comes before the rest, in the order given', () => {
    const nat = parse({ exempt: ['10.8.0.0/16', '0.0.0.0/0,192.168.1.7', '10.9.0.0/16,192.168.1.0/24'] });
    const shown = nat.rules.map(({ name, action, match, addresses }) => ({
      name,
      action,
      to: match.destinations.map(formatPrefix),
      from: match.sources.map(formatPrefix),
      addresses,
    }));
    const none = { action: 'none', addresses: [] };
    expect(shown).toEqual([
      { ...none, name: 'exempt 10.8.0.0/16', to: ['10.8.0.0/16'], from: [] },
      { ...none, name: 'exempt 0.0.0.0/0,192.168.1.7', to: ['0.0.0.0/0'], from: ['192.168.1.7/32'] },
      {
        ...none,
        name: 'exempt 10.9.0.0/16,192.168.1.0/24',
        to: ['10.9.0.0/16'],
        from: ['192.168.1.0/24'],
      },
      { name: 'masquerade', action: 'masquerade', to: [], from: [], addresses: [] },
    ]);
  });

  test.each([
    [['10.8'], '--exempt 10.8: 10.8 is no prefix'],
    [['10.8.0.0/8'], 'has bits set behind its length\nthe prefix is 10.0.0.0/8'],
    [['10.8.0.0/16,'], 'an empty word is no prefix'],
    [['0.0.0.0/0'], 'nothing at all would be translated'],
    [['0.0.0.0/0,0.0.0.0/0'], 'nothing at all would be translated'],
    [['10.8.0.0/16', '10.8.0.0/16'], '--exempt 10.8.0.0/16: --exempt 10.8.0.0/16 says so already'],
    [['10.8.0.0/16', '10.8.7.0/24,192.168.1.7'], '--exempt 10.8.0.0/16 says so already'],
  ])('%j is refused', (exempt, message) => {
    expect(refusal(() => parse({ exempt }))).toContain(message);
  });

  test('the narrower one first is no repetition', () => {
    expect(parse({ exempt: ['10.8.7.0/24,192.168.1.7', '10.8.0.0/16'] }).rules).toHaveLength(3);
  });
});

describe('timeout', () => {
  test('by name, once each', () => {
    expect(parseTimeouts([])).toEqual({});
    expect(parseTimeouts(['udpStream=300', 'tcpEstablished=7440', 'icmp=2000000'])).toEqual({
      udpStream: 300,
      tcpEstablished: 7440,
      icmp: 2_000_000,
    });
  });

  test.each([
    [['udpstream=3'], '--timeout udpstream=3: there is no timeout udpstream\ndid you mean udpStream?'],
    [['=3'], 'there is no timeout an empty word'],
    [['toString=3'], 'there is no timeout toString'],
    [['udp'], 'from 1 to 2000000\ne.g. --timeout udpStream=300'],
    [['udp=0'], '0 is no number of seconds'],
    [['udp=-5'], '-5 is no number of seconds'],
    [['udp=1.5'], '1.5 is no number of seconds'],
    [['udp=2000001'], '2000001 is no number of seconds from 1 to 2000000'],
    [['udp=30', 'udp=40'], '--timeout udp=40: udp is given twice'],
  ])('%j is refused', (words, message) => {
    expect(refusal(() => parseTimeouts(words))).toContain(message);
  });
});
