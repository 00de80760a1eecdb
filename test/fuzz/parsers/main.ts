/** The program that bundle.ts makes: fuzzes targets one after the other. Options: run.ts. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CountedFile } from './bundle.ts';
import { keep, writeCorpus } from './corpus.ts';
import { watchInputs } from './hang.ts';
import { fuzzTarget } from './loop.ts';
import { targets } from './targets/all.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string' },
    iterations: { type: 'string' },
    seed: { type: 'string' },
    write: { type: 'boolean' },
  },
});
const seed = Number(options.seed);
const iterations = options.iterations === undefined ? Number.POSITIVE_INFINITY : Number(options.iterations);
const seconds = options.seconds === undefined ? Number.POSITIVE_INFINITY : Number(options.seconds);
const files = JSON.parse(readFileSync(`${fileURLToPath(import.meta.url)}.json`, 'utf8')) as Record<
  string,
  CountedFile
>;

const chosen = targets.filter(
  ({ name }) => options.only === undefined || options.only.split(',').includes(name),
);
if (chosen.length === 0) {
  console.error(
    `fuzz: no parser is called ${options.only}\n  there are ${targets.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
watchInputs();
for (const target of chosen) {
  const start = performance.now();
  const { inputs, corpus, reached, counters, failure } = await fuzzTarget(target, files, {
    seed,
    iterations,
    until: start + seconds * 1000,
  });
  if (failure !== null) {
    const path = keep(target, failure.input);
    console.error(`fuzz: ${target.name} broke, seed ${seed}, after ${inputs} inputs: ${failure.error.stack}`);
    console.error(`  what breaks it is the last line of ${path}`);
    process.exitCode = 1;
    continue;
  }
  const took = (performance.now() - start) / 1000;
  const share = `${reached} of ${counters} branches (${((100 * reached) / counters).toFixed(1)} %)`;
  console.log(`${target.name}: ${inputs} inputs in ${took.toFixed(1)} s, ${share}, ${corpus.length} kept`);
  if (options.write === true) writeCorpus(target, corpus);
}
// A target may have left a timer behind.
process.exit();
