/** Texts that people write: filters, words of options, the configuration, rules of iptables, lists of names. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { flowValue } from '../../../../src/cli/flow-value.ts';
import { parseSize } from '../../../../src/cli/lab.ts';
import { range } from '../../../../src/gateway/config/addresses.ts';
import { editText } from '../../../../src/gateway/config/edit.ts';
import { examine } from '../../../../src/gateway/config/load.ts';
import { showConfig } from '../../../../src/gateway/config/show.ts';
import {
  icmpType,
  moment,
  ratePerSecond,
  tcpFlags,
  timeOfDay,
  timeZone,
} from '../../../../src/gateway/config/words.ts';
import { WhoHad } from '../../../../src/gateway/events/who-had.ts';
import { parseForward } from '../../../../src/gateway/forward-option.ts';
import { importRules } from '../../../../src/gateway/iptables/import.ts';
import { parseExemption, parseNetmap, parseOneToOne } from '../../../../src/gateway/nat-options.ts';
import { hostAddress, hostPrefix, OptionText, portRange } from '../../../../src/gateway/nat-syntax.ts';
import { formatFilter } from '../../../../src/gateway/observe/filter.ts';
import { type FlowSubject, flowMatcher } from '../../../../src/gateway/observe/filter-match.ts';
import { parseFilter } from '../../../../src/gateway/observe/filter-parse.ts';
import { compileForEngine } from '../../../../src/gateway/observe/filter-program.ts';
import { formatFlowId, parseFlowId } from '../../../../src/gateway/observe/flow-list.ts';
import { parseHelpers, parseName, parsePortRange, parsePrivate } from '../../../../src/gateway/options.ts';
import { parseTimeouts } from '../../../../src/gateway/timeout-option.ts';
import { hostNames, leaseNames } from '../../../../src/host/client-names.ts';
import { nameServers } from '../../../../src/host/resolvers/resolv-conf.ts';
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from '../../../../src/wire/address.ts';
import { RECIPE_PAGE, RECIPE_SAVED } from '../../../gateway/iptables/recipe.ts';
import { must, mustEqual, refused, type Target } from '../target.ts';

const tuple = (src: string, sport: number, dst: string, dport: number) => ({
  src: parseAddress(src)!,
  sport,
  dst: parseAddress(dst)!,
  dport,
});
const FLOW: FlowSubject = {
  protocol: 6,
  state: 'ESTABLISHED',
  original: tuple('10.0.0.2', 40_000, '198.51.100.7', 443),
  reply: tuple('198.51.100.7', 443, '203.0.113.1', 50_000),
  assured: true,
  unreplied: false,
  related: false,
  side: 'private',
  rule: 'web clients',
  client: 'Laptop',
};

const filter: Target = {
  name: 'filter',
  files: [
    'gateway/observe/filter-parse.ts',
    'gateway/observe/filter-words.ts',
    'gateway/observe/filter.ts',
    'gateway/observe/filter-program.ts',
    'gateway/observe/filter-match.ts',
  ],
  form: 'utf8',
  seeds: () => [
    'proto tcp and dst 198.51.100.7 port 443',
    'not (src 10.0.0.0/8 or sport 1000-2000,53) and state ESTABLISHED,ASSURED',
    'rule "web clients" or client Laptop or side private',
    'proto 47 reason no_flow external 203.0.113.1 ext-port 50000',
  ],
  run: (_, text) => {
    const found = refused(() => parseFilter(text));
    if (found === null) return;
    const written = formatFilter(found);
    const again = parseFilter(written);
    must(formatFilter(again) === written, 'unstable', () => `${written} is read as ${formatFilter(again)}`);
    const matches = flowMatcher(found)(FLOW);
    must(matches === flowMatcher(again)(FLOW), 'another', () => written);
    refused(() => compileForEngine(found));
  },
};

const from = (text: string) => new OptionText('option', text, 'example');
const WORDS: readonly ((text: string) => unknown)[] = [
  parsePortRange,
  parseName,
  parsePrivate,
  parseForward,
  parseSize,
  flowValue,
  (text) => parseTimeouts(text.split(' ')),
  (text) => parseHelpers(text.split(' ')),
  (text) => icmpType(from(text), text),
  (text) => tcpFlags(from(text), text),
  (text) => ratePerSecond(from(text), text),
  (text) => timeOfDay(from(text), text),
  (text) => new Date(moment(from(text), text)).toISOString(),
  (text) => timeZone(from(text), text),
  (text) => range(from(text), text),
  (text) => parseExemption(from(text), text),
  (text) => parseOneToOne(from(text), text),
  (text) => parseNetmap(from(text), text),
  (text) => hostAddress(from(text), text),
  (text) => hostPrefix(from(text), text),
  (text) => portRange(from(text), text),
];

const words: Target = {
  name: 'words',
  files: [
    'gateway/options.ts',
    'gateway/nat-syntax.ts',
    'gateway/forward-option.ts',
    'gateway/timeout-option.ts',
    'gateway/config/words.ts',
    'wire/address.ts',
    'cli/flow-value.ts',
  ],
  form: 'utf8',
  seeds: () => [
    '32768-65535',
    'default',
    'eth0=10.0.0.0/16,10.1.0.0/16',
    'tcp:8080=192.168.1.10:80',
    'tcp+udp:198.51.100.7:1000-1010=192.168.1.10,192.168.1.11,affinity=60,from=10.0.0.0/8',
    '64M',
    '{name: web, to: [1, 2]}',
    'udpStream=300 icmp=5',
    'ftp sip=5062',
    'echo-request',
    '3/4',
    'SYN,ACK SYN',
    'syn',
    '10/second',
    '09:30:00',
    '2026-11-29T10:00:00Z',
    '2026-11-29T10:00:00+01:00',
    'Europe/Berlin',
    '10.0.0.1-10.0.0.9',
    '10.0.0.0/8,192.168.0.0/16',
    '203.0.113.1=10.0.0.1',
    '203.0.113.0/28=10.0.0.0/28',
    '1.22.333',
  ],
  most: 4096,
  run: (_, text) => {
    for (const read of WORDS) {
      const value = refused(() => read(text));
      must(value !== undefined, 'undefined');
    }
    const address = parseAddress(text);
    if (address !== null) must(formatAddress(address) === text, 'address');
    const prefix = parsePrefix(text);
    if (prefix !== null) mustEqual(parsePrefix(formatPrefix(prefix)), prefix, 'prefix');
    const id = parseFlowId(text);
    if (id !== null) mustEqual(parseFlowId(formatFlowId(id)), id, 'flow-id');
  },
};

const IDENTITY = { name: 'x', stateRoot: '/run/x', flags: {} };
const read = (text: string) => examine({ ...IDENTITY, file: { path: 'natgate.yaml', text } });

const config: Target = {
  name: 'config',
  files: ['gateway/config'],
  form: 'utf8',
  seeds: () => [
    readFileSync('examples/natgate.yaml', 'utf8'),
    'private: eth1\npublic: eth0\n',
    'private: [eth1, {interface: eth2, networks: [10.0.0.0/8]}]\npublic: eth0\nports: 32768-65535\nforwards:\n  - {name: web, protocol: tcp, port: 8080, to: "192.168.1.10:80"}\n  - tcp:8443=192.168.1.10:443\nfirewall:\n  chains: {guests: [{name: dns, action: accept, protocol: udp, ports: 53}]}\n  rules:\n    - {name: no-ssh, action: drop, protocol: tcp, ports: 22}\n    - {name: guests, jump: guests, from: 192.168.2.0/24}\n',
    'private: eth1\npublic: eth0\nsets: {a: &a [10.0.0.0/8, 192.168.0.1-192.168.0.9]}\nnat-rules:\n  - {name: r, from: *a, external: 203.0.113.1, ports: random, mapping: address-dependent}\n',
  ],
  run: (_, text) => {
    const { options, document, problems } = read(text);
    for (const { what, remedy, place } of problems) {
      must(what !== '' && remedy !== '', 'mute', () => JSON.stringify(problems));
      must(place === null || (place.line >= 1 && place.column >= 1), 'place', () => JSON.stringify(place));
    }
    must((options === null) === problems.some(({ severity }) => severity === 'error'), 'half');
    if (options === null || document === null) return;
    const shown = showConfig(document);
    const again = read(shown);
    must(again.document !== null, 'shown', () => `${JSON.stringify(again.problems)}\n${shown}`);
    mustEqual(again.document, document, 'shown-another');
    const value = 'tcp:4=192.168.1.10';
    const edited = refused(() => editText(text, { list: ['forwards'], index: 0, value }));
    if (edited !== null) must(parse(edited).forwards[0] === value, 'edit', () => edited);
  },
};

const ADDRESSES = ['203.0.113.1'];

const iptables: Target = {
  name: 'iptables',
  files: ['gateway/iptables'],
  form: 'utf8',
  seeds: () => [
    RECIPE_SAVED,
    ...[RECIPE_PAGE].flat(),
    '*nat\n-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80\n-A POSTROUTING -s 10.0.0.0/8 -o eth0 -j SNAT --to-source 203.0.113.1-203.0.113.9 --random\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\n:X - [0:0]\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i eth1 -p tcp -m multiport --dports 22,80:90 -m limit --limit 3/min --limit-burst 7 -j X\n-A X ! -s 10.0.0.3 -m comment --comment "a b" -j REJECT --reject-with tcp-reset\n-A X -m connlimit --connlimit-above 3 --connlimit-mask 32 -j DROP\n-A X -m time --timestart 09:00 --timestop 17:00 --weekdays Mo,Tu -j ACCEPT\n-A X -p icmp --icmp-type 8 -j ACCEPT\nCOMMIT\n',
  ],
  run: (_, text) => {
    const sides = { private: ['eth1'], public: 'eth0' };
    const found = refused(() =>
      importRules(text, { file: 'rules.v4', ...sides, addresses: () => ADDRESSES, sets: null }),
    );
    if (found === null) return;
    const { problems } = read(found.text);
    const wrong = problems.filter(({ severity }) => severity === 'error');
    must(wrong.length === 0, 'imported', () => `${JSON.stringify(wrong)}\n${found.text}`);
  },
};

const names: Target = {
  name: 'names',
  files: ['host/resolvers/resolv-conf.ts', 'host/client-names.ts', 'gateway/events/who-had.ts'],
  form: 'utf8',
  seeds: () => [
    'nameserver 192.0.2.1\nnameserver 127.0.0.53\noptions edns0\n# no\nnameserver fe80::1%eth0\n',
    '127.0.0.1 localhost\n10.0.0.2 laptop laptop.lan # mine\n',
    '1700000000 aa:bb:cc:dd:ee:ff 10.0.0.3 phone 01:aa\n1700000000 aa:bb:cc:dd:ee:fe 10.0.0.4 * *\n',
    '{"time":"2026-11-29T10:00:00.000Z","event":"mapping_begin","protocol":6,"host":"10.0.0.2","client":"","port":1,"external":"203.0.113.1","externalPort":4000,"rule":"r"}\n',
    '{"time":"2026-11-29T10:00:00.000Z","event":"block_begin","host":"10.0.0.2","client":"","first":4000,"last":4063,"external":"203.0.113.1","rule":"r"}\n{"time":"2026-11-29T10:01:00.000Z","event":"gap","missed":3,"where":"ring","worker":0}\n',
  ],
  run: (_, text) => {
    const { usable } = nameServers(text);
    must(usable.every(Number.isInteger), 'servers');
    for (const list of [hostNames(text), leaseNames(text)]) {
      for (const [address, name] of list) must(Number.isInteger(address) && name !== '', 'names');
    }
    const who = new WhoHad({ port: 4000, protocol: null, external: null, time: null });
    for (const line of text.split('\n')) who.line(line);
    JSON.stringify(who.holders());
  },
};

export const texts: readonly Target[] = [filter, words, config, iptables, names];
