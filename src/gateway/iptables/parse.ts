/**
 * Files of iptables rules: what iptables-save writes, and commands as people type them and web pages show them. Both may stand in
 * one file.
 *
 *     *nat / :CHAIN POLICY [1:2] / [1:2] -A CHAIN … / COMMIT
 *     sudo iptables -t nat -A CHAIN …      with -I -D -R -P -N -F -X, variables, prompts
 *
 * Everything else of a script is the host's (sysctl, modprobe); what changes which commands run (if, for) is refused.
 */
import { nearestName } from '../../core/nearest.ts';
import { problem } from './parse-rule.ts';
import { type HostLine, RulesError, type Ruleset, type SyntaxProblem } from './syntax.ts';
import { type Commands, Tables } from './tables.ts';
import { type Line, logicalLines, type Word, wordsOf } from './words.ts';

const CONTROL = [
  'if',
  'then',
  'else',
  'elif',
  'fi',
  'for',
  'while',
  'until',
  'do',
  'done',
  'case',
  'esac',
  'function',
  '{',
  '}',
];
/** Programs that change nothing about packets that cross, each with what it is. */
const HOST: Readonly<Record<string, string>> = {
  ip6tables: 'IPv6 is not natgate’s',
  'ip6tables-restore': 'IPv6 is not natgate’s',
  'iptables-save': 'saves rules',
  'iptables-restore': 'loads rules',
  'netfilter-persistent': 'saves rules',
  modprobe: 'loads kernel modules, natgate needs none',
  insmod: 'loads kernel modules, natgate needs none',
  depmod: 'kernel modules',
};

/** Throws RulesError with everything that is wrong. `file`: how the errors name it. */
export function parseRules(file: string, text: string): Ruleset {
  const lines = logicalLines(text);
  const reader = new Reader(hasRules(lines) ? lines : lines.map(unprompted));
  reader.read();
  if (reader.problems.length > 0) throw new RulesError(file, reader.problems);
  return { tables: reader.tables.all, host: reader.host, sets: reader.sets };
}

/** A page that shows the prompt of root: `# iptables …`. Elsewhere that is a comment. */
function unprompted(line: Line): Line {
  const text = line.text.replace(/^(\s*)#(?=\s*(sudo\s+)?(\/\w+)*\/?iptables\s)/, '$1 ');
  return { ...line, text };
}

function hasRules(lines: readonly Line[]): boolean {
  return lines.some(({ text }) => /^\s*[^#\s].*-[AI]\s/.test(text) || /^\s*(\*|:|-[A-Z])/.test(text));
}

class Reader {
  readonly problems: SyntaxProblem[] = [];
  readonly host: HostLine[] = [];
  readonly sets = new Map<string, string[]>();
  readonly tables: Tables = new Tables();
  readonly #lines: readonly Line[];
  readonly #variables = new Map<string, string>();
  /** Table of the lines that iptables-save wrote. */
  #table: string | null = null;

  constructor(lines: readonly Line[]) {
    this.#lines = lines;
  }

  read(): undefined {
    for (const line of this.#lines) {
      try {
        this.#line(line);
      } catch (error) {
        if (!isProblem(error)) throw error;
        this.problems.push(error);
      }
    }
    for (const found of this.tables.problems()) this.problems.push(found);
    this.problems.sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column);
  }

  #line(line: Line): undefined {
    const { words, open } = wordsOf(line);
    if (open !== null) throw problem(open, 'a quote begins here and does not end', 'close it');
    const first = words[0];
    if (first === undefined) return;
    const { text } = first;
    if (text.startsWith('*')) return this.#begin(text.slice(1), first);
    if (text.startsWith(':') && this.#table !== null) {
      return this.tables.declare(this.#table, text.slice(1), words[1]?.text ?? '-', first.place);
    }
    if (text === 'COMMIT' && words.length === 1) {
      this.#table = null;
      return;
    }
    const counted = /^\[\d+:\d+\]$/.test(text) ? words.slice(1) : words;
    if (counted[0]?.text.startsWith('-')) return this.#command(line, counted, this.#table);
    this.#shell(line, words);
  }

  #begin(table: string, first: Word): undefined {
    this.tables.table(table, first.place);
    this.#table = table;
  }

  /** A command of a script: prompts, `sudo`, variables. */
  #shell(line: Line, typed: readonly Word[]): undefined {
    let words = typed.map((word) => this.#expanded(word));
    while (words.length > 0 && /^([$#%>]|.*[@~].*[$#]|sudo|exec|command|-E)$/.test(words[0]!.text))
      words = words.slice(1);
    const first = words[0];
    if (first === undefined) return;
    const assignment = /^(?:export\s+)?([A-Za-z_]\w*)=(.*)$/.exec(first.text);
    if (assignment !== null && words.length === 1) {
      this.#variables.set(assignment[1]!, assignment[2]!);
      return;
    }
    const program = first.text.replace(/^.*\//, '');
    if (/^iptables(-legacy|-nft)?$/.test(program)) return this.#command(line, words.slice(1), null);
    if (program === 'ipset') return this.#ipset(line, words);
    if (CONTROL.includes(program)) {
      throw problem(
        first.place,
        `${program}: which commands run is not followed`,
        'run the script and import what iptables-save prints',
      );
    }
    if (this.#table !== null && HOST[program] === undefined) {
      throw problem(
        first.place,
        `${first.text} is no line of iptables-save`,
        `did you mean ${nearestName(first.text, ['-A', 'COMMIT', '*filter', '*nat'])}?`,
      );
    }
    this.#hostLine(line, program);
  }

  #hostLine(line: Line, program: string): undefined {
    const text = line.text.trim();
    const isForwarding = /ip_forward/.test(text);
    const why = isForwarding
      ? 'natgate forwards by itself, and wants this off'
      : (HOST[program] ?? 'says nothing of packets that cross');
    this.host.push({ line: line.line, text, why });
  }

  #command(line: Line, words: readonly Word[], table: string | null): undefined {
    const text = words.map(shown).join(' ');
    const commands: Commands = this.tables;
    commands.run({ line: line.line, text, words, table, end: line.placeAt(line.text.trimEnd().length) });
  }

  #ipset(line: Line, words: readonly Word[]): undefined {
    const [, action = '', name = '', entry = ''] = words
      .filter(({ text }) => !/^-(exist|!)$/.test(text))
      .map(({ text }) => text);
    if (/^(create|-N|n)$/.test(action)) {
      // Others hold more than addresses: their entries are not given, and rules that name them say so.
      if (/^(hash:ip|hash:net|bitmap:ip|iphash|nethash)$/.test(entry)) this.sets.set(name, []);
    } else if (/^(add|-A|a)$/.test(action)) this.sets.get(name)?.push(entry);
    else if (/^(flush|-F)$/.test(action)) this.sets.get(name)?.splice(0);
    this.host.push({
      line: line.line,
      text: line.text.trim(),
      why: 'sets are read; the kernel’s own are not needed',
    });
  }

  /** With its variables; what only a shell can say is refused where it matters. */
  #expanded(word: Word): Word {
    const text = word.text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (all, braced: string, bare: string) => {
      const value = this.#variables.get(braced ?? bare);
      if (value === undefined) {
        if (/^(IPT|IPTABLES|iptables)$/.test(braced ?? bare)) return 'iptables';
        throw problem(
          word.place,
          `the variable ${all} is not set in this file`,
          'write its value, or import what iptables-save prints',
        );
      }
      return value;
    });
    return { ...word, text };
  }
}

function shown({ text, isQuoted }: Word): string {
  return isQuoted || /[\s"]/.test(text) ? JSON.stringify(text) : text;
}

function isProblem(error: unknown): error is SyntaxProblem {
  return typeof error === 'object' && error !== null && 'place' in error && 'remedy' in error;
}
