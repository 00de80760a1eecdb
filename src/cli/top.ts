import type { Argv } from 'yargs';
import { filterFrom, filterOptions, filterWords } from './filter-options.ts';
import { FLOW_FLAGS } from './flows.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'top [words..]';
export const describe = 'Show live who moves how much: talkers, destinations, flows, ports';

export const VIEWS = ['talkers', 'destinations', 'flows', 'ports'] as const;
export const ORDERS = ['rate', 'bytes', 'flows'] as const;

export function builder(argv: Argv) {
  const own = filterWords(whichGateway(argv), 'A filter, as `natgate flows` takes it')
    .option('view', { choices: VIEWS, default: VIEWS[0], requiresArg: true, describe: 'What to begin with' })
    .option('sort', { choices: ORDERS, default: ORDERS[0], requiresArg: true, describe: 'The most first' })
    .option('interval', { type: 'number', requiresArg: true, default: 1, describe: 'Seconds between looks' })
    .option('once', { type: 'boolean', default: false, describe: 'Print it once, after one interval' })
    .option('limit', { type: 'number', requiresArg: true, default: 20, describe: 'Rows, with --once' })
    .option('json', { type: 'boolean', default: false, describe: 'With --once: all views as JSON' });
  return filterOptions(own, FLOW_FLAGS);
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const filter = await filterFrom(argv, argv.words);
  const { runTop } = await import('./top/run.ts');
  await runTop(gatewayNamed(argv), filter, argv);
}
