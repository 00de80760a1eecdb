/** The words behind `-A CHAIN`, as a rule. Options may be abbreviated, and `!` may stand before an option or behind it, as iptables once had it. */
import { nearestName } from '../../core/nearest.ts';
import { ALIASES, CORE, IMPLICIT, MATCHES, SHORT, TARGETS } from './option-names.ts';
import type { Option, Place, Rule, SyntaxProblem, Target } from './syntax.ts';
import type { Word } from './words.ts';

interface Draft {
  options: Option[];
  unknown: string[];
  target: Target | null;
  targetOptions: Option[];
}

/** Throws a SyntaxProblem. `isChain`: whether a word behind `-j` is a chain of the table. */
export function parseRule(
  head: Pick<Rule, 'line' | 'table' | 'chain' | 'text'>,
  words: readonly Word[],
): Rule {
  const reader = new RuleReader(words);
  const { options, unknown, target, targetOptions } = reader.read();
  return {
    ...head,
    options,
    unknown,
    target: target === null ? null : { ...target, options: targetOptions },
  };
}

class RuleReader {
  readonly #words: readonly Word[];
  #at = 0;
  readonly #draft: Draft = { options: [], unknown: [], target: null, targetOptions: [] };
  /** Matches that are in use; the last one is asked first. */
  #modules: string[] = [];

  constructor(words: readonly Word[]) {
    this.#words = words;
  }

  read(): Draft {
    while (this.#at < this.#words.length) this.#option();
    return this.#draft;
  }

  #option(): undefined {
    let not = false;
    let word = this.#words[this.#at]!;
    if (isBang(word)) {
      not = true;
      const next = this.#words[++this.#at];
      if (next === undefined)
        throw problem(word.place, 'nothing stands behind the !', 'negate an option: ! -s 10.0.0.0/8');
      word = next;
    }
    const { place } = word;
    if (word.isQuoted || !/^-+[A-Za-z0-9]/.test(word.text)) {
      throw problem(place, `${word.text} is no option`, 'put texts of several words in quotes');
    }
    this.#at++;
    const dashes = /^-+/.exec(word.text)![0].length;
    const body = word.text.slice(dashes);
    // `-s10.0.0.0/8`, and `-dport` as pages write that had `--dport`, or `–dport` with one long dash.
    const isLong = dashes > 1 || (body.length > 1 && this.#find(body) !== null);
    const [name, attached] = isLong ? split(body) : [SHORT[body[0]!], body.slice(1)];
    if (name === undefined) throw this.#unknownOption(word, place);
    if (isLong) this.#long(name, attached, not, word);
    else this.#take('', name, CORE[name]!, attached === '' ? null : attached, not, place);
  }

  #long(name: string, attached: string | null, not: boolean, word: Word): undefined {
    const found = this.#find(name);
    if (found === null) throw this.#unknownOption(word, word.place);
    this.#take(found.module, found.name, found.count, attached, not, word.place);
  }

  /** By its name or an unambiguous beginning of it. */
  #find(text: string): { module: string; name: string; count: number } | null {
    const { target } = this.#draft;
    const places: [string, Readonly<Record<string, number>>][] = [
      ...(target === null
        ? []
        : ([[`>${target.name}`, TARGETS[target.name] ?? {}]] as const).map(
            (one): [string, Readonly<Record<string, number>>] => [...one],
          )),
      ...[...this.#modules]
        .reverse()
        .map((name): [string, Readonly<Record<string, number>>] => [name, MATCHES[name] ?? {}]),
      ['', CORE],
    ];
    for (const [module, options] of places) {
      if (Object.hasOwn(options, text)) return { module, name: text, count: options[text]! };
    }
    const beginnings = places.flatMap(([module, options]) =>
      Object.keys(options)
        .filter((name) => name.startsWith(text))
        .map((name) => ({ module, name, count: options[name]! })),
    );
    const names = new Set(beginnings.map(({ name }) => ALIASES[name] ?? name));
    return names.size === 1 ? beginnings[0]! : null;
  }

  #take(
    module: string,
    given: string,
    count: number,
    attached: string | null,
    negated: boolean,
    place: Place,
  ): undefined {
    let not = negated;
    const values: string[] = attached === null ? [] : [attached];
    while (values.length < count) {
      const word = this.#words[this.#at];
      if (word !== undefined && isBang(word) && values.length === 0 && !not) {
        not = true;
        this.#at++;
        continue;
      }
      if (word === undefined || (!word.isQuoted && /^-+[A-Za-z]/.test(word.text))) {
        throw problem(
          place,
          `--${given} needs ${count === 1 ? 'a value' : `${count} values`}`,
          'look at what follows it',
        );
      }
      values.push(word.text);
      this.#at++;
    }
    const name = ALIASES[given] ?? given;
    if (name === 'jump' || name === 'goto') this.#setTarget(name, values[0]!, place);
    else if (name === 'match') this.#useMatch(values[0]!, place);
    else if (module.startsWith('>')) this.#draft.targetOptions.push({ name, module, not, values, place });
    else if (!['set-counters', 'numeric', 'verbose', 'exact', 'ipv4'].includes(name)) {
      if (name === 'wait') return this.#skipNumber();
      this.#draft.options.push({ name, module, not, values, place });
      if (name === 'protocol' && !not) this.#use(IMPLICIT[values[0]!.toLowerCase()]);
    }
  }

  #setTarget(kind: 'jump' | 'goto', name: string, place: Place): undefined {
    if (this.#draft.target !== null)
      throw problem(place, 'the rule has a target already', 'keep one -j or -g');
    this.#draft.target = { kind, name, options: [], place };
  }

  #useMatch(name: string, place: Place): undefined {
    if (Object.hasOwn(MATCHES, name)) return this.#use(name);
    if (!/^[a-zA-Z0-9_]+$/.test(name))
      throw problem(place, `there is no match ${name}`, 'name one behind -m');
    this.#draft.unknown.push(name);
    // How many words its options take is not known: all up to the next option that every rule can have.
    while (this.#at < this.#words.length && !this.#isCore(this.#at)) this.#at++;
  }

  #isCore(at: number): boolean {
    const word = this.#words[at]!;
    const next = this.#words[at + 1];
    if (isBang(word)) return next !== undefined && this.#isCore(at + 1);
    if (word.isQuoted) return false;
    if (/^-[sdiopjgmfc]$/.test(word.text)) return true;
    return /^--/.test(word.text) && Object.hasOwn(CORE, word.text.slice(2));
  }

  #use(name: string | undefined): undefined {
    if (name === undefined) return;
    this.#modules = [...this.#modules.filter((other) => other !== name), name];
  }

  #skipNumber(): undefined {
    if (/^\d+$/.test(this.#words[this.#at]?.text ?? '')) this.#at++;
  }

  #unknownOption(word: Word, place: Place): SyntaxProblem {
    const name = split(word.text.replace(/^-+/, ''))[0]!;
    const owner = Object.entries(MATCHES).find(([, options]) => Object.hasOwn(options, name));
    if (owner !== undefined) {
      return problem(place, `--${name} without its match`, `give -m ${owner[0]} (or -p) before it`);
    }
    const { target } = this.#draft;
    const names = [
      ...this.#modules.flatMap((module) => Object.keys(MATCHES[module] ?? {})),
      ...Object.keys(CORE),
      ...Object.keys(target === null ? {} : (TARGETS[target.name] ?? {})),
    ];
    return problem(place, `there is no option ${word.text}`, `did you mean --${nearestName(name, names)}?`);
  }
}

/** `--name=value`. */
function split(body: string): [string, string | null] {
  const at = body.indexOf('=');
  return at < 0 ? [body, null] : [body.slice(0, at), body.slice(at + 1)];
}

function isBang(word: Word): boolean {
  return word.text === '!' && !word.isQuoted;
}

export function problem(place: Place, what: string, remedy: string): SyntaxProblem {
  return { place, what, remedy };
}
