/** Rules of FORWARD and the chains that it leads to, read, and each as natgate has it. */

import { alternatives, criteriaOf, type Serving, states } from './criteria.ts';
import { intersection as intersect, isWithin } from './ranges.ts';
import { readOptions } from './read-options.ts';
import type { Chain, Rule } from './syntax.ts';
import { type Reading, type Sets, type Test, testsOn } from './tests.ts';
import { flagRanges, isNamed, type Verdict, type WalkChains, type WalkRule } from './walk.ts';

/** What becomes of a rule of the file. */
export type Fate =
  /**
   * Written as these rules, and a chain of its own where one is not enough; `note`: what it said more that is left out, and changes what is
   * allowed.
   */
  | {
      kind: 'rule';
      rules: Record<string, unknown>[];
      chain: { name: string; rules: Record<string, unknown>[] } | null;
      note: string | null;
    }
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
        reading: prepared(readOptions(rule, sets, seen)),
        verdict: verdictOf(rule, filter),
      })),
    );
    for (const { verdict } of chains.get(name)!) if (typeof verdict === 'object') visit(verdict.jump);
  };
  visit('FORWARD');
  return chains;
}

function prepared(reading: Reading): Reading {
  const { parts } = reading;
  const of = (tests: Test[]) => merged(decided({ ...reading, tests })).tests;
  return {
    ...merged(decided(reading)),
    parts: parts === null ? null : { first: of(parts.first), late: of(parts.late) },
  };
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
  if (action['reject-with'] === 'tcp-reset' && !isOfTcp(reading.tests)) {
    return { kind: 'lost', why: 'iptables takes tcp-reset only with `-p tcp`', changes: true };
  }
  if (typeof verdict === 'object' && !chains.has(verdict.jump))
    return { kind: 'needless', why: 'the chain is empty' };
  const parts = reading.parts ?? partsOfPorts(reading.tests);
  const write = (values: Record<string, unknown>, tests: readonly Test[]) =>
    alternatives({ ...values, ...criteriaOf(tests, serving) }, tests);
  const never: Fate = { kind: 'needless', why: 'no packet has such ports' };
  if (parts === null) {
    const rules = write(action, reading.tests);
    return rules.length === 0 ? never : { kind: 'rule', rules, chain: null, note: null };
  }
  const why =
    verdict === 'return' || (typeof verdict === 'object' && verdict.isGoto)
      ? 'what leaves the chain cannot stand in one of its own'
      : Object.values(parts).some((tests) => countsTwice(tests) || countsEither(tests))
        ? 'it has more than one'
        : null;
  if (why !== null)
    return {
      kind: 'lost',
      why: `its limit counts what the rest does not match, too, and ${why}`,
      changes: true,
    };
  const aside = serving.chainName(`limit ${rule.line}`);
  const rules = write({ jump: aside }, parts.first);
  // Ports, and the answer of TCP, are of a protocol.
  const protocols = parts.first.filter((test) => test.on === 'protocol' && !test.not);
  const late = write(action, [...protocols, ...parts.late]);
  if (rules.length === 0 || late.length === 0) return never;
  return { kind: 'rule', rules, chain: { name: aside, rules: late }, note: null };
}

const isOfTcp = (tests: readonly Test[]) =>
  tests.some((test) => test.on === 'protocol' && !test.not && test.values.every((value) => value === 6));
const isCounting = (test: Test) => test.on === 'chance' && test.key !== 'time';
const isEitherPort = (test: Test) => test.on === 'anyport' && !test.not;

/** Two of one kind, or one before another match again. */
function countsTwice(tests: readonly Test[]): boolean {
  const keys = tests.filter(isCounting).map((test) => (test.on === 'chance' ? test.key : ''));
  return new Set(keys).size < keys.length;
}

function countsEither(tests: readonly Test[]): boolean {
  return tests.some(isCounting) && tests.some(isEitherPort);
}

/** `--ports` with a limit: either of the two ports is a rule, and both lead to the one limit. */
function partsOfPorts(tests: readonly Test[]): { first: Test[]; late: Test[] } | null {
  if (!countsEither(tests)) return null;
  return { first: tests.filter((test) => !isCounting(test)), late: tests.filter(isCounting) };
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
