import type { Argv } from 'yargs';
import { EXIT } from './exit.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'reload';
export const describe =
  'Put the configuration file in force as it is now; no packet of an unaffected connection is lost';

export function builder(argv: Argv) {
  return whichGateway(argv).option('json', {
    type: 'boolean',
    default: false,
    describe: 'Print a JSON object, for programs',
  });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { reloadGateway } = await import('../gateway/reload/ask.ts');
  const { causeText, changeLines, endedCount } = await import('../gateway/reload/result.ts');
  const result = await reloadGateway(gatewayNamed(argv));
  if (!result.applied) process.exitCode = EXIT.failed;
  if (argv.json) {
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  if (!result.applied) {
    const remedy = result.remedy === '' ? [] : [`  ${result.remedy}`];
    process.stderr.write(`${[...result.problems, ...remedy, 'natgate: nothing has changed'].join('\n')}\n`);
    return;
  }
  const lines = [
    ...result.problems,
    ...(result.changes === null ? [] : changeLines(result.changes)),
    ...(result.restarted
      ? ['the engine was started anew meanwhile; which flows ended is not known']
      : [`flows: ${result.kept} go on, ${endedCount(result)} ended`]),
    ...result.ended.map((each) => `  ${each.count} by ${causeText(each)}`),
    ...result.leftovers.map((line) => `the host could not be taken back: ${line}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
