/** What a file means: RunOptions, the same as by flags, and what flags do to a file. */
import { describe, expect, test } from 'vitest';
import { masqueradeAll } from '../../../src/nat/config.ts';
import { defaultFirewall } from '../../../src/policy/firewall-config.ts';
import { formatPrefix, parseAddress, parsePrefix } from '../../../src/wire/address.ts';
import { examined, linesOf, optionsOf, TWO } from './support.ts';

const address = (text: string) => parseAddress(text)!;
const prefix = (text: string) => parsePrefix(text)!;

test('two lines are the recipe, and what the two flags say', () => {
  const options = optionsOf(TWO);
  expect({ ...options, configPath: null }).toEqual(optionsOf(null, { private: ['eth1'], public: 'eth0' }));
  expect(options).toEqual({
    name: 'default',
    stateRoot: '/run/natgate',
    configPath: 'natgate.yaml',
    private: [{ name: 'eth1', networks: [] }],
    public: 'eth0',
    ports: { first: 32_768, last: 65_535 },
    nat: masqueradeAll({ first: 32_768, last: 65_535 }),
    timeouts: {},
    flows: 262_144,
    workers: 1,
    helpers: [],
    lingerSeconds: 0,
    standby: true,
    user: undefined,
    txQueueLength: 4096,
    clampMss: true,
    events: [],
    evict: 'fair',
    unsolicited: 'silent',
    firewall: defaultFirewall,
    dns: null,
    control: { socket: '/run/natgate/default/control.sock', group: null, mode: 0o660 },
    metrics: null,
    log: { level: 'info', format: 'text' },
  });
});

test('every flag of run has its key: the same options by either', () => {
  const flags = {
    private: ['eth1', 'eth2'],
    public: 'eth0',
    ports: '40000-49999',
    external: ['203.0.113.8-203.0.113.9'],
    exempt: ['10.8.0.0/16,192.168.1.0/24'],
    forward: ['tcp:8080=192.168.1.10:80'],
    oneToOne: ['203.0.113.20=192.168.1.20'],
    netmap: ['203.0.113.32/28=192.168.1.32/28'],
    mapping: 'adm',
    filtering: 'adf',
    hairpin: false,
    portChoice: 'random',
    parity: false,
    portClass: false,
    pooling: 'arbitrary',
    overload: 'never',
    quarantine: 5,
    portsPerHost: 2048,
    flowsPerHost: 3000,
    blockSize: 1024,
    deterministic: false,
    timeout: ['udpStream=300'],
    flows: 65_536,
    workers: 1,
    helper: ['ftp', 'sip=5062'],
    linger: 10,
    user: 'nobody',
    txqueuelen: 500,
    clampMss: false,
    evict: 'unassured',
    unsolicited: 'unreachable',
  };
  const text = `
private: [eth1, eth2]
public: eth0
ports: 40000-49999
external: 203.0.113.8-203.0.113.9
exempt: [{to: 10.8.0.0/16, from: 192.168.1.0/24}]
forwards: [{protocol: tcp, port: 8080, to: "192.168.1.10:80"}]
one-to-one:
  - {external: 203.0.113.20, internal: 192.168.1.20}
  - {external: 203.0.113.32/28, internal: 192.168.1.32/28}
nat:
  mapping: address-dependent
  filtering: adf
  hairpin: false
  port-choice: random
  parity: false
  port-class: false
  pooling: arbitrary
  overload: never
  quarantine: 5
  block-size: 1024
limits: {ports-per-host: 2048, flows-per-host: 3000, flows: 65536}
timeouts: {udpStream: 300}
helpers: [ftp, {name: sip, port: 5062}]
engine: {linger: 10, user: nobody, txqueuelen: 500}
clamp-mss: false
evict: unassured
unsolicited: unreachable
`;
  expect({ ...optionsOf(text), configPath: null }).toEqual(optionsOf(null, flags));
  expect({ ...optionsOf(text, flags), configPath: null }).toEqual(optionsOf(null, flags));
});

test("timeouts differ from natgate's defaults, not from netfilter's", () => {
  const asNetfilter = optionsOf(`${TWO}timeouts: {udp: 30, tcpTimeWait: 120, icmp: 60}\n`);
  expect(asNetfilter.timeouts).toEqual({ udp: 30, tcpTimeWait: 120 });
});

describe('flags are stronger than the file', () => {
  const text = `${TWO}external: [203.0.113.8]\nforwards: [tcp:80=192.168.1.10]\nnat: {mapping: adm, parity: false}\n`;

  test('value by value; a list is replaced', () => {
    const options = optionsOf(text, {
      public: 'eth9',
      mapping: 'apdm',
      forward: ['udp:53=192.168.1.53'],
      timeout: ['udp=20'],
    });
    expect(options.public).toBe('eth9');
    expect(options.nat.forwards.map(({ name }) => name)).toEqual(['udp:53=192.168.1.53']);
    expect(options.nat.rules[0]).toMatchObject({ action: 'pool', behaviour: { parity: false } });
    expect(options.nat.rules[0]!.behaviour.mapping).toBe('address-and-port-dependent');
    expect(options.timeouts).toEqual({ udp: 20 });
  });

  test('a flag that contradicts the file is named as the flag', () => {
    const wrong = { forward: ['tcp:80=203.0.113.8'] };
    expect(() => optionsOf(text, wrong)).toThrow(
      '--forward tcp:80=203.0.113.8: 203.0.113.8 is an external address of the gateway',
    );
    expect(() => optionsOf(`${TWO}engine: {workers: 2}`, { helper: ['pptp'] })).toThrow(
      'natgate.yaml:3:19: engine.workers: helpers pptp: not with engine.workers 2',
    );
    expect(() => optionsOf(`${TWO}helpers: [pptp]`, { workers: 2 })).toThrow(
      '--helper pptp: not with --workers 2',
    );
  });

  test('what the file lacks a flag can give, and what it has wrong a flag can mend', () => {
    expect(optionsOf('private: eth1\n', { public: 'eth0' }).public).toBe('eth0');
    expect(optionsOf(`${TWO}ports: 1-2\n`, { ports: '40000-50000' }).ports).toEqual({
      first: 40_000,
      last: 50_000,
    });
  });
});

test('one interface for both sides, by file and by flags', () => {
  const want = [{ name: 'eth0', networks: [parsePrefix('10.0.0.0/16')] }];
  const files = ['{interface: eth0, networks: 10.0.0.0/16}', 'eth0=10.0.0.0/16'];
  for (const text of files) {
    expect(optionsOf(`private: ${text}\npublic: eth0\n`).private).toEqual(want);
  }
  expect(optionsOf(null, { private: ['eth0=10.0.0.0/16'], public: 'eth0' }).private).toEqual(want);
  expect(linesOf('private: eth0=10.0.0.0/33\npublic: eth0\n')[0]).toMatch(
    /^natgate\.yaml:1:10: private: .*"10\.0\.0\.0\/33" is not a network/,
  );
});

test('private interfaces: names and maps', () => {
  const { private: insides } = optionsOf(
    'private: [eth1, {interface: eth2, networks: [10.1.0.0/16, 10.2.0.0/16]}, {interface: eth3, networks: 10.3.0.0/16}]\npublic: eth0\n',
  );
  expect(insides.map(({ name, networks }) => [name, ...networks.map(formatPrefix)])).toEqual([
    ['eth1'],
    ['eth2', '10.1.0.0/16', '10.2.0.0/16'],
    ['eth3', '10.3.0.0/16'],
  ]);
});

test('forwards as maps', () => {
  const text = `${TWO}
sets: {partners: [198.51.100.0/24, 192.0.2.1]}
forwards:
  - {name: web, protocol: tcp+udp, port: 5000-5009, address: 203.0.113.9, to: ["192.168.1.10:6000", 192.168.1.11], from: ["@partners"], affinity: 600, twice: true, on-address-change: remap}
`;
  const { forwards } = optionsOf(text).nat;
  const common = {
    name: 'web',
    address: address('203.0.113.9'),
    ports: { first: 5000, last: 5009 },
    targets: [
      { address: address('192.168.1.10'), port: 6000 },
      { address: address('192.168.1.11'), port: 5000 },
    ],
    sources: [prefix('192.0.2.1/32'), prefix('198.51.100.0/24')],
    affinitySeconds: 600,
    twice: true,
    onAddressChange: 'remap',
  };
  expect(forwards).toEqual([
    { ...common, protocol: 6 },
    { ...common, protocol: 17 },
  ]);
});

test('receivers of events', () => {
  const text = `${TWO}
events:
  - {file: /var/log/events.jsonl, stdout: true}
  - {syslog: 192.0.2.9:514, ipfix: {to: 127.0.0.1:4739, domain: 7}, kinds: [flow, quota]}
  - {file: {path: /var/log/quota.jsonl, size: 1, keep: 0}, syslog: {to: 192.0.2.8:5514, facility: local3}}
`;
  expect(optionsOf(text).events).toEqual([
    { kind: 'file', path: '/var/log/events.jsonl', rotateBytes: 104_857_600, keep: 10, only: null },
    { kind: 'stdout', only: null },
    { kind: 'syslog', host: '192.0.2.9', port: 514, facility: 'daemon', only: ['flow', 'quota'] },
    { kind: 'ipfix', host: '127.0.0.1', port: 4739, domain: 7, only: ['flow', 'quota'] },
    { kind: 'file', path: '/var/log/quota.jsonl', rotateBytes: 1_048_576, keep: 0, only: null },
    { kind: 'syslog', host: '192.0.2.8', port: 5514, facility: 'local3', only: null },
  ]);
  expect(optionsOf(`${TWO}events: {stdout: true}`).events).toEqual([{ kind: 'stdout', only: null }]);
  expect(optionsOf(`${TWO}events: off`).events).toEqual([]);
});

test('dns, log, control and metrics', () => {
  const text = `${TWO}
dns: {upstream: [192.0.2.53, 192.0.2.54]}
log: {level: warning, format: json}
control: {socket: /run/office.sock, group: adm, mode: "600"}
metrics: 127.0.0.1:9469
`;
  expect(optionsOf(text)).toMatchObject({
    dns: { upstream: [address('192.0.2.53'), address('192.0.2.54')], system: false },
    log: { level: 'warning', format: 'json' },
    control: { socket: '/run/office.sock', group: 'adm', mode: 0o600 },
    metrics: { address: address('127.0.0.1'), port: 9469, public: false, page: false, tokenFile: null },
  });
  expect(
    optionsOf(`${TWO}metrics: {listen: "127.0.0.1:9469", page: true, token-file: /etc/t}`),
  ).toMatchObject({
    metrics: { address: address('127.0.0.1'), port: 9469, page: true, tokenFile: '/etc/t' },
  });
  expect(optionsOf(`${TWO}dns: system\ncontrol: {socket: off}`)).toMatchObject({
    dns: { upstream: [], system: true },
    control: { socket: null },
  });
});

test('a problem that is found later, on the host, has its place in the file; a flag has none', () => {
  const { placeOf } = examined(`${TWO}external:\n  - 203.0.113.8\n`, { public: 'eth9' });
  expect(placeOf(['external', 0])).toEqual({ line: 4, column: 5 });
  expect(placeOf(['private'])).toEqual({ line: 1, column: 10 });
  expect(placeOf(['public'])).toBeNull();
});
