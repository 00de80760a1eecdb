/** The options of the verbs that look at flows and packets: what they shall show. */
import type { Argv } from 'yargs';
import type { Filter } from '../gateway/observe/filter.ts';
import { FILTER_FLAGS, type FilterFlag, type FilterFlags } from '../gateway/observe/filter-flags.ts';

/** Names that conntrack's users know. */
const ALIASES: Partial<Record<FilterFlag, string[]>> = {
  protocol: ['p', 'proto'],
  source: ['s', 'src', 'orig-src'],
  destination: ['d', 'dst', 'orig-dst'],
  'source-port': ['sport', 'orig-port-src'],
  'destination-port': ['dport', 'orig-port-dst'],
};

/** The words after the verb. */
export function filterWords<T>(argv: Argv<T>, describe: string) {
  return argv.positional('words', { type: 'string', array: true, default: [] as string[], describe });
}

/** Adds those of FILTER_FLAGS that this verb has. */
export function filterOptions<T>(argv: Argv<T>, flags: readonly FilterFlag[]): Argv<T> {
  for (const flag of flags) {
    argv.option(flag, {
      type: 'string',
      requiresArg: true,
      group: 'Filter:',
      describe: FILTER_FLAGS[flag].describe,
      ...(ALIASES[flag] && { alias: ALIASES[flag] }),
    });
  }
  return argv;
}

/** What flags and the words of an expression ask for. Throws NatgateError `filter_invalid`. */
export async function filterFrom(
  argv: Record<string, unknown>,
  words: readonly (string | number)[],
): Promise<Filter> {
  const { filterOfFlags } = await import('../gateway/observe/filter-flags.ts');
  const flags: FilterFlags = {};
  for (const flag of Object.keys(FILTER_FLAGS) as FilterFlag[]) {
    const value = argv[flag];
    if (typeof value === 'string') flags[flag] = value;
  }
  return filterOfFlags(flags, words.map(String));
}
