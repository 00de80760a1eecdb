/**
 * Lines as words with their columns. Quotes and backslashes as in a shell and as iptables-save writes them.
 *
 * Web pages change what was typed: dashes into en-dashes and em-dashes, quotes into curly ones, spaces into such that do not
 * break. All of these are what they were before.
 */
import type { Place } from './syntax.ts';

export interface Word {
  text: string;
  /** Some of it was in quotes: it is no option and no `!`. */
  isQuoted: boolean;
  place: Place;
}

/** One for one, so that columns stay right; a long dash is one dash, and `--` again where an option is longer than a letter. */
const ODD: readonly (readonly [RegExp, string])[] = [
  [/[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]/g, '-'],
  [/[\u201c-\u201f\u2033\u00ab\u00bb\uff02]/g, '"'],
  [/[\u2018-\u201b\u2032\u00b4]/g, "'"],
  [/[\u00a0\u2000-\u200a\u202f\u205f\u3000]/g, ' '],
  [/[\u200b-\u200d\u2060\ufeff\u00ad]/g, ' '],
  [/\uff01/g, '!'],
  [/\r/g, ' '],
];

export function plainCharacters(text: string): string {
  return ODD.reduce((plain, [odd, instead]) => plain.replace(odd, instead), text);
}

export interface Line {
  line: number;
  /** With its continuations, one text. */
  text: string;
  /** Where each character of it is. */
  placeAt(offset: number): Place;
}

/** Joins what a backslash at the end continues. */
export function logicalLines(text: string): Line[] {
  const physical = plainCharacters(text).split('\n');
  const lines: Line[] = [];
  for (let i = 0; i < physical.length; i++) {
    const first = i;
    const parts = [physical[i]!];
    while (/\\\s*$/.test(parts.at(-1)!) && i + 1 < physical.length) {
      parts[parts.length - 1] = parts.at(-1)!.replace(/\\\s*$/, ' ');
      parts.push(physical[++i]!);
    }
    lines.push({
      line: first + 1,
      text: parts.join(''),
      placeAt(offset) {
        let rest = offset;
        for (const [n, part] of parts.entries()) {
          if (rest < part.length || n === parts.length - 1) return { line: first + n + 1, column: rest + 1 };
          rest -= part.length;
        }
        return { line: first + 1, column: 1 };
      },
    });
  }
  return lines;
}

/** Null in `open`, or where a quote begins that does not end. A `#` that begins a word begins a comment. */
export function wordsOf({ text, placeAt }: Line): { words: Word[]; open: Place | null } {
  const words: Word[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at++;
      continue;
    }
    if (text[at] === '#') break;
    const place = placeAt(at);
    let word = '';
    let isQuoted = false;
    for (; at < text.length && !/\s/.test(text[at]!); at++) {
      const char = text[at]!;
      if (char === '\\' && at + 1 < text.length) word += text[++at]!;
      else if (char === '"' || char === "'") {
        const start = at;
        isQuoted = true;
        for (at++; at < text.length && text[at] !== char; at++) {
          if (char === '"' && text[at] === '\\' && at + 1 < text.length) at++;
          word += text[at]!;
        }
        if (at >= text.length) return { words, open: placeAt(start) };
      } else word += char;
    }
    words.push({ text: word, isQuoted, place });
  }
  return { words, open: null };
}
