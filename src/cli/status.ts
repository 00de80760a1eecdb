import type { Argv } from 'yargs';
import type { WhichGateway } from '../gateway/teardown.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';
import type { ShownStatus } from './status-text.ts';

export const command = 'status';
export const describe = 'Show what a gateway does: addresses, flows, rates, drops';

/** Between the two looks that rates are made of: long enough for the counters to move, short enough to wait for. */
const SAMPLE_MS = 500;

export function builder(argv: Argv) {
  return whichGateway(argv)
    .option('json', { type: 'boolean', default: false, describe: 'Print JSON, for programs' })
    .option('rates', {
      type: 'boolean',
      describe: 'How much passes now, which takes half a second; default: yes, but not in JSON',
    })
    .option('flows', {
      type: 'boolean',
      default: false,
      describe: 'List the flows instead, one a line, in the manner of `conntrack -L` (see `natgate flows`)',
    });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const which = gatewayNamed(argv);
  const { json, flows } = argv;
  const write = (text: string) => process.stdout.write(`${text}\n`);
  if (flows) {
    const { flowObject } = await import('../gateway/flow-object.ts');
    const { flowLine } = await import('./flow-line.ts');
    const { readFlowList } = await import('../gateway/status.ts');
    const list = readFlowList(which);
    if (json) write(JSON.stringify(Array.from(list, flowObject), null, 2));
    else for (const flow of list) write(flowLine(flow));
    return;
  }
  const { orSocket } = await import('./or-socket.ts');
  const status = await orSocket<ShownStatus>(
    () => readWhole(which, argv.rates ?? !json),
    async () => {
      const { ask } = await import('./client.ts');
      return ask(which, 'GET', '/v1/status');
    },
  );
  if (json) write(JSON.stringify(status, null, 2));
  else {
    const { statusText } = await import('./status-text.ts');
    write(statusText(status, Date.now()));
  }
}

/** From the files of the gateway. */
async function readWhole(which: WhichGateway, withRates: boolean): Promise<ShownStatus> {
  const { readStatus, recordOf } = await import('../gateway/status.ts');
  const { countStates } = await import('../gateway/observe/flow-states.ts');
  const record = recordOf(which);
  if (!withRates) return { ...readStatus(which), states: countStates(record) };
  const { ratesOf, sampleCounters } = await import('../gateway/observe/counters.ts');
  const before = sampleCounters(record);
  await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  const rates = ratesOf(record, before, sampleCounters(record));
  return { ...readStatus(which), states: countStates(record), rates };
}
