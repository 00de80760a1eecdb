/** Which interfaces are private and which is public, as the rules show it. */
import { NatgateError } from '../../core/errors.ts';
import type { FlatRule } from './flatten.ts';
import type { Chain, Ruleset } from './syntax.ts';
import type { Test } from './tests.ts';

export interface Sides {
  private: readonly string[];
  public: string;
}

const TRANSLATES = ['MASQUERADE', 'SNAT', 'NETMAP'];

/** What is given is taken; throws NatgateError `usage` where nothing tells. */
export function sidesOf(
  { tables }: Ruleset,
  nat: { out: readonly FlatRule[]; in: readonly FlatRule[] },
  given: { private: readonly string[]; public: string | null },
): Sides {
  const outside = given.public ?? publicOf(nat);
  const insides = given.private.length > 0 ? given.private : privateOf(tables.get('filter'), nat, outside);
  return { private: insides, public: outside };
}

function publicOf({ out, in: incoming }: { out: readonly FlatRule[]; in: readonly FlatRule[] }): string {
  const translating = out.filter(({ target }) => TRANSLATES.includes(target));
  const towardsAll = translating.filter(({ tests }) => !tests.some((test) => test.on === 'to' && !test.not));
  const forwarding = incoming.filter(({ target }) => target === 'DNAT');
  for (const names of [named(towardsAll, 'out'), named(translating, 'out'), named(forwarding, 'in')]) {
    if (names.length === 1) return names[0]!;
    if (names.length > 1) {
      throw usage(
        `which interface is public cannot be told: ${names.join(' and ')} are both translated to`,
        `--public ${names[0]}`,
      );
    }
  }
  throw usage(
    'which interface is public cannot be told: no rule translates to the address of one',
    '--public eth0',
  );
}

function privateOf(
  filter: ReadonlyMap<string, Chain> | undefined,
  { in: incoming }: { in: readonly FlatRule[] },
  outside: string,
): string[] {
  const names = new Set<string>();
  const add = (chains: readonly Chain[], of: readonly string[]) => {
    for (const chain of chains) {
      for (const { options } of chain.rules) {
        for (const { name, not, values } of options) {
          const isName = of.includes(name) && !not && !/\+$|^lo$/.test(values[0]!);
          if (isName && values[0] !== outside) names.add(values[0]!);
        }
      }
    }
  };
  const chains = [...(filter?.values() ?? [])];
  add(
    chains.filter(({ name }) => !['INPUT', 'OUTPUT'].includes(name)),
    ['in-interface', 'out-interface'],
  );
  for (const name of named(incoming, 'in')) if (name !== outside) names.add(name);
  if (names.size === 0)
    add(
      chains.filter(({ name }) => name === 'INPUT'),
      ['in-interface'],
    );
  if (names.size === 0)
    throw usage('which interface is private cannot be told: no rule names one', '--private eth1');
  return [...names];
}

function named(rules: readonly { tests: readonly Test[] }[], on: 'in' | 'out'): string[] {
  const names = rules.flatMap(({ tests }) =>
    tests.flatMap((test) =>
      test.on === on && !test.not ? test.names.filter((name) => !name.endsWith('+')) : [],
    ),
  );
  return [...new Set(names)];
}

function usage(what: string, flag: string): NatgateError {
  return new NatgateError('usage', what, `say which, e.g. ${flag}`);
}
