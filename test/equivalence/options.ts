/** Options of `npm run equivalence`. */
import { randomInt } from 'node:crypto';
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import type { RunOptions } from './run.ts';

export function parseOptions(args: readonly string[]): RunOptions {
  const parsed = yargs([...args])
    .scriptName('npm run equivalence --')
    .usage('$0: the same rules in the kernel and, imported, in natgate; the same packets through both')
    .option('sets', { type: 'number', default: 200, describe: 'rule sets' })
    .option('packets', {
      type: 'number',
      default: 300,
      describe: 'packets that each set is tried with, about: flows have one to three',
    })
    .option('seed', { type: 'number', describe: 'makes a run repeat; without it a random one' })
    .option('only', { type: 'number', describe: 'number of one rule set of the seed' })
    .option('most', { type: 'number', default: 10, describe: 'differences after which the run ends' })
    .version(false)
    .strict()
    .fail((message, error) => {
      throw new NatgateError('usage', error?.message ?? message, 'see npm run equivalence -- --help');
    })
    .parseSync();
  const { sets, packets, only, most } = parsed;
  const seed = parsed.seed ?? randomInt(1, 2 ** 31);
  for (const value of [sets, packets, seed, most, only ?? 0]) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new NatgateError('usage', `${value} is no whole number from 0`, 'see --help');
  }
  return {
    seed,
    sets: only === undefined ? sets : 1,
    first: only ?? 0,
    flows: Math.max(1, Math.round(packets / 2)),
    most,
  };
}

/** The command line of the run inside the namespace, with the seed that was chosen. */
export function argumentsOf({ seed, sets, first, flows, most }: RunOptions): string[] {
  const only = first > 0 || sets === 1 ? ['--only', String(first)] : [];
  return [
    '--seed',
    String(seed),
    '--sets',
    String(sets),
    '--packets',
    String(flows * 2),
    '--most',
    String(most),
    ...only,
  ];
}
