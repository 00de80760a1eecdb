/**
 * What a rule with a limit, or a count of connections, must be like for natgate to count the same. netfilter asks the matches of a rule one after
 * another, so that what comes after a limit does not save its tokens; natgate asks schedule, connections and limit last, in this order.
 */
import type { Rule } from './syntax.ts';

const LIMITS = ['limit', 'hashlimit'];
/** When natgate asks about them, after all else. */
const RANK: Readonly<Record<string, number>> = { time: 1, connlimit: 2, limit: 3, hashlimit: 3 };

/** Why the limit of the rule is not natgate's, or null. */
export function limitTrouble({ options }: Rule): string | null {
  // Addresses, interfaces and the protocol are no match, and come first wherever they are written.
  const matches = options.filter(({ module }) => module !== '' && module !== 'comment');
  const modules = [...new Set(matches.map(({ module }) => module))];
  const counting = modules.findIndex((module) => module === 'connlimit' || LIMITS.includes(module));
  if (counting < 0) return null;
  if (modules.filter((module) => LIMITS.includes(module)).length > 1)
    return 'natgate’s rules have one limit each';
  const rank = (module: string) => RANK[module] ?? 0;
  const early = modules.find(
    (module, i) => i >= counting && modules.slice(i + 1).some((next) => rank(next) < rank(module)),
  );
  if (early !== undefined)
    return `it counts what the rest of the rule does not match, too: write -m ${early} after that`;
  if (matches.some(({ name, not }) => name === 'ports' && !not))
    return 'either of the two ports is two rules here, and the limit would be twice as much: write two rules, each with its own';
  return null;
}
