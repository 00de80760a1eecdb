import type { Argv } from 'yargs';
import { configFile } from './config-option.ts';
import { EXIT } from './exit.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'check [file]';
export const describe = 'Check a configuration, in itself and against this host; changes nothing';

export function builder(argv: Argv) {
  return whichGateway(argv)
    .positional('file', { type: 'string', describe: 'The configuration; default /etc/natgate/natgate.yaml' })
    .option('host', {
      type: 'boolean',
      default: true,
      describe: 'Look at this host as well; --no-host: only at the file',
    })
    .option('json', { type: 'boolean', default: false, describe: 'Print a JSON object, for programs' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const path = configFile(argv.file);
  const { readConfigFile } = await import('../gateway/config/read-file.ts');
  const { examine } = await import('../gateway/config/load.ts');
  const { problemLine, sorted } = await import('../gateway/config/problems.ts');
  const file = { path, text: readConfigFile(path) };
  const { options, document, problems, placeOf } = examine({ ...gatewayNamed(argv), flags: {}, file });
  if (options !== null && document !== null && argv.host) {
    const { hostProblems } = await import('../gateway/config/host-problems.ts');
    problems.push(...hostProblems(options, document, placeOf));
  }
  const all = sorted(problems);
  const errors = all.filter(({ severity }) => severity === 'error').length;
  const warnings = all.length - errors;
  if (argv.json)
    process.stdout.write(`${JSON.stringify({ file: path, errors, warnings, problems: all }, null, 2)}\n`);
  else {
    const lines = all.map((problem) => problemLine(path, problem));
    process.stdout.write(`${[...lines, `${path}: ${summary(errors, warnings)}`].join('\n')}\n`);
  }
  if (errors > 0) process.exitCode = EXIT.failed;
}

function summary(errors: number, warnings: number): string {
  const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;
  if (errors > 0) return `${counted(errors, 'error')}, ${counted(warnings, 'warning')}`;
  return warnings > 0 ? `usable, ${counted(warnings, 'warning')}` : 'good';
}
