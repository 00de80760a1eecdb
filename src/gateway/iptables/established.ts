/**
 * natgate asks its rules for the first packet of a flow, netfilter for every packet. The two are the same where whatever a new flow's rules let in,
 * all its later packets, both ways, are let through as well: by `ESTABLISHED,RELATED -j ACCEPT` before whatever drops, or by rules that fit
 * together. This finds where they are not.
 *
 *     first packets of each direction ─walk─▶ regions that are accepted ─▶ the same, ESTABLISHED, and turned round ─walk─▶ not all accepted?
 */

import type { ReadRule } from './firewall-rules.ts';
import type { LetIn } from './import-in.ts';
import { ALL_ADDRESSES, intersection, type Range } from './ranges.ts';
import type { Sides } from './sides.ts';
import {
  everything,
  type Outcome,
  type Region,
  TooIntricate,
  type Verdict,
  type WalkChains,
  Walker,
} from './walk.ts';

export interface Findings {
  /** Rules that let flows in whose packets something drops later; and by what: a rule, or null for the policy. */
  unanswered: Map<ReadRule, ReadRule | null>;
  /** Rules that drop packets of flows that other rules let in. */
  droppers: Map<ReadRule, string>;
  /** What drops ICMP errors about flows. */
  errors: Set<ReadRule | null>;
  isTooIntricate: boolean;
}

const points = (values: readonly number[]): Range[] =>
  [...values].sort((a, b) => a - b).map((value) => ({ first: value, last: value }));
const withPush = (values: readonly number[]) => values.flatMap((flags) => [flags, flags | 0x08]);
/** Combinations that a first segment and later ones can have (tcp_valid_flags); a later SYN alone is NEW again. */
const FIRST_FLAGS = points(withPush([0x02, 0x22, 0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30]));
const LATER_FLAGS = points(withPush([0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30]));
const QUERIES = points([8, 13, 15, 17]);
const REPLIES = points([0, 14, 16, 18]);
const ERRORS = points([3, 11, 12]);
const ICMP: Range[] = [{ first: 1, last: 1 }];

export function findings(
  chains: WalkChains,
  policy: Verdict,
  sides: Sides,
  letIn: readonly LetIn[],
): Findings {
  const found: Findings = {
    unanswered: new Map(),
    droppers: new Map(),
    errors: new Set(),
    isTooIntricate: false,
  };
  const walker = new Walker(chains, policy);
  try {
    for (const region of beginnings(sides, letIn)) {
      for (const outcome of walker.outcomes(region)) {
        if (outcome.verdict === 'accept') follow(walker, outcome, found);
      }
    }
  } catch (error) {
    if (!(error instanceof TooIntricate)) throw error;
    found.isTooIntricate = true;
  }
  return found;
}

/** First packets of all flows that natgate would ask about. */
export function beginnings(sides: Sides, letIn: readonly LetIn[]): Region[] {
  const insides = sides.private;
  const begin = (from: string, to: string) => ({
    ...everything(from, to),
    icmp: QUERIES,
    flags: FIRST_FLAGS,
  });
  const forwarded = (from: string, to: string) =>
    letIn.map(({ protocol, to: target, ports }) => ({
      ...begin(from, to),
      isDnat: true,
      to: [target],
      ...(protocol !== null && { protocol: [{ first: protocol, last: protocol }] }),
      ...(ports !== null && { dport: [ports] }),
    }));
  return insides.flatMap((inside) => [
    begin(inside, sides.public),
    ...forwarded(sides.public, inside),
    ...insides.flatMap((other) => [
      ...(other === inside ? [] : [begin(inside, other)]),
      ...forwarded(inside, other),
    ]),
  ]);
}

function follow(walker: Walker, { rule, region }: Outcome, found: Findings): void {
  const later: Region = { ...region, state: 'ESTABLISHED', flags: LATER_FLAGS };
  const accepting = rule as ReadRule | null;
  for (const [packets, what] of [
    [later, 'later packets of'],
    [turned(later), 'answers to'],
  ] as const) {
    for (const { verdict, rule: dropper } of walker.outcomes(packets)) {
      if (verdict !== 'accept') judge(accepting, dropper as ReadRule | null, what, found);
    }
  }
  for (const packets of [later, turned(later)]) {
    const errors: Region = {
      ...packets,
      state: 'RELATED',
      from: ALL_ADDRESSES,
      protocol: intersection(ICMP, ICMP),
      icmp: ERRORS,
    };
    for (const { verdict, rule: dropper } of walker.outcomes(errors)) {
      // Who names sources means those, not the routers between that report an error.
      const isAboutSources = dropper?.reading.tests.some(({ on }) => on === 'from') ?? false;
      if (verdict !== 'accept' && !isAboutSources) found.errors.add(dropper as ReadRule | null);
    }
  }
}

function turned(region: Region): Region {
  const { in: from, out: to, from: source, to: destination, sport, dport } = region;
  return {
    ...region,
    in: to,
    out: from,
    from: destination,
    to: source,
    sport: dport,
    dport: sport,
    icmp: REPLIES,
  };
}

/**
 * Who is to blame: a rule that drops something in particular, or the one that accepted without thinking of answers. A rule that accepts
 * only at some rate is about packets, if the rest of them is dropped.
 */
function judge(accepting: ReadRule | null, dropper: ReadRule | null, what: string, found: Findings): void {
  const isGeneral =
    dropper === null ||
    dropper.reading.tests.every(({ on }) => on === 'in' || on === 'out' || on === 'state');
  const isSometimes = accepting?.reading.tests.some(({ on }) => on === 'chance') ?? false;
  if (accepting !== null && (isGeneral || isSometimes)) found.unanswered.set(accepting, dropper);
  else if (dropper !== null) found.droppers.set(dropper, what);
}
