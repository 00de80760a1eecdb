/** Filters as flags, in the manner of conntrack's: each a test, all of which must hold. */
import { NatgateError } from '../../core/errors.ts';
import { allOf, type Filter } from './filter.ts';
import { parseFilter } from './filter-parse.ts';
import { readTest } from './filter-words.ts';

/** The word of the language that a flag is, and what help says of it. */
export const FILTER_FLAGS = {
  protocol: { word: 'proto', describe: 'Protocol, by name or number' },
  source: { word: 'src', describe: 'Source address or network of the original direction' },
  destination: { word: 'dst', describe: 'Destination address or network of the original direction' },
  'source-port': { word: 'sport', describe: 'Source port or range; of ICMP queries the id' },
  'destination-port': { word: 'dport', describe: 'Destination port or range' },
  external: { word: 'ext', describe: 'External address' },
  'external-port': { word: 'extport', describe: 'External port or range' },
  state: { word: 'state', describe: 'ESTABLISHED, TIME_WAIT …; ASSURED, UNREPLIED, RELATED' },
  client: { word: 'client', describe: 'Private host, by name or address' },
  rule: { word: 'rule', describe: 'Name of the NAT rule' },
  reason: { word: 'reason', describe: 'Why it was dropped' },
  side: { word: 'side', describe: 'Where it came from: private or public' },
} as const;

export type FilterFlag = keyof typeof FILTER_FLAGS;
export type FilterFlags = { [flag in FilterFlag]?: string | undefined };

/** What flags and words of an expression ask for together. Throws NatgateError `filter_invalid`. */
export function filterOfFlags(flags: FilterFlags, expression: readonly string[] = []): Filter {
  const tests = (Object.keys(FILTER_FLAGS) as FilterFlag[]).flatMap((flag): Filter[] => {
    const value = flags[flag];
    if (value === undefined) return [];
    const test = readTest(FILTER_FLAGS[flag].word, value);
    if (typeof test === 'string') throw new NatgateError('filter_invalid', `--${flag}: ${test}`);
    return [test];
  });
  return allOf([...tests, parseFilter(expression.join(' '))]);
}
