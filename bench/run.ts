/**
 * `npm run bench [-- --smoke] [-- --json FILE] [-- --write]`: the engine alone, no devices, no root.
 *
 * Part one times the functions of the hot path; the others push packets through the whole engine, each shape of
 * traffic in processes of its own, which take turns. Exit status: 0, 1 when a run failed, 2 for a wrong command line.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { writeTargets } from './conclusions.ts';
import type { AdoptionResult } from './engine/adoption.ts';
import { runChild } from './engine/children.ts';
import { benchFunctions } from './engine/functions.ts';
import type { MemoryResult } from './engine/memory.ts';
import type { PacketRunResult } from './engine/packet-run.ts';
import {
  makePlan,
  type Plan,
  type PlannedRules,
  type PlannedRun,
  runName,
  smokePlan,
} from './engine/plan.ts';
import { plot } from './engine/plot.ts';
import { markdown, remarks, tables } from './engine/report.ts';
import {
  type AdoptionFigure,
  collect,
  type EngineResults,
  type MemoryFigure,
  spread,
} from './engine/results.ts';
import type { RulesRunResult } from './engine/rules-run.ts';
import { describeMachine } from './net/machine.ts';
import { renderText } from './net/table.ts';
import { ROOT } from './net/tools.ts';
import { Page } from './page.ts';

const USAGE = `npm run bench -- [options]: measures the engine alone.
  --rounds N      readings of each figure, default 5
  --packets N     packets of each reading, default 2000000
  --only TEXT     only runs whose name has this in it (udp-1000, tcp, 4000000, own, adoption), no functions
  --smoke         does it run at all: small and short
  --json FILE     write the figures to FILE
  --write         write them to docs/benchmarks.md and docs/benchmarks/engine.json`;

const say = (line: string) => process.stderr.write(`${line}\n`);

async function main(args: string[]): Promise<number> {
  const options = parse(args);
  if (options === null) return 2;
  const machine = await describeMachine([]);
  console.log(`natgate engine, ${machine.cpu}, node ${machine.node}\n`);
  const { plan } = options;
  const failures: EngineResults['failures'] = [];
  const attempt = async <T>(name: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      failures.push({ name, error: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  };

  if (plan.seconds > 0) say('functions');
  const functions = plan.seconds > 0 ? benchFunctions(plan.seconds) : [];
  const memory: MemoryFigure[] = [];
  for (const run of plan.memory) {
    const name = `memory ${runName(run)}`;
    say(name);
    const result = await attempt(name, () => runChild<MemoryResult>({ kind: 'memory', ...run }));
    if (result !== undefined) memory.push({ ...run, ...result });
  }
  const done = new Map<PlannedRun, PacketRunResult[]>();
  for (let turn = 1; plan.runs.some((run) => run.processes >= turn); turn++) {
    for (const run of plan.runs.filter(({ processes }) => processes >= turn)) {
      say(`${turn}/${run.processes}  ${run.name}`);
      const result = await attempt(run.name, () => runChild<PacketRunResult>({ kind: 'packets', ...run }));
      if (result !== undefined) done.set(run, [...(done.get(run) ?? []), result]);
    }
  }
  const ruled = new Map<PlannedRules, RulesRunResult[]>();
  for (const run of plan.ruled) {
    for (let first = 0; first < run.processes; first++) {
      say(`${first + 1}/${run.processes}  ${run.name}`);
      const result = await attempt(run.name, () =>
        runChild<RulesRunResult>({ kind: 'rules', ...run, first: first % run.rules.length }),
      );
      if (result !== undefined) ruled.set(run, [...(ruled.get(run) ?? []), result]);
    }
  }

  const adoption: AdoptionFigure[] = [];
  for (const run of plan.adoption) {
    const ms: number[] = [];
    for (let turn = 1; turn <= run.processes; turn++) {
      say(`${turn}/${run.processes}  ${run.name}`);
      const { flows, own } = run;
      const result = await attempt(run.name, () =>
        runChild<AdoptionResult>({ kind: 'adoption', flows, own }),
      );
      if (result !== undefined) ms.push(result.ms);
    }
    if (ms.length > 0) adoption.push({ name: run.name, flows: run.flows, own: run.own, ms: spread(ms) });
  }

  const command = ['npm run bench', ...(args.length === 0 ? [] : ['--', ...args])].join(' ');
  const results: EngineResults = {
    command,
    machine,
    functions,
    ...collect(plan, done, ruled),
    memory,
    adoption,
    failures,
  };
  const shown = tables(results).filter((table) => table.rows.length > 0);
  console.log([...shown.map(renderText), ...remarks(results)].join('\n'));
  const json = `${JSON.stringify(results, null, 2)}\n`;
  if (options.json !== undefined) writeFileSync(options.json, json);
  if (options.write) {
    const page = new Page(ROOT);
    page.writeBeside('engine.json', json);
    const picture = plot(results);
    page.writeBeside(picture.file, picture.svg);
    page.writeSection('bench:engine', markdown(results, picture));
    writeTargets(page, say);
  }
  return failures.length === 0 ? 0 : 1;
}

/** Null after having said what is wrong. */
function parse(args: string[]): { plan: Plan; json: string | undefined; write: boolean } | null {
  try {
    const { values } = parseArgs({
      args,
      options: {
        smoke: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '5' },
        packets: { type: 'string', default: '2000000' },
        only: { type: 'string' },
        json: { type: 'string' },
        write: { type: 'boolean', default: false },
      },
    });
    const plan = values.smoke
      ? smokePlan()
      : makePlan(whole('--rounds', values.rounds), whole('--packets', values.packets));
    const { only } = values;
    if (only !== undefined) {
      plan.seconds = 0;
      plan.runs = plan.runs.filter(({ name }) => name.includes(only));
      plan.ruled = plan.ruled.filter(({ name }) => name.includes(only));
      plan.memory = plan.memory.filter((run) => runName(run).includes(only));
      plan.adoption = plan.adoption.filter(({ name }) => name.includes(only));
    }
    if (plan.runs.length + plan.ruled.length + plan.adoption.length === 0)
      throw new Error(`--only: no run has ${only} in its name`);
    if (values.write && (values.smoke || only !== undefined)) {
      throw new Error('--write goes with neither --smoke nor --only');
    }
    return { plan, json: values.json, write: values.write };
  } catch (error) {
    say(`bench: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return null;
  }
}

function whole(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} takes a whole number from 1`);
  return value;
}

process.exitCode = await main(process.argv.slice(2));
