import { describe, expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import { examine, failure } from '../../src/gateway/config/load.ts';
import { forPrivateNetworks, type NatArguments, natWarnings } from '../../src/gateway/nat-options.ts';
import { parseTimeouts } from '../../src/gateway/timeout-option.ts';
import { defaultBehaviour, masqueradeAll, matchAll, type Prefix } from '../../src/nat/config.ts';
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from '../../src/wire/address.ts';

const PORTS = { first: 32768, last: 65535 };
/** As `run` makes them of its flags. */
function parse(words: Partial<NatArguments>, ports = PORTS) {
  const flags = { private: ['eth1'], public: 'eth0', ports: `${ports.first}-${ports.last}`, ...words };
  const { options, problems } = examine({ name: 'default', stateRoot: '/run/natgate', flags, file: null });
  if (options === null) throw failure(null, problems);
  return options.nat;
}
const address = (text: string) => parseAddress(text) as number;
const prefix = (text: string) => parsePrefix(text) as Prefix;
const behaviour = (words: Partial<NatArguments>) => parse(words).rules.at(-1)!.behaviour;
const forwards = (...forward: string[]) => parse({ forward }).forwards;

/** The refusal as the command line prints it; fails when there is none. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof NatgateError && error.code === 'usage' && error.hint !== '')
      return `${error.message}\n${error.hint}`;
    throw error;
  }
  throw new Error('accepted');
}

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

describe('forward', () => {
  const plain = { address: 0, sources: [], affinitySeconds: 0, twice: false };

  test('a port of the shared address', () => {
    expect(forwards('tcp:8080=192.168.1.10:80')).toEqual([
      {
        ...plain,
        name: 'tcp:8080=192.168.1.10:80',
        protocol: 6,
        ports: { first: 8080, last: 8080 },
        targets: [{ address: address('192.168.1.10'), port: 80 }],
      },
    ]);
  });

  test('both protocols are two forwards; without an internal port it is the external one', () => {
    expect(forwards('tcp+udp:53=192.168.1.53')).toEqual(
      [
        ['tcp:53=192.168.1.53', 6],
        ['udp:53=192.168.1.53', 17],
      ].map(([name, protocol]) => ({
        ...plain,
        name,
        protocol,
        ports: { first: 53, last: 53 },
        targets: [{ address: address('192.168.1.53'), port: 53 }],
      })),
    );
  });

  test('everything at once', () => {
    const text =
      'udp:203.0.113.9:5000-5099=192.168.1.10:6000,from=198.51.100.0/24,192.168.1.11,affinity=600,twice,from=10.0.0.1';
    expect(forwards(text)).toEqual([
      {
        name: text,
        protocol: 17,
        address: address('203.0.113.9'),
        ports: { first: 5000, last: 5099 },
        targets: [
          { address: address('192.168.1.10'), port: 6000 },
          { address: address('192.168.1.11'), port: 5000 },
        ],
        sources: [prefix('198.51.100.0/24'), prefix('10.0.0.1')],
        affinitySeconds: 600,
        twice: true,
      },
    ]);
  });

  test('one port of different addresses or protocols is no overlap; nor is a port within --ports', () => {
    expect(
      forwards(
        'tcp:40000=192.168.1.10',
        'udp:40000=192.168.1.10',
        'tcp:203.0.113.9:40000=192.168.1.10',
        'tcp:39999=192.168.1.10',
        'tcp:40001-40010=192.168.1.10',
      ),
    ).toHaveLength(5);
  });

  test('a dedicated address may be one of the pool, or of a 1:1 host', () => {
    const words = {
      external: ['203.0.113.8/30'],
      oneToOne: ['198.51.100.9=192.168.1.9'],
      forward: ['tcp:203.0.113.9:80=192.168.1.10', 'tcp:198.51.100.9:80=192.168.1.10'],
    };
    expect(parse(words).forwards).toHaveLength(2);
  });

  test.each([
    [['80'], 'there is no `=` between the external port and the internal host\ne.g. --forward tcp:8080='],
    [['tcp:80'], '--forward tcp:80: there is no `=`'],
    [['80=192.168.1.10'], 'it must begin with tcp:, udp: or tcp+udp:, not with 80'],
    [['tcp=192.168.1.10'], 'it must begin with'],
    [['icmp:80=192.168.1.10'], 'not with icmp'],
    [['udp+tcp:80=192.168.1.10'], 'not with udp+tcp'],
    [['constructor:80=192.168.1.10'], 'not with constructor'],
    [['tcp:=192.168.1.10'], 'an empty word is no port'],
    [['tcp:0=192.168.1.10'], '0 is no port'],
    [['tcp:65536=192.168.1.10'], '65536 is no port'],
    [['tcp:http=192.168.1.10'], 'http is no port'],
    [['tcp:90-80=192.168.1.10'], 'the range 90-80 ends before it begins'],
    [['tcp:203.0.113:80=192.168.1.10'], '203.0.113 is no IPv4 address'],
    [['tcp:0.0.0.0:80=192.168.1.10'], '0.0.0.0 is within 0.0.0.0/8'],
    [['tcp:80='], 'an empty word is no IPv4 address'],
    [['tcp:80=web'], 'web is no IPv4 address'],
    [['tcp:80=127.0.0.1'], '127.0.0.1 is within loopback'],
    [['tcp:80=224.0.0.5'], 'multicast'],
    [['tcp:80=192.168.1.10:'], 'an empty word is no port'],
    [['tcp:80=192.168.1.10:80-81'], '80-81 must be one port'],
    [['tcp:80=192.168.1.10:0'], '0 is no port'],
    [['tcp:1000-2000=192.168.1.10:65000'], 'the range would end at port 66000 of 192.168.1.10'],
    [['tcp:80=192.168.1.10,192.168.1.10:80'], '192.168.1.10:80 is named twice'],
    [['tcp:80=from=10.0.0.0/8'], 'no internal host is named'],
    [['tcp:80=192.168.1.10,from=10.0.0.1/8'], '10.0.0.1/8 has bits set behind its length'],
    [
      ['tcp:80=192.168.1.10,from=10.0.0.0/8,from=10.1.0.0/16'],
      'from=10.1.0.0/16 and from=10.0.0.0/8 overlap',
    ],
    [['tcp:80=192.168.1.10,affinity=60'], 'affinity chooses among several hosts, and there is one'],
    [['tcp:80=192.168.1.10,192.168.1.11,affinity=0'], 'affinity=0 is no number of seconds'],
    [['tcp:80=192.168.1.10,192.168.1.11,affinity=1e3'], 'affinity=1e3 is no number of seconds'],
    [['tcp:80=192.168.1.10,192.168.1.11,affinity=6,affinity=6'], '`affinity` is given more than once'],
    [['tcp:80=192.168.1.10,twice,twice'], '`twice` is given more than once'],
    [['tcp:80=192.168.1.10,weight=3'], 'weight= is no option of a forward'],
    [['tcp:80=192.168.1.10,192.168.1.11,,twice'], 'an empty word is no IPv4 address'],
    [
      ['tcp:80=192.168.1.10', 'tcp:80=192.168.1.11'],
      '--forward tcp:80=192.168.1.11: port 80 is forwarded by --forward tcp:80=192.168.1.10 already',
    ],
    [['tcp:80=192.168.1.10', 'tcp+udp:70-90=192.168.1.11'], 'port 80 is forwarded'],
    [
      ['udp:203.0.113.9:5000-5010=192.168.1.10', 'udp:203.0.113.9:5010=192.168.1.11'],
      'port 5010 is forwarded',
    ],
    [
      ['tcp:80=192.168.1.10,from=198.51.100.0/24', 'tcp:80=192.168.1.11,from=198.51.100.7'],
      '--forward tcp:80=192.168.1.11,from=198.51.100.7: port 80 is forwarded by --forward tcp:80=192.168.1.10,from=198.51.100.0/24 already',
    ],
    [
      [
        'tcp:82=192.168.1.12,from=198.51.100.0/24',
        'tcp:70-90=192.168.1.10',
        'tcp:60-80=192.168.1.11,from=198.51.100.7',
      ],
      'tcp:60-80=192.168.1.11,from=198.51.100.7: port 70 is forwarded by --forward tcp:70-90=192.168.1.10',
    ],
    [
      ['tcp:203.0.113.9:80=203.0.113.9:8080'],
      '203.0.113.9 is an external address of the gateway\nname the address that the host has on the private',
    ],
  ])('%j is refused', (forward, message) => {
    expect(refusal(() => parse({ forward }))).toContain(message);
  });

  test.each([
    [['tcp:80=192.168.1.10,from=198.51.100.0/25', 'tcp:80=192.168.1.11,from=198.51.100.128/25']],
    [['tcp:80=192.168.1.10,from=198.51.100.7', 'tcp:70-90=192.168.1.11,from=198.51.100.0/24']],
    [['tcp:80=192.168.1.10,from=198.51.100.0/24', 'tcp:80=192.168.1.11']],
  ])('%j: who comes from elsewhere is led elsewhere', (forward) => {
    expect(parse({ forward }).forwards).toHaveLength(2);
  });

  test('a target in the pool is refused', () => {
    const words = { external: ['203.0.113.0/28'], forward: ['tcp:80=203.0.113.7'] };
    expect(refusal(() => parse(words))).toContain('203.0.113.7 is an external address of the gateway');
  });
});

describe('1:1 and netmap', () => {
  test('are pairs of prefixes', () => {
    const words = {
      oneToOne: ['203.0.113.9=192.168.1.9'],
      netmap: ['203.0.113.16/28=192.168.1.16/28'],
    };
    expect(parse(words).prefixes).toEqual([
      {
        name: 'one-to-one 203.0.113.9=192.168.1.9',
        external: prefix('203.0.113.9'),
        internal: prefix('192.168.1.9'),
      },
      {
        name: 'netmap 203.0.113.16/28=192.168.1.16/28',
        external: prefix('203.0.113.16/28'),
        internal: prefix('192.168.1.16/28'),
      },
    ]);
  });

  test.each<[Partial<NatArguments>, string]>([
    [{ oneToOne: ['203.0.113.9'] }, '--one-to-one 203.0.113.9: there is no `=` in it\ne.g. --one-to-one'],
    [{ oneToOne: ['203.0.113.9='] }, 'an empty word is no IPv4 address'],
    [{ oneToOne: ['203.0.113.0/28=192.168.1.0/28'] }, '203.0.113.0/28 is no IPv4 address'],
    [{ oneToOne: ['203.0.113.9=203.0.113.9'] }, 'are the same\nan address that needs no translation'],
    [{ netmap: ['203.0.113.16/28'] }, '--netmap 203.0.113.16/28: there is no `=` in it'],
    [
      { netmap: ['203.0.113.16/28=192.168.1.0/27'] },
      'a /28 and a /27 have not the same number of addresses\nboth prefixes must have one length',
    ],
    [{ netmap: ['203.0.113.17/28=192.168.1.16/28'] }, '203.0.113.17/28 has bits set behind its length'],
    [{ netmap: ['203.0.113.16/28=192.168.1.17/28'] }, '192.168.1.17/28 has bits set behind its length'],
    [{ netmap: ['100.0.0.0/7=192.0.0.0/7'] }, 'a /7 is too large'],
    [{ netmap: ['0.0.0.0/0=0.0.0.0/0'] }, 'is within 0.0.0.0/8'],
    [{ netmap: ['126.0.0.0/7=10.0.0.0/7'] }, 'is within loopback'],
    [{ netmap: ['223.0.0.0/8=239.0.0.0/8'] }, '239.0.0.0/8 is multicast or reserved'],
    [{ netmap: ['10.0.0.0/24=10.0.0.0/24'] }, 'are the same'],
    [
      { oneToOne: ['203.0.113.9=192.168.1.9', '203.0.113.9=192.168.1.10'] },
      '--one-to-one 203.0.113.9=192.168.1.10: 203.0.113.9/32 and 203.0.113.9/32 of --one-to-one 203.0.113.9=192.168.1.9 overlap',
    ],
    [
      { oneToOne: ['203.0.113.9=192.168.1.9', '203.0.113.10=192.168.1.9'] },
      'further ones can be a --forward',
    ],
    [
      { oneToOne: ['203.0.113.17=192.168.1.9'], netmap: ['203.0.113.16/28=192.168.1.16/28'] },
      '--netmap 203.0.113.16/28=192.168.1.16/28: 203.0.113.16/28 and 203.0.113.17/32',
    ],
    [
      { external: ['203.0.113.16/30'], netmap: ['203.0.113.16/28=192.168.1.16/28'] },
      '203.0.113.16 is in the pool of --external as well',
    ],
    [
      { netmap: ['203.0.113.16/28=192.168.1.16/28', '198.51.100.16/28=203.0.113.16/28'] },
      '--netmap 198.51.100.16/28=203.0.113.16/28: 203.0.113.16/28 is external as well (203.0.113.16/28)',
    ],
  ])('%j is refused', (words, message) => {
    expect(refusal(() => parse(words))).toContain(message);
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
