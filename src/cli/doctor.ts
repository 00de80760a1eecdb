import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { DEFAULT_PORTS } from '../gateway/options.ts';
import { CONFIG_OPTION, DEFAULT_CONFIG_PATH } from './config-option.ts';
import { EXIT } from './exit.ts';
import { natOptions } from './nat-options.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'doctor';
export const describe =
  'Check what natgate needs of this host, or a private host of its gateway, and say how to mend what is missing';

export function builder(argv: Argv) {
  return natOptions(whichGateway(argv))
    .option('config', CONFIG_OPTION)
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
      defaultDescription: JSON.stringify(DEFAULT_PORTS),
      describe: 'Ports of the public address that natgate would use',
    })
    .option('from-client', {
      type: 'boolean',
      default: false,
      describe:
        'This is a private host: look whether its gateway serves it. Needs neither root nor the addon',
    })
    .option('gateway', {
      type: 'string',
      requiresArg: true,
      describe: 'With --from-client: the address that the gateway must have',
    })
    .option('outside', {
      type: 'string',
      requiresArg: true,
      default: '1.1.1.1',
      describe: 'With --from-client: an address beyond the gateway that answers pings',
    })
    .option('lookup', {
      type: 'string',
      requiresArg: true,
      default: 'example.com',
      describe: 'With --from-client: a name that can be looked up',
    })
    .option('json', { type: 'boolean', default: false, describe: 'Print a JSON array, for programs' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  if (argv.fromClient) {
    await fromClient(argv);
    return;
  }
  const path = fileOf(argv);
  const { loadConfig } = await import('../gateway/config/load.ts');
  const isServed = path !== null || argv.public !== undefined;
  // Without interfaces only the machine is looked at, and what the options need of it: any names do.
  const flags = isServed ? argv : { ...argv, private: ['private'], public: 'public' };
  const { options } = loadConfig({ ...gatewayNamed(argv), flags, path });
  const { name, stateRoot, ports, nat, dns } = options;
  const served = {
    private: options.private.map((inside) => inside.name),
    networks: options.private.map((inside) => inside.networks),
    public: options.public,
  };
  const { checkHost } = await import('../host/preflight.ts');
  const checks = checkHost({ name, stateRoot, ports, nat, dns, ...(isServed ? { interfaces: served } : {}) });
  if (argv.json) process.stdout.write(`${JSON.stringify(checks, null, 2)}\n`);
  else {
    const { checksText } = await import('./doctor-text.ts');
    process.stdout.write(checksText(checks));
  }
  if (checks.some((check) => check.status === 'fail')) process.exitCode = EXIT.failed;
}

async function fromClient(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { parseAddress } = await import('../wire/address.ts');
  for (const option of ['gateway', 'outside'] as const) {
    const text = argv[option];
    if (text !== undefined && parseAddress(text) === null) {
      throw new NatgateError('usage', `--${option} ${text}: not an address`, 'e.g. 192.0.2.7');
    }
  }
  const { checkFromClient } = await import('../host/checks/from-client.ts');
  const { gateway, outside, lookup: name } = argv;
  const checks = await checkFromClient({ gateway, outside, name });
  if (argv.json) process.stdout.write(`${JSON.stringify(checks, null, 2)}\n`);
  else {
    const { checksText, CLIENT_VERDICTS } = await import('./doctor-text.ts');
    process.stdout.write(checksText(checks, CLIENT_VERDICTS));
  }
  if (checks.some((check) => check.status === 'fail')) process.exitCode = EXIT.failed;
}

/** Null when there is no file, or the flags say all. Interfaces are given as a pair or not at all. */
function fileOf(
  argv: { [Key in 'config' | 'public']?: string | undefined } & { private?: string[] | undefined },
) {
  if (argv.config !== undefined) return resolve(argv.config);
  if (argv.private === undefined && argv.public === undefined) {
    return existsSync(DEFAULT_CONFIG_PATH) ? DEFAULT_CONFIG_PATH : null;
  }
  if (argv.private !== undefined && argv.public !== undefined) return null;
  throw new NatgateError(
    'usage',
    '--private and --public belong together',
    'give both, or none to have only the machine checked',
  );
}
