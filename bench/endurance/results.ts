/** What `npm run bench:endurance` found, as it stands in docs/benchmarks/endurance.json. */
import type { Machine } from '../net/machine.ts';

export interface PartResult {
  command: string;
  machine: Machine;
  /** How long it took. */
  seconds: number;
  /** By name, as bench/endurance/targets.ts asks for them; none when it failed. */
  figures: Record<string, number>;
  /** In words: what else was seen, or how it failed. */
  seen: string;
}

/** By part; each is of the last run in which it had its turn. */
export type EnduranceResults = Record<string, PartResult>;
