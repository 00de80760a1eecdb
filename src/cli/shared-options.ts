/** Options that several verbs have, said once. */
import { resolve } from 'node:path';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { DEFAULT_NAME, parseName } from '../gateway/options.ts';
import { stateRoot } from '../host/state-root.ts';

/** `--name` and `--state-root`: which gateway of this host is meant. */
export function whichGateway<T>(argv: Argv<T>) {
  return argv
    .option('name', {
      type: 'string',
      requiresArg: true,
      default: DEFAULT_NAME,
      describe: 'Which gateway: several can run on one host under different names',
    })
    .option('state-root', {
      type: 'string',
      requiresArg: true,
      default: stateRoot(),
      defaultDescription: '$NATGATE_STATE_ROOT, else /run/natgate',
      describe: 'Folder of the run directories; choose another for gateways in containers that share /run',
    });
}

/** The gateway that these options name. Throws NatgateError `usage`. */
export function gatewayNamed(argv: { name: string; stateRoot: string }): { name: string; stateRoot: string } {
  return { name: parseName(argv.name), stateRoot: resolve(argv.stateRoot) };
}

/** What the handler of a verb gets, given its builder. */
// biome-ignore lint/suspicious/noExplicitAny: a builder is given here, whatever options it adds.
export type ArgumentsOf<Builder extends (...of: any[]) => unknown> =
  ReturnType<Builder> extends Argv<infer Options> ? ArgumentsCamelCase<Options> : never;
