/**
 * The loop: a mutant of an input that has reached something is tried, and is an input itself when it reaches something new. All
 * follows from the seed, unless it ends by the clock.
 */
import { Broken } from '../../engine/invariants.ts';
import { Dice } from '../dice.ts';
import type { CountedFile } from './bundle.ts';
import { MOST_BYTES, MOST_FILES, readCorpus, toBytes, toText } from './corpus.ts';
import { Coverage } from './coverage.ts';
import { beat } from './hang.ts';
import { Mutator } from './mutants.ts';
import type { Target } from './target.ts';

/** Processor time that one input of at most 64 KiB may take, s: far more than any does, and far less than what never ends. */
const MOST_SECONDS = 5;
const LONGEST = 65_536;

export interface LoopOptions {
  seed: number;
  /** Inputs, after those that are kept. */
  iterations: number;
  /** performance.now() */
  until: number;
}

export interface LoopResult {
  inputs: number;
  /** What is worth keeping: small, and each adds to what the seeds reach. */
  corpus: Uint8Array[];
  /** Counters of the target's own files: reached, of so many. */
  reached: number;
  counters: number;
  failure: { input: Uint8Array; error: Error } | null;
}

export async function fuzzTarget(
  target: Target,
  files: Readonly<Record<string, CountedFile>>,
  { seed, iterations, until }: LoopOptions,
): Promise<LoopResult> {
  const own = Object.entries(files)
    .filter(([path]) =>
      target.files.some((file) => path === `src/${file}` || path.startsWith(`src/${file}/`)),
    )
    .map(([, file]) => file);
  const dice = new Dice(seed);
  const coverage = new Coverage(files);
  const words = own.flatMap((file) => file.words);
  const numbers = own.flatMap((file) => file.numbers);
  const mutator = new Mutator(dice, target.form, words, numbers, target.most ?? LONGEST);
  const seeds = target.seeds().map((one) => toBytes(target, one));
  const found: Uint8Array[] = [];
  const result: LoopResult = { inputs: 0, corpus: [], reached: 0, counters: 0, failure: null };

  /** Whether it reached something new. */
  const attempt = async (input: Uint8Array): Promise<boolean> => {
    result.inputs++;
    coverage.begin();
    await once(target, input);
    return coverage.news() > 0;
  };
  let input: Uint8Array = new Uint8Array();
  try {
    for (input of [...seeds, ...readCorpus(target, 'kept')]) await attempt(input);
    for (input of readCorpus(target, 'found')) if (await attempt(input)) found.push(input);
    const pool = [new Uint8Array(), ...seeds, ...found];
    for (let n = 0; n < iterations && performance.now() < until; n++) {
      // Half of the time, of what was found last.
      const from = dice.chance(128)
        ? pool.length - 1 - dice.below(Math.min(pool.length, 16))
        : dice.below(pool.length);
      input = mutator.mutate(pool[from]!, dice.one(pool));
      if (!(await attempt(input))) continue;
      pool.push(input);
      found.push(input);
    }
  } catch (error) {
    const small = await smaller(target, input, error as Error);
    result.failure = { input: small, error: error as Error };
    return result;
  }
  result.reached = own.reduce((sum, file) => sum + coverage.reached(file), 0);
  result.counters = own.reduce((sum, file) => sum + file.count, 0);
  result.corpus = await few(target, files, seeds, found);
  return result;
}

async function once(target: Target, input: Uint8Array): Promise<void> {
  beat(target.name, input);
  const before = process.cpuUsage();
  const running = target.run(input, toText(target, input));
  if (running instanceof Promise) await running;
  const { user, system } = process.cpuUsage(before);
  if (user + system > MOST_SECONDS * 1e6) {
    throw new Broken('slow', `${input.length} bytes took ${(user + system) / 1e6} s`);
  }
}

/** The inputs, smallest first, that each reach something that neither the seeds nor a smaller one does. */
async function few(
  target: Target,
  files: Readonly<Record<string, CountedFile>>,
  seeds: readonly Uint8Array[],
  found: readonly Uint8Array[],
): Promise<Uint8Array[]> {
  const coverage = new Coverage(files);
  for (const one of [...seeds, ...readCorpus(target, 'kept')]) {
    coverage.begin();
    await once(target, one);
    coverage.news();
  }
  const chosen: Uint8Array[] = [];
  const small = found.filter(({ length }) => length <= MOST_BYTES).sort((a, b) => a.length - b.length);
  for (const one of small) {
    coverage.begin();
    await once(target, one);
    // Rather a few that reach places than many that reach them more often.
    if (coverage.places() > 0) chosen.push(one);
    if (chosen.length === MOST_FILES) break;
  }
  return chosen;
}

/** The input without what the failure does not need. */
async function smaller(target: Target, input: Uint8Array, failure: Error): Promise<Uint8Array> {
  const kind = kindOf(failure);
  const until = performance.now() + 20_000;
  const breaks = async (some: Uint8Array) => {
    try {
      await once(target, some);
      return false;
    } catch (error) {
      return kindOf(error as Error) === kind;
    }
  };
  let left = Buffer.from(input);
  for (let size = left.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < left.length && performance.now() < until; ) {
      const without = Buffer.concat([left.subarray(0, at), left.subarray(at + size)]);
      if (await breaks(without)) left = without;
      else at += size;
    }
  }
  return left;
}

function kindOf(error: Error): string {
  return error instanceof Broken ? error.kind : `${error.name} ${error.message.slice(0, 30)}`;
}
