/**
 * Limits, and counts of connections, that a rule has before other matches. netfilter asks the matches of a rule one after another, so such a limit also
 * counts what the rest of the rule does not match. natgate asks schedule, connections and limit last, in this order, and each once. So the rule is
 * parted: what comes up to the limit leads to a chain of its own, where the rest is asked.
 */
import type { Option, Rule } from './syntax.ts';

const COUNTING = ['connlimit', 'limit', 'hashlimit'];
/** When natgate asks about them, after all else. */
const RANK: Readonly<Record<string, number>> = { time: 1, connlimit: 2, limit: 3, hashlimit: 3 };

/** What netfilter asks after the limit and natgate, were it one rule, would not; empty: it may be one rule. */
export function optionsAfterLimit({ options }: Pick<Rule, 'options'>): Option[] {
  // Addresses, interfaces and the protocol are no match, and come first wherever they are written.
  const matches = options.filter(({ module }) => module !== '' && module !== 'comment');
  const modules = [...new Set(matches.map(({ module }) => module))];
  const at = modules.findIndex(
    (module, i) => COUNTING.includes(module) && modules.slice(i + 1).some((next) => !isLater(next, module)),
  );
  if (at < 0) return [];
  const later = modules.slice(at + 1);
  return matches.filter(({ module }) => later.includes(module));
}

function isLater(next: string, module: string): boolean {
  return (RANK[next] ?? 0) > RANK[module]!;
}
