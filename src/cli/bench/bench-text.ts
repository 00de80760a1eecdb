/** The comparison for people. */
import type { ContenderName } from './options.ts';
import type { BenchFigure, Reading } from './summary.ts';
import type { Workload } from './workloads.ts';

type Row = Pick<Workload, 'name' | 'title' | 'unit' | 'digits' | 'better' | 'how'>;

/** Natgate and the kernel with their range, natgate's ratio, then the others. */
export function benchTable(
  figures: readonly BenchFigure[],
  readings: readonly Reading[],
  contenders: readonly ContenderName[],
  rows: readonly Row[],
): string {
  const others = contenders.filter((name) => name !== 'natgate' && name !== 'kernel');
  const columns = contenders.filter((name) => name === 'natgate' || name === 'kernel');
  const head = ['', ...columns, ...(columns.length === 2 ? ['ratio'] : []), ...others];
  const lines = rows.map((row) => {
    const figureOf = (contender: ContenderName) =>
      figures.find((figure) => figure.contender === contender && figure.workload === row.name);
    const cell = (contender: ContenderName, show: (figure: BenchFigure) => string) => {
      const figure = figureOf(contender);
      if (figure !== undefined) return show(figure);
      return readings.some((r) => r.contender === contender && r.workload === row.name) ? 'failed' : '-';
    };
    const number = (value: number) => value.toFixed(row.digits);
    const spread = ({ median, lowest, highest }: BenchFigure) =>
      `${number(median)} (${number(lowest)} - ${number(highest)})`;
    const ratio = figureOf('natgate')?.ratio;
    return [
      `${row.title}, ${row.unit}`,
      ...columns.map((contender) => cell(contender, spread)),
      ...(columns.length === 2 ? [ratio === undefined ? '-' : ratio.toFixed(2)] : []),
      ...others.map((contender) => cell(contender, ({ median }) => number(median))),
    ];
  });
  return align([head, ...lines]);
}

/** What one has to know to judge the table. */
export function benchNotes(rows: readonly Row[], rounds: number): string {
  const lower = rows.filter(({ better }) => better === 'lower').map(({ title }) => title);
  return [
    `Medians of ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, in brackets the lowest and the highest. Ratio: natgate to the kernel; above 1 natgate is ahead${lower.length > 0 ? ` (${lower.join(', ')}: below 1)` : ''}.`,
    ...new Set(rows.map(({ how }) => `${how}.`)),
    'Client, gateway and server share the processors of this machine, and no network card is in it: compare the columns,',
    'do not take the figures for those of a wire.',
  ].join('\n');
}

/** One line for each contender and cause. */
export function failureLines(readings: readonly Reading[]): string[] {
  const lines = new Map<string, string[]>();
  for (const { contender, workload, round, error } of readings) {
    if (error === undefined) continue;
    const key = `${contender}\n${error.replaceAll(/\s+/g, ' ')}`;
    lines.set(key, [...(lines.get(key) ?? []), `${workload} in round ${round}`]);
  }
  return [...lines].map(([key, where]) => {
    const [contender, error] = key.split('\n');
    return `${contender} failed (${where.join(', ')}): ${error}`;
  });
}

/** The first column to the left, the others to the right. */
function align(lines: readonly string[][]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}
