/** nat POSTROUTING as `nat-rules`, `external`, `ports` and the behaviour for all. */
import type { Entry, Report } from './entries.ts';
import { argument, type FlatRule, has } from './flatten.ts';
import {
  ALL_ADDRESSES,
  ALL_PORTS,
  addressText,
  complement,
  isWithin,
  oneOrList,
  parseSpan,
  portText,
  type Range,
  type Ranges,
} from './ranges.ts';
import { ports as portRange } from './read-options.ts';
import type { Sides } from './sides.ts';
import { type Test, testsOn } from './tests.ts';
import { isNamed } from './walk.ts';

/** What the forwards must know: sources that are translated on the way to the private side. */
export interface InwardSource {
  flat: FlatRule;
  used: boolean;
}

export interface OutPart {
  rules: Entry[];
  /** Keys of the top of the file: `external`, `ports`, `nat`. */
  top: Map<string, Entry>;
  inward: InwardSource[];
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  132: 'sctp',
};
/** natgate’s own where nothing is said (options.ts). */
const DEFAULT_PORTS: Range = { first: 32_768, last: 65_535 };
const LEAST_PORTS = 64;

/** `own`: addresses of the public interface. `pairs`: rules that one-to-one has taken already. */
export function importOut(
  flat: readonly FlatRule[],
  sides: Sides,
  own: readonly string[],
  pairs: ReadonlySet<FlatRule>,
  report: Report,
): OutPart {
  const part: OutPart = { rules: [], top: new Map(), inward: [] };
  const top = (key: string, comments: string[], value?: unknown) => part.top.set(key, { comments, value });
  let isEnded = false;
  const portHulls: Range[] = [];
  const placements: Entry[] = [];
  for (const one of flat) {
    if (pairs.has(one)) {
      const from = testsOn(one.tests, 'from').flatMap(({ ranges }) => ranges.map(addressText));
      const placed: Entry = {
        comments: ['translated one-to-one, whatever the rules below say'],
        value: { from: oneOrList(from), translate: 'masquerade' },
      };
      part.rules.push(placed);
      placements.push(placed);
      continue;
    }
    const { rule, target } = one;
    const entry = (comments: string[], value?: unknown) =>
      part.rules.push({ comments, ...(value !== undefined && { value }) });
    const side = sideOf(one, sides);
    if (one.never !== null) {
      entry(report.needless(rule, one.never));
      continue;
    }
    if (side !== 'public' && target !== 'ACCEPT' && one.lost === null && side !== 'elsewhere')
      part.inward.push({ flat: one, used: false });
    if (side === 'private') continue;
    if (side === 'elsewhere') {
      entry(report.lost(rule, `natgate has one public interface, ${sides.public}`, target !== 'ACCEPT'));
      continue;
    }
    if (isEnded) {
      entry(report.needless(rule, 'a rule before it decides about everything'));
      continue;
    }
    const match = one.lost ?? matchOf(one.tests);
    if (typeof match === 'string') {
      entry(report.lost(rule, match));
      continue;
    }
    const translation = translationOf(one, own);
    if (typeof translation === 'string') {
      entry(report.lost(rule, translation));
      continue;
    }
    const isAll = Object.keys(match).length === 0;
    const { translate, externalPorts, random } = translation;
    if (externalPorts !== null) portHulls.push(externalPorts);
    if (!isAll) {
      const extra = {
        ...(externalPorts && { 'external-ports': portText(externalPorts) }),
        ...(random && { 'port-choice': 'random' }),
      };
      entry(report.carried(rule), { ...match, translate, ...extra });
      continue;
    }
    isEnded = true;
    const comments = report.carried(rule);
    if (translate === 'none') entry(comments, { name: 'rest', translate });
    else if (translate !== 'masquerade') top('external', comments, translate);
    else top('everything', comments);
    if (random) top('nat', [], { 'port-choice': 'random' });
    if (externalPorts && translate === 'masquerade') top('ports', [], portText(externalPorts));
    else if (externalPorts) entry([], { name: 'ports', 'external-ports': portText(externalPorts) });
  }
  if (!isEnded)
    part.rules.push({
      comments: ['what no rule matches is not translated'],
      value: { name: 'rest', translate: 'none' },
    });
  else if (!part.top.has('ports') && portHulls.length > 0) {
    const all = [...portHulls, DEFAULT_PORTS];
    const hull = { first: Math.min(...all.map(({ first }) => first)), last: 65_535 };
    if (hull.first < DEFAULT_PORTS.first) top('ports', ['as far as rules below reach'], portText(hull));
  }
  // natgate's one-to-one needs a rule that translates; most files have no other after it.
  for (const placed of placements) {
    const at = part.rules.indexOf(placed);
    const isNeeded = part.rules
      .slice(at)
      .some(({ value }) => (value as { translate?: unknown } | undefined)?.translate === 'none');
    if (!isNeeded) part.rules.splice(at, 1);
  }
  return part;
}

/** Where the flows go that a rule of POSTROUTING is about. `both`: it does not say. */
export function sideOf({ tests }: FlatRule, sides: Sides): 'public' | 'private' | 'both' | 'elsewhere' {
  const outs = testsOn(tests, 'out');
  const may = (name: string) =>
    outs.every((test) => test.names.some((pattern) => isNamed(name, pattern)) !== test.not);
  const isPublic = may(sides.public);
  const isPrivate = sides.private.some((name) => name !== sides.public && may(name));
  if (isPublic) return isPrivate ? 'both' : 'public';
  return isPrivate ? 'private' : 'elsewhere';
}

/** The keys of a NAT rule, or why it can have none. */
export function matchOf(tests: readonly Test[]): Record<string, unknown> | string {
  const match: Record<string, unknown> = {};
  for (const test of tests) {
    if (test.on === 'from' || test.on === 'to') {
      if (isWithin(ALL_ADDRESSES, test.ranges) && !test.not) continue;
      const ranges = test.not ? complement(test.ranges, ALL_ADDRESSES) : test.ranges;
      if (ranges.length === 0) return 'it matches nothing';
      match[test.on] = oneOrList(ranges.map(addressText));
    } else if (test.on === 'protocol') {
      const numbers = test.not
        ? Array.from({ length: 256 }, (_, n) => n).filter((n) => !test.values.includes(n))
        : test.values;
      match['protocol'] = oneOrList(numbers.map((number) => PROTOCOL_NAMES[number] ?? number));
    } else if (test.on === 'dport') {
      const ranges = test.not ? complement(test.ranges, [{ first: 1, last: 65_535 }]) : test.ranges;
      match['ports'] = oneOrList(ranges.map(portText));
    } else if (test.on === 'state') {
      if (test.states.includes('NEW') === test.not) return 'natgate’s NAT rules do not ask for states';
    } else if (test.on !== 'out' && test.on !== 'in')
      return `natgate’s NAT rules do not ask for ${WORDS[test.on]}`;
  }
  return match;
}

const WORDS: Readonly<Record<string, string>> = {
  sport: 'source ports',
  anyport: 'source ports',
  icmp: 'ICMP types',
  flags: 'TCP flags',
  chance: 'limits and times',
};

interface Translation {
  translate: string | string[];
  externalPorts: Range | null;
  random: boolean;
}

function translationOf(flat: FlatRule, own: readonly string[]): Translation | string {
  const { target, rule } = flat;
  const random = has(flat, 'random') || has(flat, 'random-fully');
  if (target === 'ACCEPT') return { translate: 'none', externalPorts: null, random: false };
  if (target === 'NETMAP')
    return 'a NETMAP of one direction: natgate’s one-to-one is both ways, add the NETMAP of PREROUTING';
  if (target !== 'MASQUERADE' && target !== 'SNAT') return `natgate has no target ${target}`;
  const text =
    target === 'SNAT' ? (argument(flat, 'to-source') ?? '') : `:${argument(flat, 'to-ports') ?? ''}`;
  const [addresses = '', portWords = ''] = text.split(':');
  const externalPorts = portWords === '' ? null : portRange({ place: rule.target!.place }, portWords);
  if (
    externalPorts !== null &&
    (externalPorts.first < 1024 || externalPorts.last - externalPorts.first + 1 < LEAST_PORTS)
  ) {
    return `${portWords}: natgate needs a range of ${LEAST_PORTS} ports at least, above 1023`;
  }
  if (target === 'MASQUERADE') return { translate: 'masquerade', externalPorts, random };
  const range = parseSpan(addresses);
  if (range === null) return `${addresses} is no address`;
  if (range.last - range.first > 4095) return `${addresses}: that many addresses are no pool of natgate’s`;
  if (range.first === range.last && own.includes(addresses))
    return { translate: 'masquerade', externalPorts, random };
  return { translate: [addressText(range)], externalPorts, random };
}

/** Whether all flows to this endpoint, from wherever, are among those that the rule translates. `some`: from some addresses. */
export function coversTarget(
  { tests }: FlatRule,
  to: Range,
  protocol: number,
  ports: Ranges,
): 'all' | 'some' | 'none' {
  let result: 'all' | 'some' = 'all';
  for (const test of tests) {
    if (test.on === 'to' && isWithin([to], test.ranges) === test.not) return 'none';
    if (test.on === 'protocol' && test.values.includes(protocol) === test.not) return 'none';
    if (
      test.on === 'dport' &&
      isWithin(ports, test.not ? complement(test.ranges, ALL_PORTS) : test.ranges) === false
    )
      return 'none';
    if (test.on === 'from') result = 'some';
    if (!['to', 'protocol', 'dport', 'from', 'out', 'state'].includes(test.on)) result = 'some';
  }
  return result;
}
