/**
 * `npm run bench:observed`: what it costs to look. The same gateway with nobody looking, with one way of looking at a time, and with all but
 * capture at once, side by side; ratios to the one that nobody looks at, of one round each.
 *
 *     npm run bench:observed -- --rounds 7 --seconds 2 --only all,capture
 */

import yargs from 'yargs';
import { NatgateError } from '../../src/core/errors.ts';
import { describeMachine } from '../net/machine.ts';
import { stopAll } from '../net/processes.ts';
import { Session } from '../net/session.ts';
import { summarise } from '../net/summary.ts';
import { renderText } from '../net/table.ts';
import { demandTools, installTools } from '../net/tools.ts';
import { removeAll } from '../net/topology.ts';
import type { Reading } from '../net/types.ts';
import { newFlows } from '../net/workloads/new-flows.ts';
import { tcpIn, tcpOut } from '../net/workloads/tcp.ts';
import { udp18 } from '../net/workloads/udp.ts';
import { contenders } from './contenders.ts';

const WORKLOADS = [tcpOut, tcpIn, udp18, newFlows];
const NOBODY = contenders[0]!;

const parsed = yargs(process.argv.slice(2))
  .scriptName('npm run bench:observed --')
  .option('rounds', { type: 'number', default: 5, describe: 'how often everything is measured' })
  .option('seconds', { type: 'number', default: 1.5, describe: 'length of one measurement' })
  .option('only', { type: 'string', describe: `of ${contenders.map(({ name }) => name).join(', ')}` })
  .version(false)
  .strict()
  .parseSync();

const wanted = parsed.only?.split(',');
const unknown = wanted?.find((word) => !contenders.some(({ name }) => name === word));
if (unknown !== undefined) throw new NatgateError('BENCH_USAGE', `--only: there is no ${unknown}`);
const chosen = contenders.filter(({ name }) => name === NOBODY.name || (wanted?.includes(name) ?? true));

if (process.getuid?.() !== 0) {
  throw new NatgateError('BENCH_NOT_ROOT', 'network namespaces need root', 'sudo npm run bench:observed');
}
if (!Number.isInteger(parsed.rounds) || parsed.rounds < 1 || !(parsed.seconds >= 0.1)) {
  throw new NatgateError('BENCH_USAGE', '--rounds takes a whole number from 1, --seconds one from 0.1');
}
const say = (line: string) => process.stderr.write(`${line}\n`);
const needs = WORKLOADS.flatMap((workload) => workload.needs);
await installTools([{ command: 'ip', package: 'iproute2' }, ...needs], say);
demandTools(needs);
await NOBODY.prepare?.();

const readings: Reading[] = [];
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await stopAll();
    removeAll();
    process.exit(130);
  });
}
for (let round = 1; round <= parsed.rounds; round++) {
  const turned = chosen.map((_, i) => chosen[(i + round) % chosen.length]!);
  for (const workload of WORKLOADS) {
    for (const contender of turned) {
      // Each anew: what one left behind is not the next one's.
      const session = new Session(contender, round);
      readings.push(...(await session.measure({ workload, seconds: parsed.seconds, warmUp: true })));
      await session.close();
    }
  }
  say(`round ${round} of ${parsed.rounds}`);
}

const { figures, failures } = summarise(readings, NOBODY.name);
const machine = await describeMachine(needs);
const cell = (contender: string, workload: string) => {
  const figure = figures.find((one) => one.contender === contender && one.workload === workload);
  return figure?.ratio === undefined ? 'failed' : figure.ratio.toFixed(3);
};
console.log(
  renderText({
    title: `Throughput while somebody looks, over that of a gateway that nobody looks at (medians of ${parsed.rounds} rounds of ${parsed.seconds} s)`,
    head: ['', ...WORKLOADS.map(({ title }) => title)],
    rows: chosen
      .filter(({ name }) => name !== NOBODY.name)
      .map(({ name, about }) => [
        `${name}: ${about}`,
        ...WORKLOADS.map((workload) => cell(name, workload.name)),
      ]),
  }),
);
console.log(JSON.stringify(machine));
for (const { contender, workload, error } of failures)
  console.log(`failed: ${contender}, ${workload}: ${error}`);
process.exit(failures.length === 0 ? 0 : 1);
