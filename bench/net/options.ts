/** The command line. */
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import { contenders } from './contenders/index.ts';
import type { Contender, Workload } from './types.ts';
import { workloads } from './workloads/index.ts';

export interface Options {
  contenders: readonly Contender[];
  workloads: readonly Workload[];
  rounds: number;
  seconds: number;
  warmUp: boolean;
  write: boolean;
}

const SMOKE = ['natgate', 'kernel', 'null-c', 'tcp-out', 'udp-18', 'rtt-idle'];

/** Throws a NatgateError for a command line it does not understand; ends the process for --help. */
export function parseOptions(args: readonly string[]): Options {
  const parsed = yargs(args)
    .scriptName('npm run bench:net --')
    .usage('$0 [options]\n\nCompares natgate with the kernel recipe and others, side by side. Needs root.')
    .option('rounds', { type: 'number', default: 5, describe: 'how often everything is measured' })
    .option('seconds', { type: 'number', default: 1, describe: 'length of one measurement' })
    .option('only', {
      type: 'string',
      describe: `contenders and workloads, comma-separated, of ${names(contenders)}; ${names(workloads)}`,
    })
    .option('smoke', {
      type: 'boolean',
      default: false,
      describe: `does it run at all: one round of 0.5 s without warm-up, --only ${SMOKE.join(',')}`,
    })
    .option('write', { type: 'boolean', default: false, describe: 'write docs/benchmarks.md' })
    .version(false)
    .strict()
    .fail((message, error) => {
      throw usage(error?.message ?? message);
    })
    .parseSync();

  if (!Number.isInteger(parsed.rounds) || parsed.rounds < 1)
    throw usage('--rounds takes a whole number from 1');
  if (!(parsed.seconds >= 0.1 && parsed.seconds <= 600))
    throw usage('--seconds takes a number from 0.1 to 600');
  if (parsed.smoke && (parsed.only !== undefined || parsed.write)) {
    throw usage('--smoke goes with neither --only nor --write');
  }
  const wanted = parsed.smoke ? SMOKE : (parsed.only?.split(',') ?? []);
  for (const name of wanted) {
    if (![...contenders, ...workloads].some((entry) => entry.name === name)) {
      throw usage(`--only: ${name} is neither a contender nor a workload`);
    }
  }
  return {
    contenders: choose(contenders, wanted),
    workloads: choose(workloads, wanted),
    rounds: parsed.smoke ? 1 : parsed.rounds,
    seconds: parsed.smoke ? 0.5 : parsed.seconds,
    warmUp: !parsed.smoke,
    write: parsed.write,
  };
}

/** Those that are named; all when none is. */
function choose<T extends { name: string }>(all: readonly T[], wanted: readonly string[]): readonly T[] {
  const chosen = all.filter((entry) => wanted.includes(entry.name));
  return chosen.length === 0 ? all : chosen;
}

function names(entries: readonly { name: string }[]): string {
  return entries.map((entry) => entry.name).join(', ');
}

function usage(message: string): NatgateError {
  return new NatgateError('BENCH_USAGE', message, 'npm run bench:net -- --help');
}
