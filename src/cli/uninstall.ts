import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import type { ArgumentsOf } from './shared-options.ts';

export const command = 'uninstall';
export const describe = 'Undo what `natgate install` did';

export function builder(argv: Argv) {
  return argv
    .option('name', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'all',
      describe: 'Only this gateway; units and account stay for the others',
    })
    .option('root', {
      type: 'string',
      requiresArg: true,
      default: '/',
      describe: 'Of the system below this folder',
    })
    .option('purge', {
      type: 'boolean',
      default: false,
      describe: 'Remove the configuration as well',
    })
    .option('dry-run', {
      type: 'boolean',
      default: false,
      describe: 'Print what would be done, and change nothing',
    });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const [{ uninstallService }, { thisSystem }, { parseServiceName }, { stateRoot }] = await Promise.all([
    import('../gateway/service/uninstall.ts'),
    import('../gateway/service/system.ts'),
    import('../gateway/service/layout.ts'),
    import('../host/state-root.ts'),
  ]);
  const options = {
    name: argv.name === undefined ? null : parseServiceName(argv.name),
    root: resolve(argv.root),
    purge: argv.purge,
    dryRun: argv.dryRun,
    stateRoot: stateRoot(),
    say: (line: string) => process.stdout.write(`${line}\n`),
  };
  uninstallService(options, thisSystem);
}
