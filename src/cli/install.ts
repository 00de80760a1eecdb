import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { DEFAULT_NAME, parseInterface } from '../gateway/options.ts';
import type { ArgumentsOf } from './shared-options.ts';

export const command = 'install';
export const describe = 'Make a gateway a service of systemd that starts at boot';

/** Options that may be given more than once. */
export const REPEATABLE: ReadonlySet<string> = new Set(['private']);

export function builder(argv: Argv) {
  return argv
    .option('private', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      describe:
        'Interface of a private network, for the configuration that is written if there is none. Repeatable',
    })
    .option('public', {
      type: 'string',
      requiresArg: true,
      describe: 'Interface towards the internet, for the same',
    })
    .option('name', {
      type: 'string',
      requiresArg: true,
      default: DEFAULT_NAME,
      describe:
        'Which gateway: NAME other than `default` is natgate@NAME.service with /etc/natgate/NAME.yaml',
    })
    .option('root', {
      type: 'string',
      requiresArg: true,
      default: '/',
      describe: 'Write into the system below this folder instead, an image say; nothing is started',
    })
    .option('dry-run', {
      type: 'boolean',
      default: false,
      describe: 'Print what would be written and done, and change nothing',
    })
    .example(
      'natgate install --private eth1 --public eth0',
      'and the gateway runs, now and after every boot',
    );
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const [{ installService }, { thisSystem }, layout] = await Promise.all([
    import('../gateway/service/install.ts'),
    import('../gateway/service/system.ts'),
    import('../gateway/service/layout.ts'),
  ]);
  const name = layout.parseServiceName(argv.name);
  const root = resolve(argv.root);
  const options = {
    name,
    root,
    interfaces: await interfaces(argv, layout.configOf(name)),
    dryRun: argv.dryRun,
    // Through links: `npm link` and /usr/local/bin are names of the same file.
    command: [process.execPath, realpathSync(process.argv[1]!)],
    say: (line: string) => process.stdout.write(`${line}\n`),
  };
  installService(options, thisSystem);
}

/** As given; else, where there is no configuration and somebody is there to be asked, as answered. */
async function interfaces(argv: ArgumentsOf<typeof builder>, config: string) {
  const { private: inside, public: outside } = argv;
  if (inside !== undefined && outside !== undefined) {
    return {
      private: inside.map((text) => parseInterface('private', text)),
      public: parseInterface('public', outside),
    };
  }
  if (inside !== undefined || outside !== undefined) {
    throw new NatgateError(
      'usage',
      '--private and --public belong together',
      `give both, or none where there is ${config}`,
    );
  }
  const { existsSync } = await import('node:fs');
  const { join } = await import('node:path');
  if (!process.stdin.isTTY || existsSync(join(argv.root, config))) return null;
  return ask();
}

async function ask() {
  const { createInterface } = await import('node:readline/promises');
  const { networkInterfaces } = await import('node:os');
  const known = Object.keys(networkInterfaces()).filter((name) => name !== 'lo');
  process.stdout.write(`Interfaces here: ${known.join(', ')}\n`);
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const inside = (await lines.question('Private network (several with blanks): '))
      .split(/\s+/)
      .filter(Boolean);
    const outside = (await lines.question('Towards the internet: ')).trim();
    return {
      private: (inside.length === 0 ? [''] : inside).map((text) => parseInterface('private', text)),
      public: parseInterface('public', outside),
    };
  } finally {
    lines.close();
  }
}
