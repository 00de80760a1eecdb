/** filter FORWARD, and the chains that it leads to, as `firewall`. */

import { type Serving, setName } from './criteria.ts';
import { type Entry, label, type Report } from './entries.ts';
import { findings } from './established.ts';
import { type Fate, fateOf, type ReadRule, readChains } from './firewall-rules.ts';
import type { LetIn } from './import-in.ts';
import { addressText } from './ranges.ts';
import type { Sides } from './sides.ts';
import type { Chain } from './syntax.ts';
import type { Sets } from './tests.ts';
import { isNamed } from './walk.ts';

export interface FirewallPart {
  /** What there is to say before the rules. */
  comments: string[];
  rules: Entry[];
  chains: Map<string, Entry[]>;
  /** Null: as natgate's. */
  policies: Record<string, string> | string | null;
  /** Those that rules name. */
  sets: Map<string, string[]>;
}

type Direction = 'outbound' | 'inbound' | 'between';
const NO_CHAIN: Chain = { name: 'FORWARD', policy: 'ACCEPT', line: 0, rules: [] };

export function importFirewall(
  filter: ReadonlyMap<string, Chain> | undefined,
  {
    sides,
    letIn,
    hasHelpers,
    sets,
  }: { sides: Sides; letIn: readonly LetIn[]; hasHelpers: boolean; sets: Sets },
  report: Report,
): FirewallPart {
  const tables = filter ?? new Map<string, Chain>([['FORWARD', NO_CHAIN]]);
  const policy = tables.get('FORWARD')?.policy === 'DROP' ? 'drop' : 'accept';
  const read = readChains(tables, sets);
  const names = new Map<string, string>();
  const serving: Serving = {
    names: [...sides.private, sides.public],
    hasHelpers,
    chainName: (name) => names.get(name) ?? chainName(name, names),
  };
  const found = findings(read, policy, sides, letIn);
  const part: FirewallPart = { comments: [], rules: [], chains: new Map(), policies: null, sets: new Map() };
  const done = new Map<string, Entry[]>();
  const chain = (name: string): Entry[] => {
    const known = done.get(name);
    if (known !== undefined) return known;
    done.set(name, []);
    const used = new Set<string>();
    const entries = (read.get(name) ?? []).map((rule): Entry => {
      const fate = fateWith(rule);
      if (fate.kind === 'rule' && fate.chain !== null)
        part.chains.set(
          fate.chain.name,
          fate.chain.rules.map((value) => ({ comments: [], value })),
        );
      const leadsTo = typeof rule.verdict === 'object' ? rule.verdict : null;
      const isEmpty = leadsTo !== null && chain(leadsTo.jump).every(({ value }) => value === undefined);
      if (fate.kind !== 'rule' || leadsTo === null || !isEmpty) return entryOf(rule, fate, used, report);
      if (!leadsTo.isGoto) return { comments: report.needless(rule.rule, 'nothing is left in that chain') };
      // To go to a chain where nothing is left is to return.
      const rules = fate.rules.map(({ goto: _, ...rest }) => ({ action: 'return', ...rest }));
      return entryOf(rule, { ...fate, rules }, used, report);
    });
    const flat = entries.flatMap((entry) => (Array.isArray(entry.value) ? spread(entry) : [entry]));
    done.set(name, flat);
    return flat;
  };
  const fateWith = (rule: ReadRule): Fate => {
    const fate = fateOf(rule, serving, read);
    const dropper = found.unanswered.get(rule);
    if (found.unanswered.has(rule) && fate.kind === 'rule') {
      const by = dropper == null ? `:FORWARD ${policy.toUpperCase()}` : label(dropper.rule);
      return {
        kind: 'lost',
        why: `netfilter drops packets of the connections that it lets in (${by}); natgate would pass them all`,
        changes: true,
      };
    }
    const what = found.droppers.get(rule);
    if (what === undefined || (fate.kind === 'lost' && fate.changes)) return fate;
    const note = `it drops ${what} connections that other rules let in, too; natgate asks for the first packet only: name the other direction in a rule of its own`;
    return fate.kind === 'rule' ? { ...fate, note } : { kind: 'lost', why: note, changes: true };
  };
  part.rules = chain('FORWARD');
  for (const name of done.keys()) {
    if (name !== 'FORWARD' && part.chains.get(serving.chainName(name)) === undefined)
      part.chains.set(serving.chainName(name), done.get(name)!);
  }
  part.policies = policiesOf(part, policy, sides, letIn.length > 0);
  if (found.errors.size > 0 && !found.isTooIntricate) {
    part.comments.push(
      `NOT THE SAME: ${report.differs('ICMP errors about connections are not all accepted (RELATED); natgate passes those that belong to one')}`,
    );
  }
  if (found.isTooIntricate) {
    part.comments.push(
      `NOT CHECKED: ${report.differs('these rules are too intricate to see whether they let all packets of a connection through')}`,
    );
  }
  for (const rules of read.values()) {
    for (const { reading } of rules) {
      for (const test of reading.tests) {
        if (
          (test.on === 'from' || test.on === 'to') &&
          test.set !== undefined &&
          !test.set.startsWith('type ')
        ) {
          part.sets.set(setName(test.set), test.ranges.map(addressText));
        }
      }
    }
  }
  return part;
}

function chainName(name: string, names: Map<string, string>): string {
  const base = setName(name);
  let unique = base;
  for (let n = 2; [...names.values()].includes(unique); n++) unique = `${base.slice(0, 28)}-${n}`;
  names.set(name, unique);
  return unique;
}

function entryOf({ rule, reading }: ReadRule, fate: Fate, used: Set<string>, report: Report): Entry {
  if (fate.kind === 'needless') return { comments: report.needless(rule, fate.why) };
  if (fate.kind === 'lost') return { comments: report.lost(rule, fate.why, fate.changes) };
  const comments = fate.note === null ? report.carried(rule) : report.partly(rule, fate.note);
  const name = reading.comment?.trim();
  const isNew =
    name !== undefined &&
    name !== '' &&
    !/^rule \d+$/.test(name) &&
    !used.has(name) &&
    fate.rules.length === 1;
  if (isNew) used.add(name);
  return { comments, value: fate.rules.map((values) => ({ ...(isNew && { name }), ...values })) };
}

function spread({ comments, value }: Entry): Entry[] {
  return (value as unknown[]).map((one, i) => ({ comments: i === 0 ? comments : [], value: one }));
}

/** A last rule that decides about a whole direction is what the default says better. */
function policiesOf(
  part: FirewallPart,
  policy: string,
  sides: Sides,
  isLetIn: boolean,
): FirewallPart['policies'] {
  const directions: Record<Direction, [string, string][]> = {
    outbound: sides.private.map((inside) => [inside, sides.public]),
    inbound: sides.private.map((inside) => [sides.public, inside]),
    between: sides.private.flatMap((inside) =>
      sides.private.map((other): [string, string] => [inside, other]),
    ),
  };
  const policies: Record<string, string> = { outbound: policy, inbound: policy, between: policy };
  // What returns or goes to a chain comes to the policy without meeting the rules that follow.
  const isPassedBy = part.rules.some(({ value }) => {
    const rule = value as Record<string, unknown> | undefined;
    return rule !== undefined && (rule['goto'] !== undefined || rule['action'] === 'return');
  });
  for (let i = part.rules.length - 1; i >= 0 && !isPassedBy; i--) {
    const entry = part.rules[i]!;
    if (entry.value === undefined) continue;
    const rule = entry.value as Record<string, unknown>;
    const decides = ['accept', 'drop', 'reject'].includes(rule['action'] as string);
    if (
      !decides ||
      Object.keys(rule).some((key) => !['action', 'in', 'out', 'not-in', 'not-out'].includes(key))
    )
      break;
    const covers = Object.entries(directions).map(([direction, pairs]) => ({
      direction,
      hits: pairs.filter((pair) => matchesPair(rule, pair)).length,
      all: pairs.length,
    }));
    if (covers.some(({ hits, all }) => hits > 0 && hits < all)) break;
    for (const { direction, hits } of covers) if (hits > 0) policies[direction] = rule['action'] as string;
    entry.comments.push('   as the default');
    delete entry.value;
  }
  const kept = Object.entries(policies).filter(([direction, word]) => {
    if (word === 'accept') return false;
    // Nothing comes from outside without a forward, and on one private network hosts reach each other without the gateway.
    return direction === 'outbound' || isLetIn || (direction === 'between' && sides.private.length > 1);
  });
  if (kept.length === 0) return null;
  const [first] = kept;
  return kept.length === 3 && kept.every(([, word]) => word === first![1])
    ? first![1]
    : Object.fromEntries(kept);
}

function matchesPair(rule: Record<string, unknown>, [inside, outside]: [string, string]): boolean {
  const holds = (key: string, name: string) => {
    const list = [rule[key] ?? []].flat() as string[];
    const not = [rule[`not-${key}`] ?? []].flat() as string[];
    return (
      (rule[key] === undefined || list.some((one) => isNamed(name, one))) &&
      !not.some((one) => isNamed(name, one))
    );
  };
  return holds('in', inside) && holds('out', outside);
}
