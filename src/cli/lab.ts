import type { Argv } from 'yargs';
import { NatgateError } from '../core/errors.ts';
import { interruptible } from './interruptible.ts';
import type { ArgumentsOf } from './shared-options.ts';

export const command = 'lab';
export const describe =
  'Try a gateway on this machine: namespaces, a download, a break-in; leaves nothing behind';

const UNITS: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const MAX_SIZE = 2 ** 40;

export function builder(argv: Argv) {
  return argv.option('size', {
    type: 'string',
    requiresArg: true,
    default: '1G',
    coerce: parseSize,
    describe: 'How much the private host downloads, in bytes or with K, M or G',
  });
}

export async function handler(argv: ArgumentsOf<typeof builder>): Promise<void> {
  const { runLab } = await import('./lab/run-lab.ts');
  await interruptible('lab', async (signal) => await runLab(argv.size, signal));
}

/** `1G`, `64M`, `100000`. */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMG]?)$/i.exec(text);
  const size = match ? Number(match[1]) * UNITS[match[2]!.toUpperCase()]! : 0;
  if (size < 1 || size > MAX_SIZE) {
    throw new NatgateError(
      'usage',
      `--size ${text}: not a size`,
      'give bytes, or a number with K, M or G, e.g. 64M',
    );
  }
  return size;
}
