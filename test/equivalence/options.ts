/** Options of `npm run equivalence`. */
import { randomInt } from 'node:crypto';
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import type { RunOptions } from './run.ts';
import { MOST_FLOWS } from './traffic.ts';

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
    .option('live', {
      type: 'boolean',
      default: false,
      describe:
        'natgate runs, in a namespace of its own, and is reloaded for each set; else its engine is in memory',
    })
    .option('namespace', { type: 'string', hidden: true })
    .option('most', { type: 'number', default: 10, describe: 'differences after which the run ends' })
    .version(false)
    .strict()
    .fail((message, error) => {
      throw new NatgateError('usage', error?.message ?? message, 'see npm run equivalence -- --help');
    })
    .parseSync();
  const { sets, packets, only, most, live, namespace } = parsed;
  const seed = parsed.seed ?? randomInt(1, 2 ** 31);
  for (const value of [sets, packets, seed, most, only ?? 0]) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new NatgateError('usage', `${value} is no whole number from 0`, 'see --help');
  }
  const flows = Math.max(1, Math.round(packets / 2));
  if (flows > MOST_FLOWS)
    throw new NatgateError('usage', `${packets} packets: ${MOST_FLOWS * 2} at most`, 'see --help');
  return {
    seed,
    sets: only === undefined ? sets : 1,
    first: only ?? 0,
    flows,
    most,
    live: live ? (namespace ?? '') : null,
  };
}

/** The command line of the run inside the namespace, with the seed that was chosen. */
export function argumentsOf({ seed, sets, first, flows, most, live }: RunOptions): string[] {
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
    ...(live === null ? [] : ['--live']),
  ];
}
