import type { Argv } from 'yargs';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'who-had <question>';
export const describe = 'Say which private host had an external port, and when (from the event log)';

const EPILOGUE = `natgate who-had 40123                          all that the log knows of
natgate who-had 40123@2026-03-01T12:00:00Z     whose it was then; without a zone: this host's
natgate who-had 40123@1772366400               likewise, seconds since 1970
It exits with 1 where the log knows of nobody.`;

export function builder(argv: Argv) {
  return whichGateway(argv)
    .positional('question', { type: 'string', demandOption: true, describe: 'PORT, or PORT@TIME' })
    .option('protocol', {
      alias: 'p',
      type: 'string',
      requiresArg: true,
      describe: 'Protocol, by name or number',
    })
    .option('external', { type: 'string', requiresArg: true, describe: 'External address' })
    .option('file', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'that of the gateway',
      describe: 'Event log; files beside it with .1, .2 … are read as well',
    })
    .option('json', { type: 'boolean', default: false, describe: 'Print JSON, for programs' })
    .epilogue(EPILOGUE);
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { printWhoHad, questionOf } = await import('./print-who-had.ts');
  const { protocol, external, file, json } = argv;
  const question = questionOf(String(argv.question), protocol, external);
  await printWhoHad(gatewayNamed(argv), question, { file, json });
}
