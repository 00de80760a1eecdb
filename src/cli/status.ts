import type { Argv } from 'yargs';
import type { GatewayStatus } from '../gateway/status.ts';
import type { WhichGateway } from '../gateway/teardown.ts';
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
    const { flowObject } = await import('../gateway/flow-object.ts');
    const { flowLine } = await import('./flow-line.ts');
    const list = readFlowList(which);
    if (json) write(JSON.stringify(Array.from(list, flowObject), null, 2));
    else for (const flow of list) write(flowLine(flow));
    return;
  }
  const status = await read(() => readStatus(which), which);
  if (json) write(JSON.stringify(status, null, 2));
  else {
    const { statusText } = await import('./status-text.ts');
    write(statusText(status, Date.now()));
  }
}

/** From its files, which need no answer of the gateway; they are root's, so members of the control socket's group ask it. */
async function read(fromFiles: () => GatewayStatus, which: WhichGateway): Promise<GatewayStatus> {
  const { isSystemError } = await import('../core/errors.ts');
  try {
    return fromFiles();
  } catch (error) {
    if (!isSystemError(error, 'EACCES')) throw error;
    const { ask } = await import('./client.ts');
    return ask(which, 'GET', '/v1/status');
  }
}
