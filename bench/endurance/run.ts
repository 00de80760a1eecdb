/**
 * `npm run bench:endurance [-- --only NAME,…] [-- --write]`, as root: what natgate loses when things go wrong. The commands of parts.ts one after
 * the other, an hour in all; --write puts the figures of those that ran into docs/benchmarks.md and docs/benchmarks/endurance.json.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import { describeMachine } from '../net/machine.ts';
import { ROOT } from '../net/tools.ts';
import { Page } from '../page.ts';
import { type Part, parts } from './parts.ts';
import { markdown, text } from './report.ts';
import type { EnduranceResults, PartResult } from './results.ts';

const names = parts.map(({ name }) => name);
const { only, write } = yargs(process.argv.slice(2))
  .scriptName('npm run bench:endurance --')
  .option('only', { type: 'string', default: names.join(), describe: 'these parts, by commas' })
  .option('write', { type: 'boolean', default: false, describe: 'write the figures into docs/benchmarks.md' })
  .version(false)
  .strict()
  .parseSync();
const wanted = only.split(',');
const unknown = wanted.find((name) => !names.includes(name));
if (unknown !== undefined) {
  throw new NatgateError('BENCH_USAGE', `--only ${unknown}: there is ${names.join(', ')}`);
}
if (process.getuid?.() !== 0) {
  throw new NatgateError('BENCH_NOT_ROOT', 'network namespaces need root', 'sudo npm run bench:endurance');
}

const page = new Page(ROOT);
const results: EnduranceResults = JSON.parse(page.readBeside('endurance.json') ?? '{}');
const machine = await describeMachine([]);
const folder = mkdtempSync(join(tmpdir(), 'natgate-endurance-'));
const ran: EnduranceResults = {};
try {
  for (const part of parts.filter(({ name }) => wanted.includes(name))) {
    ran[part.name] = run(part);
    if (!write) continue;
    results[part.name] = ran[part.name]!;
    const ordered = Object.fromEntries(
      names.flatMap((name) => (results[name] ? [[name, results[name]]] : [])),
    );
    page.writeBeside('endurance.json', `${JSON.stringify(ordered, null, 2)}\n`);
    page.writeSection('bench:endurance', markdown(ordered));
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(text(ran));
process.exitCode = Object.values(ran).some(({ figures }) => Object.keys(figures).length === 0) ? 1 : 0;

/** The command's own lines go to stderr. */
function run({ name, script, args, read }: Part): PartResult {
  const command = `npm run ${script} -- ${args.join(' ')}`;
  process.stderr.write(`\n${command}\n`);
  const file = join(folder, `${name}.json`);
  const begin = performance.now();
  const { status, signal } = spawnSync('npm', ['run', '--silent', script, '--', ...args, '--json', file], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
  });
  const seconds = (performance.now() - begin) / 1000;
  const said =
    status === 0
      ? read(JSON.parse(readFileSync(file, 'utf8')))
      : { figures: {}, seen: `failed (${signal ?? `exit code ${status}`})` };
  return { command, machine, seconds, ...said };
}
