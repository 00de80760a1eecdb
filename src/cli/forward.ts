import type { Argv } from 'yargs';
import { makeChange, outcomeText, SAVE_OPTIONS } from './change.ts';
import { ask } from './client.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'forward';
export const describe = 'List, add or remove the forwards of a gateway that runs';

export function builder(argv: Argv) {
  return argv
    .command('list', 'Print the forwards', listOptions, list)
    .command(
      'add <forward>',
      'Add one: as --forward takes it, or a map as the file has it, in quotes',
      changeOptions(
        'forward',
        "tcp:8080=192.168.1.10:80, or '{name: web, protocol: tcp, port: 8080, to: …}'",
      ),
      add,
    )
    .command(
      'remove <forward>',
      'Remove one; its flows end',
      changeOptions('forward', 'Its name, or PROTOCOL:[ADDRESS:]PORT'),
      remove,
    )
    .demandCommand(1, 'say what to do: list, add or remove');
}

/** The subcommands do the work. */
export function handler(): void {}

function listOptions(argv: Argv) {
  return whichGateway(argv).option('json', SAVE_OPTIONS.json);
}

function changeOptions(positional: 'forward', text: string) {
  return (argv: Argv) =>
    whichGateway(argv)
      .positional(positional, { type: 'string', demandOption: true, describe: text })
      .options(SAVE_OPTIONS);
}

type ChangeArguments = ArgumentsOf<ReturnType<typeof changeOptions>>;

async function list(argv: ArgumentsOf<typeof listOptions>): Promise<void> {
  type Listed = { forwards: { name: string; forward: string | Record<string, unknown> }[] };
  const listed = await ask<Listed>(gatewayNamed(argv), 'GET', '/v1/forwards');
  const lines = listed.forwards.map(({ name, forward }) =>
    typeof forward === 'string' ? name : `${name}  ${JSON.stringify(forward)}`,
  );
  process.stdout.write(
    argv.json ? `${JSON.stringify(listed, null, 2)}\n` : lines.map((line) => `${line}\n`).join(''),
  );
}

async function add(argv: ChangeArguments): Promise<void> {
  const { flowValue } = await import('./flow-value.ts');
  // What it is, the gateway says.
  const forward = flowValue(argv.forward) as string;
  const outcome = await makeChange(gatewayNamed(argv), { kind: 'add-forward', forward }, argv);
  say(argv.json, `added ${argv.forward}`, outcome);
}

async function remove(argv: ChangeArguments): Promise<void> {
  const outcome = await makeChange(gatewayNamed(argv), { kind: 'remove-forward', name: argv.forward }, argv);
  say(argv.json, `removed ${argv.forward}`, outcome);
}

export function say(json: boolean, what: string, outcome: Parameters<typeof outcomeText>[1]): void {
  process.stdout.write(`${json ? JSON.stringify(outcome, null, 2) : outcomeText(what, outcome)}\n`);
}
