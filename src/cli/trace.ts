import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { PACKET_FLAGS } from './drops.ts';
import { filterFrom, filterOptions, filterWords } from './filter-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'trace [words..]';
export const describe = 'Say what becomes of packets and why, decision by decision: live, or for a capture';

/** Options that may be given more than once, in both spellings that yargs knows them by. */
export const REPEATABLE: ReadonlySet<string> = new Set(['private-net', 'privateNet']);

const EPILOGUE = `natgate trace 'host 10.0.0.2 and port 443'      what becomes of these packets now
natgate trace --packet FILE --config NEW.yaml   what would become of those of a capture, with another configuration`;

export function builder(argv: Argv) {
  const own = filterWords(whichGateway(argv), "A filter as one expression: 'src 10.0.0.2 and not port 22'")
    .option('count', { alias: 'c', type: 'number', requiresArg: true, describe: 'End after so many packets' })
    .option('json', { type: 'boolean', default: false, describe: 'Print a JSON object for each, one a line' })
    .option('packet', {
      type: 'string',
      requiresArg: true,
      group: 'Offline:',
      describe: 'Packets of this capture (pcap, pcapng; -: standard input), through an engine in memory',
    })
    .option('config', {
      type: 'string',
      requiresArg: true,
      group: 'Offline:',
      describe: 'The configuration; without one everything is masqueraded',
    })
    .option('private-net', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      default: [] as string[],
      group: 'Offline:',
      defaultDescription: 'those of the configuration or of this host, else the private ones of RFC 1918',
      describe: 'Network of the (first) private interface. Repeatable',
    })
    .option('public-address', {
      type: 'string',
      requiresArg: true,
      group: 'Offline:',
      defaultDescription: 'that which the interface has on this host, else 192.0.2.1',
      describe: 'Address of the public interface',
    })
    .option('mtu', {
      type: 'number',
      requiresArg: true,
      default: 1500,
      group: 'Offline:',
      describe: 'MTU of the interfaces',
    })
    .epilogue(EPILOGUE);
  return filterOptions(own, PACKET_FLAGS);
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { packet, config, json, privateNet, publicAddress, mtu, count = null } = argv;
  if (count !== null && (!Number.isInteger(count) || count < 1)) {
    throw new NatgateError('usage', '--count: not a number of packets', 'give a whole number from 1 on');
  }
  if (packet === undefined) {
    if (config !== undefined || privateNet.length > 0 || publicAddress !== undefined) {
      throw new NatgateError(
        'usage',
        'a running gateway has its configuration',
        'give --packet FILE as well',
      );
    }
    const { traceLive } = await import('./trace/print-live.ts');
    return traceLive(gatewayNamed(argv), await filterFrom(argv, argv.words), { json, count });
  }
  // Here it says where the capture was made, not which packets are wanted.
  const { side, ...rest } = argv as typeof argv & { side?: string };
  if (side !== undefined && side !== 'private' && side !== 'public') {
    throw new NatgateError('usage', `--side ${side}: no side`, 'give private or public');
  }
  const { resolve } = await import('node:path');
  const { traceOffline } = await import('./trace/print-offline.ts');
  await traceOffline(
    {
      ...gatewayNamed(argv),
      packet,
      config: config === undefined ? null : resolve(config),
      privateNets: privateNet,
      publicAddress,
      mtu,
      side: side ?? null,
      json,
      count,
    },
    await filterFrom(rest, argv.words),
  );
}
