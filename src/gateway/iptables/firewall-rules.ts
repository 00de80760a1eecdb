/** Rules of FORWARD and the chains that it leads to, read, and each as natgate has it. */

import { addressText, intersection as intersect, isWithin, oneOrList, portText } from './ranges.ts';
import { readOptions } from './read-options.ts';
import type { Chain, Rule } from './syntax.ts';
import { type Reading, type Sets, type Test, testsOn } from './tests.ts';
import { flagRanges, isNamed, type Verdict, type WalkChains, type WalkRule } from './walk.ts';

/** What becomes of a rule of the file. */
export type Fate =
  /** Written as these rules; `note`: what it said more that is left out, and changes what is allowed. */
  | { kind: 'rule'; rules: Record<string, unknown>[]; note: string | null }
  /** natgate does the same without it. */
  | { kind: 'needless'; why: string }
  | { kind: 'lost'; why: string; changes: boolean };

export interface ReadRule extends WalkRule {
  rule: Rule;
  id: Rule;
}

/** ICMP types that begin a flow (nf_conntrack_proto_icmp.c, icmp_new). */
const QUERIES = [8, 13, 15, 17];
/** SYN, SYN|URG, SYN|ACK, RST, RST|ACK, FIN|ACK, FIN|ACK|URG, ACK, ACK|URG, with or without PSH (tcp_valid_flags). */
const VALID_FLAGS = [0x02, 0x22, 0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30].flatMap((flags) => [
  flags,
  flags | 0x08,
]);
const REJECTS: Readonly<Record<string, string>> = {
  'icmp-net-unreachable': 'net-unreachable',
  'icmp-host-unreachable': 'host-unreachable',
  'icmp-port-unreachable': 'port-unreachable',
  'icmp-proto-unreachable': 'protocol-unreachable',
  'icmp-net-prohibited': 'net-prohibited',
  'icmp-host-prohibited': 'host-prohibited',
  'icmp-admin-prohibited': 'admin-prohibited',
  'tcp-reset': 'tcp-reset',
};
const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  4: 'ipip',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  132: 'sctp',
  136: 'udplite',
};
export const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'];
/** Targets that change a packet's path through the host or its marks, not whether it passes. */
const HARMLESS: Readonly<Record<string, string>> = {
  MARK: 'natgate has no marks',
  CONNMARK: 'natgate has no marks',
  CLASSIFY: 'natgate sets no priorities',
  DSCP: 'natgate leaves DSCP as it is',
  TOS: 'natgate leaves TOS as it is',
  TTL: 'natgate does not change the TTL otherwise',
  TRACE: 'natgate has no traces; a rule with `action: log` shows what comes there',
  TEE: 'natgate makes no copies',
  CHECKSUM: 'natgate keeps checksums right',
  SET: 'natgate’s sets are those of the file',
  AUDIT: 'natgate does not audit',
};

/** Chains that FORWARD leads to, with itself, read. */
export function readChains(filter: ReadonlyMap<string, Chain>, sets: Sets): Map<string, ReadRule[]> {
  const chains = new Map<string, ReadRule[]>();
  const seen = new Set<string>();
  const visit = (name: string) => {
    const chain = filter.get(name);
    if (chain === undefined || chains.has(name)) return;
    chains.set(name, []);
    chains.set(
      name,
      chain.rules.map((rule) => ({
        rule,
        id: rule,
        reading: merged(decided(readOptions(rule, sets, seen))),
        verdict: verdictOf(rule, filter),
      })),
    );
    for (const { verdict } of chains.get(name)!) if (typeof verdict === 'object') visit(verdict.jump);
  };
  visit('FORWARD');
  return chains;
}

/** Address types say nothing of a packet that crosses which is not known before. */
function decided(reading: Reading): Reading {
  const types = testsOn(reading.tests, 'to').filter(({ set }) => set?.startsWith('type '));
  return {
    ...reading,
    tests: reading.tests.filter((test) => !(types as Test[]).includes(test)),
    never:
      reading.never ?? (types.some(({ not }) => not) ? 'what crosses is unicast, and not the host’s' : null),
  };
}

function verdictOf({ target }: Rule, filter: ReadonlyMap<string, Chain>): WalkRule['verdict'] {
  if (target === null) return 'continue';
  if (filter.has(target.name)) return { jump: target.name, isGoto: target.kind === 'goto' };
  const verdicts: Readonly<Record<string, Verdict | 'return'>> = {
    ACCEPT: 'accept',
    DROP: 'drop',
    REJECT: 'reject',
    RETURN: 'return',
  };
  return verdicts[target.name] ?? 'continue';
}

export interface Serving {
  /** Private interfaces, then the public one. */
  names: readonly string[];
  /** Whether there are helpers: else no new flow is RELATED. */
  hasHelpers: boolean;
  chainName(name: string): string;
}

/** Apart from what packets of connections that exist have to do with it. */
export function fateOf({ rule, reading, verdict }: ReadRule, serving: Serving, chains: WalkChains): Fate {
  const { target } = rule;
  const name = target?.name ?? '';
  if (reading.never !== null) return { kind: 'needless', why: reading.never };
  if (target !== null && Object.hasOwn(HARMLESS, name))
    return { kind: 'lost', why: HARMLESS[name]!, changes: false };
  const state = states(reading.tests, serving.hasHelpers);
  if (state === 'existing') {
    if (verdict === 'continue' || verdict === 'accept' || verdict === 'return')
      return { kind: 'needless', why: 'what belongs to a connection passes without being asked' };
    if (isInvalidOnly(reading.tests))
      return { kind: 'needless', why: 'natgate drops INVALID packets by itself' };
    return typeof verdict === 'object'
      ? { kind: 'needless', why: 'natgate asks for the first packet of a flow, which never comes here' }
      : { kind: 'needless', why: 'natgate asks for the first packet of a flow only' };
  }
  if (name === 'TCPMSS') return { kind: 'needless', why: 'clamp-mss is on by default' };
  if (
    target !== null &&
    typeof verdict !== 'object' &&
    verdict === 'continue' &&
    !['LOG', 'NFLOG', 'ULOG'].includes(name)
  ) {
    return { kind: 'lost', why: `natgate has no target ${name}`, changes: true };
  }
  const criteria = {
    ...place(reading.tests, serving),
    ...addresses(reading.tests),
    ...protocols(reading.tests),
    ...state,
  };
  const unserved = unservedOf(reading.tests, serving);
  if (unserved !== null) {
    const isLess =
      verdict === 'drop' || verdict === 'reject' || verdict === 'continue' || verdict === 'return';
    return { kind: 'lost', why: `natgate does not serve ${unserved}`, changes: !isLess };
  }
  if (reading.lost !== null) return { kind: 'lost', why: reading.lost, changes: verdict !== 'continue' };
  const icmp = reading.tests.find((test) => test.on === 'icmp');
  if (icmp?.on === 'icmp' && !icmp.not && !QUERIES.includes(icmp.type.type)) {
    return verdict === 'accept' || verdict === 'continue'
      ? { kind: 'needless', why: 'such messages begin nothing; errors about a connection pass with it' }
      : { kind: 'needless', why: 'such messages begin nothing' };
  }
  const flags = reading.tests.find((test) => test.on === 'flags');
  if (
    flags?.on === 'flags' &&
    !VALID_FLAGS.some(
      (set) => isWithin([{ first: set, last: set }], flagRanges(flags.mask, flags.value)) !== flags.not,
    )
  ) {
    return { kind: 'needless', why: 'no valid segment has such flags: natgate drops them by itself' };
  }
  const action = actionOf(rule, verdict, serving);
  if (typeof action === 'string') return { kind: 'lost', why: action, changes: true };
  if (typeof verdict === 'object' && !chains.has(verdict.jump))
    return { kind: 'needless', why: 'the chain is empty' };
  const rules = alternatives({ ...action, ...criteria }, reading.tests);
  return { kind: 'rule', rules, note: null };
}

function actionOf(
  { target }: Rule,
  verdict: WalkRule['verdict'],
  { chainName }: Serving,
): Record<string, unknown> | string {
  if (target === null) return { action: 'count' };
  if (typeof verdict === 'object') return { [verdict.isGoto ? 'goto' : 'jump']: chainName(verdict.jump) };
  const value = (name: string) => target.options.find((option) => option.name === name)?.values[0];
  if (verdict === 'continue') {
    const prefix = (value('log-prefix') ?? value('nflog-prefix') ?? value('ulog-prefix') ?? '').slice(0, 64);
    return { action: 'log', ...(prefix !== '' && { log: prefix }) };
  }
  if (verdict !== 'reject') return { action: verdict };
  const word = value('reject-with') ?? 'icmp-port-unreachable';
  const answer =
    REJECTS[
      /^(tcp-reset|tcp-rst)$/.test(word)
        ? 'tcp-reset'
        : word
            .replace(/^(icmp-)?/, 'icmp-')
            .replace('admin-prohib', 'admin-prohibited')
            .replace('itedited', 'ited')
    ];
  if (answer === undefined) return `there is no answer ${word}`;
  return { action: 'reject', ...(answer !== 'port-unreachable' && { 'reject-with': answer }) };
}

/** As `state`, or that no first packet of a flow is meant. */
function states(tests: readonly Test[], hasHelpers: boolean): Record<string, unknown> | 'existing' {
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

function isInvalidOnly(tests: readonly Test[]): boolean {
  return tests.some(
    (test) =>
      test.on === 'state' &&
      !test.not &&
      test.states.every((state) => state === 'INVALID' || state === 'UNTRACKED'),
  );
}

/** An interface, positively named, that natgate has nothing to do with. */
function unservedOf(tests: readonly Test[], { names }: Serving): string | null {
  for (const test of tests) {
    if ((test.on !== 'in' && test.on !== 'out') || test.not) continue;
    if (!names.some((name) => test.names.some((pattern) => isNamed(name, pattern))))
      return test.names.join(', ');
  }
  return null;
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
        test.values.map((number) => PROTOCOLS[number] ?? number),
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

/** `--ports` is either of the two: a rule for each; with `!`, neither: one rule. */
function alternatives(rule: Record<string, unknown>, tests: readonly Test[]): Record<string, unknown>[] {
  const test = tests.find((one) => one.on === 'anyport');
  if (test?.on !== 'anyport') return [rule];
  const list = oneOrList(test.ranges.map(portText));
  if (test.not) return [{ ...rule, 'not-source-ports': list, 'not-ports': list }];
  return [
    { ...rule, 'source-ports': list },
    { ...rule, ports: list },
  ];
}

/** Two lists that must both hold, which natgate's rules have one of: cut down to what both list. */
export function merged(reading: Reading): Reading {
  const tests: Test[] = [];
  for (const test of reading.tests) {
    const twin = tests.findIndex(
      (other) => other.on === test.on && 'not' in other && 'not' in test && other.not === test.not,
    );
    if (twin < 0 || test.on === 'chance' || test.on === 'state') tests.push(test);
    else tests[twin] = both(tests[twin]!, test);
  }
  return { ...reading, tests };
}

function both(a: Test, b: Test): Test {
  if ((a.on === 'from' || a.on === 'to') && a.on === b.on) {
    if (a.not) return { on: a.on, not: true, ranges: [...a.ranges, ...b.ranges] };
    return { on: a.on, not: false, ranges: intersect(a.ranges, b.ranges) };
  }
  if ((a.on === 'sport' || a.on === 'dport') && a.on === b.on) {
    return {
      on: a.on,
      not: a.not,
      ranges: a.not ? [...a.ranges, ...b.ranges] : intersect(a.ranges, b.ranges),
    };
  }
  if (a.on === 'protocol' && b.on === 'protocol') {
    return {
      on: 'protocol',
      not: a.not,
      values: a.not ? [...a.values, ...b.values] : a.values.filter((value) => b.values.includes(value)),
    };
  }
  return b;
}
