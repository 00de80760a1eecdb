import type { Argv } from 'yargs';
import { configFile } from './config-option.ts';
import { EXIT } from './exit.ts';
import type { ArgumentsOf } from './shared-options.ts';

export const command = 'export <language> [file]';
export const describe = 'Turn a configuration into rules of iptables or nftables: the way back';

export function builder(argv: Argv) {
  return argv
    .positional('language', {
      choices: ['iptables', 'nftables'] as const,
      demandOption: true,
      describe: 'For iptables-restore, or for nft -f',
    })
    .positional('file', { type: 'string', describe: 'The configuration; default /etc/natgate/natgate.yaml' })
    .option('output', {
      alias: 'o',
      type: 'string',
      requiresArg: true,
      describe: 'Write the rules there; without it, to standard output',
    })
    .option('address', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'that which it has on this host',
      describe: 'Address of the public interface itself',
    })
    .option('force', {
      type: 'boolean',
      default: false,
      describe: 'Write the file even though something has no equivalent, and exit with 0',
    });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const path = configFile(argv.file);
  const { writeFileSync } = await import('node:fs');
  const { networkInterfaces } = await import('node:os');
  const { loadConfig } = await import('../gateway/config/load.ts');
  const { exportRules } = await import('../gateway/iptables/export.ts');
  const { DEFAULT_NAME } = await import('../gateway/options.ts');
  const { stateRoot } = await import('../host/state-root.ts');
  const { options } = loadConfig({ name: DEFAULT_NAME, stateRoot: stateRoot(), flags: {}, path });
  const found = (networkInterfaces()[options.public] ?? []).find(({ family }) => family === 'IPv4');
  const { text, notCarried } = exportRules(options, argv.language, {
    head: [`Made by natgate export from ${path}. Needs net.ipv4.ip_forward=1.`],
    address: argv.address ?? found?.address ?? null,
  });
  const isRefused = notCarried.length > 0 && !argv.force;
  if (argv.output === undefined) process.stdout.write(text);
  else if (!isRefused) writeFileSync(argv.output, text, { mode: 0o644 });
  if (notCarried.length === 0) return;
  const lines = [...notCarried.map((line) => `  ${line}`), `natgate: ${notCarried.length} not carried`];
  if (isRefused) {
    const not = argv.output === undefined ? '' : `${argv.output} was not written: `;
    lines.push(`  ${not}what is allowed would differ; --force takes it as it is`);
    process.exitCode = EXIT.failed;
  }
  process.stderr.write(`${lines.join('\n')}\n`);
}
