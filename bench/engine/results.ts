/** What the engine's benchmark found, as it stands in docs/benchmarks/engine.json. */
import type { Machine } from '../net/machine.ts';
import { median } from '../net/statistics.ts';
import type { FunctionResult } from './functions.ts';
import type { MemoryRun } from './memory.ts';
import type { Order, PacketRunResult, Variant } from './packet-run.ts';
import { figureName, type Plan, type PlannedRun } from './plan.ts';
import type { Protocol, Size } from './traffic.ts';

/** Median of the readings, fastest and slowest. */
export interface Spread {
  median: number;
  fastest: number;
  slowest: number;
  readings: number;
}

export interface PacketFigure {
  name: string;
  protocol: Protocol;
  flows: number;
  order: Order;
  size: Size;
  /** ns per packet, CPU time. */
  ns: Spread;
}

export interface CreationFigure {
  name: string;
  protocol: Protocol;
  flows: number;
  own: boolean;
  /** ns per flow, CPU time. */
  ns: Spread;
}

/** With firewall rules of which the last matches. */
export interface RulesFigure {
  name: string;
  protocol: Protocol;
  flows: number;
  rules: number;
  /** ns per packet of a flow that lives: any flow, small packets. */
  packet: Spread;
  /** ns to make a flow. */
  creation: Spread;
}

export interface MemoryFigure extends MemoryRun {
  bytesPerFlow: number;
}

export interface EngineResults {
  command: string;
  machine: Machine;
  functions: FunctionResult[];
  packets: PacketFigure[];
  creation: CreationFigure[];
  memory: MemoryFigure[];
  rules: RulesFigure[];
  /** Over all runs: packets that were measured, and garbage collections while they were handled and while flows were made. */
  measuredPackets: number;
  collections: number;
  collectionsMaking: number;
  /** What could not be measured, and why. */
  failures: { name: string; error: string }[];
}

/** Below this, making the flows is over before the compiler is through: that would be a figure of the compiler. */
export const LEAST_CREATIONS = 100_000;

/** `done`: the results of each run's processes. */
export function collect(
  plan: Plan,
  done: ReadonlyMap<PlannedRun, readonly PacketRunResult[]>,
): Pick<
  EngineResults,
  'packets' | 'creation' | 'rules' | 'measuredPackets' | 'collections' | 'collectionsMaking'
> {
  const packets: PacketFigure[] = [];
  const creation: CreationFigure[] = [];
  const rules: RulesFigure[] = [];
  let measuredPackets = 0;
  let collections = 0;
  let collectionsMaking = 0;
  for (const run of plan.runs) {
    const results = done.get(run) ?? [];
    if (results.length === 0) continue;
    const { name, protocol, flows, own } = run;
    measuredPackets += results.reduce((sum, result) => sum + result.measured, 0);
    collections += results.reduce((sum, result) => sum + result.collections, 0);
    collectionsMaking += results.reduce((sum, result) => sum + result.collectionsMaking, 0);
    if (run.rules !== undefined) {
      const readings = results.flatMap(({ variants }) => variants.filter(isRandomSmall));
      rules.push({
        ...{ name, protocol, flows, rules: run.rules },
        packet: spread(readings.flatMap(({ nsPerPacket }) => nsPerPacket)),
        creation: spread(results.map((result) => result.nsPerFlow)),
      });
      continue;
    }
    for (const [i, { order, size }] of results[0]!.variants.entries()) {
      const ns = spread(results.flatMap((result) => result.variants[i]!.nsPerPacket));
      packets.push({ name: figureName(name, { order, size }), protocol, flows, order, size, ns });
    }
    if (flows >= LEAST_CREATIONS) {
      creation.push({ name, protocol, flows, own, ns: spread(results.map((result) => result.nsPerFlow)) });
    }
  }
  return { packets, creation, rules, measuredPackets, collections, collectionsMaking };
}

function isRandomSmall({ order, size }: Variant): boolean {
  return order === 'random' && size === 'small';
}

export function spread(readings: readonly number[]): Spread {
  return {
    median: median(readings),
    fastest: Math.min(...readings),
    slowest: Math.max(...readings),
    readings: readings.length,
  };
}
