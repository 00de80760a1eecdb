/**
 * `npm run soak -- [--flows N] [--rate N] [--engine] [--json FILE] [-- ARGS of run]`: flows that begin and end, by the million, and whether
 * anything grows (docs/testing-under-fire.md). Through a real gateway, as root; with --engine through the engine in memory. Exit code 1 when
 * something grows, is left behind, or does not add up.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { V8_FLAGS } from '../../src/engine/v8-flags.ts';
import { removeStale } from '../netns/support/topology.ts';
import { soakEngine } from './engine-soak.ts';
import { soakGateway } from './gateway-soak.ts';
import { type Reading, table } from './soak.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    flows: { type: 'string', default: '10000000' },
    rate: { type: 'string', default: '20000' },
    engine: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

function number(name: 'flows' | 'rate'): number {
  const value = Number(values[name]);
  if (value >= 1 && Number.isFinite(value)) return Math.floor(value);
  console.error(`soak: --${name} ${values[name]}: not a number from 1 on\n  e.g. --flows 1e6 --rate 20000`);
  process.exit(2);
}

const flows = number('flows');
const rate = number('rate');
let shown = 0;
const show = ({ at, flows: begun, values: now }: Reading) => {
  if (!process.stdout.isTTY || at - shown < 1) return;
  shown = at;
  const words = Object.entries(now).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  process.stdout.write(`\r${at.toFixed(0)} s, ${begun.toLocaleString('en')} flows, ${words.join(', ')}   `);
};

console.log(
  `soak: ${flows.toLocaleString('en')} flows${values.engine ? ' through the engine in memory' : `, ${rate} a second`}`,
);
if (values.engine) for (const flag of [...V8_FLAGS, '--expose-gc']) setFlagsFromString(flag);
else {
  if (process.getuid?.() !== 0) {
    console.error('soak: needs root, for network namespaces\n  --engine needs none');
    process.exit(2);
  }
  // The namespaces, and what runs inside, go with this process.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
  removeStale();
}
const result = values.engine
  ? soakEngine(flows, runInNewContext('gc'), show)
  : await soakGateway(flows, rate, positionals, show);
console.log(`${process.stdout.isTTY ? '\r' : ''}${table(result)}`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
process.exit(result.violations.length > 0 ? 1 : 0);
