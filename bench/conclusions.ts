/**
 * The table of figures to reach, from what the two benchmarks left beside the page. Either of them brings it up to date.
 * Below it is a section that is kept by hand: where the time goes in figures that were not reached.
 */
import type { EngineResults } from './engine/results.ts';
import type { NetResults } from './net/results.ts';
import { renderMarkdown } from './net/table.ts';
import type { Page } from './page.ts';
import { type Judged, judge, targetTable } from './targets.ts';

const SECTION = 'bench:targets';
const HEADING = '## Where the time goes';

export function writeTargets(page: Page, say: (line: string) => void): void {
  const net = parse<NetResults>(page.readBeside('net.json'));
  const engine = parse<EngineResults>(page.readBeside('engine.json'));
  const judged = judge({ ...(net && { net }), ...(engine && { engine }) });
  page.writeSection(SECTION, conclusions(judged, net, engine));
  if (!page.read().split('\n').includes(HEADING)) page.append(`${HEADING}\n`);
  const silent = unexplained(page.read(), judged);
  if (silent.length > 0) say(`"${HEADING.slice(3)}" has no heading for: ${silent.join('; ')}`);
}

export function conclusions(judged: readonly Judged[], net?: NetResults, engine?: EngineResults): string {
  const source = (name: string, results?: NetResults | EngineResults) =>
    results === undefined
      ? `- ${name}: not run`
      : `- [${name}](benchmarks/${name}): commit ${results.machine.commit}, ${results.machine.date}`;
  return [
    '## Figures to reach',
    '',
    'Ratios are to the kernel recipe unless said otherwise: medians over the rounds of figures taken within one round. A figure with',
    'several parts is as good as its worst. Computed by `bench/targets.ts` from',
    '',
    source('net.json', net),
    source('engine.json', engine),
    '',
    renderMarkdown({ ...targetTable(judged), title: '' }).replace(/^### \n\n/, ''),
  ].join('\n');
}

/** Figures that were missed and have no `### figure` in the section that is kept by hand. */
export function unexplained(page: string, judged: readonly Judged[]): string[] {
  const begin = page.indexOf(`\n${HEADING}\n`);
  const rest = begin < 0 ? '' : page.slice(begin + 1 + HEADING.length);
  const end = rest.search(/\n(## |<!-- bench:)/);
  const headings = (end < 0 ? rest : rest.slice(0, end))
    .split('\n')
    .filter((line) => line.startsWith('### '));
  return judged
    .filter(({ reached }) => reached === 'no')
    .map(({ target }) => target.figure)
    .filter((figure) => !headings.some((heading) => heading.includes(figure)));
}

function parse<T>(json: string | undefined): T | undefined {
  return json === undefined ? undefined : (JSON.parse(json) as T);
}
