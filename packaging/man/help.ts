/** What the command line says of itself: `natgate --help` and that of every verb, as data. */
import { spawnSync } from 'node:child_process';

export interface Entry {
  /** `--name` or `-n, --name`; of a positional its name. */
  term: string;
  text: string;
}

export interface Section {
  /** `Options`, `Positionals`, or a group's name. */
  title: string;
  entries: Entry[];
}

export interface Verb {
  /** `run`, `config show`. */
  name: string;
  /** With its arguments: `forward add <rule>`. */
  usage: string;
  summary: string;
  sections: Section[];
  verbs: Verb[];
}

/** Options that every verb has; they are told once. */
const COMMON: ReadonlySet<string> = new Set(['--help', '--version', '--debug']);
/** So wide that nothing is wrapped. */
const COLUMNS = '5000';

/** All verbs, with theirs. `natgate`: the words that start it. */
export function readVerbs(natgate: readonly string[]): Verb[] {
  return verbsOf(natgate, [], readHelp(natgate, []));
}

/** `sections`: the help of what `path` is. */
function verbsOf(natgate: readonly string[], path: readonly string[], sections: readonly Section[]): Verb[] {
  const commands = sections.find(({ title }) => title === 'Commands')?.entries ?? [];
  return commands.flatMap(({ term, text }) => {
    const usage = term.replace(/^natgate /, '');
    const words = usage.split(' ').filter((word) => /^[a-z]/.test(word));
    // A verb's default command is listed among its own.
    if (words.length <= path.length) return [];
    const help = readHelp(natgate, words);
    const own = help.filter(({ title }) => title !== 'Commands' && title !== 'Examples');
    for (const section of own) section.entries = section.entries.filter((entry) => !COMMON.has(entry.term));
    return [
      {
        name: words.join(' '),
        usage,
        summary: text,
        sections: own.filter(({ entries }) => entries.length > 0),
        verbs: verbsOf(natgate, words, help),
      },
    ];
  });
}

/** The common options. */
export function readCommon(natgate: readonly string[]): Entry[] {
  return readHelp(natgate, []).find(({ title }) => title === 'Options')?.entries ?? [];
}

function readHelp(natgate: readonly string[], path: readonly string[]): Section[] {
  const [program = '', ...args] = natgate;
  // `completion` answers with its script whatever else it is asked.
  if (path[0] === 'completion') return [];
  const { status, stdout, stderr } = spawnSync(program, [...args, ...path, '--help'], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], LC_ALL: 'C', COLUMNS },
  });
  if (status !== 0) throw new Error(`natgate ${path.join(' ')} --help: ${stderr}`);
  return parseHelp(stdout);
}

/** Sections are `Title:` and lines of a term, two blanks or more, and a text. */
export function parseHelp(text: string): Section[] {
  const sections: Section[] = [];
  for (const line of text.split('\n')) {
    const title = /^(\S.*):$/.exec(line)?.[1];
    if (title !== undefined) sections.push({ title, entries: [] });
    const [, term, about] = /^ {2,}(\S.*?) {2,}(\S.*)$/.exec(line) ?? [];
    if (term === undefined || about === undefined) continue;
    sections.at(-1)?.entries.push({ term, text: about.replace(/ {2,}/g, ' ') });
  }
  return sections;
}
