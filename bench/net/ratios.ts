/** Figures of one round beside each other: within a round they were taken within seconds, so the drift of a machine falls out. */
import type { Reading } from './types.ts';

/** `combine(a's, b's)` of each round that has both. */
export function pairwise(
  readings: readonly Reading[],
  workload: string,
  a: string,
  b: string,
  combine: (a: number, b: number) => number,
): number[] {
  const valueIn = (contender: string, round: number) =>
    readings.find((r) => r.contender === contender && r.workload === workload && r.round === round)?.value;
  const rounds = readings.filter((r) => r.contender === a && r.workload === workload).map((r) => r.round);
  return rounds.flatMap((round) => {
    const [mine, others] = [valueIn(a, round), valueIn(b, round)];
    return mine === undefined || others === undefined ? [] : [combine(mine, others)];
  });
}
