/**
 * From readings to figures. Values are medians over the rounds, with their range. A ratio is the median of the
 * rounds' own ratios: within a round contender and reference ran within seconds of each other, so the drift of a
 * shared machine falls out, which it does not in a ratio of medians.
 */
import { pairwise } from './ratios.ts';
import { median } from './statistics.ts';
import type { Reading } from './types.ts';

export interface Figure {
  contender: string;
  workload: string;
  median: number;
  min: number;
  max: number;
  /** Rounds that gave a value, of all rounds tried. */
  rounds: number;
  tried: number;
  /** To the reference; absent when no round has both. */
  ratio?: number;
  /** The lowest and the highest of the rounds' ratios. */
  ratioRange?: [number, number];
  gatewayCost?: number;
  machineCost?: number;
}

export interface Failure {
  contender: string;
  workload: string;
  /** Rounds that failed. */
  rounds: number;
  tried: number;
  /** The first of them. */
  error: string;
}

export interface Summary {
  figures: Figure[];
  failures: Failure[];
}

export function summarise(readings: readonly Reading[], reference: string): Summary {
  const summary: Summary = { figures: [], failures: [] };
  for (const [contender, workload] of pairs(readings)) {
    const mine = readings.filter((r) => r.contender === contender && r.workload === workload);
    const good = mine.filter((r) => r.value !== undefined);
    const bad = mine.filter((r) => r.error !== undefined);
    const values = good.map((r) => r.value!);
    const ratios = pairwise(readings, workload, contender, reference, (mine, others) => mine / others);
    if (good.length > 0) {
      summary.figures.push({
        contender,
        workload,
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
        rounds: good.length,
        tried: mine.length,
        ...optional('ratio', ratios),
        ...(ratios.length === 0 ? {} : { ratioRange: [Math.min(...ratios), Math.max(...ratios)] }),
        ...optional('gatewayCost', defined(good.map((r) => r.gatewayCost))),
        ...optional('machineCost', defined(good.map((r) => r.machineCost))),
      });
    }
    if (bad.length > 0) {
      const { length: rounds, 0: first } = bad;
      summary.failures.push({ contender, workload, rounds, tried: mine.length, error: first!.error! });
    }
  }
  return summary;
}

function pairs(readings: readonly Reading[]): [string, string][] {
  const seen = new Map<string, [string, string]>();
  for (const r of readings) seen.set(`${r.contender} ${r.workload}`, [r.contender, r.workload]);
  return [...seen.values()];
}

function defined(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

function optional<K extends string>(key: K, values: readonly number[]): { [P in K]?: number } {
  return values.length === 0 ? {} : ({ [key]: median(values) } as { [P in K]?: number });
}
