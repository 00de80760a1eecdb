/** Ratios to the reference, a row for each workload, a mark for each contender, on a logarithmic scale. */
import { axisLabel, logScale } from './scale.ts';
import { document, element, legend, mark, path, text } from './svg.ts';

export interface RatioRow {
  label: string;
  /** By series; absent where there is none. `failed`: there should be one. */
  points: ({ ratio: number; low: number; high: number } | 'failed' | undefined)[];
}

export interface RatioPlot {
  title: string;
  /** What the line at 1 is. */
  reference: string;
  better: 'higher' | 'lower';
  /** The first is the subject: its ratio stands at the right, in figures. */
  series: readonly string[];
  rows: readonly RatioRow[];
}

const WIDTH = 860;
const LEFT = 290;
const RIGHT = WIDTH - 90;
const ROW = 26;
/** A second line below the label: who failed. */
const FAILED_LINE = 14;
const LABEL_LETTERS = 42;
const MARGIN = 16;

export function ratioPlot(plot: RatioPlot): string {
  const { rows, series } = plot;
  const values = rows.flatMap((row) =>
    row.points.flatMap((point) => (typeof point === 'object' ? [point.ratio, point.low, point.high] : [])),
  );
  const scale = logScale([...values, 1], LEFT, RIGHT);
  const direction = plot.better === 'higher' ? 'further right is better' : 'further left is better';
  const [marks, top] = legend(series, MARGIN, 68, WIDTH - MARGIN);
  const begin = top + 8;
  const tops = [begin];
  for (const row of rows) tops.push(tops.at(-1)! + height(row));
  const end = tops.at(-1)!;
  const parts = [
    text(MARGIN, 26, plot.title, { class: 'title' }),
    text(MARGIN, 44, `Ratio to ${plot.reference}, logarithmic; ${direction}. Thin line: all rounds.`, {
      class: 'soft',
    }),
    marks,
    ...rows.map((row, i) =>
      i % 2 === 0
        ? element('rect', { x: 1, y: tops[i]!, width: WIDTH - 2, height: height(row), class: 'band' })
        : '',
    ),
    ...scale.ticks.map(
      (tick) =>
        element('path', { d: path([scale.at(tick), begin, scale.at(tick), end]), class: 'grid' }) +
        text(scale.at(tick), end + 18, axisLabel(tick), { 'text-anchor': 'middle', class: 'soft' }),
    ),
    element('path', { d: path([scale.at(1), begin - 4, scale.at(1), end]), class: 'base' }),
    text(WIDTH - MARGIN, begin - 6, series[0] ?? '', { 'text-anchor': 'end', class: 'soft' }),
    ...rows.map((row, i) => drawRow(plot, row, tops[i]! + ROW / 2, scale.at)),
  ];
  return document(WIDTH, end + 34, plot.title, parts.filter(Boolean).join('\n'));
}

function drawRow({ series }: RatioPlot, row: RatioRow, y: number, at: (value: number) => number): string {
  const parts = [text(MARGIN, y + 4, shortened(row.label))];
  // The subject last, on top of the others.
  for (let i = series.length - 1; i >= 0; i--) {
    const point = row.points[i];
    if (typeof point !== 'object') continue;
    const range = element('path', {
      d: path([at(point.low), y, at(point.high), y]),
      class: `l${i % 7} range`,
    });
    const name = element('title', {}, `${series[i]}: ${point.ratio.toFixed(2)}`);
    parts.push(range, element('g', {}, mark(i, at(point.ratio), y) + name));
  }
  const failed = series.filter((_, i) => row.points[i] === 'failed');
  if (failed.length > 0) {
    parts.push(text(MARGIN + 8, y + 4 + FAILED_LINE, `failed: ${failed.join(', ')}`, { class: 'bad' }));
  }
  const own = row.points[0];
  const said = own === 'failed' ? 'failed' : own === undefined ? '-' : own.ratio.toFixed(2);
  parts.push(
    text(WIDTH - MARGIN, y + 4, said, { 'text-anchor': 'end', class: own === 'failed' ? 'bad' : '' }),
  );
  return parts.join('\n');
}

function height(row: RatioRow): number {
  return row.points.includes('failed') ? ROW + FAILED_LINE : ROW;
}

function shortened(label: string): string {
  return label.length <= LABEL_LETTERS ? label : `${label.slice(0, LABEL_LETTERS - 1).trimEnd()}…`;
}
