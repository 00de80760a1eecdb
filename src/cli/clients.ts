import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { RECIPES } from './clients/recipes.ts';
import { CONFIG_OPTION, DEFAULT_CONFIG_PATH } from './config-option.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'clients';
export const describe = 'Print what to do on the private hosts, with the addresses filled in';

/** Of `--check`: both are made for such questions. */
const OUTSIDE = '1.1.1.1';
const NAME = 'example.com';
const MTU = 1500;

export function builder(argv: Argv) {
  return whichGateway(argv)
    .option('config', {
      ...CONFIG_OPTION,
      defaultDescription: `the running gateway, else ${DEFAULT_CONFIG_PATH}`,
      describe: 'Configuration file that says which interfaces are private',
    })
    .option('private', {
      type: 'string',
      requiresArg: true,
      describe: 'Private interface of the gateway, instead of those of the running gateway or the file',
    })
    .option('for', { choices: RECIPES, describe: 'Only this one', defaultDescription: 'all' })
    .option('host', {
      type: 'string',
      requiresArg: true,
      describe: 'Address of the private host (ADDR/LEN)',
      defaultDescription: 'a free one',
    })
    .option('device', {
      type: 'string',
      requiresArg: true,
      default: 'eth0',
      describe: 'Interface of the private host',
    })
    .option('check', {
      type: 'boolean',
      default: false,
      describe: 'Print a line for a private host’s shell instead, which verifies its route, DNS and MTU',
    })
    .option('outside', {
      type: 'string',
      requiresArg: true,
      default: OUTSIDE,
      describe: 'With --check: an address beyond the gateway that answers pings',
    })
    .option('lookup', {
      type: 'string',
      requiresArg: true,
      default: NAME,
      describe: 'With --check: a name that can be looked up',
    })
    .option('json', { type: 'boolean', default: false, describe: 'Print a JSON array, for programs' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { parseInterface } = await import('../gateway/options.ts');
  const device = parseInterface('device', argv.device);
  await refuseQuestions(argv);
  const served = await servedBy(argv);
  const { clientNetworks } = await import('./clients/network.ts');
  const networks = clientNetworks({ ...served, host: argv.host });
  if (argv.check) {
    process.stdout.write(`${await checkLine(argv, networks[0]!.gateway, networks[0]!.interface)}\n`);
    return;
  }
  const { recipeText } = await import('./clients/recipes.ts');
  const recipes = argv.for === undefined ? RECIPES : [argv.for];
  if (argv.json) {
    const list = networks.map((network) => ({
      ...network,
      recipes: Object.fromEntries(recipes.map((recipe) => [recipe, recipeText(recipe, network, device)])),
    }));
    process.stdout.write(`${JSON.stringify(list, null, 2)}\n`);
    return;
  }
  const blocks = networks.flatMap((network) => {
    const texts = recipes.map((recipe) => ({ recipe, text: recipeText(recipe, network, device) }));
    if (argv.for !== undefined) return texts.map(({ text }) => text);
    const { interface: name, network: prefix, gateway, dns } = network;
    const resolvers = dns.length === 0 ? 'none is known: name one' : dns.join(', ');
    const head = `# Hosts of ${prefix} (on ${name}): gateway ${gateway}, DNS ${resolvers}\n`;
    return [head, ...texts.map(({ recipe, text }) => `## ${recipe}\n${text}`)];
  });
  process.stdout.write(blocks.join('\n'));
}

/** Which interfaces are private, and whether the gateway answers DNS: of the flag, the file, the running gateway, the usual file. */
async function servedBy(
  argv: ArgumentsOf<typeof builder>,
): Promise<{ interfaces: readonly string[]; dns: boolean }> {
  const { name, stateRoot } = gatewayNamed(argv);
  const { readRunRecord, runDirectory } = await import('../gateway/run/run-record.ts');
  const record = readRunRecord(runDirectory(stateRoot, name));
  if (argv.private !== undefined) {
    const { parseInterface } = await import('../gateway/options.ts');
    return { interfaces: [parseInterface('private', argv.private)], dns: record?.dns === true };
  }
  if (argv.config === undefined && record !== null) {
    return { interfaces: record.private, dns: record.dns === true };
  }
  if (argv.config === undefined && !existsSync(DEFAULT_CONFIG_PATH)) {
    throw new NatgateError(
      'usage',
      `no gateway ${name} runs here, and there is no ${DEFAULT_CONFIG_PATH}`,
      'say which interface is private: --private eth1, or --config FILE',
    );
  }
  const path = resolve(argv.config ?? DEFAULT_CONFIG_PATH);
  const { loadConfig } = await import('../gateway/config/load.ts');
  const { options } = loadConfig({ name, stateRoot, flags: {}, path });
  return { interfaces: options.private.map((inside) => inside.name), dns: options.dns !== null };
}

async function refuseQuestions(argv: { outside: string; lookup: string }): Promise<void> {
  const { parseAddress } = await import('../wire/address.ts');
  if (parseAddress(argv.outside) === null) {
    throw new NatgateError('usage', `--outside ${argv.outside}: not an address`, 'e.g. 192.0.2.7');
  }
  // It becomes part of a shell script.
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(argv.lookup)) {
    throw new NatgateError('usage', `--lookup ${argv.lookup}: not a name`, 'e.g. www.example.com');
  }
}

async function checkLine(
  argv: { outside: string; lookup: string },
  gateway: string,
  name: string,
): Promise<string> {
  const { readInterfaces } = await import('../host/interfaces.ts');
  const mtu = Math.min(MTU, readInterfaces([name])[0]!.mtu);
  const { checkScript } = await import('./clients/check-script.ts');
  return checkScript({ gateway, outside: argv.outside, name: argv.lookup, mtu });
}
