import type { Argv } from 'yargs';
import { EXIT } from './exit.ts';
import type { ArgumentsOf } from './shared-options.ts';

export const command = 'import <file>';
export const describe =
  'Turn iptables rules (iptables-save, or commands as a script has them) into a configuration';

/** Options that may be given more than once, in both spellings that yargs knows them by. */
export const REPEATABLE: ReadonlySet<string> = new Set(['private', 'address']);

export function builder(argv: Argv) {
  const list = { type: 'string', array: true, requiresArg: true, nargs: 1, default: [] as string[] } as const;
  return argv
    .positional('file', {
      type: 'string',
      demandOption: true,
      describe: 'The rules, e.g. /etc/iptables/rules.v4; -: standard input',
    })
    .option('output', {
      alias: 'o',
      type: 'string',
      requiresArg: true,
      describe: 'Write the configuration there; without it, to standard output',
    })
    .option('private', { ...list, describe: 'Private interface, where the rules do not tell. Repeatable' })
    .option('public', {
      type: 'string',
      requiresArg: true,
      describe: 'Public interface, where the rules do not tell',
    })
    .option('address', {
      ...list,
      defaultDescription: 'those that it has on this host',
      describe: 'Address of the public interface itself: SNAT to it is masquerading. Repeatable',
    })
    .option('sets', {
      type: 'string',
      requiresArg: true,
      describe: 'What `ipset save` prints: the sets that rules name',
    })
    .option('force', {
      type: 'boolean',
      default: false,
      describe:
        'Write the file even though what it allows differs from what the rules allow, and exit with 0',
    });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { readFileSync, writeFileSync } = await import('node:fs');
  const { networkInterfaces } = await import('node:os');
  const { importRules, summary } = await import('../gateway/iptables/import.ts');
  // yargs makes an empty text of a dash.
  const isStdin = argv.file === '-' || argv.file === '';
  const file = isStdin ? '<stdin>' : argv.file;
  const addressesOf = (name: string) =>
    (networkInterfaces()[name] ?? []).filter(({ family }) => family === 'IPv4').map(({ address }) => address);
  const { text, counts, notCarried } = importRules(readFileSync(isStdin ? 0 : argv.file, 'utf8'), {
    file,
    private: argv.private,
    public: argv.public ?? null,
    addresses: argv.address.length > 0 ? () => argv.address : addressesOf,
    sets: argv.sets === undefined ? null : readFileSync(argv.sets, 'utf8'),
  });
  const isRefused = counts.changed > 0 && !argv.force;
  if (argv.output === undefined) process.stdout.write(text);
  else if (!isRefused) writeFileSync(argv.output, text, { mode: 0o644 });
  const lines = [...notCarried.map((line) => `  ${line}`), `natgate: ${summary(counts)}`];
  if (isRefused) {
    const not = argv.output === undefined ? '' : `${argv.output} was not written: `;
    lines.push(
      `  ${not}what is allowed would differ; look at the lines above, then --force takes it as it is`,
    );
    process.exitCode = EXIT.failed;
  }
  process.stderr.write(`${lines.join('\n')}\n`);
}
