/** Tables raw and mangle, and what is the host's own. */
import { type HelperName, helperKinds } from '../../nat/alg/registry.ts';
import type { Entry, Report } from './entries.ts';
import { argument, type FlatRule, flatten, has } from './flatten.ts';
import type { Chain, Ruleset } from './syntax.ts';
import type { Sets } from './tests.ts';

/** Targets that only say how a packet is treated on its way. */
const TREATMENT = [
  'MARK',
  'CONNMARK',
  'CLASSIFY',
  'DSCP',
  'TOS',
  'TTL',
  'TRACE',
  'CHECKSUM',
  'LOG',
  'NFLOG',
  'TEE',
  'SET',
];

export interface OtherPart {
  helpers: Entry[];
  /** Rules without a place of their own in the file. */
  rest: Entry[];
}

export function importOther({ tables }: Ruleset, sets: Sets, report: Report): OtherPart {
  const part: OtherPart = { helpers: [], rest: [] };
  const raw = tables.get('raw');
  if (raw !== undefined)
    for (const one of flatten(raw, 'PREROUTING', sets))
      part[one.target === 'CT' ? 'helpers' : 'rest'].push(rawRule(one, report));
  const mangle = tables.get('mangle');
  const chains = mangle === undefined ? [] : ['PREROUTING', 'FORWARD', 'POSTROUTING'];
  for (const chain of chains)
    for (const one of flatten(mangle!, chain, sets)) part.rest.push(mangleRule(one, report));
  return part;
}

function rawRule(one: FlatRule, report: Report): Entry {
  const { rule, target, lost } = one;
  if (rule.unknown.length === 0 && rule.options.some(({ module }) => module === 'rpfilter')) {
    return { comments: report.needless(rule, 'firewall.anti-spoofing is on by default') };
  }
  if (target === 'CT' && argument(one, 'helper') !== undefined && lost === null) return helper(one, report);
  if (target === 'NOTRACK' || has(one, 'notrack'))
    return { comments: report.lost(rule, 'natgate tracks whatever it forwards') };
  if (target === 'ACCEPT') return { comments: report.needless(rule, 'packets are not asked about here') };
  if (TREATMENT.includes(target) || target === 'CT')
    return { comments: report.lost(rule, 'natgate has nothing of the kind', false) };
  return { comments: report.lost(rule, 'natgate’s rules are asked once, where FORWARD is: write it there') };
}

function helper(one: FlatRule, report: Report): Entry {
  const { rule, tests } = one;
  const name = argument(one, 'helper')!.toLowerCase();
  if (!Object.hasOwn(helperKinds, name))
    return {
      comments: report.lost(
        rule,
        `natgate has no helper ${name}: there are ${Object.keys(helperKinds).join(', ')}`,
      ),
    };
  const kind = helperKinds[name as HelperName];
  const ports = tests.find((test) => test.on === 'dport');
  const single = ports?.on === 'dport' && !ports.not ? ports.ranges : [];
  if (ports !== undefined && single.some(({ first, last }) => first !== last))
    return { comments: report.lost(rule, 'a helper of natgate’s has one port') };
  const number = single[0]?.first ?? kind.port;
  return { comments: report.carried(rule), value: number === kind.port ? name : { name, port: number } };
}

function mangleRule({ rule, target }: FlatRule, report: Report): Entry {
  if (target === 'TCPMSS') {
    const isClamp = rule.target?.options.some(({ name }) => name === 'clamp-mss-to-pmtu');
    return {
      comments: isClamp
        ? report.needless(rule, 'clamp-mss is on by default')
        : report.lost(rule, 'natgate lowers the MSS to what the MTUs carry, not to a number', false),
    };
  }
  if (target === 'ACCEPT') return { comments: report.needless(rule, 'packets are not asked about here') };
  if (TREATMENT.includes(target))
    return { comments: report.lost(rule, 'natgate has nothing of the kind', false) };
  return { comments: report.lost(rule, 'natgate’s rules are asked once, where FORWARD is: write it there') };
}

/** What stays in iptables: INPUT, OUTPUT, and what only they lead to. Lines for the head of the file. */
export function hostOnly({ tables, host }: Ruleset, report: Report): string[] {
  const lines: string[] = [];
  for (const [table, chains] of tables) {
    const crossing = reachable(chains, ['PREROUTING', 'FORWARD', 'POSTROUTING']);
    const own = reachable(chains, ['INPUT', 'OUTPUT']);
    for (const chain of chains.values()) {
      if (crossing.has(chain.name) || (chain.rules.length === 0 && chain.policy === 'ACCEPT')) continue;
      if (!own.has(chain.name)) {
        for (const rule of chain.rules) lines.push(...report.needless(rule, 'nothing leads to the chain'));
        continue;
      }
      for (const _ of chain.rules) report.host();
      const policy = chain.policy === null ? '' : `, policy ${chain.policy}`;
      lines.push(
        `${table} ${chain.name}: ${chain.rules.length} rule${chain.rules.length === 1 ? '' : 's'}${policy}`,
      );
    }
  }
  for (const { text, why } of host) {
    report.host();
    lines.push(`${text}: ${why}`);
  }
  return lines;
}

function reachable(chains: ReadonlyMap<string, Chain>, from: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const visit = (name: string) => {
    const chain = chains.get(name);
    if (chain === undefined || seen.has(name)) return;
    seen.add(name);
    for (const { target } of chain.rules) if (target !== null) visit(target.name);
  };
  from.forEach(visit);
  return seen;
}
