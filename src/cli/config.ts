import type { Argv } from 'yargs';
import { configFile } from './config-option.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'config <what> [file]';
export const describe =
  'Show a configuration with every default (show), or the JSON Schema for editors (schema)';

export function builder(argv: Argv) {
  return whichGateway(argv)
    .positional('what', {
      choices: ['show', 'schema'] as const,
      demandOption: true,
      describe: 'What to print',
    })
    .positional('file', { type: 'string', describe: 'The configuration; default /etc/natgate/natgate.yaml' })
    .option('json', { type: 'boolean', default: false, describe: 'Print JSON, for programs' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  if (argv.what === 'schema') {
    const { configJsonSchema } = await import('../gateway/config/json-schema.ts');
    process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    return;
  }
  const path = configFile(argv.file);
  const { loadConfig } = await import('../gateway/config/load.ts');
  const { document } = loadConfig({ ...gatewayNamed(argv), flags: {}, path });
  if (argv.json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  else {
    const { showConfig } = await import('../gateway/config/show.ts');
    process.stdout.write(showConfig(document));
  }
}
