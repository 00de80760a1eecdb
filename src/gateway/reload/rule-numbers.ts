/**
 * Which NAT rule is which, from one configuration to the next. Flows and mappings remember their rule by number, so a rule that stays
 * keeps its number, wherever it stands now:
 *
 *     1. one that says the same, of the same name or, left over, of any (names that nobody gave go by position)
 *     2. one that translates the same, behaving otherwise
 *     3. one of the same name
 *
 * Others get numbers that no rule has, those last that were given up last: what remembers such a number has been ended by then.
 */
import { isDeepStrictEqual } from 'node:util';
import { NatgateError } from '../../core/errors.ts';
import { MAX_RULE_NUMBER, type NatConfig, type NatRule } from '../../nat/config.ts';
import { ruleNumber } from '../../nat/rules.ts';

/** `after` with numbers. Throws NatgateError `usage` when there are more rules than numbers. */
export function numberRules(before: readonly NatRule[], after: NatConfig): NatConfig {
  if (after.rules.length > MAX_RULE_NUMBER + 1) {
    throw new NatgateError(
      'usage',
      `${after.rules.length} NAT rules are too many`,
      `give ${MAX_RULE_NUMBER + 1} at most: a rule may list many sources, destinations and ports`,
    );
  }
  const known = before.map((rule, i) => ({ ...rule, number: ruleNumber(rule, i) }));
  const left = new Set(known);
  const numbers: (number | undefined)[] = after.rules.map(() => undefined);
  const pair = (isSame: (a: NatRule, b: NatRule) => boolean) => {
    after.rules.forEach((rule, i) => {
      if (numbers[i] !== undefined) return;
      const found = [...left].find((other) => isSame(other, rule));
      if (found === undefined) return;
      left.delete(found);
      numbers[i] = found.number;
    });
  };
  const isNamed = (a: NatRule, b: NatRule) => a.name === b.name;
  pair((a, b) => isNamed(a, b) && saysSame(a, b));
  pair(saysSame);
  pair((a, b) => isNamed(a, b) && translatesSame(a, b));
  pair(translatesSame);
  pair(isNamed);
  const taken = new Set([...known.map(({ number }) => number), ...numbers]);
  let next = Math.max(-1, ...known.map(({ number }) => number)) + 1;
  const fresh = () => {
    for (let looks = 0; looks <= MAX_RULE_NUMBER; looks++, next++) {
      const number = next % (MAX_RULE_NUMBER + 1);
      if (!taken.has(number)) return number;
    }
    // All are in use: one of a rule that goes now.
    return [...left][0]!.number;
  };
  const rules = after.rules.map((rule, i) => {
    const number = numbers[i] ?? fresh();
    taken.add(number);
    for (const other of left) if (other.number === number) left.delete(other);
    return { ...rule, number };
  });
  return { ...after, rules };
}

/** Names of rules by number; numbers that nobody has keep the name they had. */
export function namesByNumber(rules: readonly NatRule[], before: readonly string[] = []): string[] {
  const names = [...before];
  rules.forEach((rule, i) => {
    const number = ruleNumber(rule, i);
    while (names.length < number) names.push('');
    names[number] = rule.name;
  });
  return names;
}

function saysSame(a: NatRule, b: NatRule): boolean {
  return translatesSame(a, b) && isDeepStrictEqual({ ...a.behaviour }, { ...b.behaviour });
}

function translatesSame(a: NatRule, b: NatRule): boolean {
  const what = ({ match, action, addresses, ports }: NatRule) => [match, action, addresses, ports];
  return isDeepStrictEqual(what(a), what(b));
}
