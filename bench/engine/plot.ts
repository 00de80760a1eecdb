/** The engine's plot: what a packet costs against the number of flows. */
import type { Picture } from '../net/plots.ts';
import { linePlot } from '../plot/line-plot.ts';
import type { EngineResults } from './results.ts';

const LINES = [
  ['udp', 'random'],
  ['tcp', 'random'],
  ['udp', 'in order'],
  ['tcp', 'in order'],
  ['mixed', 'random'],
] as const;

export function plot({ packets }: Pick<EngineResults, 'packets'>): Picture {
  const title = 'The engine alone: what a packet costs';
  const lines = LINES.map(([protocol, order]) => ({
    name: `${protocol}, ${order}`,
    points: packets
      .filter((f) => f.protocol === protocol && f.order === order && f.size === 'small')
      .map(({ flows, ns }) => ({ x: flows, y: ns.median, low: ns.fastest, high: ns.slowest }))
      .sort((a, b) => a.x - b.x),
  }));
  const svg = linePlot({
    title,
    x: 'flows',
    y: 'ns per packet (small)',
    lines: lines.filter((line) => line.points.length > 0),
  });
  return { file: 'engine.svg', alt: `${title}, against the number of flows`, svg };
}
