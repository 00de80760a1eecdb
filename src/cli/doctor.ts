import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { parseNatOptions } from '../gateway/nat-options.ts';
import { DEFAULT_PORTS, parseInterface, parsePortRange, parsePrivate } from '../gateway/options.ts';
import { parseTimeouts } from '../gateway/timeout-option.ts';
import { EXIT } from './exit.ts';
import { natOptions } from './nat-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'doctor';
export const describe = 'Check what natgate needs of this host, and say how to mend what is missing';

export function builder(argv: Argv) {
  return natOptions(whichGateway(argv))
    .option('private', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      describe:
        'Interface of a private network (NAME, or NAME=NETWORK,…), to have it checked as well. Repeatable',
    })
    .option('public', {
      type: 'string',
      requiresArg: true,
      describe: 'Interface towards the internet, to have it checked as well',
    })
    .option('ports', {
      type: 'string',
      requiresArg: true,
      default: DEFAULT_PORTS,
      describe: 'Ports of the public address that natgate would use',
    })
    .option('json', { type: 'boolean', default: false, describe: 'Print a JSON array, for programs' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const ports = parsePortRange(argv.ports);
  const options = { ...gatewayNamed(argv), ports, nat: parseNatOptions(argv, ports) };
  parseTimeouts(argv.timeout);
  const served = servedBy(argv);
  const { checkHost } = await import('../host/preflight.ts');
  const checks = checkHost({ ...options, ...(served === null ? {} : { interfaces: served }) });
  if (argv.json) process.stdout.write(`${JSON.stringify(checks, null, 2)}\n`);
  else {
    const { checksText } = await import('./doctor-text.ts');
    process.stdout.write(checksText(checks));
  }
  if (checks.some((check) => check.status === 'fail')) process.exitCode = EXIT.failed;
}

/** Null when no interfaces are given: then only the machine is checked. */
function servedBy(argv: { private?: string[] | undefined; public?: string | undefined }) {
  if (argv.private === undefined && argv.public === undefined) return null;
  if (argv.private === undefined || argv.public === undefined) {
    throw new NatgateError(
      'usage',
      '--private and --public belong together',
      'give both, or none to have only the machine checked',
    );
  }
  const inside = argv.private.map(parsePrivate);
  return {
    private: inside.map(({ name }) => name),
    networks: inside.map(({ networks }) => networks),
    public: parseInterface('public', argv.public),
  };
}
