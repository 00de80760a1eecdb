/**
 * `npm run fuzz -- [--packets N | --minutes M] [--seed S] [--jobs J] [--json FILE]`: mutated packets through the whole engine (docs in fuzz.ts and
 * traffic.ts); `-- --parsers …`: every parser instead (parsers/run.ts). Exit code 1 when something broke; then test/corpus/crashes/ has a small sequence that breaks it.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { reasonNames } from '../../src/core/reasons.ts';
import { DROPS } from '../../src/engine/counters.ts';
import { fuzz } from './fuzz.ts';
import { runJobs } from './jobs.ts';
import { fuzzParsers } from './parsers/run.ts';
import { CRASHES, writeCrash } from './steps.ts';
import { watch } from './watchdog.ts';

const options = commandLine({
  packets: { type: 'string' },
  minutes: { type: 'string' },
  seed: { type: 'string' },
  jobs: { type: 'string' },
  parsers: { type: 'boolean' },
  only: { type: 'string' },
  seconds: { type: 'string' },
  iterations: { type: 'string' },
  json: { type: 'string' },
});

const packets = number('packets', options.packets, options.minutes === undefined ? 1_000_000 : Infinity);
const minutes = number('minutes', options.minutes, Infinity);
const seed = number('seed', options.seed, Math.floor(Math.random() * 2 ** 32));

function commandLine<const T extends ParseArgsConfig['options']>(known: T) {
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    console.error(
      `fuzz: ${(error as Error).message}\n  there is ${Object.keys(known!)
        .map((name) => `--${name}`)
        .join(', ')}`,
    );
    process.exit(2);
  }
}

function number(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  console.error(`fuzz: --${name} ${text}: not a number\n  e.g. --packets 1e7 --seed 1`);
  process.exit(2);
}

/** Of a run in which nothing broke. */
export interface FuzzResult {
  seed: number;
  packets: number;
  jobs: number;
  seconds: number;
}

function writeResult(result: FuzzResult): void {
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result)}\n`);
}

if (options.parsers === true) {
  if (options.json !== undefined) {
    console.error('fuzz: --json with --parsers: it tells of packets\n  leave one of them out');
    process.exit(2);
  }
  const { only, seconds, iterations } = options;
  const { status } = await fuzzParsers({ only, seconds, iterations, seed, write: true });
  process.exit(status);
}
const jobs = number('jobs', options.jobs, 1);
if (jobs > 1) {
  if (options.json !== undefined && packets === Infinity) {
    console.error('fuzz: --json with --jobs and --minutes: nobody counts\n  give --packets');
    process.exit(2);
  }
  const begin = performance.now();
  const survived = await runJobs(jobs, packets, minutes, seed);
  if (survived) writeResult({ seed, packets, jobs, seconds: (performance.now() - begin) / 1000 });
  process.exit(survived ? 0 : 1);
}

console.log(`fuzz: seed ${seed}, ${minutes === Infinity ? `${packets} packets` : `${minutes} minutes`}`);
watch();
const start = performance.now();
let shown = start;
const drops = new Float64Array(reasonNames.length);
const { packets: done, failure } = fuzz({
  packets,
  seed,
  until: start + minutes * 60_000,
  onEpisode: (sofar, counters) => {
    for (let reason = 0; reason < drops.length; reason++) drops[reason]! += counters[DROPS + reason]!;
    const isShown = process.stdout.isTTY;
    if (performance.now() - shown < (isShown ? 500 : 60_000)) return;
    shown = performance.now();
    process.stdout.write(isShown ? `\r${summary(sofar)}` : `${summary(sofar)}\n`);
  },
});

function summary(count: number): string {
  const seconds = (performance.now() - start) / 1000;
  return `${count.toLocaleString('en')} packets in ${seconds.toFixed(0)} s, ${Math.round(count / seconds / 1000)} k/s`;
}

console.log(`${process.stdout.isTTY ? '\r' : ''}${summary(done)}`);
if (failure === null) {
  const never = reasonNames.filter((name, reason) => name !== 'ok' && drops[reason] === 0);
  writeResult({ seed, packets: done, jobs, seconds: (performance.now() - start) / 1000 });
  console.log(`no failure; drop reasons that did not occur: ${never.join(', ') || 'none'}`);
} else {
  const path = fileURLToPath(new URL(`${failure.name}.json`, CRASHES));
  writeCrash(path, failure.crash);
  console.error(`\n${failure.error.stack}\n`);
  console.error(`fuzz: broken at packet ${failure.packet} (again: --seed ${failure.seed} --packets 20000)`);
  console.error(`  ${failure.crash.steps.length} steps that break it: ${path}`);
  process.exitCode = 1;
}
