/**
 * Walks a chain with a whole region of packets at once: which rule, or policy, decides about which part of it, and how.
 *
 * A region is a product of sets, one for each property of a packet; a test is about one property. So what a rule matches of a region is a region,
 * and the rest is as many regions as the rule has tests. Exact but for what may hold or not (limits, times): there the region goes both ways.
 */
import { ALL_ADDRESSES, ALL_PORTS, intersection, type Range, type Ranges, without } from './ranges.ts';
import type { Reading, Test } from './tests.ts';

export interface Region {
  in: string;
  out: string;
  state: 'NEW' | 'ESTABLISHED' | 'RELATED';
  /** Of its flow. */
  isDnat: boolean;
  from: Ranges;
  to: Ranges;
  /** Protocol numbers, ICMP types and combinations of TCP flags, as ranges as well. */
  protocol: Ranges;
  sport: Ranges;
  dport: Ranges;
  icmp: Ranges;
  flags: Ranges;
}

export const ALL_FLAGS: Ranges = [{ first: 0, last: 63 }];
const BYTES: Ranges = [{ first: 0, last: 255 }];

export function everything(inside: string, outside: string): Region {
  return {
    in: inside,
    out: outside,
    state: 'NEW',
    isDnat: false,
    from: ALL_ADDRESSES,
    to: ALL_ADDRESSES,
    protocol: BYTES,
    sport: ALL_PORTS,
    dport: ALL_PORTS,
    icmp: BYTES,
    flags: ALL_FLAGS,
  };
}

/** What a chain looks like here. */
export interface WalkRule {
  reading: Reading;
  verdict: Verdict | 'continue' | 'return' | { jump: string; isGoto: boolean };
  /** What it came from, to tell them apart. */
  id: unknown;
}
export type Verdict = 'accept' | 'drop' | 'reject';
export type WalkChains = ReadonlyMap<string, readonly WalkRule[]>;

export interface Outcome {
  verdict: Verdict;
  /** Null: the policy. */
  rule: WalkRule | null;
  region: Region;
}

/** Thrown when a set of rules is too intricate to be followed. */
export class TooIntricate extends Error {}

const MOST_STEPS = 400_000;

export class Walker {
  readonly #chains: WalkChains;
  readonly #policy: Verdict;
  #steps = 0;

  constructor(chains: WalkChains, policy: Verdict) {
    this.#chains = chains;
    this.#policy = policy;
  }

  /** What becomes of each part of the region. Throws TooIntricate. */
  outcomes(region: Region): Outcome[] {
    const found: Outcome[] = [];
    const rest = this.#chain('FORWARD', [region], found, 0);
    for (const left of rest) found.push({ verdict: this.#policy, rule: null, region: left });
    return found;
  }

  /** Returns what comes back from the chain. */
  #chain(name: string, regions: readonly Region[], found: Outcome[], depth: number): Region[] {
    if (depth > 64) throw new TooIntricate();
    let left = [...regions];
    const back: Region[] = [];
    for (const rule of this.#chains.get(name) ?? []) {
      const next: Region[] = [];
      for (const region of left) {
        if (++this.#steps > MOST_STEPS) throw new TooIntricate();
        const { inside, rest } = split(region, rule.reading);
        next.push(...rest);
        if (inside === null) continue;
        const { verdict } = rule;
        if (verdict === 'continue') next.push(inside);
        else if (verdict === 'return') back.push(inside);
        else if (typeof verdict === 'string') found.push({ verdict, rule, region: inside });
        else {
          const returned = this.#chain(verdict.jump, [inside], found, depth + 1);
          (verdict.isGoto ? back : next).push(...returned);
        }
      }
      left = next;
    }
    return [...left, ...back];
  }
}

/** What a rule matches of a region, and what it does not. */
export function split(region: Region, { tests, never }: Reading): { inside: Region | null; rest: Region[] } {
  if (never !== null) return { inside: null, rest: [region] };
  let inside: Region = region;
  const rest: Region[] = [];
  let isSure = true;
  for (const test of tests) {
    if (test.on === 'chance') {
      isSure = false;
      continue;
    }
    const parts = divide(inside, test);
    rest.push(...parts.rest);
    if (parts.inside === null) return { inside: null, rest };
    if (parts.isVague) isSure = false;
    inside = parts.inside;
  }
  return { inside, rest: isSure ? rest : [...rest, inside] };
}

function divide(
  region: Region,
  test: Exclude<Test, { on: 'chance' }>,
): { inside: Region | null; rest: Region[]; isVague?: boolean } {
  const whole = (holds: boolean) => (holds ? { inside: region, rest: [] } : { inside: null, rest: [region] });
  const by = (
    key: 'from' | 'to' | 'protocol' | 'sport' | 'dport' | 'icmp' | 'flags',
    ranges: Ranges,
    not: boolean,
  ) => {
    const hit = intersection(region[key], ranges);
    const miss = without(region[key], ranges);
    const [yes, no] = not ? [miss, hit] : [hit, miss];
    return {
      inside: yes.length === 0 ? null : { ...region, [key]: yes },
      rest: no.length === 0 ? [] : [{ ...region, [key]: no }],
    };
  };
  switch (test.on) {
    case 'in':
    case 'out':
      return whole(test.names.some((name) => isNamed(region[test.on], name)) !== test.not);
    case 'state':
      return whole(hasState(region, test.states) !== test.not);
    case 'from':
    case 'to':
    case 'sport':
    case 'dport':
      return by(test.on, test.ranges, test.not);
    case 'anyport': {
      const source = by('sport', test.ranges, false);
      if (source.inside === null) return by('dport', test.ranges, test.not);
      // Either of the two: not a product. Taken as what may hold or not, which is what a checker of safety may do.
      return { inside: region, rest: [], isVague: true };
    }
    case 'protocol':
      return by('protocol', test.values.map(point), test.not);
    case 'icmp': {
      const parts = by('icmp', [point(test.type.type)], test.not);
      if (test.type.code < 0) return parts;
      return test.not ? whole(true) : { ...parts, isVague: true };
    }
    case 'flags':
      return by('flags', flagRanges(test.mask, test.value), test.not);
  }
}

function point(value: number): Range {
  return { first: value, last: value };
}

export function flagRanges(mask: number, value: number): Range[] {
  return Array.from({ length: 64 }, (_, flags) => flags)
    .filter((flags) => (flags & mask) === value)
    .map(point);
}

/** `eth+` is all that begin so. */
export function isNamed(name: string, pattern: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

function hasState({ state, isDnat }: Region, states: readonly string[]): boolean {
  // SNAT is known behind FORWARD only, of later packets; who asks for that is asked about connections that exist.
  return (
    states.includes(state) ||
    (isDnat && states.includes('DNAT')) ||
    (state === 'ESTABLISHED' && states.includes('SNAT'))
  );
}
