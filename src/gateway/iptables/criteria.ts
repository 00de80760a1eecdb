/** Tests as natgate's rules have them: keys and values of a rule in the file. */
import { protocolName } from '../../wire/protocols.ts';
import { addressText, intersection, normal, oneOrList, portText, type Ranges } from './ranges.ts';
import { type Test, testsOn } from './tests.ts';
import { isNamed } from './walk.ts';

export interface Serving {
  /** Private interfaces, then the public one. */
  names: readonly string[];
  /** Whether there are helpers: else no new flow is RELATED. */
  hasHelpers: boolean;
  chainName(name: string): string;
}

/** What rules can name beside those that have a name everywhere. */
const MORE_PROTOCOLS: Readonly<Record<number, string>> = { 2: 'igmp', 4: 'ipip' };
export const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'];
export function criteriaOf(tests: readonly Test[], serving: Serving): Record<string, unknown> {
  const state = states(tests, serving.hasHelpers);
  return {
    ...place(tests, serving),
    ...addresses(tests),
    ...protocols(tests),
    ...(state === 'existing' ? {} : state),
  };
}

/** As `state`, or that no first packet of a flow is meant. */
export function states(tests: readonly Test[], hasHelpers: boolean): Record<string, unknown> | 'existing' {
  let result: Record<string, unknown> = {};
  for (const test of tests) {
    if (test.on !== 'state') continue;
    const { states: words, not } = test;
    const possible = hasHelpers ? ['NEW', 'RELATED'] : ['NEW'];
    const meant = possible.filter((state) => words.includes(state) !== not);
    const isDnat = words.includes('DNAT');
    if (not && isDnat) {
      if (meant.length === 0) return 'existing';
      const also = meant.length === possible.length ? [] : possible.filter((state) => !meant.includes(state));
      result = { 'not-state': oneOrList(['dnat', ...also.map((state) => state.toLowerCase())]) };
    } else if (meant.length === 0 && !isDnat) return 'existing';
    else if (meant.length < possible.length) {
      result = {
        ...result,
        state: oneOrList([...meant.map((state) => state.toLowerCase()), ...(isDnat ? ['dnat'] : [])]),
      };
    }
  }
  return result;
}

function place(tests: readonly Test[], { names }: Serving): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const test of tests) {
    if (test.on !== 'in' && test.on !== 'out') continue;
    const served = names.filter((name) => test.names.some((pattern) => isNamed(name, pattern)));
    if (test.not && served.length === 0) continue;
    result[`${test.not ? 'not-' : ''}${test.on}`] = oneOrList(served);
  }
  return result;
}

/** Several of one kind must all hold: what is listed twice is cut down to what both list. */
function addresses(tests: readonly Test[]): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const on of ['from', 'to'] as const) {
    const mine = testsOn(tests, on);
    for (const not of [false, true]) {
      const some = mine.filter((test) => test.not === not);
      if (some.length === 0) continue;
      const texts = some.map((test) =>
        test.set === undefined ? test.ranges.map(addressText) : [`@${setName(test.set)}`],
      );
      // With `not` all exclusions together; without it, one list (readOptions gives a rule with two to alternatives()).
      result[not ? `not-${on}` : on] = oneOrList(not ? texts.flat() : texts[0]!);
    }
  }
  return result;
}

export function setName(name: string): string {
  return name
    .replace(/[^A-Za-z0-9_.-]/g, '-')
    .replace(/^[^A-Za-z0-9]/, 'x$&')
    .slice(0, 32);
}

function protocols(tests: readonly Test[]): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const test of tests) {
    if (test.on === 'protocol')
      result[test.not ? 'not-protocol' : 'protocol'] = oneOrList(
        test.values.map((number) => protocolName(number) ?? MORE_PROTOCOLS[number] ?? number),
      );
    else if (test.on === 'sport')
      result[test.not ? 'not-source-ports' : 'source-ports'] = oneOrList(test.ranges.map(portText));
    else if (test.on === 'dport')
      result[test.not ? 'not-ports' : 'ports'] = oneOrList(test.ranges.map(portText));
    else if (test.on === 'icmp')
      result[test.not ? 'not-icmp' : 'icmp'] =
        test.type.code < 0 ? test.type.type : `${test.type.type}/${test.type.code}`;
    else if (test.on === 'flags')
      result[test.not ? 'not-tcp-flags' : 'tcp-flags'] = flagText(test.mask, test.value);
    else if (test.on === 'chance') result[test.key] = test.value;
  }
  return result;
}

export function flagText(mask: number, value: number): string {
  if (mask === 0x17 && value === 2) return 'syn';
  const names = (bits: number) => FLAG_NAMES.filter((_, i) => (bits & (1 << i)) !== 0).join(',') || 'NONE';
  return `${mask === 0x3f ? 'ALL' : names(mask)} ${names(value)}`;
}

/** `--ports` is either of the two: a rule for each, with `!`, neither: one rule. None: no packet has such ports. */
export function alternatives(
  rule: Record<string, unknown>,
  tests: readonly Test[],
): Record<string, unknown>[] {
  const either = testsOn(tests, 'anyport')[0];
  if (either === undefined) return [rule];
  const { ranges, not } = either;
  const own = (on: 'sport' | 'dport', not: boolean) =>
    testsOn(tests, on).flatMap((test) => (test.not === not ? [test.ranges] : []))[0];
  const list = (some: Ranges) => oneOrList(some.map(portText));
  const none = (on: 'sport' | 'dport') => list(normal([...(own(on, true) ?? []), ...ranges]));
  if (not) return [{ ...rule, 'not-source-ports': none('sport'), 'not-ports': none('dport') }];
  const one = (on: 'sport' | 'dport') => {
    const mine = own(on, false);
    return mine === undefined ? ranges : intersection(mine, ranges);
  };
  const [source, destination] = [one('sport'), one('dport')];
  // Never both: what the first one leads to a limit is not to come there again.
  const isOnce = rule['jump'] !== undefined && source.length > 0;
  return [
    ...(source.length === 0 ? [] : [{ ...rule, 'source-ports': list(source) }]),
    ...(destination.length === 0
      ? []
      : [{ ...rule, ports: list(destination), ...(isOnce && { 'not-source-ports': none('sport') }) }]),
  ];
}
