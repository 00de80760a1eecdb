/** `natgate stats`: once, or again and again until somebody stops it or stops to read. */
import { NatgateError } from '../core/errors.ts';
import { type CounterSample, isGauge, rateOf, sampleCounters } from '../gateway/observe/counters.ts';
import { recordOf } from '../gateway/status.ts';
import type { WhichGateway } from '../gateway/teardown.ts';
import { bold } from './flow-columns.ts';
import { askCounters } from './flow-socket.ts';
import { orSocket } from './or-socket.ts';
import { writeLines } from './output.ts';
import { formatCount } from './units.ts';

export interface StatsOptions {
  names: readonly string[];
  json: boolean;
  rates: boolean;
  watch: boolean;
  interval: number;
  nonzero: boolean;
}

export async function printStats(which: WhichGateway, options: StatsOptions): Promise<void> {
  const { interval, watch, rates } = options;
  if (!(interval >= 0.1 && interval <= 3600)) {
    throw new NatgateError('usage', `--interval ${interval}: not 0.1 to 3600 seconds`, 'e.g. --interval 2');
  }
  const sample = () =>
    orSocket(
      () => sampleCounters(recordOf(which)),
      () => askCounters(which),
    );
  let before = await sample();
  const names = namesOf(before, options.names);
  if (!watch && !rates) {
    await writeLines(render(names, before, null, options));
    return;
  }
  do {
    await new Promise((resolve) => setTimeout(resolve, interval * 1000));
    // Asked anew each time: the gateway may have been stopped.
    const after = await sample();
    const isScreen = watch && !options.json && process.stdout.isTTY;
    // Home, and what was there goes.
    if (isScreen) process.stdout.write('\x1b[H\x1b[2J');
    const lines = [...render(names, after, before, options)];
    const room = isScreen ? Math.max(process.stdout.rows - 1, 1) : lines.length;
    await writeLines(lines.slice(0, room));
    before = after;
  } while (watch && process.stdout.writable);
}

/** Throws NatgateError `usage` when a word is in no name. */
function namesOf({ values }: CounterSample, words: readonly string[]): string[] {
  const all = Object.keys(values);
  for (const word of words) {
    if (all.some((name) => name.includes(word))) continue;
    throw new NatgateError('usage', `no counter has ${word} in its name`, '`natgate stats` shows all');
  }
  return words.length === 0 ? all : all.filter((name) => words.some((word) => name.includes(word)));
}

function* render(
  names: readonly string[],
  after: CounterSample,
  before: CounterSample | null,
  { json, nonzero, watch }: StatsOptions,
): Generator<string> {
  const shown = names.filter((name) => !nonzero || after.values[name] !== 0);
  const rate = (name: string) => (before === null || isGauge(name) ? null : rateOf(name, before, after));
  if (json) {
    const pick = (value: (name: string) => number | null) =>
      Object.fromEntries(
        shown.flatMap((name) => {
          const number = value(name);
          return number === null ? [] : [[name, number]];
        }),
      );
    const counters = pick((name) => after.values[name]!);
    const result = before === null ? { counters } : { counters, rates: pick(rate) };
    yield watch
      ? JSON.stringify({ time: new Date().toISOString(), ...result })
      : JSON.stringify(result, null, 2);
    return;
  }
  const width = Math.max(7, ...shown.map((name) => name.length));
  const digits = Math.max(5, ...shown.map((name) => formatCount(after.values[name]!).length));
  yield bold(
    `${'COUNTER'.padEnd(width)}  ${'VALUE'.padStart(digits)}${before === null ? '' : '    PER SECOND'}`,
  );
  for (const name of shown) {
    const value = `${name.padEnd(width)}  ${formatCount(after.values[name]!).padStart(digits)}`;
    const perSecond = rate(name);
    yield perSecond === null ? value : `${value}  ${formatCount(Math.round(perSecond)).padStart(12)}`;
  }
}
