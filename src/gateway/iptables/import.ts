/**
 * iptables rules as a configuration of natgate.
 *
 *     text ─▶ parse.ts ─▶ tables ─┬─ nat POSTROUTING ─▶ nat-rules, external      import-out.ts
 *                                 ├─ nat PREROUTING  ─▶ forwards, one-to-one     import-in.ts
 *                                 ├─ filter FORWARD  ─▶ firewall                 import-firewall.ts
 *                                 ├─ raw, mangle     ─▶ helpers, nothing         import-other.ts
 *                                 └─ INPUT, OUTPUT   ─▶ stay where they are
 *
 * Pure. Every rule of the file is somewhere in the result: as a value, or as a comment that says why it is none. natgate's behaviour of NAT stays
 * at its defaults, which let in no more than MASQUERADE does (docs/from-iptables.md).
 */
import { type Counts, type Entry, Report } from './entries.ts';
import { flatten } from './flatten.ts';
import { importFirewall } from './import-firewall.ts';
import { findPairs, importIn, otherAddresses } from './import-in.ts';
import { hostOnly, importOther } from './import-other.ts';
import { importOut } from './import-out.ts';
import { parseRules } from './parse.ts';
import { parseNetwork, parseSpan, type Range } from './ranges.ts';
import { type Sides, sidesOf } from './sides.ts';
import { RulesError, type SyntaxProblem } from './syntax.ts';
import type { Sets } from './tests.ts';
import { commented, inline, listLines } from './write.ts';

export interface ImportOptions {
  /** How errors and the head of the file name it. */
  file: string;
  /** Empty, or null: as the rules show. */
  private: readonly string[];
  public: string | null;
  /** Addresses of the public interface: SNAT to one of them is masquerade, a forward of one is of the interface's own. */
  addresses: (publicInterface: string) => readonly string[];
  /** What `ipset save` prints; null: only sets that the file itself makes are known. */
  sets: string | null;
}

export interface Imported {
  /** The configuration, YAML. */
  text: string;
  sides: Sides;
  counts: Counts;
  /** Of each rule that is not carried, or not all of it, a line. */
  notCarried: string[];
}

/** Throws RulesError about what is wrong in the text, NatgateError `usage` where it does not tell which interface is which. */
export function importRules(text: string, options: ImportOptions): Imported {
  const rules = parseRules(options.file, text);
  const sets = readSets(rules.sets, options.sets);
  try {
    return translate(rules, sets, options);
  } catch (error) {
    // What a value means is found out when it is used.
    if (typeof error === 'object' && error !== null && 'place' in error)
      throw new RulesError(options.file, [error as SyntaxProblem]);
    throw error;
  }
}

function translate(rules: ReturnType<typeof parseRules>, sets: Sets, options: ImportOptions): Imported {
  const report = new Report();
  const nat = rules.tables.get('nat') ?? new Map();
  const flat = { out: flatten(nat, 'POSTROUTING', sets), in: flatten(nat, 'PREROUTING', sets) };
  const sides = sidesOf(rules, flat, options);
  // The first is what natgate shares with the host; others are no more its own than any.
  const own = options.addresses(sides.public).slice(0, 1);
  const pairs = findPairs(flat.in, flat.out, own);
  const out = importOut(flat.out, sides, own, new Set(pairs.values()), report);
  const incoming = importIn(
    flat.in,
    sides,
    own,
    otherAddresses(flat.in, flat.out, own),
    pairs,
    out.inward,
    report,
  );
  for (const { flat: one, used } of out.inward) {
    if (used) continue;
    const isHairpin = one.tests.some((test) => test.on === 'from' && !test.not);
    const isBoth = !one.tests.some((test) => test.on === 'out');
    if (isBoth) continue;
    const comments = isHairpin
      ? report.needless(
          one.rule,
          'private hosts that reach each other by an external address are translated as they must be',
        )
      : report.lost(
          one.rule,
          'towards private networks natgate translates the sources of forwards only, and no forward fits',
        );
    incoming.forwards.push({ comments });
  }
  const other = importOther(rules, sets, report);
  const hasHelpers = other.helpers.some(({ value }) => value !== undefined);
  const firewall = importFirewall(
    rules.tables.get('filter'),
    { sides, letIn: incoming.letIn, hasHelpers, sets },
    report,
  );
  const host = hostOnly(rules, report);
  const lines = [
    ...commented([`Made by natgate import from ${options.file}: ${summary(report.counts)}.`]),
    ...section([`private: ${inline(sides.private.length === 1 ? sides.private[0] : sides.private)}`]),
    ...commented(out.top.get('everything')?.comments ?? []),
    `public: ${inline(sides.public)}`,
    ...['external', 'ports', 'nat'].flatMap((key) => topLines(key, out.top.get(key))),
    ...section(listLines('nat-rules', out.rules)),
    ...section(listLines('one-to-one', incoming.pairs)),
    ...section(listLines('forwards', incoming.forwards)),
    ...section(setLines(firewall.sets)),
    ...section(firewallLines(firewall, rules.tables.get('filter')?.get('FORWARD')?.policy ?? null)),
    ...section(listLines('helpers', other.helpers)),
    ...section(listLines('', other.rest)),
    ...(host.length === 0
      ? []
      : section(
          commented([
            'The host’s own, not natgate’s; leave what you need of it where it is:',
            ...host.map((line) => `  ${line}`),
          ]),
        )),
  ];
  return { text: `${lines.join('\n')}\n`, sides, counts: report.counts, notCarried: report.lines };
}

function section(lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', ...lines];
}

function topLines(key: string, entry: Entry | undefined): string[] {
  return entry === undefined ? [] : [...commented(entry.comments), `${key}: ${inline(entry.value)}`];
}

function setLines(sets: ReadonlyMap<string, string[]>): string[] {
  return sets.size === 0
    ? []
    : ['sets:', ...[...sets].map(([name, list]) => `  ${inline(name)}: ${inline(list)}`)];
}

function firewallLines(
  { comments, rules, chains, policies }: ReturnType<typeof importFirewall>,
  policy: string | null,
): string[] {
  const said = [
    ...(policy === null
      ? []
      : [
          `:FORWARD ${policy}${policy === 'ACCEPT' ? ': all may go out; from outside natgate lets in only what a forward or a connection leads in, whatever is routed' : ''}`,
        ]),
    ...comments,
  ];
  const named = [...chains].filter(([, entries]) => entries.some(({ value }) => value !== undefined));
  const silent = [...chains].filter(
    ([, entries]) => entries.length > 0 && entries.every(({ value }) => value === undefined),
  );
  const isEmpty = rules.every(({ value }) => value === undefined) && named.length === 0 && policies === null;
  if (isEmpty)
    return commented([
      ...said,
      ...[...rules, ...silent.flatMap(([, entries]) => entries)].flatMap((entry) => entry.comments),
    ]);
  return [
    ...commented(said),
    'firewall:',
    ...(policies === null ? [] : [`  default: ${inline(policies)}`]),
    ...(named.length === 0
      ? []
      : ['  chains:', ...named.flatMap(([name, entries]) => listLines(inline(name), entries, '    '))]),
    ...silent.flatMap(([, entries]) =>
      commented(
        entries.flatMap((entry) => entry.comments),
        '  ',
      ),
    ),
    ...listLines('rules', rules, '  '),
  ];
}

export function summary({ carried, needless, host, harmless, changed }: Counts): string {
  const not = harmless + changed;
  const change =
    not === 0
      ? ''
      : changed === 0
        ? ', none of which changes what is allowed'
        : `, ${changed} of which ${changed === 1 ? 'changes' : 'change'} what is allowed`;
  return `${carried} carried, ${needless} with nothing to do, ${host} host-only, ${not} not carried${change}`;
}

/** Of the file itself, and of `ipset save`. */
function readSets(own: ReadonlyMap<string, readonly string[]>, saved: string | null): Sets {
  const sets = new Map<string, readonly string[]>(own);
  const lists = new Map<string, string[]>();
  for (const line of (saved ?? '').split('\n')) {
    const [word, name = '', rest = ''] = line.trim().split(/\s+/);
    if (word === 'create' && /^(hash:ip|hash:net|bitmap:ip)$/.test(rest)) lists.set(name, []);
    else if (word === 'add') lists.get(name)?.push(rest);
  }
  for (const [name, list] of lists) sets.set(name, list);
  return new Map(
    [...sets].map(([name, list]) => [name, list.map(rangeOf).filter((range) => range !== null)]),
  );
}

function rangeOf(text: string): Range | null {
  return text.includes('-') ? parseSpan(text) : parseNetwork(text);
}
