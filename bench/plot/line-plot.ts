/** Lines over a logarithmic x, with both axes labelled. */
import { axisLabel, logScale } from './scale.ts';
import { document, element, legend, mark, path, text } from './svg.ts';

export interface Line {
  name: string;
  points: { x: number; y: number; low: number; high: number }[];
}

export interface LinePlot {
  title: string;
  x: string;
  y: string;
  lines: readonly Line[];
}

const WIDTH = 860;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = WIDTH - 30;
const MARGIN = 16;

export function linePlot({ title, x, y, lines }: LinePlot): string {
  const points = lines.flatMap((line) => line.points);
  const [marks, top] = legend(
    lines.map((line) => line.name),
    MARGIN,
    68,
    WIDTH - MARGIN,
  );
  const [begin, end] = [top + 6, HEIGHT - 56];
  const across = logScale(
    points.map((point) => point.x),
    LEFT,
    RIGHT,
  );
  const up = logScale(
    points.flatMap((point) => [point.low, point.high]),
    end,
    begin,
  );
  const visited = [...new Set(points.map((point) => point.x))];
  const parts = [
    text(MARGIN, 26, title, { class: 'title' }),
    text(MARGIN, 44, `${y}, logarithmic; lower is better. Thin line: all readings.`, { class: 'soft' }),
    marks,
    ...up.ticks.map(
      (tick) =>
        element('path', { d: path([LEFT, up.at(tick), RIGHT, up.at(tick)]), class: 'grid' }) +
        text(LEFT - 8, up.at(tick) + 4, axisLabel(tick), { 'text-anchor': 'end', class: 'soft' }),
    ),
    ...visited.map(
      (value) =>
        element('path', { d: path([across.at(value), begin, across.at(value), end]), class: 'grid' }) +
        text(across.at(value), end + 18, axisLabel(value), { 'text-anchor': 'middle', class: 'soft' }),
    ),
    text((LEFT + RIGHT) / 2, end + 40, x, { 'text-anchor': 'middle', class: 'soft' }),
    ...lines.map((line, i) => {
      const at = line.points.flatMap((point) => [across.at(point.x), up.at(point.y)]);
      const ranges = line.points.map((point) => [
        ...[across.at(point.x), up.at(point.low)],
        ...[across.at(point.x), up.at(point.high)],
      ]);
      return [
        element('path', { d: path(...ranges), class: `l${i % 7} range` }),
        element('path', { d: path(at), class: `l${i % 7}` }),
        ...line.points.map((point) => mark(i, across.at(point.x), up.at(point.y))),
      ].join('\n');
    }),
  ];
  return document(WIDTH, HEIGHT, title, parts.join('\n'));
}
