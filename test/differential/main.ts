/**
 * `npm run differential`: the kernel as the oracle. The same sequences of packets go through natgate's engine and through
 * netfilter's MASQUERADE; what comes out is compared, and so is how each flow stands at the end.
 *
 * Exit status: 0, 1 when a difference is unexplained, a full run has missed a cell or a planted bug was not found, 2 for
 * a wrong command line, 128 + signal when interrupted.
 */
import { constants } from 'node:os';
import { ensureTools } from '../../src/cli/lab/tools.ts';
import { NatgateError } from '../../src/core/errors.ts';
import { removeStale } from '../netns/support/topology.ts';
import { runMutations } from './mutation-run.ts';
import { runInside } from './namespace.ts';
import { argumentsOf, parseOptions } from './options.ts';

const say = (line: string) => process.stderr.write(`${line}\n`);

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (process.geteuid?.() !== 0) {
    throw new NatgateError('not_root', 'network namespaces need root', 'sudo npm run differential');
  }
  ensureTools(
    [
      { binary: 'ip', package: 'iproute2' },
      { binary: 'iptables', package: 'iptables' },
    ],
    say,
  );
  removeStale();
  console.log(`differential: seed ${options.seed}`);
  if (options.mutations) return runMutations(options, (line) => console.log(line));
  const { code } = await runInside(argumentsOf(options));
  return code;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof NatgateError)) throw error;
  say(`differential: ${error.message}\n${error.hint}`.trimEnd());
  process.exitCode = error.code === 'usage' ? 2 : 1;
}
