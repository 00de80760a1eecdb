/** What the engine's benchmark found, as it stands in docs/benchmarks/engine.json. */
import type { Machine } from '../net/machine.ts';
import { median } from '../net/statistics.ts';
import type { FunctionResult } from './functions.ts';
import type { MemoryRun } from './memory.ts';
import type { Order, PacketRunResult } from './packet-run.ts';
import { figureName, type Plan, type PlannedRules, type PlannedRun } from './plan.ts';
import type { RulesRunResult } from './rules-run.ts';
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
  /** What both are to those with the fewest rules: medians of ratios of readings that followed each other. */
  packetRatio: number;
  creationRatio: number;
}

export interface MemoryFigure extends MemoryRun {
  bytesPerFlow: number;
}

/** Taking over the flows of an engine that died. */
export interface AdoptionFigure {
  name: string;
  flows: number;
  own: boolean;
  /** ms, CPU time. */
  ms: Spread;
}

export interface EngineResults {
  command: string;
  machine: Machine;
  functions: FunctionResult[];
  packets: PacketFigure[];
  creation: CreationFigure[];
  memory: MemoryFigure[];
  rules: RulesFigure[];
  adoption: AdoptionFigure[];
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
  ruled: ReadonlyMap<PlannedRules, readonly RulesRunResult[]> = new Map(),
): Pick<
  EngineResults,
  'packets' | 'creation' | 'rules' | 'measuredPackets' | 'collections' | 'collectionsMaking'
> {
  const packets: PacketFigure[] = [];
  const creation: CreationFigure[] = [];
  const all = [...done.values(), ...ruled.values()].flat();
  const sum = (of: 'measured' | 'collections' | 'collectionsMaking') =>
    all.reduce((before, result) => before + result[of], 0);
  for (const run of plan.runs) {
    const results = done.get(run) ?? [];
    if (results.length === 0) continue;
    const { name, protocol, flows, own } = run;
    for (const [i, { order, size }] of results[0]!.variants.entries()) {
      const ns = spread(results.flatMap((result) => result.variants[i]!.nsPerPacket));
      packets.push({ name: figureName(name, { order, size }), protocol, flows, order, size, ns });
    }
    if (flows >= LEAST_CREATIONS) {
      creation.push({ name, protocol, flows, own, ns: spread(results.map((result) => result.nsPerFlow)) });
    }
  }
  const rules = plan.ruled.flatMap((run) => ruleFigures(run, ruled.get(run) ?? []));
  return {
    ...{ packets, creation, rules, measuredPackets: sum('measured') },
    ...{ collections: sum('collections'), collectionsMaking: sum('collectionsMaking') },
  };
}

function ruleFigures(
  { name, protocol, flows, rules }: PlannedRules,
  results: readonly RulesRunResult[],
): RulesFigure[] {
  if (results.length === 0) return [];
  const ratios = (readings: readonly number[], ofFewest: readonly number[]) =>
    median(readings.map((ns, i) => ns / ofFewest[i]!));
  const packet = (i: number) => results.flatMap(({ nsPerPacket }) => nsPerPacket[i]!);
  const creation = (i: number) => results.map(({ nsPerFlow }) => nsPerFlow[i]!);
  return rules.map((count, i) => ({
    ...{ name: `${name}-${count}`, protocol, flows, rules: count },
    ...{ packet: spread(packet(i)), creation: spread(creation(i)) },
    ...{ packetRatio: ratios(packet(i), packet(0)), creationRatio: ratios(creation(i), creation(0)) },
  }));
}

export function spread(readings: readonly number[]): Spread {
  return {
    median: median(readings),
    fastest: Math.min(...readings),
    slowest: Math.max(...readings),
    readings: readings.length,
  };
}
