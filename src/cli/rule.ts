import type { Argv } from 'yargs';
import type { RuleInput } from '../gateway/config/change.ts';
import { makeChange, SAVE_OPTIONS } from './change.ts';
import { ask } from './client.ts';
import { say } from './forward.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';
import { formatBytes, formatCount } from './units.ts';

export const command = 'rule';
export const describe = 'List, add or remove the firewall rules of a gateway that runs';

const CHAIN = {
  type: 'string',
  requiresArg: true,
  describe: 'Chain of firewall.chains; without it: firewall.rules',
} as const;

export function builder(argv: Argv) {
  return argv
    .command('list', 'Print the rules and what they have matched', listOptions, list)
    .command('add <rule>', 'Add one, a map as the file has it, in quotes', addOptions, add)
    .command('remove <rule>', 'Remove one', removeOptions, remove)
    .demandCommand(1, 'say what to do: list, add or remove');
}

/** The subcommands do the work. */
export function handler(): void {}

function listOptions(argv: Argv) {
  return whichGateway(argv).option('json', SAVE_OPTIONS.json);
}

function addOptions(argv: Argv) {
  return whichGateway(argv)
    .positional('rule', {
      type: 'string',
      demandOption: true,
      describe: "'{name: no-ssh, action: drop, protocol: tcp, ports: 22}'",
    })
    .option('chain', CHAIN)
    .option('position', { type: 'number', requiresArg: true, describe: 'From 1; without it, the last' })
    .option('before', { type: 'string', requiresArg: true, describe: 'Name of the rule that comes after it' })
    .option('after', { type: 'string', requiresArg: true, describe: 'Name of the rule that comes before it' })
    .options(SAVE_OPTIONS);
}

function removeOptions(argv: Argv) {
  return whichGateway(argv)
    .positional('rule', { type: 'string', demandOption: true, describe: 'Its name' })
    .option('chain', CHAIN)
    .options(SAVE_OPTIONS);
}

async function list(argv: ArgumentsOf<typeof listOptions>): Promise<void> {
  interface Listed {
    rules: { chain: string | null; name: string; rule: object; flows: number; bytes: number }[];
    defaults: { name: string; flows: number; bytes: number }[];
  }
  const listed = await ask<Listed>(gatewayNamed(argv), 'GET', '/v1/rules');
  if (argv.json) {
    process.stdout.write(`${JSON.stringify(listed, null, 2)}\n`);
    return;
  }
  const hits = ({ flows, bytes }: { flows: number; bytes: number }) =>
    `${formatCount(flows)} flows, ${formatBytes(bytes)} of first packets`;
  const rules = listed.rules.map(({ chain, name, rule, ...row }) => {
    return `${chain === null ? '' : `${chain}/`}${name}  ${JSON.stringify(rule)}  ${hits(row)}`;
  });
  const defaults = listed.defaults.map((row) => `${row.name}  ${hits(row)}`);
  process.stdout.write([...rules, ...defaults].map((line) => `${line}\n`).join(''));
}

async function add(argv: ArgumentsOf<typeof addOptions>): Promise<void> {
  const { flowValue } = await import('./flow-value.ts');
  const { chain = null, position, before, after } = argv;
  // What it is, the gateway says.
  const rule = flowValue(argv.rule) as RuleInput;
  const place = { position, before, after };
  const outcome = await makeChange(gatewayNamed(argv), { kind: 'add-rule', chain, rule, place }, argv);
  say(argv.json, 'added the rule', outcome);
}

async function remove(argv: ArgumentsOf<typeof removeOptions>): Promise<void> {
  const { chain = null, rule: name } = argv;
  const outcome = await makeChange(gatewayNamed(argv), { kind: 'remove-rule', chain, name }, argv);
  say(argv.json, `removed ${name}`, outcome);
}
