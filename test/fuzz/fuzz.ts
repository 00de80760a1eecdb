/** The fuzzer: episode after episode, each with a seed of its own that follows from the first one. */
import { configurationOf, EPISODE_PACKETS, runEpisode } from './episode.ts';
import { kindOf, minimise } from './minimise.ts';
import type { Crash, Step } from './steps.ts';

export interface FuzzOptions {
  packets: number;
  seed: number;
  /** No episode begins after this time (performance.now()). */
  until?: number;
  /** Seconds for making a failure small. */
  minimiseSeconds?: number;
  onEpisode?: (packets: number, counters: Float64Array) => void;
}

export interface FuzzFailure {
  error: Error;
  /** Seed that begins with the episode that broke, for `--seed`. */
  seed: number;
  /** Packets of the run that came before the end of the one that broke. */
  packet: number;
  name: string;
  crash: Crash;
}

export interface FuzzResult {
  packets: number;
  failure: FuzzFailure | null;
}

/** Neighbouring episodes have neighbouring seeds, and so every configuration has its turn. */
export function fuzz(options: FuzzOptions): FuzzResult {
  let packets = 0;
  for (let seed = options.seed >>> 0; packets < options.packets; seed = (seed + 1) >>> 0) {
    if (options.until !== undefined && performance.now() > options.until) break;
    const size = Math.min(EPISODE_PACKETS, options.packets - packets);
    try {
      const { counters } = runEpisode(seed, size);
      packets += size;
      options.onEpisode?.(packets, counters);
    } catch (error) {
      const failure = investigate(error as Error, seed, size, options.minimiseSeconds ?? 60);
      return { packets, failure: { ...failure, packet: packets + failure.packet } };
    }
  }
  return { packets, failure: null };
}

function investigate(first: Error, seed: number, size: number, seconds: number): FuzzFailure {
  const steps: Step[] = [];
  let error = first;
  try {
    runEpisode(seed, size, steps);
  } catch (again) {
    error = again as Error;
  }
  const packet = steps.reduce((sum, step) => sum + (step.kind === 'batch' ? step.arrivals.length : 0), 0);
  const configuration = configurationOf(seed);
  const few = minimise(configuration, steps, seconds);
  const name = `${kindOf(error)
    .replace(/[^a-z0-9]+/gi, '-')
    .toLowerCase()}-${seed}`;
  const crash = { about: error.message.slice(0, 400), configuration: configuration.name, steps: few };
  return { error, seed, packet, name, crash };
}
