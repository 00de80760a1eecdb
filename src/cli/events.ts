import type { Argv } from 'yargs';
import { PACKET_FLAGS } from './drops.ts';
import { filterFrom, filterOptions, filterWords } from './filter-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'events [words..]';
export const describe = 'Follow events: flows and mappings as they begin and end, shortages, reloads';

export function builder(argv: Argv) {
  const own = filterWords(whichGateway(argv), "A filter as one expression: 'tcp and src 10.0.0.2'")
    .option('kinds', {
      type: 'string',
      requiresArg: true,
      describe:
        'Only these, with commas between: flow, mapping, block, exhausted, quota, address, reload, engine',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Print a JSON object for each, one a line',
    });
  return filterOptions(own, PACKET_FLAGS);
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const filter = await filterFrom(argv, argv.words);
  const { followEvents } = await import('./follow-events.ts');
  await followEvents(gatewayNamed(argv), filter, { kinds: argv.kinds ?? '', json: argv.json });
}
