/**
 * The part of a run that is inside the namespace. Exit status 0, or 1 when a difference is unexplained or a full run has
 * missed a cell.
 */
import { parseOptions } from './options.ts';
import { summaryLines } from './report.ts';
import { Run } from './run.ts';

const args = process.argv.slice(2);
const options = parseOptions(args);
const started = performance.now();
let told = started;

const summary = new Run().run({
  seed: options.seed,
  first: options.only ?? 0,
  count: options.only === null ? options.sequences : 1,
  kinds: options.kinds,
  most: options.most,
  progress: (done) => {
    if (performance.now() - told < 10_000) return;
    told = performance.now();
    process.stderr.write(`differential: ${done} sequences\n`);
  },
});
const missed = options.full ? summary.coverage.missed() : [];
const lines = summaryLines(summary, options.seed, (performance.now() - started) / 1000);
if (missed.length > 0) lines.push(`not reached, though reachable: ${missed.join('; ')}`);
const failed = summary.unexplained.length > 0 || missed.length > 0;
// The exchange and the TUN devices would keep the event loop alive.
process.stdout.write(`${lines.join('\n')}\n`, () => process.exit(failed ? 1 : 0));
