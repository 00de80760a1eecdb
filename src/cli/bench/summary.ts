/** From readings to figures. A ratio is the median of the rounds' own: within a round all run within seconds of each other. */
import type { ContenderName, WorkloadName } from './options.ts';

export interface Reading {
  round: number;
  contender: ContenderName;
  workload: WorkloadName;
  value?: number;
  /** Why there is no value. */
  error?: string;
}

export interface BenchFigure {
  contender: ContenderName;
  workload: WorkloadName;
  median: number;
  lowest: number;
  highest: number;
  /** To the kernel; absent when no round has both. */
  ratio?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** In the order in which the readings first name them. */
export function summarise(readings: readonly Reading[]): BenchFigure[] {
  const good = readings.filter((reading) => reading.value !== undefined);
  const keys = new Map(good.map((reading) => [`${reading.contender} ${reading.workload}`, reading]));
  return [...keys.values()].map(({ contender, workload }) => {
    const mine = good.filter((r) => r.contender === contender && r.workload === workload);
    const values = mine.map((reading) => reading.value!);
    const ratios = mine.flatMap((reading) => {
      const other = good.find(
        (r) => r.contender === 'kernel' && r.workload === workload && r.round === reading.round,
      );
      return other === undefined ? [] : [reading.value! / other.value!];
    });
    return {
      ...{ contender, workload, median: median(values) },
      ...{ lowest: Math.min(...values), highest: Math.max(...values) },
      ...(ratios.length === 0 ? {} : { ratio: median(ratios) }),
    };
  });
}
