/** The tables of a summary, and the section of docs/benchmarks.md that quotes them. */
import { type LeftOut, leftOutLines } from './left-out.ts';
import type { Machine } from './machine.ts';
import type { Picture } from './plots.ts';
import type { Failure, Figure, Summary } from './summary.ts';
import { renderMarkdown, type Table } from './table.ts';
import type { Contender, Metric, Workload } from './types.ts';

/** A workload, or one of the figures that it yields. */
export type Row = Metric & Pick<Workload, 'costUnit' | 'about'>;

export interface Report {
  machine: Machine;
  command: string;
  seconds: number;
  rounds: number;
  reference: string;
  contenders: readonly Pick<Contender, 'name' | 'about'>[];
  workloads: readonly Row[];
  summary: Summary;
  leftOut?: readonly LeftOut[];
}

/** One table with everything, and one for each workload with the details. */
export function tables(report: Report): Table[] {
  return [overview(report), ...report.workloads.map((workload) => detail(report, workload))];
}

function overview(report: Report): Table {
  return {
    title: `Medians of ${report.rounds} round(s), in brackets the ratio to ${report.reference}`,
    head: ['', ...report.contenders.map((contender) => contender.name)],
    rows: report.workloads.map((workload) => [
      `${workload.name}, ${workload.unit}`,
      ...report.contenders.map((contender) => {
        const figure = find(report.summary.figures, contender, workload);
        if (figure === undefined) return absent(report, contender, workload);
        const ratio = figure.ratio === undefined ? '' : ` (${figure.ratio.toFixed(2)})`;
        return `${figure.median.toFixed(workload.digits)}${ratio}`;
      }),
    ]),
  };
}

function detail(report: Report, workload: Row): Table {
  const cost = workload.costUnit === undefined ? [] : ['gateway CPU', 'machine CPU'];
  const unit = workload.costUnit === undefined ? '' : `; CPU seconds per ${workload.costUnit}`;
  return {
    title: `${workload.name}: ${workload.title} (${workload.unit}, ${workload.better} is better${unit})`,
    head: ['', 'median', 'min', 'max', 'ratio', 'rounds', ...cost],
    rows: report.contenders.map((contender) => {
      const figure = find(report.summary.figures, contender, workload);
      if (figure === undefined) {
        return [contender.name, absent(report, contender, workload), ...Array(4 + cost.length).fill('-')];
      }
      const { digits } = workload;
      return [
        contender.name,
        ...[figure.median, figure.min, figure.max].map((value) => value.toFixed(digits)),
        figure.ratio?.toFixed(2) ?? '-',
        `${figure.rounds}/${figure.tried}`,
        ...(cost.length === 0
          ? []
          : [figure.gatewayCost, figure.machineCost].map((c) => c?.toFixed(3) ?? '-')),
      ];
    }),
  };
}

function absent(report: Report, contender: Named, workload: Named): string {
  return find(report.summary.failures, contender, workload) === undefined ? '-' : 'failed';
}

interface Named {
  name: string;
}

function find<T extends Figure | Failure>(list: T[], contender: Named, workload: Named): T | undefined {
  return list.find((entry) => entry.contender === contender.name && entry.workload === workload.name);
}

/** One line for each distinct failure; empty when there was none. */
export function failureLines(summary: Summary): string[] {
  const lines = new Map<string, string[]>();
  for (const { contender, workload, rounds, tried, error } of summary.failures) {
    const key = `${contender}: ${error.replaceAll(/\s+/g, ' ')}`;
    lines.set(key, [...(lines.get(key) ?? []), `${workload} ${rounds}/${tried}`]);
  }
  return [...lines].map(([key, where]) => `${key.replace(': ', ` failed (${where.join(', ')}): `)}`);
}

/** The section of docs/benchmarks.md; `pictures` lie in docs/benchmarks/. */
export function markdown(report: Report, pictures: readonly Picture[] = []): string {
  const { machine, leftOut = [] } = report;
  const [all, ...each] = tables(report);
  const failures = failureLines(report.summary);
  return [
    '## Throughput and latency, side by side',
    '',
    `Written by \`${report.command}\` on ${machine.date}, commit ${machine.commit}. Do not edit. Raw: [net.json](benchmarks/net.json).`,
    '',
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, node ${machine.node}`,
    `- Packages: ${machine.packages.join(', ') || 'unknown'}`,
    `- ${report.rounds} rounds of ${report.seconds} s for each measurement, after a warm-up. In a round, each workload goes through`,
    '  all contenders, which take turns at being first, before the next one starts. Each contender has namespaces of its own, new in',
    '  every round and after a failure.',
    '- Client, gateway and server are network namespaces joined by veth, on the same cores, not pinned. There is no',
    '  network card in it: compare the contenders, do not take the figures for those of a wire.',
    `- A ratio is the median of the rounds' own ratios to ${report.reference}. CPU time is counted in steps of 10 ms; "machine" is all that`,
    '  ran, client and server included.',
    '',
    ...pictures.flatMap(({ file, alt }) => [`![${alt}](benchmarks/${file})`, '']),
    renderMarkdown(all!),
    ...each.flatMap((table, i) => [renderMarkdown(table), ...about(report.workloads, i)]),
    '### Contenders',
    '',
    ...report.contenders.map((contender) => `- **${contender.name}**: ${contender.about}`),
    '',
    ...(leftOut.length === 0
      ? []
      : ['### Left out', '', ...leftOutLines(leftOut).map((line) => `- ${line}`), '']),
    ...(failures.length === 0 ? [] : ['### Failed', '', ...failures.map((line) => `- ${line}`), '']),
  ].join('\n');
}

/** How it is measured, once for all figures of a workload. */
function about(workloads: readonly Row[], i: number): string[] {
  const said = workloads[i]!.about;
  return said === undefined || workloads[i + 1]?.about === said ? [] : [said, ''];
}
