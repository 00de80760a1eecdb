/**
 * What a restart costs, as streams see it: `npm run bench:recovery -- --kills N --rate R --transfers T`, as root.
 *
 * Three namespaces (test/netns/support/topology.ts), R numbered datagrams a second and T transfers whose bytes are hashed at both ends. The
 * engine is killed N times, eleven seconds apart, then the gateway is taken over N / 4 times; the longest gap of the datagrams after each is its outage.
 * Prints JSON, into a file too with --json FILE.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Natgate, READY } from '../../test/netns/support/natgate.ts';
import { until } from '../../test/netns/support/process.ts';
import { RecoveryTraffic, type Report } from '../../test/netns/support/recovery.ts';
import { createTopology, type Topology } from '../../test/netns/support/topology.ts';

/** Of kills, or of takeovers. */
interface Outages extends Omit<Report, 'gaps'> {
  times: number;
  gapMs: { median: number; longest: number };
}

export interface RecoveryResult {
  /** Datagrams a second, and TCP transfers at once. */
  rate: number;
  transfers: number;
  killed: Outages;
  takenOver: Outages;
}

/** A gap that begins this long after an event is of it, ms. */
const WINDOW_MS = 1500;
/** Longer than it takes an engine to count as sound: deaths that follow each other sooner wait, on purpose. */
const BETWEEN_MS = 11_000;

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    rate: { type: 'string', default: '10000' },
    transfers: { type: 'string', default: '1000' },
    json: { type: 'string' },
  },
});
const kills = Number(values.kills);
const load = { rate: Number(values.rate), transfers: Number(values.transfers) };
const SIDES = ['--private', 'g0', '--public', 'g1'];

const topology = await createTopology();
try {
  const killed = await measure(topology, 'kill', kills);
  const takenOver = await measure(topology, 'takeover', Math.ceil(kills / 4));
  const result: RecoveryResult = { ...load, killed, takenOver };
  const json = JSON.stringify(result, null, 2);
  console.log(json);
  if (values.json !== undefined) writeFileSync(values.json, `${json}\n`);
} finally {
  await topology.destroy();
}

async function measure(where: Topology, what: 'kill' | 'takeover', times: number): Promise<Outages> {
  let gateway = Natgate.launch(where.gateway, SIDES);
  await gateway.process.shows(READY, 60_000);
  await until('one stands by', () => standbyOf(gateway), 60_000);
  const seconds = Math.ceil((times * BETWEEN_MS) / 1000) + 10;
  const traffic = await RecoveryTraffic.start(where, { ...load, seconds });
  const moments: number[] = [];
  for (let i = 0; i < times; i++) {
    await sleep(BETWEEN_MS);
    if (what === 'kill') {
      await until('one stands by', () => standbyOf(gateway), 60_000);
      moments.push(monotonic());
      process.kill(await gateway.enginePid(), 'SIGKILL');
    } else {
      const next = Natgate.launch(where.gateway, [...SIDES, '--takeover'], gateway.name);
      await gateway.process.ended;
      // The outage was shortly before the old one ended.
      moments.push(monotonic() - WINDOW_MS);
      gateway = next;
    }
  }
  const report = await traffic.report();
  await gateway.process.stop();
  return summary(report, moments);
}

function standbyOf(gateway: Natgate): Promise<number> {
  return gateway.standbyPid().catch(() => 0);
}

/** CLOCK_MONOTONIC in ms. */
function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function summary({ gaps, ...report }: Report, moments: readonly number[]): Outages {
  const longest = moments
    .map((moment) => {
      const near = gaps.filter(([at, ms]) => at + ms >= moment && at <= moment + WINDOW_MS);
      return Math.max(0, ...near.map(([, ms]) => ms));
    })
    .sort((a, b) => a - b);
  const round = (ms: number) => Math.round(10 * ms) / 10;
  return {
    times: moments.length,
    gapMs: { median: round(longest[longest.length >> 1]!), longest: round(longest.at(-1)!) },
    ...report,
  };
}
