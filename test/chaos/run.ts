/**
 * `npm run chaos -- [--minutes N] [--seed S] [--only NAME,…] [--transfers N] [--stall S] [--interval S] [--json FILE] [-- ARGS of run]`: a
 * real gateway under disasters (chaos.ts). As root. Exit code 1 when something was lost that need not have been; docs/testing-under-fire.md.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { removeStale } from '../netns/support/topology.ts';
import { chaos } from './chaos.ts';
import { disasters } from './disasters/index.ts';
import { table } from './report.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 2 ** 31)}` },
    only: { type: 'string', default: '' },
    transfers: { type: 'string', default: '24' },
    stall: { type: 'string', default: '20' },
    interval: { type: 'string', default: '5' },
    json: { type: 'string' },
  },
});

function fail(what: string): never {
  console.error(`chaos: ${what}\n  e.g. npm run chaos -- --minutes 10 --seed 7 --only kill-engine,reload`);
  process.exit(2);
}

function number(name: 'minutes' | 'seed' | 'transfers' | 'stall' | 'interval'): number {
  const value = Number(values[name]);
  return value > 0 && Number.isFinite(value)
    ? value
    : fail(`--${name} ${values[name]}: not a number above 0`);
}

const only = values.only.split(',').filter(Boolean);
for (const name of only) {
  if (!disasters.some((disaster) => disaster.name === name)) {
    fail(`--only ${name}: there is ${disasters.map((disaster) => disaster.name).join(', ')}`);
  }
}
if (process.getuid?.() !== 0) fail('needs root, for network namespaces');

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // The namespaces, and what runs inside, go with this process: see `destroy` in network.ts.
  process.on(signal, () => process.exit(130));
}
removeStale();
const seed = number('seed');
console.log(`chaos: seed ${seed}, ${values.minutes} minutes, ${values.transfers} transfers at a time`);
const result = await chaos({
  seed,
  minutes: number('minutes'),
  only,
  transfers: number('transfers'),
  stallLimit: number('stall'),
  interval: number('interval'),
  args: positionals,
  say: (line) => console.log(line),
});
console.log(table(result));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
const words = Object.entries({ ...values, seed }).filter(([name, value]) => name !== 'json' && value !== '');
const flags = words.map(([name, value]) => `--${name} ${value}`);
console.log(
  `again: npm run chaos -- ${[...flags, ...(positionals.length > 0 ? ['--', ...positionals] : [])].join(' ')}`,
);
process.exit(result.verdict.violations.length > 0 ? 1 : 0);
