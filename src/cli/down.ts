import type { Argv } from 'yargs';
import { type ArgumentsOf, gatewayNamed, whichGateway } from './shared-options.ts';

export const command = 'down';
export const describe = 'Undo what a gateway left behind that was killed or lingers';

export function builder(argv: Argv) {
  return whichGateway(argv)
    .option('after', { type: 'number', requiresArg: true, hidden: true, implies: 'token' })
    .option('token', { type: 'string', requiresArg: true, hidden: true, implies: 'after' });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const which = gatewayNamed(argv);
  const { takeDown, takeDownLater } = await import('../gateway/teardown.ts');
  if (argv.after !== undefined && argv.token !== undefined) {
    await takeDownLater(which, argv.after, argv.token);
    return;
  }
  const { done, kept } = takeDown(which);
  for (const { step, why } of kept) process.stderr.write(`natgate: left as it is: ${step}: ${why}\n`);
  process.stderr.write(`natgate: ${which.name} is undone (${done.length} steps)\n`);
}
