/** What is wrong with a file: the exact place, what it is, and what is allowed. Literal files, literal lines. */
import { describe, expect, test } from 'vitest';
import { linesOf, TWO } from './support.ts';

const THIRD = (text: string) => `${TWO}${text}`;

describe('a file that is none', () => {
  const start = 'give at least `private: eth1` and `public: eth0`';
  test.each([
    ['', [`natgate.yaml:1:1: the file is empty; ${start}`]],
    ['# nothing yet\n', [`natgate.yaml:1:1: the file is empty; ${start}`]],
    ['---\n', [`natgate.yaml:1:4: the file is empty; ${start}`]],
    ['[eth1, eth0]\n', [`natgate.yaml:1:1: it is no map of keys and values; ${start}`]],
    ['eth1', [`natgate.yaml:1:1: it is no map of keys and values; ${start}`]],
    [
      'private: eth1\n---\npublic: eth0\n',
      ['natgate.yaml:2:1: a second document begins here; a configuration is one: take out the line `---`'],
    ],
    ['private: eth1\n\tpublic: eth0\n', ['natgate.yaml:2:1: a tab indents this line; indent with spaces']],
    [
      'private: @office\npublic: eth0\n',
      [
        'natgate.yaml:1:10: Plain value cannot start with reserved character @; put the text in quotes; a set is "@name"',
      ],
    ],
    ['private: eth1\npublic: "eth0\n', ['natgate.yaml:3:1: Missing closing "quote; this is no YAML']],
    [
      'private: !!binary aGk=\npublic: eth0\n',
      [
        'natgate.yaml:1:10: Unresolved tag: tag:yaml.org,2002:binary; a configuration needs no tags: leave it out',
      ],
    ],
    ['? {a: 1}\n: 2\n', ['natgate.yaml:1:3: this key is no text; a key is a word']],
  ])('%j', (text, lines) => {
    expect(linesOf(text)).toEqual(lines);
  });

  test.each([
    'private: eth1\npublic: eth0\nforwards: [tcp:80=192.168.1.10',
    'private: eth1\npublic: eth0\nnat: {mapping: eim',
    'private: eth1\npublic: eth0\nfirewall:\n  rules:\n    - action: accept\n      from: [10.0.0.1, ',
  ])('half written: %j', (text) => {
    const lines = linesOf(text);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines[0]).toMatch(/^natgate\.yaml:\d+:\d+: /);
  });

  test('a write that stopped after a key leaves a key without a value', () => {
    expect(linesOf(THIRD('forwards:'))).toEqual([
      'natgate.yaml:3:1: forwards: it has no value; give a list, or leave the key out',
    ]);
  });
});

describe('keys', () => {
  test.each<[string, string[]]>([
    [
      'privat: eth1\npublic: eth0\n',
      [
        'natgate.yaml:1:1: private: it is missing; give an interface name, e.g. eth1, a map of interface and networks, or a list of such',
        'natgate.yaml:1:1: privat: there is no key "privat" here; did you mean private?',
      ],
    ],
    [
      THIRD('engine: {worker: 2}'),
      [
        'natgate.yaml:3:10: engine.worker: there is no key "worker" here; did you mean workers? There is workers, user, txqueuelen, standby or linger',
      ],
    ],
    [
      THIRD('nat:\n  parity: true\n  parity: false\n'),
      ['natgate.yaml:5:3: parity: the key is given twice; keep one of them'],
    ],
    [
      THIRD(
        'firewall:\n  rules:\n    - {action: accept}\n    - name: second\n      form: 10.0.0.1\n      action: drop\n',
      ),
      ['natgate.yaml:7:7: firewall.rules[1].form: there is no key "form" here; did you mean from?'],
    ],
    [
      THIRD('<<: {ports: 40000-50000}\n'),
      ['natgate.yaml:3:1: <<: there is no key "<<" here; did you mean nat?'],
    ],
    [
      THIRD('sets:\n  the office: [192.0.2.1]\n'),
      [
        'natgate.yaml:4:3: sets.the office: "the office" is no name; give a name of up to 32 letters, digits, dashes, underscores and dots',
      ],
    ],
    [
      THIRD('"\\e[31m": 1\n'),
      ['natgate.yaml:3:1: \\u001b[31m: there is no key "\\u001b[31m" here; did you mean ports?'],
    ],
  ])('%j', (text, lines) => {
    expect(linesOf(text)).toEqual(lines);
  });
});

describe('types and ranges', () => {
  test.each<[string, string]>([
    ['ports: 80', '3:8: ports: 80 is not allowed here; give a range of ports, e.g. 32768-65535'],
    [
      'ports: 40000-39000',
      '3:8: ports: 40000-39000: not a usable port range; give FIRST-LAST within 1024-65535 and at least 64 ports, e.g. 32768-65535',
    ],
    ['clamp-mss: yes', '3:12: clamp-mss: "yes" is not allowed here; give true or false'],
    [
      'evict: unasured',
      '3:8: evict: "unasured" is not allowed here; did you mean unassured? There is fair, never or unassured',
    ],
    ['limits: 5', '3:9: limits: 5 is not allowed here; give a map of keys and values'],
    [
      'limits: {flows: 12}',
      '3:17: limits.flows: 12 is not allowed here; give a whole number from 1024 to 16777216',
    ],
    [
      'limits: {flows: 1e4}\nnat: {quarantine: 0.5}',
      '4:19: nat.quarantine: 0.5 is not allowed here; give a whole number from 0 to 86400',
    ],
    [
      'timeouts: {udp: 0}',
      '3:17: timeouts.udp: 0 is not allowed here; give a whole number from 1 to 2000000',
    ],
    [
      'nat: {block-size: 7}',
      '3:19: nat.block-size: 7 is no block; give 0 for none, or a whole number from 16 to 32768',
    ],
    [
      'external:\n  - 203.0.113.8\n  - 203.0.113.300\n',
      '5:5: external[1]: 203.0.113.300 is no prefix of IPv4 addresses; e.g. 203.0.113.8-203.0.113.15',
    ],
    [
      'external: [203.0.113.0/28, 203.0.113.9]',
      '3:28: external[1]: 203.0.113.9 is in external 203.0.113.0/28 already; name every address once',
    ],
    [
      'forwards: [tcp:8080=192.168.1.10:80, tcp:80=web]',
      '3:38: forwards[1]: web is no IPv4 address; e.g. tcp:8080=192.168.1.10:80',
    ],
    [
      'forwards: [{protocol: tcp, port: 80000, to: 192.168.1.10}]',
      '3:34: forwards[0].port: 80000 is not allowed here; give a whole number from 1 to 65535',
    ],
    [
      'forwards: [{protocol: tcp, port: 90-80, to: 192.168.1.10}]',
      '3:34: forwards[0].port: the range 90-80 ends before it begins; e.g. 8080',
    ],
    [
      'forwards: [{protocol: tcp, port: 80, to: [192.168.1.10, 192.168.1.x]}]',
      '3:57: forwards[0].to[1]: 192.168.1.x is no IPv4 address; e.g. 192.168.1.10:80',
    ],
    [
      'forwards: [{protocol: tcp, to: 192.168.1.10}]',
      '3:12: forwards[0].port: it is missing; give a whole number from 1 to 65535, or a port or a range: 8080, 5000-5099',
    ],
    [
      'forwards: [{protocol: tcp, port: 80, to: 192.168.1.10, affinity: 600}]',
      '3:66: forwards[0].affinity: affinity chooses among several hosts, and there is one; name more hosts (=192.168.1.10,192.168.1.11,affinity=600), or leave affinity out',
    ],
    [
      'dns: 5',
      '3:6: dns: 5 is not allowed here; give off or system, a list of addresses, or a map with upstream',
    ],
    ['dns: [192.0.2.53, here]', '3:19: dns[1]: here is no IPv4 address; e.g. 192.0.2.53'],
    [
      'metrics: 127.0.0.1',
      '3:10: metrics: an empty word is no port or range of ports within 1-65535; e.g. 127.0.0.1:9469, or off',
    ],
    [
      'control: {mode: 0660}',
      '3:17: control.mode: 660 is not allowed here; give permissions in quotes, e.g. "0660"',
    ],
    [
      'control: {socket: here}',
      '3:19: control.socket: here is no absolute path; give auto, off, or a path that begins with /',
    ],
    [
      'helpers: [ftp, irc=21]',
      '3:16: helpers[1]: irc=21: port 21 has the helper ftp already; give each port one helper',
    ],
    [
      'events: on',
      '3:9: events: "on" is not allowed here; give off, a map of file, stdout, syslog, ipfix, kinds, or a list of such',
    ],
    [
      'events: {file: events.jsonl}',
      '3:16: events.file: "events.jsonl" is no absolute path of a file; e.g. /var/log/natgate/events.jsonl',
    ],
    [
      'events: {stdout: true, kinds: [flows]}',
      '3:32: events.kinds[0]: "flows" is not allowed here; did you mean flow? There is flow, mapping, block, exhausted, quota, address, reload or engine',
    ],
    [
      'events: {kinds: [flow]}',
      '3:9: events: no receiver is named; give file, stdout, syslog or ipfix; or `events: off`',
    ],
    [
      'events: {syslog: 192.0.2.9}',
      '3:18: events.syslog: an empty word is no port or range of ports within 1-65535; e.g. 192.0.2.9:514',
    ],
    [
      'events: {ipfix: {to: "localhost:4739"}}',
      '3:22: events.ipfix.to: localhost is no IPv4 address; e.g. 192.0.2.9:4739',
    ],
    [
      'events: [{stdout: true}, {stdout: true}]',
      '3:35: events[1].stdout: standard output is named twice; say it once',
    ],
    [
      'events: {file: {path: /a, size: 0}}',
      '3:33: events.file.size: 0 is not allowed here; give a whole number from 1 to 1048576',
    ],
    ['engine: {workers: 3}', '3:19: engine.workers: 3: not a usable number; give 1, 2, 4, 8 or 16'],
    [
      'helpers: [pptp]\nengine: {workers: 4}',
      '4:19: engine.workers: helpers pptp: not with engine.workers 4: GRE has no ports by which its calls could be divided; use one worker, or leave the helper out',
    ],
    [
      'sets: {office: [10.0.0.9-10.0.0.1]}',
      '3:17: sets.office[0]: the range 10.0.0.9-10.0.0.1 ends before it begins; e.g. 192.0.2.7, 198.51.100.0/24, 10.0.0.1-10.0.0.9 or "@SET"',
    ],
    [
      'one-to-one: [{external: 203.0.113.9, internal: 203.0.113.9}]',
      '3:14: one-to-one[0]: 203.0.113.9/32 and 203.0.113.9/32 are the same; an address that needs no translation is an exempt',
    ],
  ])('%j', (text, line) => {
    expect(linesOf(THIRD(text))).toEqual([`natgate.yaml:${line}`]);
  });

  test.each<[string, string]>([
    [
      'private: [eth1, eth/2]',
      '1:17: private[1]: eth/2: not an interface name; `ip -br link` lists the interfaces',
    ],
    [
      'private: [eth1, {interface: eth2, networks: [10.1.0.1/16]}]',
      '1:46: private[1].networks[0]: 10.1.0.1/16 has bits set behind its length; the prefix is 10.1.0.0/16; one address is 10.1.0.1/32',
    ],
    ['private: [eth1, eth1]', '1:17: private[1]: eth1 is named twice; name every interface once'],
    ['private: []', '1:10: private: no interface is named; give one at least, e.g. eth1'],
    [
      'private: 5',
      '1:10: private: 5 is not allowed here; give an interface name, e.g. eth1, a map of interface and networks, or a list of such',
    ],
  ])('%j', (text, line) => {
    expect(linesOf(`${text}\npublic: eth0\n`)).toEqual([`natgate.yaml:${line}`]);
  });
});

describe('what cannot be meant together', () => {
  test.each<[string, string[]]>([
    [
      'forwards:\n  - tcp:80=192.168.1.10\n  - {name: web, protocol: tcp, port: 70-90, to: 192.168.1.11}\n',
      [
        '5:5: forwards[1]: port 80 is forwarded by forwards tcp:80=192.168.1.10 already; give it another external port or address; several hosts that take turns go into one forward: =HOST,HOST',
      ],
    ],
    [
      'nat: {deterministic: true, pooling: arbitrary}',
      [
        '3:22: nat.deterministic: it says which block of ports a host has, and there are no blocks; give block-size as well, e.g. block-size 128',
        '3:37: nat.pooling: with deterministic the block of a host is on one address; leave one of the two out',
      ],
    ],
    [
      'nat-rules:\n  - {from: 10.0.0.0/8, block-size: 128, ports-per-host: 64}\n',
      [
        '4:57: nat-rules[0].ports-per-host: less than a block of 128, the rest of which nobody could use; give block-size that many ports at most',
      ],
    ],
    [
      'nat-rules:\n  - {from: 10.0.0.0/8, external-ports: 1000-2000}\n',
      [
        '4:40: nat-rules[0].external-ports: 1000-2000 is not within 32768-65535; of the public interface’s address natgate has only `ports`',
      ],
    ],
    [
      'nat-rules:\n  - {from: 10.0.0.0/8, translate: [none, 203.0.113.9]}\n',
      [
        '4:36: nat-rules[0].translate[0]: none is no address; give it alone, not in a list, or list addresses',
      ],
    ],
    [
      'exempt: [10.8.0.0/16, {to: 10.8.1.0/24}]',
      ['3:23: exempt[1]: exempt 10.8.0.0/16 says so already; leave it out'],
    ],
    [
      'external: 203.0.113.8/29\none-to-one: [203.0.113.9=192.168.1.9]',
      [
        '4:14: one-to-one[0]: 203.0.113.9 is in the pool of external as well; an address belongs to the pool or to one host',
      ],
    ],
    [
      'nat-rules: [{name: a, from: 10.0.0.1}, {name: a, from: 10.0.0.2}]',
      ['3:47: nat-rules[1].name: another rule has the name a; give each its own'],
    ],
  ])('%j', (text, lines) => {
    expect(linesOf(THIRD(text))).toEqual(lines.map((line) => `natgate.yaml:${line}`));
  });
});

describe('rules of NAT', () => {
  test('one that comes after a wider one, and lists that are empty, are warnings', () => {
    const text = THIRD(
      'sets: {nobody: []}\nnat-rules:\n  - {name: wide, from: 10.0.0.0/8}\n  - {from: 10.1.0.0/16, translate: none}\n  - {to: "@nobody"}\nforwards:\n  - {protocol: tcp, port: 80, to: 192.168.1.10, from: "@nobody"}\n',
    );
    expect(linesOf(text)).toEqual([
      'natgate.yaml:3:16: warning: sets.nobody: the set is empty: what names it matches nothing; list addresses in it',
      'natgate.yaml:6:5: warning: nat-rules[1]: the rule never matches: wide comes before it and matches all that it does; put it before that one, or leave it out',
      'natgate.yaml:7:10: warning: nat-rules[2].to: the list is empty: the rule never matches; list something, or leave the rule out',
      'natgate.yaml:9:55: warning: forwards[0].from: the list is empty: nobody may use the forward; list who may, or leave `from` out to let everybody',
    ]);
  });
});

describe('anchors and aliases', () => {
  test('may be used', () => {
    expect(linesOf('private: &p eth1\npublic: eth0\nsets: {a: &list [10.0.0.1], b: *list}\n')).toEqual([]);
  });

  test('a fault is where the value is written', () => {
    expect(linesOf(THIRD('sets: {a: &list [10.0.0.300], b: *list}\n'))).toEqual([
      'natgate.yaml:3:18: sets.a[0]: 10.0.0.300 is no prefix of IPv4 addresses; e.g. 192.0.2.7, 198.51.100.0/24, 10.0.0.1-10.0.0.9 or "@SET"',
      'natgate.yaml:3:18: sets.b[0]: 10.0.0.300 is no prefix of IPv4 addresses; e.g. 192.0.2.7, 198.51.100.0/24, 10.0.0.1-10.0.0.9 or "@SET"',
    ]);
  });

  test('an alias within what it stands for is refused', () => {
    expect(linesOf('private: &p [eth1, *p]\npublic: eth0\n')).toEqual([
      'natgate.yaml:1:20: private[1]: the alias *p is within what it stands for; write it out',
    ]);
  });

  test('a few lines cannot stand for billions of values', () => {
    const levels = [...'bcdefghij'].map((name) => {
      const before = `*${String.fromCharCode(name.charCodeAt(0) - 1)}`;
      return `  ${name}: &${name} [${Array(9).fill(before).join(', ')}]`;
    });
    const text = THIRD(`sets:\n  a: &a [10.0.0.1]\n${levels.join('\n')}\n`);
    const lines = linesOf(text);
    expect(lines.some((line) => line.includes('aliases stand for too many values'))).toBe(true);
  });

  test('depth is bounded, with aliases and without', () => {
    expect(linesOf(THIRD(`dns: ${'['.repeat(40)}${']'.repeat(40)}`))).toContainEqual(
      expect.stringContaining('it is nested too deeply; a configuration has a few levels'),
    );
    expect(linesOf('['.repeat(5000))).toEqual([expect.stringContaining('nested too deeply')]);
  });
});

test('every error is shown, in the order of the file, also those of values that stand beside one of a wrong type', () => {
  const text = `private: [eth1, {interface: eth/2}]
pubic: eth0
forwards:
  - {protocol: tpc, port: 80, to: 192.168.1.9}
  - tcp:80=192.168.1.300
  - 7
  - {protocol: tcp, port: 80, to: 192.168.1.300}
engine: {workers: 3}
`;
  expect(linesOf(text).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    'natgate.yaml:1:1: public:',
    'natgate.yaml:1:29: private[1].interface:',
    'natgate.yaml:2:1: pubic:',
    'natgate.yaml:4:16: forwards[0].protocol:',
    'natgate.yaml:5:5: forwards[1]:',
    'natgate.yaml:6:5: forwards[2]:',
    'natgate.yaml:7:35: forwards[3].to:',
    'natgate.yaml:8:19: engine.workers:',
  ]);
});
