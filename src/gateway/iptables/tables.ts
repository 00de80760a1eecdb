/** Tables and chains as commands change them. A command on a chain that there is not is a mistake, as it is for iptables. */
import { nearestName } from '../../core/nearest.ts';
import { TARGETS } from './option-names.ts';
import { parseRule, problem } from './parse-rule.ts';
import { BUILTIN, type Chain, type Place, type Rule, type SyntaxProblem } from './syntax.ts';
import type { Word } from './words.ts';

export interface Command {
  line: number;
  text: string;
  words: readonly Word[];
  /** Of iptables-save; null: the command says which with -t. */
  table: string | null;
  end: Place;
}

export interface Commands {
  run(command: Command): undefined;
}

const VERBS: Readonly<Record<string, string>> = {
  append: 'A',
  insert: 'I',
  delete: 'D',
  replace: 'R',
  policy: 'P',
  'new-chain': 'N',
  new: 'N',
  flush: 'F',
  'delete-chain': 'X',
  zero: 'Z',
  list: 'L',
  'list-rules': 'S',
  check: 'C',
};

export class Tables implements Commands {
  readonly all = new Map<string, Map<string, Chain>>();
  readonly #problems: SyntaxProblem[] = [];

  table(name: string, place: Place): Map<string, Chain> {
    const builtin = Object.hasOwn(BUILTIN, name) ? BUILTIN[name] : undefined;
    if (builtin === undefined) {
      const names = Object.keys(BUILTIN);
      throw problem(place, `there is no table ${name}`, `did you mean ${nearestName(name, names)}?`);
    }
    let table = this.all.get(name);
    if (table === undefined) {
      table = new Map(
        builtin.map((chain) => [chain, { name: chain, policy: 'ACCEPT', line: place.line, rules: [] }]),
      );
      this.all.set(name, table);
    }
    return table;
  }

  /** `:CHAIN POLICY`. */
  declare(table: string, name: string, policy: string, place: Place): undefined {
    const chains = this.table(table, place);
    const known = chains.get(name);
    if (known?.policy != null) {
      if (policy !== 'ACCEPT' && policy !== 'DROP') throw noPolicy(policy, place);
      known.policy = policy;
      known.line = place.line;
    } else if (known === undefined) chains.set(name, { name, policy: null, line: place.line, rules: [] });
  }

  run({ line, text, words, table: saved, end }: Command): undefined {
    const rest = [...words];
    const tableName = takeTable(rest) ?? saved ?? 'filter';
    const table = this.table(tableName, words[0]?.place ?? end);
    const at = rest.findIndex((word) => verbOf(word) !== undefined);
    const verb = rest[at];
    if (verb === undefined) {
      if (rest.some(({ text: word }) => /^(-h|--help|-V|--version)$/.test(word))) return;
      throw problem(words[0]?.place ?? end, 'the command does nothing', 'begin a rule with -A CHAIN');
    }
    const before = rest.slice(0, at);
    const after = rest.slice(at + 1);
    const letter = verbOf(verb)!;
    const chainOf = () => this.#chain(table, tableName, after, verb, end);
    if (letter === 'N') {
      const name = after[0]?.text;
      if (name === undefined) throw problem(end, 'a chain is to be made, and has no name', '-N NAME');
      if (!table.has(name)) table.set(name, { name, policy: null, line, rules: [] });
    } else if (letter === 'P') {
      const chain = chainOf();
      const policy = after[1]?.text ?? '';
      if (chain.policy === null)
        throw problem(
          verb.place,
          `${chain.name} is no builtin chain: it has no policy`,
          'end it with a rule',
        );
      if (policy !== 'ACCEPT' && policy !== 'DROP') throw noPolicy(policy, after[1]?.place ?? end);
      chain.policy = policy;
      chain.line = line;
    } else if (letter === 'F' || letter === 'X') {
      const chains = after[0] === undefined ? [...table.values()] : [chainOf()];
      for (const chain of chains) {
        if (letter === 'F') chain.rules.length = 0;
        else if (chain.policy === null) table.delete(chain.name);
      }
    } else if ('AIRD'.includes(letter)) {
      this.#change(letter, chainOf(), [...before, ...after.slice(1)], {
        line,
        text: `-A ${after[0]!.text} ${rulePart(text, after)}`.trim(),
        table: tableName,
      });
    }
  }

  #change(
    letter: string,
    chain: Chain,
    words: readonly Word[],
    head: { line: number; text: string; table: string },
  ): undefined {
    const number = /^\d+$/.test(words[0]?.text ?? '') ? Number(words[0]!.text) : null;
    const body = number === null || letter === 'A' ? words : words.slice(1);
    if (letter === 'D' && number !== null) {
      if (number < 1 || number > chain.rules.length)
        throw problem(words[0]!.place, `${chain.name} has no rule ${number}`, '-D CHAIN NUMBER');
      chain.rules.splice(number - 1, 1);
      return;
    }
    const rule = parseRule({ ...head, chain: chain.name }, body);
    if (letter === 'A') chain.rules.push(rule);
    else if (letter === 'I') chain.rules.splice((number ?? 1) - 1, 0, rule);
    else if (letter === 'R') chain.rules.splice((number ?? 1) - 1, 1, rule);
    else {
      const same = chain.rules.findIndex((other) => meaning(other) === meaning(rule));
      if (same >= 0) chain.rules.splice(same, 1);
    }
  }

  #chain(
    table: Map<string, Chain>,
    tableName: string,
    after: readonly Word[],
    verb: Word,
    end: Place,
  ): Chain {
    const word = after[0];
    if (word === undefined) throw problem(end, `${verb.text} names no chain`, `${verb.text} CHAIN …`);
    const chain = table.get(word.text);
    if (chain !== undefined) return chain;
    const nearest = nearestName(word.text, [...table.keys()]);
    throw problem(
      word.place,
      `the table ${tableName} has no chain ${word.text}`,
      `did you mean ${nearest}? -N makes a chain`,
    );
  }

  /** Rules that lead to nothing: found when all chains are known. */
  problems(): SyntaxProblem[] {
    for (const [tableName, table] of this.all) {
      for (const chain of table.values())
        for (const rule of chain.rules) this.#checkTarget(tableName, table, rule);
    }
    return this.#problems;
  }

  #checkTarget(tableName: string, table: Map<string, Chain>, { target }: Rule): undefined {
    if (target === null || table.has(target.name) || Object.hasOwn(TARGETS, target.name)) return;
    const nearest = nearestName(target.name, [...table.keys(), ...Object.keys(TARGETS)]);
    this.#problems.push(
      problem(
        target.place,
        `the table ${tableName} has no chain ${target.name}, and there is no such target`,
        `did you mean ${nearest}?`,
      ),
    );
  }
}

/** Takes `-t NAME` out. */
function takeTable(words: Word[]): string | null {
  const at = words.findIndex(({ text, isQuoted }) => !isQuoted && /^-{1,2}t(able)?(=|$)/.test(text));
  if (at < 0) return null;
  const [word] = words.splice(at, 1);
  const attached = /=(.*)/.exec(word!.text)?.[1];
  if (attached !== undefined) return attached;
  const [value] = words.splice(at, 1);
  if (value === undefined) throw problem(word!.place, '-t names no table', '-t nat');
  return value.text;
}

function verbOf({ text, isQuoted }: Word): string | undefined {
  if (isQuoted) return undefined;
  if (/^-[AIDRPNFXZLSC]$/.test(text)) return text[1];
  const long = /^-{1,2}([a-z-]+)$/.exec(text)?.[1];
  return long === undefined || !Object.hasOwn(VERBS, long) ? undefined : VERBS[long];
}

/** What stands behind the chain, as text. */
function rulePart(text: string, after: readonly Word[]): string {
  const chain = after[0]!.text;
  const at = text.indexOf(` ${chain}`);
  return text
    .slice(at + chain.length + 1)
    .replace(/(^| )-{1,2}t(able)? \S+/, '')
    .replace(/^ \d+ /, ' ')
    .trim();
}

function meaning({ options, target, unknown }: Rule): string {
  const plain = ({ name, not, values }: Rule['options'][number]) => [name, not, values];
  return JSON.stringify([
    options.map(plain),
    target?.kind,
    target?.name,
    target?.options.map(plain),
    unknown,
  ]);
}

function noPolicy(policy: string, place: Place): SyntaxProblem {
  return problem(
    place,
    policy === '' ? 'no policy is given' : `${policy} is no policy`,
    'a policy is ACCEPT or DROP',
  );
}
