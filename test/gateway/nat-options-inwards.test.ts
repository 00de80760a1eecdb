/** Options of what comes in: forwards, 1:1 NAT and netmap. */
import { describe, expect, test } from 'vitest';
import type { NatArguments } from '../../src/gateway/nat-options.ts';
import { address, forwards, parse, prefix, refusal } from './nat-options-support.ts';

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
