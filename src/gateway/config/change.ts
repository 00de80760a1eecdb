/**
 * A change of one forward or one firewall rule, and what it is in a document: an element of a list that comes or goes. The same
 * change is made in the running configuration (applyEdit) and in the file's text (edit.ts), each by its own numbers.
 */
import { NatgateError } from '../../core/errors.ts';
import { nearestName } from '../../core/nearest.ts';
import type { Path } from './problems.ts';
import type { ConfigDocument, ConfigInput } from './schema.ts';

type ForwardInput = NonNullable<ConfigInput['forwards']>[number];
type Rules = NonNullable<NonNullable<ConfigInput['firewall']>['rules']>;
export type RuleInput = Rules[number];

/** Where a rule goes; of these one at most. None: to the end. */
export interface RulePlace {
  /** From 1. */
  position?: number | undefined;
  /** Names of rules of the same chain. */
  before?: string | undefined;
  after?: string | undefined;
}

/** `chain`: null is `firewall.rules`. */
export type Change =
  | { kind: 'add-forward'; forward: ForwardInput }
  | { kind: 'remove-forward'; name: string }
  | { kind: 'add-rule'; chain: string | null; rule: RuleInput; place: RulePlace }
  | { kind: 'remove-rule'; chain: string | null; name: string };

/** `list` gets `value` at `index`, or, without a value, loses what is there. */
export interface Edit {
  list: Path;
  index: number;
  value?: unknown;
}

/** What this part of a document has; keys that are not there are empty. */
export type Lists = {
  forwards?: ConfigInput['forwards'] | undefined;
  firewall?: Pick<NonNullable<ConfigInput['firewall']>, 'rules' | 'chains'> | undefined;
};

/** Throws NatgateError `no_such_forward`, `no_such_chain`, `no_such_rule` or `bad_position`. */
export function editOf(document: Lists | ConfigDocument, change: Change): Edit {
  if (change.kind === 'add-forward') {
    return { list: ['forwards'], index: document.forwards?.length ?? 0, value: change.forward };
  }
  if (change.kind === 'remove-forward') {
    return { list: ['forwards'], index: forwardNumber(document.forwards ?? [], change.name) };
  }
  const list = change.chain === null ? ['firewall', 'rules'] : ['firewall', 'chains', change.chain];
  const rules = rulesOf(document, change.chain);
  const names = rules.map(ruleName);
  if (change.kind === 'remove-rule') return { list, index: ruleNumber(names, change.name, change.chain) };
  return { list, index: placeIn(names, change.place, change.chain), value: change.rule };
}

/** A copy in which the edit is made. */
export function applyEdit<T>(document: T, { list, index, value }: Edit): T {
  const copy = structuredClone(document);
  let at = copy as Record<string | number, unknown>;
  for (const part of list.slice(0, -1)) {
    at[part] ??= {};
    at = at[part] as Record<string | number, unknown>;
  }
  const last = list.at(-1)!;
  at[last] ??= [];
  const elements = at[last] as unknown[];
  if (value === undefined) elements.splice(index, 1);
  else elements.splice(index, 0, value);
  return copy;
}

/** As compile-forwards.ts names it; a text is its own name. */
export function forwardName(forward: ForwardInput): string {
  if (typeof forward === 'string') return forward;
  return forward.name ?? `${outsideOf(forward)}=${[forward.to].flat().join(',')}`;
}

export function ruleName({ name }: RuleInput, index: number): string {
  return name ?? `rule ${index + 1}`;
}

/** `tcp:8080`: by it a forward without a name can be meant, too. */
function outsideOf(forward: ForwardInput): string {
  if (typeof forward === 'string') return forward.split('=')[0]!;
  const { protocol, address, port } = forward;
  return `${protocol}:${address === undefined ? '' : `${address}:`}${port}`;
}

function forwardNumber(forwards: readonly ForwardInput[], wanted: string): number {
  const names = forwards.map(forwardName);
  const byName = names.indexOf(wanted);
  const found = byName >= 0 ? byName : forwards.findIndex((forward) => outsideOf(forward) === wanted);
  if (found >= 0) return found;
  throw new NatgateError(
    'no_such_forward',
    `there is no forward ${wanted}`,
    meant(wanted, names, 'forwards'),
  );
}

function rulesOf(document: Lists | ConfigDocument, chain: string | null): readonly RuleInput[] {
  if (chain === null) return document.firewall?.rules ?? [];
  const chains = document.firewall?.chains ?? {};
  if (Object.hasOwn(chains, chain)) return chains[chain]!;
  const names = Object.keys(chains);
  throw new NatgateError('no_such_chain', `there is no chain ${chain}`, meant(chain, names, 'chains'));
}

function ruleNumber(names: readonly string[], wanted: string, chain: string | null): number {
  const found = names.indexOf(wanted);
  if (found >= 0) return found;
  const where = chain === null ? '' : ` in the chain ${chain}`;
  throw new NatgateError('no_such_rule', `there is no rule ${wanted}${where}`, meant(wanted, names, 'rules'));
}

function placeIn(names: readonly string[], place: RulePlace, chain: string | null): number {
  const { position, before, after } = place;
  if ([position, before, after].filter((one) => one !== undefined).length > 1) {
    throw new NatgateError('bad_position', 'several places are named', 'give position, before or after');
  }
  if (before !== undefined) return ruleNumber(names, before, chain);
  if (after !== undefined) return ruleNumber(names, after, chain) + 1;
  if (position === undefined) return names.length;
  if (Number.isInteger(position) && position >= 1 && position <= names.length + 1) return position - 1;
  throw new NatgateError(
    'bad_position',
    `there is no position ${position}`,
    `give a whole number from 1 to ${names.length + 1}`,
  );
}

function meant(wanted: string, names: readonly string[], what: string): string {
  const nearest = nearestName(wanted, names);
  return nearest === null ? `there are no ${what}` : `did you mean ${nearest}?`;
}
