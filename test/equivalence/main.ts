/**
 * `npm run equivalence`: generated iptables rules, loaded by the real iptables in a namespace and imported into natgate; the same packets
 * through both, verdicts compared. Exit status 0, 1 when a difference is unexplained, 2 for a wrong command line.
 */
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ensureTools } from '../../src/cli/lab/tools.ts';
import { NatgateError } from '../../src/core/errors.ts';
import { runInside } from '../differential/namespace.ts';
import { removeStale } from '../netns/support/topology.ts';
import { argumentsOf, parseOptions } from './options.ts';

const say = (line: string) => process.stderr.write(`${line}\n`);

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (process.geteuid?.() !== 0) {
    throw new NatgateError('not_root', 'network namespaces need root', 'sudo npm run equivalence');
  }
  ensureTools(
    [
      { binary: 'ip', package: 'iproute2' },
      { binary: 'iptables', package: 'iptables' },
    ],
    say,
  );
  removeStale();
  const inside = fileURLToPath(new URL('inside.ts', import.meta.url));
  return (await runInside(argumentsOf(options), { inside, second: options.live !== null })).code;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof NatgateError)) throw error;
  say(`equivalence: ${error.message}\n${error.hint}`.trimEnd());
  process.exitCode = error.code === 'usage' ? 2 : 1;
}
