import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import type { BenchOptions } from './bench/options.ts';
import { parseOnly } from './bench/options.ts';
import { interruptible } from './interruptible.ts';
import type { ArgumentsOf } from './shared-options.ts';

export const command = 'bench';
export const describe =
  "Compare natgate's speed on this machine with the kernel's, in namespaces; leaves nothing behind";

const MAX_ROUNDS = 100;
const MAX_SECONDS = 60;

export function builder(argv: Argv) {
  return argv
    .option('rounds', {
      type: 'number',
      requiresArg: true,
      default: 3,
      describe: 'How often everything is measured; medians are shown',
    })
    .option('seconds', {
      type: 'number',
      requiresArg: true,
      default: 1,
      describe: 'Length of one measurement',
    })
    .option('only', {
      type: 'string',
      requiresArg: true,
      describe:
        'Contenders and measurements, with commas: kernel, slirp4netns, pasta; tcp-out, udp, rtt, ...',
    })
    .option('json', { type: 'boolean', default: false, describe: 'All readings as JSON' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const options: BenchOptions = {
    rounds: whole('--rounds', argv.rounds, MAX_ROUNDS),
    seconds: whole('--seconds', argv.seconds, MAX_SECONDS),
    only: parseOnly(argv.only),
    json: argv.json,
  };
  const { runBench } = await import('./bench/run-bench.ts');
  await interruptible('bench', async (signal) => await runBench(options, signal));
}

function whole(option: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new NatgateError(
    'usage',
    `${option} ${value}: not a whole number from 1 to ${max}`,
    'natgate bench --help',
  );
}
