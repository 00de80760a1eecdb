/**
 * A chaos run: a real gateway between real hosts, transfers all the time, and one disaster after the other, chosen by a seed. All that it
 * makes is in namespaces of its own, which go with it.
 */

import { readFileSync } from 'node:fs';
import { sleep } from '../netns/support/process.ts';
import { Random } from '../netns/support/random.ts';
import { hostState } from '../netns/support/snapshot.ts';
import type { Disaster } from './disasters/disaster.ts';
import { disasters } from './disasters/index.ts';
import { descriptors, residentMiB } from './engines.ts';
import { createNetwork, PUBLIC, type RelayFaults } from './network.ts';
import { clock } from './stream.ts';
import { Traffic } from './traffic.ts';
import { gapOf, judge, type Struck, seconds, type Verdict } from './verdict.ts';
import { World } from './world.ts';

export interface ChaosOptions {
  seed: number;
  minutes: number;
  /** Names of disasters; empty: all that are possible. */
  only: readonly string[];
  /** At the same time. */
  transfers: number;
  /** s that a transfer may stand still, besides twice the time that disasters last in it (TCP's timer doubles). */
  stallLimit: number;
  /** s between disasters: a third of it at least, up to twice. */
  interval: number;
  /** Further arguments of `natgate run`. */
  args: readonly string[];
  /** Takes lines as they come. */
  say: (line: string) => void;
}

export interface ChaosResult {
  seed: number;
  verdict: Verdict;
  struck: Struck[];
  pings: { sent: number; answered: number };
  datagrams: { sent: number; received: number; again: number };
  /** Of the last supervisor: MiB and descriptors, a reading each ten seconds. */
  supervisor: { memory: number[]; descriptors: number[] };
}

/** A wire is never perfect. */
const USUAL: RelayFaults = { loss: 0.0002, duplicate: 0.0001, reorder: 0.0005 };
const SETTLE_MS = 30_000;
const WATCH_MS = 10_000;
/** What a supervisor may grow by, MiB: V8 takes and gives back memory as it likes. */
const GROWTH = 48;

export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const { say, seed } = options;
  const network = await createNetwork(seed);
  const readings: ChaosResult['supervisor'] = { memory: [], descriptors: [] };
  let watch: NodeJS.Timeout | undefined;
  try {
    await network.gateway.exec('iptables -w -L -n');
    const before = await hostState(network.gateway);
    const world = await World.create(network, new Random(seed), USUAL, options.args);
    const traffic = await Traffic.start(network, seed, options.transfers, options.minutes * 60);
    let pid = 0;
    watch = setInterval(() => {
      if (pid !== world.natgate.process.pid) readings.memory.length = readings.descriptors.length = 0;
      pid = world.natgate.process.pid;
      readings.memory.push(residentMiB(pid));
      readings.descriptors.push(descriptors(pid));
    }, WATCH_MS);
    const struck = await strikes(world, traffic, options);
    await traffic.finish(options.stallLimit * 1000);
    const pings = await traffic.stopPings();
    clearInterval(watch);
    const verdict = judge(traffic.done, struck, options.stallLimit * 1000);
    verdict.violations.push(...grown(readings.memory));
    await restored(world, before).catch((error: Error) => verdict.violations.push(error.message));
    if (traffic.complaints !== '') verdict.violations.push(traffic.complaints.slice(0, 2000));
    if (verdict.violations.length > 0) world.gateways.map(({ process: { stderr } }) => say(stderr.trim()));
    const datagrams = { sent: 0, received: 0, again: 0 };
    for (const pulse of traffic.pulses) {
      for (const key of ['sent', 'received', 'again'] as const) datagrams[key] += pulse[key];
    }
    return { seed, verdict, struck, pings, datagrams, supervisor: readings };
  } finally {
    clearInterval(watch);
    network.destroy();
  }
}

/** One disaster after the other, each of the possible ones once before any comes again. */
async function strikes(world: World, traffic: Traffic, options: ChaosOptions): Promise<Struck[]> {
  const { say, only, interval } = options;
  const chosen: Disaster[] = [];
  for (const disaster of disasters) {
    if (only.length > 0 && !only.includes(disaster.name)) continue;
    if ((await disaster.possible?.(world)) === false) say(`         ${disaster.name}: not possible here`);
    else chosen.push(disaster);
  }
  const end = clock() + options.minutes * 60_000 - 8000;
  const begun = clock();
  const struck: Struck[] = [];
  let deck: Disaster[] = [];
  for (;;) {
    await world.pause(interval * 333, interval * 2000);
    if (clock() > end || chosen.length === 0) return struck;
    if (deck.length === 0) deck = shuffled(chosen, world.random);
    const one = await strike(deck.pop()!, world, traffic);
    struck.push(one);
    say(line(one, begun));
    if (one.failure !== '' && !world.natgate.process.running) {
      say('the gateway has ended');
      return struck;
    }
  }
}

async function strike(disaster: Disaster, world: World, traffic: Traffic): Promise<Struck> {
  const { name, mayBreak } = disaster;
  const one: Struck = { name, mayBreak, begin: clock(), end: 0, gap: 0, late: 0, detail: '', failure: '' };
  try {
    one.detail = (await disaster.strike(world)) ?? '';
    await traffic.flowsAgain(SETTLE_MS);
  } catch (error) {
    one.failure = error instanceof Error ? error.message : String(error);
  }
  one.end = clock();
  // What the streams say comes a moment later.
  await sleep(600);
  Object.assign(one, gapOf(traffic.gaps, one.begin, one.end));
  return one;
}

function shuffled(items: readonly Disaster[], random: Random): Disaster[] {
  const deck = [...items];
  for (let at = deck.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [deck[at], deck[other]] = [deck[other]!, deck[at]!];
  }
  return deck;
}

function line({ name, begin, end, gap, late, detail, failure }: Struck, begun: number): string {
  const late1 = late > 10 ? ` (sender late by ${late.toFixed(0)})` : '';
  const words = [
    `${name.padEnd(18)} ${seconds(end - begin).padStart(7)}  gap ${gap.toFixed(0).padStart(5)} ms${late1}`,
    detail,
    failure,
  ];
  return `${seconds(begin - begun).padStart(8)} ${words.filter(Boolean).join('  ')}`;
}

/** `natgate-engine (4711)` */
function nameOf(pid: number): string {
  try {
    return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (${pid})`;
  } catch {
    return `a process that has gone (${pid})`;
  }
}

/** The host is as it was, and nothing runs that ran for the gateway. */
async function restored(world: World, before: Record<string, string[]>): Promise<void> {
  if (world.publicAddress !== PUBLIC) {
    await world.ip(`addr del ${world.publicAddress}/24 dev g1`);
    await world.ip(`addr add ${PUBLIC}/24 dev g1`);
    await world.restoreRoute();
  }
  await world.natgate.stop();
  // A standby that was being loaded when its supervisor died finds that out once it is, behind all who want the processor.
  let left = world.gateway.pids();
  for (let tries = 0; left.length > 0 && tries < 150; tries++) {
    await sleep(100);
    left = world.gateway.pids();
  }
  if (left.length > 0) throw new Error(`still there after the end: ${left.map(nameOf).join(', ')}`);
  const after = await hostState(world.gateway);
  // An interface that was made anew has another number.
  const numberless = (lines: readonly string[]) =>
    lines.map((text) => text.replace(/^\d+: (\w+)@if\d+:/, '$1:'));
  for (const command of Object.keys(before)) {
    const [was, is] = [numberless(before[command]!), numberless(after[command]!)];
    const gone = was.filter((text) => !is.includes(text));
    const come = is.filter((text) => !was.includes(text));
    const differences = [...gone.map((text) => `- ${text}`), ...come.map((text) => `+ ${text}`)];
    // What has left behind a run directory is told by its name.
    if (command !== 'run directories' || come.some((name) => name !== 'chaos.yaml')) {
      if (differences.length > 0)
        throw new Error(`${command} is another afterwards:\n${differences.join('\n')}`);
    }
  }
}

/** A supervisor that grows: the mean of its last third against that of the second one. */
function grown(memory: readonly number[]): string[] {
  const third = Math.floor(memory.length / 3);
  if (third < 3) return [];
  const mean = (from: number) => memory.slice(from, from + third).reduce((sum, one) => sum + one, 0) / third;
  const growth = mean(memory.length - third) - mean(third);
  return growth > GROWTH ? [`the supervisor has grown by ${growth.toFixed(0)} MiB`] : [];
}
