/** What a firewall rule of natgate's asks, in words of iptables and nft. A list that iptables has no word for makes several rules. */
import type { Criterion, Direction, FirewallMatch, RateLimit } from '../../policy/firewall-config.ts';
import { FLAG_NAMES } from './criteria.ts';
import type { Words } from './export-text.ts';
import { addressText, type Range } from './ranges.ts';

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  132: 'sctp',
};
const PER_SECOND: readonly (readonly [number, string])[] = [
  [1, 'second'],
  [60, 'minute'],
  [3600, 'hour'],
  [86_400, 'day'],
];
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

export interface Interfaces {
  private: readonly string[];
  public: string;
}

/** Each a list of words that all must hold; the rule is written once for each. Or why it cannot be. `name`: for a table of its own. */
export function matchesOf(match: FirewallMatch, interfaces: Interfaces, name: string): Words[][] | string {
  let all: Words[][] = [[]];
  const and = (alternatives: Words[][]) => {
    all = all.flatMap((one) => alternatives.map((more) => [...one, ...more]));
  };
  if (match.directions !== null) and(match.directions.flatMap((direction) => pairsOf(direction, interfaces)));
  for (const [criterion, letter, key] of [
    [match.inInterfaces, '-i', 'iifname'],
    [match.outInterfaces, '-o', 'oifname'],
  ] as const) {
    if (criterion === null) continue;
    const words = criterion.values.map((value) => ({
      iptables: `${criterion.not ? '! ' : ''}${letter} ${value}`,
      nft: `${key} ${criterion.not ? '!= ' : ''}"${value}"`,
    }));
    if (criterion.not && words.length > 1) return 'several interfaces that it must not be';
    and(words.map((word) => [word]));
  }
  for (const [criteria, letter, key] of [
    [match.sources, 's', 'saddr'],
    [match.destinations, 'd', 'daddr'],
  ] as const) {
    for (const criterion of criteria) {
      if (criterion.not && criterion.values.length > 1) return 'several addresses that it must not be';
      and(criterion.values.map((range) => [addressWords(range, criterion.not, letter, key)]));
    }
    if (criteria.filter(({ values }) => values.every(isPrefix)).length > 1)
      return 'two lists of addresses of one side';
  }
  const { protocols } = match;
  if (protocols?.not && protocols.values.length > 1) return 'several protocols that it must not be';
  const needed =
    match.sourcePorts.length + match.destinationPorts.length > 0 && (protocols === null || protocols.not);
  const names = needed ? [6, 17, 132] : (protocols?.values ?? null);
  if (needed && protocols !== null) return 'ports of all but some protocols';
  if (names !== null) {
    const not = protocols?.not ?? false;
    and(
      names.map((number) => [
        protocolWords(number, not),
        ...portWords(match.sourcePorts, 'source', 'sport', number),
        ...portWords(match.destinationPorts, 'destination', 'dport', number),
      ]),
    );
  }
  if (match.icmp !== null) {
    const { values, not } = match.icmp;
    if (not && values.length > 1) return 'several ICMP types that it must not be';
    if (names === null) and([[protocolWords(1, false)]]);
    and(
      values.map(({ type, code }) => [
        {
          iptables: `-m icmp ${not ? '! ' : ''}--icmp-type ${type}${code < 0 ? '' : `/${code}`}`,
          nft:
            code < 0
              ? `icmp type ${not ? '!= ' : ''}${type}`
              : `icmp type ${type} icmp code ${not ? '!= ' : ''}${code}`,
        },
      ]),
    );
  }
  if (match.states !== null) {
    const { values, not } = match.states;
    if (values.includes('snat')) return 'netfilter does not know yet whether the source will be translated';
    const list = values.map((value) => value.toUpperCase());
    const states = values.filter((value) => value !== 'dnat').join(',');
    if (values.includes('dnat') && states !== '') return 'a state and dnat in one rule';
    and([
      [
        {
          iptables: `-m conntrack ${not ? '! ' : ''}--ctstate ${list.join()}`,
          nft:
            states === ''
              ? `ct status & dnat ${not ? '==' : '!='} 0`
              : `ct state ${not ? '!= ' : ''}{ ${states} }`,
        },
      ],
    ]);
  }
  if (match.tcpFlags !== null) {
    const { mask, value, not } = match.tcpFlags;
    const flags = (bits: number, between: string, none: string) =>
      FLAG_NAMES.filter((_, i) => (bits & (1 << i)) !== 0).join(between) || none;
    if (names === null) and([[protocolWords(6, false)]]);
    and([
      [
        {
          iptables: `-m tcp ${not ? '! ' : ''}--tcp-flags ${flags(mask, ',', 'NONE')} ${flags(value, ',', 'NONE')}`,
          nft: `tcp flags & (${flags(mask, '|', '0').toLowerCase()}) ${not ? '!=' : '=='} ${flags(value, '|', '0').toLowerCase()}`,
        },
      ],
    ]);
  }
  return chances(match, name, and) ?? all;
}

function chances(match: FirewallMatch, name: string, and: (alternatives: Words[][]) => void): string | null {
  if (match.schedule !== null) {
    const { days, from, to, notBefore, notAfter, zone } = match.schedule;
    if (zone !== 'UTC') return 'a time zone other than UTC';
    const clock = (seconds: number) => new Date(seconds * 1000).toISOString().slice(11, 19);
    const words = [
      ...(from !== 0 || to !== 0
        ? [`--timestart ${clock(from)} --timestop ${clock((to + 86_399) % 86_400)}`]
        : []),
      ...(days.length > 0 ? [`--weekdays ${days.map((day) => DAYS[day]).join()}`] : []),
    ];
    if (notBefore !== Number.NEGATIVE_INFINITY || notAfter !== Number.POSITIVE_INFINITY)
      return 'a schedule with dates';
    const nft = [
      ...(days.length > 0 ? [`meta day { ${days.join(', ')} }`] : []),
      ...(from !== 0 || to !== 0 ? [`meta hour "${clock(from)}"-"${clock((to + 86_399) % 86_400)}"`] : []),
    ];
    and([[{ iptables: `-m time ${words.join(' ')}`, nft: nft.join(' ') }]]);
  }
  if (match.connections !== null) {
    const { count, grouping, above } = match.connections;
    if (grouping.by === 'source-and-destination') return 'connections counted by both addresses';
    const prefix = grouping.by === 'rule' ? 0 : grouping.prefixLength;
    const side = grouping.by === 'destination' ? ' --connlimit-daddr' : '';
    const over = `ct count ${above ? 'over ' : ''}${count}`;
    const nft =
      grouping.by === 'rule'
        ? over
        : prefix === 32
          ? `meter ${name}-c { ip ${grouping.by === 'destination' ? 'daddr' : 'saddr'} ${over} }`
          : null;
    if (nft === null) return 'connections counted by prefixes';
    and([
      [
        {
          iptables: `-m connlimit --connlimit-${above ? 'above' : 'upto'} ${count} --connlimit-mask ${prefix}${side}`,
          nft,
        },
      ],
    ]);
  }
  if (match.limit !== null) {
    const words = limitWords(match.limit, name);
    if (typeof words === 'string') return words;
    and([[words]]);
  }
  return null;
}

function limitWords({ perSecond, burst, grouping, above }: RateLimit, name: string): Words | string {
  const unit = PER_SECOND.find(
    ([seconds]) => Math.abs(perSecond * seconds - Math.round(perSecond * seconds)) < 1e-6,
  );
  if (unit === undefined) return `a rate of ${perSecond} a second`;
  const rate = `${Math.round(perSecond * unit[0])}/${unit[1]}`;
  const nft = `limit rate ${above ? 'over ' : ''}${rate} burst ${burst} packets`;
  if (grouping.by === 'rule') {
    if (above)
      return {
        iptables: `-m hashlimit --hashlimit-above ${rate} --hashlimit-burst ${burst} --hashlimit-name ${name}`,
        nft,
      };
    return { iptables: `-m limit --limit ${rate} --limit-burst ${burst}`, nft };
  }
  const modes = { source: 'srcip', destination: 'dstip', 'source-and-destination': 'srcip,dstip' }[
    grouping.by
  ];
  const masks = [
    ...(modes.includes('src') && grouping.prefixLength < 32
      ? [`--hashlimit-srcmask ${grouping.prefixLength}`]
      : []),
    ...(modes.includes('dst') && grouping.prefixLength < 32
      ? [`--hashlimit-dstmask ${grouping.prefixLength}`]
      : []),
  ];
  const keys = {
    source: 'ip saddr',
    destination: 'ip daddr',
    'source-and-destination': 'ip saddr . ip daddr',
  }[grouping.by];
  const iptables = [
    `-m hashlimit --hashlimit-${above ? 'above' : 'upto'} ${rate} --hashlimit-burst ${burst} --hashlimit-mode ${modes}`,
    ...masks,
    `--hashlimit-name ${name}`,
  ].join(' ');
  return { iptables, nft: `meter ${name} { ${keys} ${nft} }` };
}

export function pairsOf(direction: Direction, { private: insides, public: outside }: Interfaces): Words[][] {
  const pair = (from: string, to: string): Words[] => [
    { iptables: `-i ${from} -o ${to}`, nft: `iifname "${from}" oifname "${to}"` },
  ];
  if (direction === 'outbound') return insides.map((inside) => pair(inside, outside));
  if (direction === 'inbound') return insides.map((inside) => pair(outside, inside));
  return insides.flatMap((inside) => insides.map((other) => pair(inside, other)));
}

function isPrefix(range: Range): boolean {
  return !addressText(range).includes('-');
}

export function addressWords(range: Range, not: boolean, letter: 's' | 'd', key: 'saddr' | 'daddr'): Words {
  const text = addressText(range);
  const nft = `ip ${key} ${not ? '!= ' : ''}${text}`;
  if (isPrefix(range)) return { iptables: `${not ? '! ' : ''}-${letter} ${text}`, nft };
  return { iptables: `-m iprange ${not ? '! ' : ''}--${letter === 's' ? 'src' : 'dst'}-range ${text}`, nft };
}

export function protocolWords(number: number, not: boolean): Words {
  const name = PROTOCOL_NAMES[number] ?? String(number);
  return { iptables: `${not ? '! ' : ''}-p ${name}`, nft: `meta l4proto ${not ? '!= ' : ''}${name}` };
}

function portWords(
  criteria: readonly Criterion<Range>[],
  long: string,
  short: string,
  protocol: number,
): Words[] {
  const name = PROTOCOL_NAMES[protocol] ?? 'th';
  return criteria.map(({ values, not }) => {
    const list = values.map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`));
    const bang = not ? '! ' : '';
    const nft = `${name} ${short} ${not ? '!= ' : ''}{ ${list.join(', ').replace(/:/g, '-')} }`;
    if (list.length === 1) return { iptables: `-m ${name} ${bang}--${short} ${list[0]}`, nft };
    return { iptables: `-m multiport ${bang}--${long}-ports ${list.join()}`, nft };
  });
}
