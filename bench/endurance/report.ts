/** What `npm run bench:endurance` found, for the terminal and for docs/benchmarks.md. */
import { renderMarkdown, renderText } from '../net/table.ts';
import { judge, targetTable } from '../targets.ts';
import type { EnduranceResults } from './results.ts';
import { enduranceTargets } from './targets.ts';

const table = (endurance: EnduranceResults) => ({
  ...targetTable(judge({ endurance }, enduranceTargets)),
  title: 'When things go wrong',
});

export function text(endurance: EnduranceResults): string {
  const seen = Object.entries(endurance).map(([name, { seen }]) => `${name}: ${seen}`);
  return [renderText(table(endurance)), ...seen, ''].join('\n');
}

export function markdown(endurance: EnduranceResults): string {
  const lines = Object.values(endurance).map(
    ({ command, seconds, seen, machine: { cpu, cores, kernel, node, commit, date } }) =>
      `- \`${command}\` (${seconds.toFixed(0)} s; ${cores} × ${cpu}, Linux ${kernel}, Node ${node}; commit ${commit}, ${date}): ${seen}.`,
  );
  return [
    renderMarkdown(table(endurance)).replace(/^###/, '##'),
    'Written by `npm run bench:endurance -- --write`. Do not edit. Raw: [endurance.json](benchmarks/endurance.json).',
    '',
    ...lines,
    '',
  ].join('\n');
}
