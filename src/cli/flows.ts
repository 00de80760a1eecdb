import type { Argv } from 'yargs';
import type { FilterFlag } from '../gateway/observe/filter-flags.ts';
import { filterFrom, filterOptions, filterWords } from './filter-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'flows [words..]';
export const describe = 'List, count, watch or end flows; in the manner of conntrack where asked for';

const ORDERS = ['bytes', 'packets', 'age', 'timeout'] as const;
export const FLOW_FLAGS: readonly FilterFlag[] = [
  'protocol',
  'source',
  'destination',
  'source-port',
  'destination-port',
  'external',
  'external-port',
  'state',
  'client',
  'rule',
  'side',
];

const EPILOGUE = `natgate flows                        list them
natgate flows count                  how many there are
natgate flows watch                  those that begin and end, as conntrack -E
natgate flows delete FILTER          ends flows, as conntrack -D; exit code 1 when there are none
natgate flows flush                  ends all
natgate flows save [FILE]            writes them to a file, or to stdout
natgate flows restore [FILE]         takes them over from a file, or from stdin
A filter is flags, or an expression: natgate flows 'tcp and src 10.0.0.0/24 and not dport 443'
Words: proto, src, dst, host, sport, dport, port, ext, extport, reply-src, reply-dst, client, state, rule, side; and, or, not, ( )`;

export function builder(argv: Argv) {
  const own = filterWords(
    whichGateway(argv),
    'list (default), count, watch, delete, flush, save or restore; then a filter, or a file',
  )
    .option('json', { type: 'boolean', default: false, describe: 'Print JSON, for programs' })
    .option('output', {
      alias: 'o',
      type: 'string',
      requiresArg: true,
      default: 'table',
      describe: 'table, json, csv, or conntrack, with extended, id, counters after commas',
    })
    .option('sort', { choices: ORDERS, requiresArg: true, describe: 'The most first' })
    .option('limit', { type: 'number', requiresArg: true, describe: 'So many at most' })
    .option('heading', { type: 'boolean', default: true, describe: 'The first line of table and csv' })
    .epilogue(EPILOGUE);
  return filterOptions(own, FLOW_FLAGS);
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const which = gatewayNamed(argv);
  const [first, ...rest] = argv.words.map(String);
  const { countFlows, printFlows, requireFormat } = await import('./flow-verbs.ts');
  const format = requireFormat(argv.output, argv.json);
  switch (first) {
    case 'count':
      return countFlows(which, await filterFrom(argv, rest), argv.json);
    case 'delete':
    case 'watch': {
      const filter = await filterFrom(argv, rest);
      const { deleteAndPrint, watchFlows } = await import('./flow-changes.ts');
      return (first === 'delete' ? deleteAndPrint : watchFlows)(which, filter, argv.json);
    }
    case 'flush': {
      const { isEverything } = await import('../gateway/observe/filter.ts');
      const { NatgateError } = await import('../core/errors.ts');
      if (!isEverything(await filterFrom(argv, rest))) {
        throw new NatgateError('usage', 'flush takes no filter', '`natgate flows delete` does');
      }
      const { flushFlows } = await import('./flow-changes.ts');
      return flushFlows(which);
    }
    case 'save':
    case 'restore': {
      const { restoreAndPrint, saveAndPrint } = await import('./flow-file.ts');
      return (first === 'save' ? saveAndPrint : restoreAndPrint)(which, rest, argv.json);
    }
    default: {
      const words = first === undefined || first === 'list' ? rest : [first, ...rest];
      const { sort, limit, heading } = argv;
      return printFlows(which, await filterFrom(argv, words), { format, sort, limit, heading });
    }
  }
}
