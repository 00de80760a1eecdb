import type { Argv } from 'yargs';
import {
  DEFAULT_FLOWS,
  DEFAULT_PORTS,
  DEFAULT_TX_QUEUE_LENGTH,
  parseFlows,
  parseInterface,
  parseLinger,
  parsePortRange,
  parseTxQueueLength,
  type RunOptions,
} from '../gateway/options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'run';
export const describe = 'Run a gateway: private hosts reach what lies behind the public interface';

export function builder(argv: Argv) {
  return whichGateway(argv)
    .option('private', {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe:
        'Interface of the private network; its hosts use the address of this interface as their gateway',
    })
    .option('public', {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'Interface towards the internet; its address is what the world sees. It may get one later',
    })
    .option('ports', {
      type: 'string',
      requiresArg: true,
      default: DEFAULT_PORTS,
      describe: 'Ports of the public address that natgate uses; the rest stay with the host',
    })
    .option('flows', {
      type: 'number',
      requiresArg: true,
      default: DEFAULT_FLOWS,
      describe: 'Connections tracked at the same time; the memory for them is taken at the start',
    })
    .option('linger', {
      type: 'number',
      requiresArg: true,
      default: 0,
      describe:
        'Seconds that devices, filters and connections stay after SIGTERM: a new `run` within them takes over without losing one',
    })
    .option('user', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'natgate if it exists, else nobody',
      describe: 'Account of the packet engine, which keeps no privileges (a name or UID:GID)',
    })
    .option('txqueuelen', {
      type: 'number',
      requiresArg: true,
      default: DEFAULT_TX_QUEUE_LENGTH,
      describe: 'Packets that wait for the engine; more survive a burst, fewer wait less',
    })
    .option('clamp-mss', {
      type: 'boolean',
      default: true,
      describe: 'Lower the MSS that TCP connections announce to what the MTUs of both sides can carry',
    })
    .example('natgate run --private eth1 --public eth0', 'what `iptables -t nat … MASQUERADE` does');
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const options: RunOptions = {
    ...gatewayNamed(argv),
    private: parseInterface('private', argv.private),
    public: parseInterface('public', argv.public),
    ports: parsePortRange(argv.ports),
    flows: parseFlows(argv.flows),
    lingerSeconds: parseLinger(argv.linger),
    user: argv.user,
    txQueueLength: parseTxQueueLength(argv.txqueuelen),
    clampMss: argv.clampMss,
  };
  const { runGateway } = await import('../gateway/supervisor.ts');
  await runGateway(options);
}
