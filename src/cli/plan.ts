import type { Argv } from 'yargs';
import { flowLine } from './flow-line.ts';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'plan [file]';
export const describe = 'Show what a reload would change, and which connections would end; changes nothing';

/** Flows that are shown to people. */
const SHOWN = 20;

export function builder(argv: Argv) {
  return whichGateway(argv)
    .positional('file', {
      type: 'string',
      describe: 'The configuration; default: that which the gateway was started with',
    })
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Print a JSON object, with all flows that would end',
    });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { resolve } = await import('node:path');
  const { readPlan } = await import('../gateway/reload/plan.ts');
  const { flowObject } = await import('../gateway/flow-object.ts');
  const { causeCounts, causeText, changeLines } = await import('../gateway/reload/result.ts');
  const plan = readPlan(gatewayNamed(argv), argv.file === undefined ? null : resolve(argv.file));
  if (argv.json) {
    const ending = plan.ending.map(({ cause, flow }) => ({ cause, flow: flowObject(flow) }));
    process.stdout.write(`${JSON.stringify({ ...plan, ending }, null, 2)}\n`);
    return;
  }
  const more = plan.ending.length - SHOWN;
  const lines = [
    ...plan.warnings,
    ...(plan.refused === null
      ? []
      : [`a reload would be refused: ${plan.refused.what}`, `  ${plan.refused.remedy}`]),
    ...changeLines(plan.changes),
    ...plan.host.map((line) => `host: ${line}`),
    `flows: ${plan.kept} would go on, ${plan.ending.length} would end`,
    ...causeCounts(plan.ending).map((each) => `  ${each.count} by ${causeText(each)}`),
    ...plan.ending.slice(0, SHOWN).map(({ cause, flow }) => `${flowLine(flow)} [${causeText(cause)}]`),
    ...(more > 0 ? [`and ${more} more; --json shows all`] : []),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
