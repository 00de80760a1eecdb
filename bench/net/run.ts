/**
 * `npm run bench:net`: natgate beside what else could stand in its place, on this machine, now.
 *
 * Rounds are interleaved (in each round, each workload goes through all contenders, which take turns at being first),
 * because a shared machine drifts by the hour but little within seconds. A contender that fails is shown as failed and
 * the rest runs; what is not tried is said, with the reason.
 * Exit status: 0, 1 when anything failed, 2 for a wrong command line, 128 + signal when interrupted.
 */
import { constants } from 'node:os';
import { NatgateError } from '../../src/core/errors.ts';
import { REFERENCE } from './contenders/index.ts';
import { type LeftOut, leftOut, leftOutLines } from './left-out.ts';
import { describeMachine } from './machine.ts';
import { type Options, parseOptions } from './options.ts';
import { stopAll } from './processes.ts';
import { failureLines, type Report, tables } from './report.ts';
import { save } from './results.ts';
import { Session } from './session.ts';
import { summarise } from './summary.ts';
import { renderText } from './table.ts';
import { demandTools, installTools } from './tools.ts';
import { removeAll } from './topology.ts';
import { type Contender, type Reading, rowsOf } from './types.ts';

const say = (line: string) => process.stderr.write(`${line}\n`);
let interrupted = false;

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (process.getuid?.() !== 0) {
    throw new NatgateError('BENCH_NOT_ROOT', 'network namespaces need root', 'sudo npm run bench:net');
  }
  const needs = [...options.contenders, ...options.workloads].flatMap((entry) => entry.needs);
  await installTools([{ command: 'ip', package: 'iproute2' }, ...needs], say);
  const readings = await measureAll(options, await prepareAll(options));

  const workloads = options.workloads.flatMap(rowsOf);
  const omitted = allLeftOut(options);
  const report: Report = {
    ...options,
    workloads,
    reference: REFERENCE,
    machine: await describeMachine(needs),
    command: ['npm run bench:net', ...(args.length === 0 ? [] : ['--', ...args])].join(' '),
    summary: summarise(readings, REFERENCE),
    leftOut: omitted,
  };
  const failures = failureLines(report.summary);
  console.log(`\n${[...tables(report).map(renderText), ...leftOutLines(omitted), ...failures].join('\n')}`);

  save(report, readings, options.write);
  return failures.length === 0 ? 0 : 1;
}

function allLeftOut({ contenders, workloads }: Options): LeftOut[] {
  return workloads.flatMap((workload) =>
    contenders.flatMap((contender) => {
      const reason = leftOut(contender, workload);
      return reason === undefined ? [] : [{ contender: contender.name, workload: workload.name, reason }];
    }),
  );
}

/** Builds what has to be built. Returns why contenders cannot start, by name. */
async function prepareAll(options: Options): Promise<Map<string, string>> {
  const unfit = new Map<string, string>();
  for (const contender of options.contenders) {
    try {
      demandTools(contender.needs);
      await contender.prepare?.();
    } catch (error) {
      unfit.set(contender.name, error instanceof Error ? error.message : String(error));
    }
  }
  return unfit;
}

async function measureAll(options: Options, unfit: Map<string, string>): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const turn = (round - 1) % options.contenders.length;
    const contenders = [...options.contenders.slice(turn), ...options.contenders.slice(0, turn)];
    const sessions = new Map(contenders.map((contender) => [contender, new Session(contender, round)]));
    try {
      readings.push(...(await measureRound(options, sessions, unfit, round)));
    } finally {
      for (const session of sessions.values()) await session.close();
    }
  }
  return readings;
}

async function measureRound(
  options: Options,
  sessions: Map<Contender, Session>,
  unfit: Map<string, string>,
  round: number,
): Promise<Reading[]> {
  const all: Reading[] = [];
  for (const workload of options.workloads) {
    for (const [contender, session] of sessions) {
      if (leftOut(contender, workload) !== undefined) continue;
      const error = unfit.get(contender.name);
      const rows = rowsOf(workload);
      const readings: Reading[] =
        error === undefined
          ? await session.measure({ ...options, workload })
          : rows.map((row) => ({ round, contender: contender.name, workload: row.name, error }));
      if (interrupted) throw new NatgateError('BENCH_INTERRUPTED', 'interrupted');
      const results = readings.map(({ value }, i) => value?.toFixed(rows[i]!.digits));
      const result = readings[0]!.error ?? `${results.join(' / ')} ${workload.unit}`;
      say(`${round}/${options.rounds}  ${workload.name.padEnd(22)} ${contender.name.padEnd(18)} ${result}`);
      all.push(...readings);
    }
  }
  return all;
}

async function interrupt(signal: NodeJS.Signals): Promise<void> {
  if (interrupted) return;
  interrupted = true;
  say('interrupted: stopping and removing what was started');
  await stopAll();
  removeAll();
  process.exit(128 + constants.signals[signal]);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!interrupted) {
    const known = error instanceof NatgateError;
    say(
      known
        ? `bench:net: ${error.message}${error.hint && `\n${error.hint}`}`
        : String((error as Error).stack),
    );
    process.exitCode = known && error.code === 'BENCH_USAGE' ? 2 : 1;
  }
}
