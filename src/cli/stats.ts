import type { Argv } from 'yargs';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'stats [names..]';
export const describe = 'Show every counter by its name, and how fast it goes up';

export function builder(argv: Argv) {
  return whichGateway(argv)
    .positional('names', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'Only counters with one of these in their name',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Print JSON; with --watch an object a line',
    })
    .option('rates', { type: 'boolean', default: false, describe: 'What it adds a second; takes --interval' })
    .option('watch', { alias: 'w', type: 'boolean', default: false, describe: 'Again and again, with rates' })
    .option('interval', { type: 'number', requiresArg: true, default: 1, describe: 'Seconds between looks' })
    .option('nonzero', { type: 'boolean', default: false, describe: 'Without those that are zero' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { printStats } = await import('./stats-text.ts');
  await printStats(gatewayNamed(argv), { ...argv, names: argv.names.map(String) });
}
