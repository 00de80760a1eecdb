/**
 * Filters as text, in the words of tcpdump:
 *
 *     filter = and { ("or" | "||") and }
 *     and    = term { ("and" | "&&") term }
 *     term   = ("not" | "!") term | "(" filter ")" | PROTOCOL | WORD value
 *
 * `not` binds closer than `and`, `and` closer than `or`. A value may be a list, `dport 80,443`, and stand in double quotes. A protocol's
 * name may stand alone. `src host A`, `dst net N`, `src port P` are taken as tcpdump does. An error says at which column, counted from 1.
 */
import { NatgateError } from '../../core/errors.ts';
import { protocolNames } from '../../wire/protocols.ts';
import { EVERYTHING, type Filter } from './filter.ts';
import { filterWord, filterWords, meant, readTest } from './filter-words.ts';

/** Characters of an expression, at most: it comes over a socket too. */
const MAX_LENGTH = 4096;
const MAX_DEPTH = 64;

export class FilterError extends NatgateError {
  /** Of the character at fault, from 1. */
  readonly column: number;

  constructor(text: string, column: number, what: string) {
    // The place is shown below the text where that is one short line.
    const shown = text.length <= 100 && !/[^\x20-\x7e]/.test(text);
    const hint = shown
      ? `${text}\n  ${' '.repeat(column - 1)}^`
      : "e.g. 'proto tcp and src 10.0.0.0/24 and not dport 443'";
    super('filter_invalid', `the filter, column ${column}: ${what}`, hint);
    this.column = column;
  }
}

interface Token {
  text: string;
  /** From 1. */
  column: number;
  quoted: boolean;
}

const SYMBOLS: Record<string, string> = { '&&': 'and', '||': 'or', '!': 'not' };
const OPERATORS = ['and', 'or', 'not', '(', ')'];

/** Throws FilterError. An empty text is everything. */
export function parseFilter(text: string): Filter {
  if (text.length > MAX_LENGTH) {
    throw new FilterError(text, MAX_LENGTH + 1, `longer than ${MAX_LENGTH} characters`);
  }
  const parser = new Parser(text);
  return parser.filter();
}

class Parser {
  private readonly text: string;
  private readonly tokens: Token[];
  private at = 0;
  private depth = 0;

  constructor(text: string) {
    this.text = text;
    this.tokens = tokensOf(text);
  }

  filter(): Filter {
    if (this.tokens.length === 0) return EVERYTHING;
    const filter = this.or();
    const rest = this.tokens[this.at];
    if (rest === undefined) return filter;
    if (rest.text === ')') throw this.error(rest, 'a ) without its (');
    throw this.error(rest, `"and" or "or" is missing before ${rest.text}`);
  }

  private or(): Filter {
    return this.chain('or', () => this.chain('and', () => this.term()));
  }

  private chain(word: 'and' | 'or', next: () => Filter): Filter {
    const parts = [next()];
    while (this.takes(word)) parts.push(next());
    return parts.length === 1 ? parts[0]! : { kind: word, of: parts };
  }

  private term(): Filter {
    if (++this.depth > MAX_DEPTH) throw this.error(this.tokens[this.at], 'nested too deeply');
    const filter = this.innerTerm();
    this.depth--;
    return filter;
  }

  private innerTerm(): Filter {
    if (this.takes('not')) return { kind: 'not', of: this.term() };
    if (this.takes('(')) {
      const opening = this.tokens[this.at - 1];
      const filter = this.or();
      const next = this.tokens[this.at];
      if (this.takes(')')) return filter;
      if (next === undefined) throw this.error(opening, 'this ( has no )');
      throw this.error(next, `"and", "or" or ) is missing before ${next.text}`);
    }
    return this.test();
  }

  private test(): Filter {
    const token = this.tokens[this.at++];
    if (token === undefined || (!token.quoted && OPERATORS.includes(token.text))) {
      const found = token === undefined ? 'the end' : token.text;
      throw this.error(token, `a test such as "src 10.0.0.2" is missing before ${found}`);
    }
    if (!token.quoted && protocolNames.includes(token.text.toLowerCase())) {
      return readTest('proto', token.text) as Filter;
    }
    const known = token.quoted ? null : filterWord(token.text);
    if (known === null) {
      const words = [...filterWords, ...protocolNames, ...OPERATORS.slice(0, 3)];
      throw this.error(token, `${token.text} is no word of the filter language${meant(token.text, words)}`);
    }
    const word = this.narrowed(known);
    const value = this.tokens[this.at++];
    if (value === undefined || (!value.quoted && OPERATORS.includes(value.text))) {
      throw this.error(value, `the value of ${word} is missing`);
    }
    const test = readTest(word, value.text);
    if (typeof test === 'string') throw this.error(value, test);
    return test;
  }

  /** `src port` is sport, `src host` and `src net` are src; likewise of dst. */
  private narrowed(word: string): string {
    if (word !== 'src' && word !== 'dst') return word;
    const next = this.tokens[this.at];
    const second = next === undefined || next.quoted ? null : filterWord(next.text);
    if (second !== 'host' && second !== 'port') return word;
    this.at++;
    if (second === 'host') return word;
    return word === 'src' ? 'sport' : 'dport';
  }

  private takes(word: string): boolean {
    const token = this.tokens[this.at];
    if (token === undefined || token.quoted || token.text.toLowerCase() !== word) return false;
    this.at++;
    return true;
  }

  private error(token: Token | undefined, what: string): FilterError {
    return new FilterError(this.text, token?.column ?? this.text.trimEnd().length + 1, what);
  }
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s+|&&|\|\||[!()]|"((?:[^"\\]|\\.)*)"|[^\s()!"&|]+|./gsu;
  for (const match of text.matchAll(pattern)) {
    const [found, inQuotes] = match;
    const column = match.index + 1;
    if (/^\s/.test(found)) continue;
    if (inQuotes !== undefined) {
      tokens.push({ text: inQuotes.replace(/\\(.)/gs, '$1'), column, quoted: true });
      continue;
    }
    if (found === '"') throw new FilterError(text, column, 'this " has no second one');
    if (found === '&' || found === '|')
      throw new FilterError(text, column, `${found} is to be ${found}${found}`);
    tokens.push({ text: Object.hasOwn(SYMBOLS, found) ? SYMBOLS[found]! : found, column, quoted: false });
  }
  return tokens;
}
