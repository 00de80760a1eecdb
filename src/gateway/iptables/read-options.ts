/**
 * The options of a rule as tests. What natgate cannot know of a packet (its MAC address, a mark, what it contains) makes the rule `lost`,
 * with the reason. Values that iptables itself would refuse are problems, with their place.
 */
import { NatgateError } from '../../core/errors.ts';
import { icmpType, protocol as protocolNumber, tcpFlags } from '../config/words.ts';
import { OptionText } from '../nat-syntax.ts';
import { limitTrouble } from './limit-order.ts';
import { problem } from './parse-rule.ts';
import { ALL_ADDRESSES, parseNetwork, parseSpan, type Range } from './ranges.ts';
import { connections, hashRate, rate, schedule } from './read-chances.ts';
import type { Option, Rule } from './syntax.ts';
import type { Reading, Sets, Test } from './tests.ts';

const STATES = ['NEW', 'ESTABLISHED', 'RELATED', 'INVALID', 'UNTRACKED', 'DNAT', 'SNAT'];
/** Matches of which there is nothing to see once a packet comes to natgate. */
const BLIND: Readonly<Record<string, string>> = {
  mac: 'natgate sees no MAC addresses',
  mark: 'natgate has no marks',
  connmark: 'natgate has no marks',
  physdev: 'natgate sees no ports of bridges',
  policy: 'natgate sees no IPsec policies',
  string: 'natgate does not look into packets',
  u32: 'natgate does not look into packets',
  bpf: 'natgate does not look into packets',
  owner: 'only the host’s own packets have an owner',
  recent: 'natgate keeps no lists of recent addresses; limit new flows per source instead',
  statistic: 'natgate does not drop at random',
  ttl: 'natgate’s rules do not look at the TTL',
  length: 'natgate’s rules do not look at the length',
  tcpmss: 'natgate’s rules do not look at the MSS',
  rpfilter: 'firewall.anti-spoofing does this by itself',
};

/** Throws a SyntaxProblem. `seen`: names of hashlimit tables that earlier rules have. */
export function readOptions(rule: Rule, sets: Sets, seen: Set<string>): Reading {
  const reading: Reading = { tests: [], never: null, lost: null, comment: null };
  const lose = (why: string): undefined => {
    reading.lost ??= why;
  };
  for (const name of rule.unknown) lose(BLIND[name] ?? `natgate has no match like ${name}`);
  const groups = new Map<string, Option[]>();
  for (const option of rule.options) {
    const isGroup = ['limit', 'hashlimit', 'connlimit', 'time', 'addrtype', 'set'].includes(option.module);
    if (isGroup) groups.set(option.module, [...(groups.get(option.module) ?? []), option]);
    else if (Object.hasOwn(BLIND, option.module)) lose(BLIND[option.module]!);
    else single(option, reading, lose);
  }
  for (const [module, options] of groups) grouped(module, options, { reading, lose, sets, seen });
  const trouble = limitTrouble(rule);
  if (trouble !== null) lose(trouble);
  return reading;
}

type Lose = (why: string) => undefined;

function single(option: Option, reading: Reading, lose: Lose): undefined {
  const { name, not, values, place } = option;
  const value = values[0] ?? '';
  const add = (test: Test) => reading.tests.push(test);
  switch (name) {
    case 'source':
    case 'destination': {
      const ranges = value.split(',').map((text) => network(option, text));
      if (ranges.some((range) => range === null))
        return lose(`${value} is a name, and what it means may change: write addresses`);
      const isAll = ranges.some((range) => range!.first === 0 && range!.last === ALL_ADDRESSES[0]!.last);
      if (isAll && not) reading.never ??= 'every address is excluded';
      if (!isAll) add({ on: name === 'source' ? 'from' : 'to', ranges: ranges as Range[], not });
      return;
    }
    case 'src-range':
    case 'dst-range': {
      const range = parseSpan(value);
      if (range === null) throw problem(place, `${value} is no range of addresses`, '10.0.0.1-10.0.0.9');
      add({ on: name === 'src-range' ? 'from' : 'to', ranges: [range], not });
      return;
    }
    case 'in-interface':
    case 'out-interface':
      if (value !== '+') add({ on: name === 'in-interface' ? 'in' : 'out', names: [value], not });
      return;
    case 'protocol':
      if (!/^(all|0)$/i.test(value)) add({ on: 'protocol', values: [protocolOf(option)], not });
      return;
    case 'source-port':
    case 'destination-port':
    case 'source-ports':
    case 'destination-ports':
    case 'ports':
      add({
        on: name.startsWith('source') ? 'sport' : name === 'ports' ? 'anyport' : 'dport',
        ranges: value.split(',').map((text) => ports(option, text)),
        not,
      });
      return;
    case 'icmp-type':
      if (!/^(any|255)$/.test(value))
        add({ on: 'icmp', type: worded(option, (from) => icmpType(from, value)), not });
      return;
    case 'syn':
      add({ on: 'flags', mask: 0x17, value: 2, not });
      return;
    case 'tcp-flags':
      add({ on: 'flags', ...worded(option, (from) => tcpFlags(from, `${values[0]} ${values[1]}`)), not });
      return;
    case 'fragment':
      // What is tracked is whole (nf_defrag): conntrack is loaded wherever there is a nat table or a state.
      if (!not) reading.never ??= 'tracked packets are whole';
      return;
    case 'comment':
      reading.comment = value;
      return;
    case 'state':
    case 'ctstate':
      return states(option, add);
    case 'helper':
      add({ on: 'state', states: ['RELATED'], not });
      return lose('natgate’s rules do not tell one helper from another: use state: related');
    case 'ipv6':
      reading.never ??= 'IPv6 is not natgate’s';
      return;
    default:
      return conntrack(option, reading, lose);
  }
}

function states({ values, not, place }: Option, add: (test: Test) => void): undefined {
  const words = values[0]!.toUpperCase().split(',');
  const wrong = words.find((word) => !STATES.includes(word));
  if (wrong !== undefined)
    throw problem(place, `there is no state ${wrong}`, `there are ${STATES.join(', ')}`);
  add({ on: 'state', states: words, not });
}

/** What a flow is known by. In FORWARD, of its first packet: the destination has been translated, the source not yet. */
function conntrack(option: Option, reading: Reading, lose: Lose): undefined {
  const { name, not, values } = option;
  const value = values[0] ?? '';
  const address = (on: 'from' | 'to') => {
    const range = network(option, value);
    if (range === null) return lose(`${value} is a name: write addresses`);
    reading.tests.push({ on, ranges: [range], not });
  };
  switch (name) {
    case 'ctorigsrc':
      return address('from');
    case 'ctreplsrc':
      return address('to');
    case 'ctorigsrcport':
      reading.tests.push({ on: 'sport', ranges: [ports(option, value)], not });
      return;
    case 'ctreplsrcport':
      reading.tests.push({ on: 'dport', ranges: [ports(option, value)], not });
      return;
    case 'ctproto':
      reading.tests.push({ on: 'protocol', values: [protocolOf(option)], not });
      return;
    case 'ctdir':
      if (/^orig/i.test(value) !== not) return;
      reading.never ??= 'answers are not asked about: natgate asks for the first packet of a flow';
      return;
    case 'ctorigdst':
    case 'ctorigdstport':
      return lose(
        'natgate’s rules see the destination after a forward has translated it: name the private address and port',
      );
    default:
      return lose(`natgate’s rules have nothing like --${name}`);
  }
}

interface Around {
  reading: Reading;
  lose: Lose;
  sets: Sets;
  seen: Set<string>;
}

function grouped(
  module: string,
  options: readonly Option[],
  { reading, lose, sets, seen }: Around,
): undefined {
  const add = (test: Test | string) => (typeof test === 'string' ? lose(test) : reading.tests.push(test));
  if (module === 'limit') add(rate(options));
  else if (module === 'hashlimit') add(hashRate(options, seen));
  else if (module === 'connlimit') add(connections(options));
  else if (module === 'time') add(schedule(options));
  else if (module === 'addrtype') for (const option of options) addressType(option, reading, lose);
  else
    options
      .filter(({ name }) => name === 'match-set')
      .forEach((option) => {
        matchSet(option, sets, reading, lose);
      });
}

/** Of a packet that is forwarded the host is neither source nor destination, and all are unicast. */
function addressType({ name, values, not }: Option, reading: Reading, lose: Lose): undefined {
  const types = (values[0] ?? '').split(',');
  if (name.startsWith('limit-iface')) return;
  if (types.some((type) => !['LOCAL', 'UNICAST', 'BROADCAST', 'MULTICAST', 'ANYCAST'].includes(type))) {
    return lose(`natgate’s rules do not know the address type ${values[0]}`);
  }
  reading.tests.push({
    on: 'to',
    ranges: ALL_ADDRESSES,
    not: types.includes('UNICAST') === not,
    set: `type ${types.join()}`,
  });
}

function matchSet({ values, not }: Option, sets: Sets, reading: Reading, lose: Lose): undefined {
  const [name = '', sides = ''] = values;
  const ranges = sets.get(name);
  if (ranges === undefined)
    return lose(`what is in the set ${name} is not given: import with --sets FILE (ipset save)`);
  if (sides !== 'src' && sides !== 'dst') return lose(`natgate’s sets are of addresses: ${name} ${sides}`);
  reading.tests.push({ on: sides === 'src' ? 'from' : 'to', ranges, not, set: name });
}

function network({ place }: Option, text: string): Range | null {
  const range = parseNetwork(text);
  if (range !== null) return range;
  if (/^[\d./]+$/.test(text))
    throw problem(place, `${text} is no address or prefix`, '10.0.0.0/8, or 10.0.0.0/255.0.0.0');
  return null;
}

/** Names of services that pages use. */
const SERVICES: Readonly<Record<string, number>> = {
  'ftp-data': 20,
  ftp: 21,
  ssh: 22,
  telnet: 23,
  smtp: 25,
  domain: 53,
  bootps: 67,
  bootpc: 68,
  tftp: 69,
  http: 80,
  www: 80,
  pop3: 110,
  sunrpc: 111,
  ntp: 123,
  'netbios-ns': 137,
  'netbios-dgm': 138,
  'netbios-ssn': 139,
  imap: 143,
  imap2: 143,
  snmp: 161,
  bgp: 179,
  ldap: 389,
  https: 443,
  'microsoft-ds': 445,
  isakmp: 500,
  syslog: 514,
  submission: 587,
  ldaps: 636,
  imaps: 993,
  pop3s: 995,
  openvpn: 1194,
  'ms-sql-s': 1433,
  l2tp: 1701,
  pptp: 1723,
  nfs: 2049,
  mysql: 3306,
  'ms-wbt-server': 3389,
  'ipsec-nat-t': 4500,
  sip: 5060,
  postgresql: 5432,
  'http-alt': 8080,
  webcache: 8080,
};

export function ports({ place }: Pick<Option, 'place'>, text: string): Range {
  const [low = '', high = low] = text.split(/[:-]/);
  const number = (word: string, empty: number) => {
    if (word === '') return empty;
    if (/^\d+$/.test(word)) return Number(word);
    return Object.hasOwn(SERVICES, word) ? SERVICES[word]! : Number.NaN;
  };
  const isName = Object.hasOwn(SERVICES, text);
  const first = isName ? SERVICES[text]! : number(low, 0);
  const last = isName ? first : number(high, 65_535);
  if (!(first >= 0 && last <= 65_535 && first <= last)) {
    throw problem(place, `${text} is no port or range of ports`, '80, or 8000:8010');
  }
  return { first, last };
}

function protocolOf(option: Option): number {
  const value = option.values[0]!.toLowerCase();
  const more: Readonly<Record<string, number>> = {
    ipencap: 4,
    'ipv6-icmp': 58,
    icmpv6: 58,
    eigrp: 88,
    ospf: 89,
    pim: 103,
    vrrp: 112,
    l2tp: 115,
  };
  return Object.hasOwn(more, value) ? more[value]! : worded(option, (from) => protocolNumber(from, value));
}

/** What the file's own words are parsed by, with the place of the rule. */
function worded<T>({ place, name, values }: Option, parse: (from: OptionText) => T): T {
  try {
    return parse(new OptionText(name, values.join(' '), ''));
  } catch (error) {
    if (!(error instanceof NatgateError)) throw error;
    throw problem(place, error.message, error.hint);
  }
}
