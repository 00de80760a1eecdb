/**
 * `natgate bench`: every contender is up, in namespaces of its own, for the whole time; in a round, each measurement goes
 * through all of them before the next one, so that what changes on the machine meanwhile concerns all alike. Whatever
 * happens, processes and namespaces are gone at the end.
 */
import os from 'node:os';
import { NatgateError } from '../../core/errors.ts';
import { packageVersion } from '../../gateway/version.ts';
import { Children } from '../lab/children.ts';
import { ensureTools, findTool, type Tool } from '../lab/tools.ts';
import { LabTopology } from '../lab/topology.ts';
import { benchNotes, benchTable, failureLines } from './bench-text.ts';
import { type Contender, contenders, type Site } from './contenders.ts';
import type { BenchOptions } from './options.ts';
import { type Reading, summarise } from './summary.ts';
import { type Workload, workloads } from './workloads.ts';

const TOOLS: Tool[] = [
  { binary: 'ip', package: 'iproute2' },
  { binary: 'sysctl', package: 'procps' },
];
const WARM_UP_SECONDS = 1;

const say = (line: string) => process.stderr.write(`natgate bench: ${line}\n`);

interface Running {
  contender: Contender;
  site: Site;
  /** Why it does not run. */
  unfit?: string;
}

/** Sets the exit code to 1 when anything failed. Rejects when nothing can be measured, or when it is interrupted. */
export async function runBench(options: BenchOptions, signal: AbortSignal): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new NatgateError(
      'not_root',
      'the comparison needs root, to make network namespaces',
      'sudo natgate bench',
    );
  }
  const wanted = workloads.filter(({ name }) => isWanted(options.only.workloads, name));
  ensureTools([...TOOLS, ...wanted.flatMap((workload) => workload.needs)], say);
  const compared = contenders.filter((contender) => isWanted(options.only.contenders, contender.name));
  const present = compared.filter((contender) => isPresent(contender, options));
  const absent = compared.filter((contender) => !present.includes(contender));
  const children = new Children(signal, 'bench');
  const running = present.map(
    (contender): Running => ({ contender, site: makeSite(contender, children, signal) }),
  );
  const readings: Reading[] = [];
  try {
    for (const one of running) await start(one);
    const warmUp = wanted.find(({ name }) => name === 'tcp-out');
    if (warmUp !== undefined) await measure(running, warmUp, WARM_UP_SECONDS, 0, options.rounds);
    for (let round = 1; round <= options.rounds; round++) {
      for (const workload of wanted) {
        say(`round ${round} of ${options.rounds}: ${workload.title}`);
        readings.push(...(await measure(running, workload, options.seconds, round, options.rounds)));
      }
    }
  } finally {
    await children.endAll();
    for (const { site } of running) site.topology.remove();
  }
  process.stdout.write(
    options.json ? json(options, readings) : text(options, readings, present, absent, wanted),
  );
  if (readings.some((reading) => reading.error !== undefined)) process.exitCode = 1;
}

function isWanted<T>(names: readonly T[], name: T): boolean {
  return names.length === 0 || names.includes(name);
}

/** Whether it takes part: its tool is there, or is installed for it. One that was asked for by name fails without it. */
function isPresent({ name, tool, installs }: Contender, { only }: BenchOptions): boolean {
  if (tool === undefined || findTool(tool.binary) !== null) return true;
  const isNamed = only.contenders.includes(name);
  if (!installs && !isNamed) return false;
  try {
    ensureTools([tool], say);
    return true;
  } catch (error) {
    if (isNamed || !(error instanceof NatgateError)) throw error;
    return false;
  }
}

function makeSite({ name }: Contender, children: Children, signal: AbortSignal): Site {
  const label = `bench-${process.pid}-${name}`;
  return { name: label, topology: new LabTopology(`natgate-${label}`), children, signal };
}

async function start(one: Running): Promise<void> {
  const { contender, site } = one;
  await site.topology.make(site.children);
  try {
    await contender.start(site);
  } catch (error) {
    one.unfit = reasonOf(error, site.signal);
  }
}

async function measure(
  running: readonly Running[],
  workload: Workload,
  seconds: number,
  round: number,
  rounds: number,
): Promise<Reading[]> {
  const readings: Reading[] = [];
  for (const { contender, site, unfit } of running) {
    const reading: Reading = { round, contender: contender.name, workload: workload.name };
    try {
      if (unfit !== undefined) reading.error = unfit;
      else reading.value = await workload.run(site, seconds, rounds);
    } catch (error) {
      reading.error = reasonOf(error, site.signal);
    }
    readings.push(reading);
  }
  return readings;
}

/** Throws when it is not a failure but the user who interrupts. */
function reasonOf(error: unknown, signal: AbortSignal): string {
  signal.throwIfAborted();
  if (!(error instanceof NatgateError)) throw error;
  return error.hint === '' ? error.message : `${error.message}: ${error.hint}`;
}

function machine(): { cpu: string; cores: number; kernel: string; node: string } {
  const cpu = os.cpus()[0]?.model.trim() ?? 'unknown';
  return { cpu, cores: os.availableParallelism(), kernel: os.release(), node: process.versions.node };
}

function json({ rounds, seconds }: BenchOptions, readings: readonly Reading[]): string {
  const result = {
    ...{ version: packageVersion(), machine: machine(), rounds, seconds },
    workloads: workloads.map(({ name, title, unit, better, how }) => ({ name, title, unit, better, how })),
    figures: summarise(readings),
    readings,
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

function text(
  options: BenchOptions,
  readings: readonly Reading[],
  present: readonly Contender[],
  absent: readonly Contender[],
  wanted: readonly Workload[],
): string {
  const { cpu, cores, kernel, node } = machine();
  const names = present.map(({ name }) => name);
  const missing = absent.map(({ name, tool }) => `${name} (apt-get install ${tool!.package})`);
  return [
    `natgate ${packageVersion()}, Linux ${kernel}, node ${node}, ${cpu}, ${cores} ${cores === 1 ? 'core' : 'cores'}`,
    '',
    benchTable(summarise(readings), readings, names, wanted),
    '',
    benchNotes(wanted, options.rounds),
    ...(missing.length === 0 ? [] : [`Not installed, so not compared: ${missing.join(', ')}.`]),
    ...failureLines(readings),
    '',
  ].join('\n');
}
