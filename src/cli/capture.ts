import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { PACKET_FLAGS } from './drops.ts';
import { filterFrom, filterOptions, filterWords } from './filter-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'capture [words..]';
export const describe =
  'Capture packets before and after translation, as pcapng with flow and drop reason of each';

const EPILOGUE = `natgate capture -w FILE 'host 10.0.0.2'
natgate capture -w - --dropped | tcpdump -nr -
natgate capture -w - 'port 443' | wireshark -k -i -`;

export function builder(argv: Argv) {
  const own = filterWords(whichGateway(argv), "A filter as one expression: 'src 10.0.0.2 and not port 22'")
    .option('write', {
      alias: 'w',
      type: 'string',
      requiresArg: true,
      defaultDescription: '-: standard output',
      describe: 'File to write to; -: standard output, which must not be a terminal',
    })
    .option('side', {
      choices: ['private', 'public', 'both'] as const,
      default: 'both' as const,
      requiresArg: true,
      describe: 'Packets as they look on this side',
    })
    .option('flow', {
      type: 'string',
      requiresArg: true,
      describe: 'Of this flow only (id of `natgate flows`)',
    })
    .option('dropped', { type: 'boolean', default: false, describe: 'Dropped packets only' })
    .option('snaplen', {
      type: 'number',
      requiresArg: true,
      default: 65_535,
      describe: 'Bytes of each packet, at most',
    })
    .option('count', { alias: 'c', type: 'number', requiresArg: true, describe: 'End after so many packets' })
    .option('duration', { type: 'number', requiresArg: true, describe: 'End after so many seconds' })
    .epilogue(EPILOGUE);
  return filterOptions(
    own,
    PACKET_FLAGS.filter((flag) => flag !== 'side'),
  );
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { side, flow = null, dropped, snaplen, count = null, duration = null } = argv;
  const whole = (name: string, value: number | null, most: number) => {
    if (value === null || (Number.isInteger(value) && value >= 1 && value <= most)) return;
    throw new NatgateError(
      'usage',
      `--${name}: not a usable number`,
      `give a whole number from 1 to ${most}`,
    );
  };
  whole('snaplen', snaplen, 65_535);
  whole('count', count, Number.MAX_SAFE_INTEGER);
  if (duration !== null && !(duration > 0 && duration <= 86_400)) {
    throw new NatgateError('usage', '--duration: not a usable number', 'give seconds, at most 86400');
  }
  // yargs makes an empty text of a dash.
  const file = argv.write === undefined || argv.write === '' || argv.write === '-' ? null : argv.write;
  if (file === null && process.stdout.isTTY) {
    throw new NatgateError(
      'usage',
      'a capture is not written to a terminal',
      'give -w FILE, or pipe it: `natgate capture -w - | tcpdump -nr -`',
    );
  }
  // It says which packets are wanted here, not where those came from.
  const { side: _, ...rest } = argv;
  const { formatFilter } = await import('../gateway/observe/filter.ts');
  const filter = formatFilter(await filterFrom(rest, argv.words));
  const { writeCapture } = await import('./capture/write-capture.ts');
  await writeCapture(gatewayNamed(argv), { filter, side, flow, dropped, snaplen, count, duration }, file);
}
