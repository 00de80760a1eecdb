/** natgate(1): the prose of natgate.1.md with all verbs and options, as the command line itself tells them. */
import { readFileSync } from 'node:fs';
import { packageVersion } from '../../src/gateway/version.ts';
import { type Entry, readCommon, readVerbs, type Verb } from './help.ts';
import { toRoff } from './roff.ts';

const SOURCE = new URL('../natgate.1.md', import.meta.url);

/** `natgate`: the words that start the command line. */
export function manualPage(natgate: readonly string[]): string {
  const markdown = readFileSync(SOURCE, 'utf8')
    .replace(/^\{verbs\}$/m, () => verbsText(readVerbs(natgate)))
    .replace(/^\{options\}$/m, () => entriesText(readCommon(natgate)));
  return toRoff(markdown, `natgate ${packageVersion()}`);
}

function verbsText(verbs: readonly Verb[]): string {
  return verbs.map((verb) => `${verbText(verb)}\n\n${verbsText(verb.verbs)}`.trimEnd()).join('\n\n');
}

function verbText({ usage, summary, sections }: Verb): string {
  const parts = sections.map(({ title, entries }) => {
    const text = entriesText(entries);
    return title === 'Options' ? text : `**${title}:**\n\n${text}`;
  });
  return [`### natgate ${usage}`, `${summary}.`, ...parts].join('\n\n');
}

function entriesText(entries: readonly Entry[]): string {
  return entries.map(({ term, text }) => `**${term}**\n: ${text}`).join('\n\n');
}
