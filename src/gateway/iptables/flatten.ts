/**
 * The chains of the nat table as one list, which the first that matches decides: natgate's NAT rules have no chains. Only first packets of
 * flows come to this table, so there are no states to think of.
 */

import { merged } from './firewall-rules.ts';
import { readOptions } from './read-options.ts';
import type { Chain, Rule } from './syntax.ts';
import type { Sets, Test } from './tests.ts';

export interface FlatRule {
  rule: Rule;
  tests: Test[];
  never: string | null;
  lost: string | null;
  /** ACCEPT stands for whatever ends the walk without a translation. */
  target: string;
}

export function flatten(chains: ReadonlyMap<string, Chain>, start: string, sets: Sets): FlatRule[] {
  const flat: FlatRule[] = [];
  const seen = new Set<string>();
  const walk = (name: string, path: readonly Test[], broken: string | null, depth: number) => {
    let tests = [...path];
    let lost = broken;
    for (const rule of chains.get(name)?.rules ?? []) {
      const { target } = rule;
      if (target === null) continue;
      const reading = merged(readOptions(rule, sets, seen));
      const all = merged({ ...reading, tests: [...tests, ...reading.tests] }).tests;
      const own = { rule, tests: all, never: reading.never, lost: lost ?? reading.lost };
      if (target.name === 'RETURN' && depth > 0) {
        // What returns skips the rest of the chain: the rest is about what does not.
        const [only, ...more] = reading.tests;
        if (only === undefined) return;
        if (more.length > 0 || !('not' in only) || reading.lost !== null) {
          lost ??=
            'it comes after a RETURN that only some packets take, and natgate’s NAT rules have no chains';
        } else tests = [...tests, { ...only, not: !only.not } as Test];
      } else if (chains.has(target.name)) {
        if (depth < 16) walk(target.name, all, own.lost, depth + 1);
        if (target.kind === 'goto') flat.push({ ...own, target: 'ACCEPT' });
      } else flat.push({ ...own, target: target.name === 'RETURN' ? 'ACCEPT' : target.name });
    }
  };
  walk(start, [], null, 0);
  return flat;
}

export function argument({ rule }: FlatRule, name: string): string | undefined {
  return rule.target?.options.find((option) => option.name === name)?.values[0];
}

export function has({ rule }: FlatRule, name: string): boolean {
  return rule.target?.options.some((option) => option.name === name) ?? false;
}
