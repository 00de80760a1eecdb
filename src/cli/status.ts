import type { Argv } from 'yargs';
import type { GatewayStatus } from '../gateway/status.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

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
  const { readFlowList, readStatus, recordOf } = await import('../gateway/status.ts');
  const { json, flows } = argv;
  const write = (text: string) => process.stdout.write(`${text}\n`);
  if (flows) {
    const { flowObject } = await import('../gateway/flow-object.ts');
    const { flowLine } = await import('./flow-line.ts');
    const list = readFlowList(which);
    if (json) write(JSON.stringify(Array.from(list, flowObject), null, 2));
    else for (const flow of list) write(flowLine(flow));
    return;
  }
  const { countStates } = await import('../gateway/observe/flow-states.ts');
  const record = recordOf(which);
  let rates = null;
  if (argv.rates ?? !json) {
    const { ratesOf, sampleCounters } = await import('../gateway/observe/counters.ts');
    const before = sampleCounters(record);
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    rates = ratesOf(record, before, sampleCounters(record));
  }
  const status = { ...readStatus(which), states: countStates(record), ...(rates && { rates }) };
  if (json) write(JSON.stringify(status, null, 2));
  else {
    const { statusText } = await import('./status-text.ts');
    write(statusText(status, Date.now()));
  }
}
