/** Names in a filter that nothing has: a rule that is misspelt would silently match nothing. */
import { NatgateError } from '../../core/errors.ts';
import type { Filter } from './filter.ts';
import { meant } from './filter-words.ts';

/** Throws NatgateError `filter_invalid` when a rule of the filter is none of `rules`. */
export function requireRules(filter: Filter, rules: readonly string[]): void {
  if ('of' in filter) {
    for (const part of [filter.of].flat()) requireRules(part, rules);
    return;
  }
  if (filter.kind !== 'rule') return;
  const { name } = filter;
  if (rules.some((rule) => rule.toLowerCase() === name.toLowerCase())) return;
  throw new NatgateError(
    'filter_invalid',
    `no NAT rule is named ${name}${meant(name, rules)}`,
    `there are: ${rules.join(', ')}`,
  );
}
