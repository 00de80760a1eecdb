/**
 * The figures to reach, each with how it is computed from what was measured. Ratios and differences are medians over
 * the rounds, of figures of one round. A figure that has several parts is as good as the worst of them.
 */
import type { EnduranceResults } from './endurance/results.ts';
import { perTenMillion } from './engine/report.ts';
import type { EngineResults } from './engine/results.ts';
import { pairwise } from './net/ratios.ts';
import { median } from './net/statistics.ts';
import type { Failure, Figure } from './net/summary.ts';
import type { Table } from './net/table.ts';
import type { Reading } from './net/types.ts';

/** What the benchmarks left in docs/benchmarks/; absent when they were not run. */
export interface Results {
  net?: { figures: readonly Figure[]; failures: readonly Failure[]; readings: readonly Reading[] };
  engine?: EngineResults;
  endurance?: EnduranceResults;
}

/** A value, or why there is none. */
export type Measured = { value: number; of?: string } | { missing: string };

type Measure = (results: Results) => Measured;

export interface Target {
  figure: string;
  measure: Measure;
  better: 'higher' | 'lower';
  atLeast: number;
  aim: number;
  show: (value: number) => string;
}

const SUBJECT = 'natgate';
const REFERENCE = 'kernel';

/** Figures of natgate over those of another contender. */
function ratio(workload: string, other: string = REFERENCE): Measure {
  return compared(workload, other, (mine, others) => mine / others);
}

/** How much more than the kernel. */
function added(workload: string): Measure {
  return compared(workload, REFERENCE, (mine, others) => mine - others);
}

function compared(
  workload: string,
  other: string,
  combine: (mine: number, others: number) => number,
): Measure {
  return ({ net }) => {
    if (net === undefined) return NOT_RUN;
    const values = pairwise(net.readings, workload, SUBJECT, other, combine);
    if (values.length > 0) return { value: median(values), of: workload };
    return { missing: why(net, workload, [SUBJECT, other]) };
  };
}

/** Natgate's own figure. */
function own(workload: string): Measure {
  return ({ net }) => {
    if (net === undefined) return NOT_RUN;
    const found = net.figures.find((figure) => figure.contender === SUBJECT && figure.workload === workload);
    if (found !== undefined) return { value: found.median, of: workload };
    return { missing: why(net, workload, [SUBJECT]) };
  };
}

function why(net: NonNullable<Results['net']>, workload: string, contenders: string[]): string {
  const failed = contenders.find((contender) =>
    net.failures.some((failure) => failure.contender === contender && failure.workload === workload),
  );
  return failed === undefined ? 'not measured' : `${failed} failed`;
}

const NOT_RUN: Measured = { missing: 'not measured' };

/** The lowest of all; missing when one is. */
function lowest(...parts: Measure[]): Measure {
  return (results) => pick(parts, results, (a, b) => a < b);
}

/** The highest of all. */
function highest(...parts: Measure[]): Measure {
  return (results) => pick(parts, results, (a, b) => a > b);
}

function pick(parts: Measure[], results: Results, isWorse: (a: number, b: number) => boolean): Measured {
  let worst: Measured | undefined;
  for (const part of parts) {
    const measured = part(results);
    if ('missing' in measured) return measured;
    if (worst === undefined || ('value' in worst && isWorse(measured.value, worst.value))) worst = measured;
  }
  return worst ?? NOT_RUN;
}

/** Million packets per second of the engine alone; small packets. */
function enginePackets(run: string): Measure {
  return engine((results) => {
    const found = results.packets.find(({ name }) => name === `${run} small`);
    return found && 1000 / found.ns.median;
  });
}

function engine(measure: (results: EngineResults) => number | undefined): Measure {
  return (results) => {
    const value = results.engine && measure(results.engine);
    return value === undefined ? NOT_RUN : { value };
  };
}

function slowdown(protocol: string): Measure {
  return engine(({ packets }) => {
    const at = (flows: number) =>
      packets.find(({ name }) => name === `${protocol}-${flows} random small`)?.ns.median;
    const [many, few] = [at(4_000_000), at(1000)];
    return many && few && many / few;
  });
}

function creation(run: string): Measure {
  return engine(({ creation: figures }) => {
    const found = figures.find(({ name }) => name === run);
    return found && 1e3 / found.ns.median;
  });
}

function memory(protocol: string, isOwn: boolean): Measure {
  return engine(
    ({ memory: figures }) =>
      figures.find((figure) => figure.protocol === protocol && figure.own === isOwn)?.bytesPerFlow,
  );
}

/** What `figure` is with a thousand firewall rules against one. */
function ruled(protocol: string, figure: 'packetRatio' | 'creationRatio'): Measure {
  return engine(
    ({ rules = [] }) => rules.find((found) => found.protocol === protocol && found.rules === 1000)?.[figure],
  );
}

const times = (value: number) => value.toFixed(2);
const fold = (value: number) => `${value.toFixed(2)} ×`;
const microseconds = (value: number) => `${value.toFixed(0)} µs`;
const more = (value: number) => `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(0)} µs`;
const mpps = (value: number) => `${value.toFixed(1)} Mpps`;
const million = (value: number) => `${value.toFixed(2)} M`;
const bytes = (value: number) => `${value.toFixed(0)} B`;
const percent = (value: number) => `${value.toFixed(2)} %`;
const count = (value: number) => `${Number(value.toFixed(2))}`;

const TCP = ['tcp-out', 'tcp-in', 'tcp-both'];
const AGAINST_NULL = ['tcp-out', 'tcp-in', 'tcp-out-8', 'tcp-1500', 'udp-18'];
const SLIRP = ['slirp4netns-65520', 'slirp4netns-1500'];
const againstSlirp = TCP.flatMap((workload) => SLIRP.map((mtu) => ratio(workload, mtu)));
const againstPasta = TCP.map((workload) => ratio(workload, 'pasta'));
const againstNull = AGAINST_NULL.map((workload) => ratio(workload, 'null-c'));

const higher = 'higher' as const;
const lower = 'lower' as const;

// biome-ignore format: a table
export const targets: readonly Target[] = [
  { figure: 'TCP, one stream out', measure: ratio('tcp-out'), better: higher, atLeast: 0.95, aim: 1.05, show: times },
  { figure: 'TCP, one stream in', measure: ratio('tcp-in'), better: higher, atLeast: 0.95, aim: 1.05, show: times },
  { figure: 'TCP, 8 streams', measure: ratio('tcp-out-8'), better: higher, atLeast: 0.95, aim: 1.05, show: times },
  { figure: 'TCP with 1500-byte packets', measure: ratio('tcp-1500'), better: higher, atLeast: 0.7, aim: 1, show: times },
  { figure: 'UDP 18 B, delivered at full offer', measure: ratio('udp-18'), better: higher, atLeast: 0.9, aim: 1.2, show: times },
  { figure: 'UDP 18 B, at less than 0.1 % loss', measure: ratio('udp-18-lossless'), better: higher, atLeast: 0.8, aim: 1, show: times },
  { figure: 'New TCP connections per second', measure: ratio('new-tcp-connections'), better: higher, atLeast: 0.9, aim: 1.1, show: times },
  { figure: 'New UDP flows per second', measure: ratio('new-udp-flows'), better: higher, atLeast: 0.9, aim: 1.1, show: times },
  { figure: 'Added round trip, p50, idle', measure: added('rtt-idle-p50'), better: lower, atLeast: 40, aim: 15, show: more },
  { figure: 'Round trip, p99.9, half load', measure: own('rtt-half-p999'), better: lower, atLeast: 1000, aim: 300, show: microseconds },
  { figure: 'Round trip during a bulk transfer, p99', measure: ratio('rtt-bulk-p99'), better: lower, atLeast: 2, aim: 1, show: fold },
  { figure: 'Against slirp4netns (best MTU), TCP both ways', measure: lowest(...againstSlirp), better: higher, atLeast: 3, aim: 5, show: fold },
  { figure: 'Against pasta, TCP both ways', measure: lowest(...againstPasta), better: higher, atLeast: 1.5, aim: 2, show: fold },
  { figure: 'Against the C null forwarder', measure: lowest(...againstNull), better: higher, atLeast: 0.9, aim: 0.97, show: times },
  { figure: 'Engine alone, UDP, 1 000 flows', measure: enginePackets('udp-1000 random'), better: higher, atLeast: 8, aim: 15, show: mpps },
  { figure: 'Engine alone, UDP, 1 million flows, random', measure: enginePackets('udp-1000000 random'), better: higher, atLeast: 4, aim: 8, show: mpps },
  { figure: 'Engine alone, TCP with full tracking, 1 000 flows', measure: enginePackets('tcp-1000 random'), better: higher, atLeast: 5, aim: 10, show: mpps },
  { figure: 'Flows made per second, engine alone', measure: lowest(creation('udp-1000000'), creation('tcp-1000000')), better: higher, atLeast: 1, aim: 3, show: million },
  { figure: 'The same, a new mapping for each', measure: lowest(creation('udp-1000000-own'), creation('tcp-1000000-own')), better: higher, atLeast: 1, aim: 3, show: million },
  { figure: 'Memory per flow at 1 million, TCP', measure: memory('tcp', false), better: lower, atLeast: 128, aim: 96, show: bytes },
  { figure: 'The same, with a mapping for each', measure: memory('tcp', true), better: lower, atLeast: 128, aim: 96, show: bytes },
  { figure: 'Packet at 4 million flows against 1 000, random', measure: highest(slowdown('udp'), slowdown('tcp')), better: lower, atLeast: 3, aim: 2, show: fold },
  { figure: 'Packet of a flow, 1 000 firewall rules against 1', measure: highest(ruled('udp', 'packetRatio'), ruled('tcp', 'packetRatio')), better: lower, atLeast: 1.05, aim: 1.02, show: times },
  { figure: 'New flow, 1 000 firewall rules against 1', measure: highest(ruled('udp', 'creationRatio'), ruled('tcp', 'creationRatio')), better: lower, atLeast: 5, aim: 3, show: fold },
  { figure: 'Collections per 10^7 packets', measure: engine((results) => Number(perTenMillion(results))), better: lower, atLeast: 0, aim: 0, show: count },
  { figure: 'Idle CPU', measure: own('idle-cpu'), better: lower, atLeast: 1, aim: 0.2, show: percent },
];

export type Reached = 'aim' | 'yes' | 'no' | 'not measured';

export interface Judged {
  target: Target;
  measured: Measured;
  reached: Reached;
}

export function judge(results: Results, list: readonly Target[] = targets): Judged[] {
  return list.map((target) => {
    const measured = target.measure(results);
    if ('missing' in measured) return { target, measured, reached: 'not measured' };
    const reaches = (bound: number) =>
      target.better === 'higher' ? measured.value >= bound : measured.value <= bound;
    return {
      target,
      measured,
      reached: reaches(target.aim) ? 'aim' : reaches(target.atLeast) ? 'yes' : 'no',
    };
  });
}

export function targetTable(judged: readonly Judged[]): Table {
  return {
    title: 'Figures to reach',
    head: ['', 'at least', 'aim', 'measured', 'reached'],
    rows: judged.map(({ target, measured, reached }) => [
      target.figure,
      target.show(target.atLeast),
      target.show(target.aim),
      'missing' in measured ? measured.missing : target.show(measured.value),
      reached,
    ]),
  };
}
