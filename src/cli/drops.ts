import type { Argv } from 'yargs';
import type { FilterFlag } from '../gateway/observe/filter-flags.ts';
import { filterFrom, filterOptions, filterWords } from './filter-options.ts';
import { FLOW_FLAGS } from './flows.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'drops [words..]';
export const describe = 'Show the packets that were dropped last: why, whose, for want of what';

export const PACKET_FLAGS: readonly FilterFlag[] = [...FLOW_FLAGS, 'reason'];

const DEFAULT_COUNT = 20;

export function builder(argv: Argv) {
  const own = filterWords(
    whichGateway(argv),
    "A filter as one expression: 'src 10.0.0.2 and reason no_free_port'",
  )
    .option('count', {
      alias: 'n',
      type: 'number',
      requiresArg: true,
      default: DEFAULT_COUNT,
      describe: 'So many at most; 0: all that are remembered',
    })
    .option('follow', { alias: 'f', type: 'boolean', default: false, describe: 'Go on with those that come' })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Print a JSON object for each, one a line',
    });
  return filterOptions(own, PACKET_FLAGS);
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const filter = await filterFrom(argv, argv.words);
  const { count, follow, json } = argv;
  const { printDrops } = await import('./drops/print-drops.ts');
  await printDrops(gatewayNamed(argv), filter, { count, follow, json });
}
