import type { Argv } from 'yargs';
import { DEFAULT_FLOWS, DEFAULT_PORTS, DEFAULT_TX_QUEUE_LENGTH } from '../gateway/options.ts';
import { CONFIG_OPTION, configPath } from './config-option.ts';
import { natOptions } from './nat-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'run';
export const describe = 'Run a gateway: private hosts reach what lies behind the public interface';

/** Options that may be given more than once. */
export const REPEATABLE: ReadonlySet<string> = new Set(['helper', 'private']);

export function builder(argv: Argv) {
  return natOptions(whichGateway(argv))
    .option('config', CONFIG_OPTION)
    .option('private', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      describe:
        'Interface of a private network, whose address is the gateway of its hosts. Repeatable. NAME=NETWORK,… says what is behind it, and must where it is the public interface as well',
    })
    .option('public', {
      type: 'string',
      requiresArg: true,
      describe: 'Interface towards the internet; its address is what the world sees. It may get one later',
    })
    .option('ports', {
      type: 'string',
      requiresArg: true,
      defaultDescription: JSON.stringify(DEFAULT_PORTS),
      describe: 'Ports of the public address that natgate uses; the rest stay with the host',
    })
    .option('flows', {
      type: 'number',
      requiresArg: true,
      defaultDescription: String(DEFAULT_FLOWS),
      describe: 'Connections tracked at the same time; the memory for them is taken at the start',
    })
    .option('workers', {
      type: 'number',
      requiresArg: true,
      defaultDescription: '1',
      describe: 'Threads that forward, each with its part of the ports: 1, 2, 4, 8 or 16',
    })
    .option('dns', {
      type: 'string',
      requiresArg: true,
      defaultDescription: '"off"',
      describe:
        'Answer DNS at the private address by these resolvers (ADDR,ADDR in order of preference), or by those of /etc/resolv.conf (system)',
    })
    .option('helper', {
      type: 'string',
      array: true,
      nargs: 1,
      defaultDescription: 'none',
      describe:
        'Let NAME (ftp, tftp, irc, pptp, sip) read the flows to its port, or to PORT with NAME=PORT: connections that they announce get through',
    })
    .option('linger', {
      type: 'number',
      requiresArg: true,
      defaultDescription: '0',
      describe:
        'Seconds that devices, filters and connections stay after SIGTERM: a new `run` within them takes over without losing one',
    })
    .option('restore', {
      type: 'string',
      requiresArg: true,
      describe: 'Begin with the connections of a file of `natgate flows save`',
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
      defaultDescription: String(DEFAULT_TX_QUEUE_LENGTH),
      describe: 'Packets that wait for the engine; more survive a burst, fewer wait less',
    })
    .option('standby', {
      type: 'boolean',
      defaultDescription: 'true',
      describe: 'A second engine stands by, loaded, for the moment in which the first one dies',
    })
    .option('takeover', {
      type: 'boolean',
      default: false,
      describe:
        'Take the place of the gateway of this name that runs, without losing a packet: for another version or configuration',
    })
    .option('clamp-mss', {
      type: 'boolean',
      defaultDescription: 'true',
      describe: 'Lower the MSS that TCP connections announce to what the MTUs of both sides can carry',
    })
    .option('evict', {
      choices: ['fair', 'never', 'unassured'] as const,
      defaultDescription: '"fair"',
      describe:
        'What makes room when the flow table is full: unanswered connections of who has most, for those who have less (fair), or for all (unassured); or nothing',
    })
    .option('unsolicited', {
      choices: ['silent', 'unreachable'] as const,
      defaultDescription: '"silent"',
      describe:
        'What a connection attempt from outside gets that nothing expects: no answer, or port unreachable after six seconds',
    })
    .example('natgate run --config office.yaml', 'what the file says; flags are stronger')
    .example('natgate run --private eth1 --public eth0', 'what `iptables -t nat … MASQUERADE` does')
    .example(
      'natgate run --private eth1 --public eth0 --forward tcp:8080=192.168.1.10:80',
      'and port 8080 leads to a private web server',
    );
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const path = configPath(argv);
  const { givenFlags } = await import('../gateway/config/flags.ts');
  const { loadConfig } = await import('../gateway/config/load.ts');
  const { options, document, warnings } = loadConfig({ ...gatewayNamed(argv), flags: argv, path });
  const { runGateway } = await import('../gateway/supervisor.ts');
  const { restore, takeover } = argv;
  if (restore !== undefined && takeover === true) {
    const { NatgateError } = await import('../core/errors.ts');
    throw new NatgateError(
      'usage',
      'run: --takeover goes on with the connections that there are',
      'leave --restore out, and `natgate flows restore` afterwards',
    );
  }
  await runGateway({ options, document, flags: givenFlags(argv) }, warnings, { restore, takeover });
}
