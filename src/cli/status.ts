import type { Argv } from 'yargs';
import type { GatewayStatus } from '../gateway/status.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'status';
export const describe = 'Show what a gateway does: addresses, flows, traffic, drops';

export function builder(argv: Argv) {
  return whichGateway(argv)
    .option('json', { type: 'boolean', default: false, describe: 'Print JSON, for programs' })
    .option('flows', {
      type: 'boolean',
      default: false,
      describe: 'List the flows instead, one a line, in the manner of `conntrack -L`',
    });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const which = gatewayNamed(argv);
  const { readFlowList, readStatus } = await import('../gateway/status.ts');
  const { json, flows } = argv;
  const write = (text: string) => process.stdout.write(`${text}\n`);
  if (flows) {
    const { flowLine, flowObject } = await import('./flow-line.ts');
    const list = readFlowList(which);
    if (json) write(JSON.stringify(Array.from(list, flowObject), null, 2));
    else for (const flow of list) write(flowLine(flow));
    return;
  }
  const { ask, mayAsk } = await import('./client.ts');
  // Members of its group may ask the gateway; the state file is root's.
  const status = mayAsk(which) ? await ask<GatewayStatus>(which, 'GET', '/v1/status') : readStatus(which);
  if (json) write(JSON.stringify(status, null, 2));
  else {
    const { statusText } = await import('./status-text.ts');
    write(statusText(status, Date.now()));
  }
}
