/** Which runs make up the benchmark. */
import type { AdoptionRun } from './adoption.ts';
import type { MemoryRun } from './memory.ts';
import type { PacketRun, Variant } from './packet-run.ts';
import type { RulesRun } from './rules-run.ts';

/** Packets of one shape, in `processes` processes. */
export interface PlannedRun extends PacketRun {
  name: string;
  processes: number;
}

/** As many processes, each opening another engine first. */
export interface PlannedRules extends Omit<RulesRun, 'first'> {
  name: string;
  processes: number;
}

/** As many processes. */
export interface PlannedAdoption extends AdoptionRun {
  name: string;
  processes: number;
}

export interface Plan {
  /** Seconds for each function. */
  seconds: number;
  runs: PlannedRun[];
  ruled: PlannedRules[];
  memory: MemoryRun[];
  adoption: PlannedAdoption[];
}

const COUNTS = [1, 1000, 60_000, 1_000_000, 2_000_000, 4_000_000];
const MILLION = 1_000_000;
const WARM_UP = 150_000;
const PROTOCOLS = ['udp', 'tcp'] as const;
export const RULES = [1, 100, 1000] as const;
/** Of each engine with rules, and packets and readings of it in a process: short, so that what is compared are neighbours. */
const RULED_FLOWS = 150_000;
const RULED_PACKETS = 200_000;
const RULED_READINGS = 20;

/**
 * `rounds`: readings of each figure, from as many processes; opening millions of connections takes long, so that large
 * runs have fewer processes and more readings of each.
 */
export function makePlan(rounds: number, packets: number): Plan {
  const shared = [
    ...COUNTS.flatMap((flows) => PROTOCOLS.map((protocol) => ({ protocol, flows, own: false }))),
    ...[60_000, MILLION].map((flows) => ({ protocol: 'mixed' as const, flows, own: false })),
  ];
  const own = PROTOCOLS.map((protocol) => ({ protocol, flows: MILLION, own: true }));
  const ruled = PROTOCOLS.map((protocol) => ({
    ...{ name: `${protocol}-${RULED_FLOWS}-rules`, protocol, flows: RULED_FLOWS, rules: RULES },
    ...{
      packets: Math.min(packets, RULED_PACKETS),
      readings: RULED_READINGS,
      warmUp: WARM_UP,
      processes: rounds,
    },
  }));
  const runs = [...shared, ...own].map((run): PlannedRun => {
    const processes = run.flows < MILLION ? rounds : run.flows === MILLION ? Math.ceil(rounds / 2) : 1;
    const readings = Math.ceil(rounds / processes);
    return { ...run, name: runName(run), packets, processes, readings, warmUp: WARM_UP };
  });
  const memory = PROTOCOLS.flatMap((protocol) =>
    [false, true].map((own) => ({ protocol, flows: MILLION, own })),
  );
  const adoption = [false, true].map((own) => adoptionOf(MILLION, own, rounds));
  return { seconds: 0.5, runs, ruled, memory, adoption };
}

/** Does it run at all. */
export function smokePlan(): Plan {
  const runs = [
    ...PROTOCOLS.map((protocol) => ({ protocol, flows: 1000, own: false })),
    { protocol: 'mixed' as const, flows: 1000, own: false },
    { protocol: 'udp' as const, flows: 100_000, own: true },
  ].map((run) => ({
    ...run,
    name: runName(run),
    packets: 50_000,
    processes: 1,
    readings: 1,
    warmUp: 20_000,
  }));
  const ruled = PROTOCOLS.slice(0, 1).map((protocol) => ({
    ...{ name: `${protocol}-20000-rules`, protocol, flows: 20_000, rules: RULES },
    ...{ packets: 20_000, readings: 1, warmUp: 20_000, processes: 1 },
  }));
  const memory = [{ protocol: 'tcp' as const, flows: 100_000, own: false }];
  return { seconds: 0.05, runs, ruled, memory, adoption: [adoptionOf(100_000, true, 1)] };
}

function adoptionOf(flows: number, own: boolean, processes: number): PlannedAdoption {
  return { name: `adoption-${flows}${own ? '-own' : ''}`, flows, own, processes };
}

export function runName({ protocol, flows, own }: Pick<PacketRun, 'protocol' | 'flows' | 'own'>): string {
  return `${protocol}-${flows}${own ? '-own' : ''}`;
}

/** `udp-1000 random small`: how a figure is named in the JSON. */
export function figureName(run: string, { order, size }: Pick<Variant, 'order' | 'size'>): string {
  return `${run} ${order} ${size}`;
}
