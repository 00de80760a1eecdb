/** The command line. */
import { randomInt } from 'node:crypto';
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import { kindNames } from './generate/index.ts';

export interface Options {
  sequences: number;
  seed: number;
  /** Generators whose sequences are run; null for all. */
  kinds: readonly string[] | null;
  /** The number of a single sequence of the seed. */
  only: number | null;
  /** A cell of the coverage that nothing hit fails the run. */
  full: boolean;
  mutations: boolean;
  /** Failing sequences after which the run ends. */
  most: number;
}

/** From so many sequences on a run is a full one. */
const FULL = 10_000;
const SEQUENCES = 1000;
const MUTATION_SEQUENCES = 3000;

/** Throws a NatgateError for a command line it does not understand; ends the process for --help. */
export function parseOptions(args: readonly string[]): Options {
  const parsed = yargs(args)
    .scriptName('npm run differential --')
    .usage(
      '$0 [options]\n\nSends the same packets through natgate and through the kernel, and compares. Needs root.',
    )
    .option('sequences', {
      type: 'number',
      describe: `how many sequences of packets, default ${SEQUENCES}; with --mutations ${MUTATION_SEQUENCES} for each bug`,
    })
    .option('seed', {
      type: 'number',
      describe: 'of the generator; without it a random one, which is printed',
    })
    .option('only', { type: 'number', describe: 'runs this one sequence of the seed' })
    .option('kinds', { type: 'string', describe: `only sequences of these kinds, of ${kindNames.join(',')}` })
    .option('full', {
      type: 'boolean',
      default: false,
      describe: `a cell of the coverage with no hit fails the run, as it does from ${FULL} sequences on`,
    })
    .option('most', { type: 'number', default: 20, describe: 'failing sequences after which the run ends' })
    .option('mutations', {
      type: 'boolean',
      default: false,
      describe: 'plants bugs into copies of the source, one at a time, and sees whether they are found',
    })
    .version(false)
    .strict()
    .fail((message, error) => {
      throw usage(error?.message ?? message);
    })
    .parseSync();
  const { only, full, mutations, most } = parsed;
  const sequences = parsed.sequences ?? (mutations ? MUTATION_SEQUENCES : SEQUENCES);
  const seed = parsed.seed ?? randomInt(1, 2 ** 31);
  for (const [name, value, low] of [
    ['sequences', sequences, 1],
    ['seed', seed, 0],
    ['only', only ?? 0, 0],
    ['most', most, 1],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < low || value >= 2 ** 31) {
      throw usage(`--${name} takes a whole number from ${low}`);
    }
  }
  if (only !== undefined && (parsed.seed === undefined || full || mutations)) {
    throw usage('--only goes with --seed, and with neither --full nor --mutations');
  }
  const kinds = parsed.kinds?.split(',') ?? null;
  const unknown = kinds?.find((kind) => !kindNames.includes(kind));
  if (unknown !== undefined) throw usage(`--kinds: there is no ${unknown}, only ${kindNames.join(', ')}`);
  if (kinds !== null && (full || mutations)) throw usage('--kinds goes with neither --full nor --mutations');
  return {
    sequences,
    kinds,
    seed,
    only: only ?? null,
    full: (full || sequences >= FULL) && only === undefined && kinds === null,
    mutations,
    most,
  };
}

/** The command line of the run inside the namespace, with the seed that was chosen. */
export function argumentsOf({ sequences, seed, kinds, only, full, most }: Options): string[] {
  return [
    ...['--sequences', String(sequences), '--seed', String(seed), '--most', String(most)],
    ...(kinds === null ? [] : ['--kinds', kinds.join(',')]),
    ...(only === null ? [] : ['--only', String(only)]),
    ...(full ? ['--full'] : []),
  ];
}

function usage(message: string): NatgateError {
  return new NatgateError('usage', message, 'see npm run differential -- --help');
}
