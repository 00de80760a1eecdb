/** The report's plots: ratios to the reference, rates in one and times in the other, for one is better high and the other low. */
import { ratioPlot } from '../plot/ratio-plot.ts';
import type { Report, Row } from './report.ts';

export interface Picture {
  /** Name in docs/benchmarks/. */
  file: string;
  /** For those who do not see it. */
  alt: string;
  svg: string;
}

const SUBJECT = 'natgate';

export function plots(report: Report): Picture[] {
  const wanted = [
    { better: 'higher', file: 'rates.svg', title: 'Rates beside the kernel recipe' },
    { better: 'lower', file: 'times.svg', title: 'Times beside the kernel recipe' },
  ] as const;
  return wanted.flatMap(({ better, file, title }) => {
    const svg = plot(
      report,
      report.workloads.filter((row) => row.better === better),
      title,
    );
    return svg === undefined ? [] : [{ file, svg, alt: `${title}: ratios to ${report.reference}` }];
  });
}

function plot(
  { summary, contenders, reference }: Report,
  wanted: readonly Row[],
  title: string,
): string | undefined {
  // Where the reference has no figure there is no ratio to show; the tables have the values.
  const rows = wanted.filter(({ name }) =>
    summary.figures.some((f) => f.workload === name && f.ratio !== undefined),
  );
  const series = contenders
    .map(({ name }) => name)
    .filter((name) => name !== reference && isIn(name))
    .sort((a, b) => Number(b === SUBJECT) - Number(a === SUBJECT));
  if (rows.length === 0 || series.length === 0) return undefined;
  return ratioPlot({
    ...{ title, reference, series },
    better: rows[0]!.better,
    rows: rows.map((row) => ({
      label: row.title,
      points: series.map((contender) => pointOf(row.name, contender)),
    })),
  });

  function isIn(contender: string): boolean {
    return rows.some(({ name }) => pointOf(name, contender) !== undefined);
  }

  function pointOf(workload: string, contender: string) {
    const isIt = (entry: { workload: string; contender: string }) =>
      entry.workload === workload && entry.contender === contender;
    const figure = summary.figures.find(isIt);
    if (figure?.ratio !== undefined) {
      const [low, high] = figure.ratioRange ?? [figure.ratio, figure.ratio];
      return { ratio: figure.ratio, low, high };
    }
    return summary.failures.some(isIt) ? 'failed' : undefined;
  }
}
