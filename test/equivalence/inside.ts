/** The part of a run that is inside the namespace. Exit status 0, or 1 when a difference is unexplained. */
import { parseOptions } from './options.ts';
import { run } from './run.ts';

const options = parseOptions(process.argv.slice(2));
const started = performance.now();
let told = started;
const summary = await run(options, (done) => {
  if (performance.now() - told < 10_000) return;
  told = performance.now();
  process.stderr.write(`equivalence: ${done} sets\n`);
});
const seconds = ((performance.now() - started) / 1000).toFixed(0);
const verdicts = Object.entries(summary.verdicts).map(([name, count]) => `${count} ${name}`);
const reasons = [...summary.reasons].sort(([, a], [, b]) => b - a);
const lines = [
  ...summary.unexplained,
  `${summary.sets} rule sets of seed ${options.seed}, ${summary.rules} rules, ${summary.flows} flows, ${summary.packets} packets, natgate ${options.live === null ? 'in memory' : 'running'}, in ${seconds} s`,
  `first packets: ${verdicts.join(', ')}`,
  `${summary.partial} sets not carried whole, as their import says: ${summary.expected} differences there`,
  ...reasons.map(([reason, count]) => `${String(count).padStart(6)}  ${reason}`),
  `of the others: ${summary.unexplained.length} unexplained`,
];
// The exchange and the TUN devices would keep the event loop alive.
process.stdout.write(`${lines.join('\n')}\n`, () => process.exit(summary.unexplained.length > 0 ? 1 : 0));
