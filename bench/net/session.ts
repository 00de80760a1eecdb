/**
 * One contender during one round: started when its first workload comes, kept for the others, and started anew for the
 * next workload when it has failed in one.
 *
 *     absent ──▶ running ──▶ running …          an idle contender costs nothing, starting one takes a second
 *        ▲          │ failed; before and after a workload that is to find, or that leaves, something
 *        └──────────┘
 */
import { machineSeconds, processSeconds } from './proc.ts';
import type { Child } from './processes.ts';
import { demandTools } from './tools.ts';
import { Topology } from './topology.ts';
import { type Contender, type Reading, rowsOf, type Sample, type Workload } from './types.ts';

/** Long enough for code to be compiled and for neighbours to be resolved. */
const WARM_UP_SECONDS = 0.3;

export interface Measurement {
  workload: Workload;
  seconds: number;
  warmUp: boolean;
}

export class Session {
  readonly #contender: Contender;
  readonly #round: number;
  readonly #createTopology: typeof Topology.create;
  readonly #notes = new Map<string, number>();
  #topology: Topology | undefined;
  #children: readonly Child[] = [];

  /** `createTopology` is another one in tests. */
  constructor(contender: Contender, round: number, createTopology = Topology.create) {
    this.#contender = contender;
    this.#round = round;
    this.#createTopology = createTopology;
  }

  /** One reading for each row of the workload. Never throws: a failure is a reading too. */
  async measure(measurement: Measurement): Promise<Reading[]> {
    const { workload } = measurement;
    let result: Pick<Reading, 'error'> | Measured;
    try {
      demandTools(workload.needs);
      if (workload.fresh) await this.close();
      result = await this.#measureIn(await this.#open(), measurement);
      if (workload.fresh) await this.close();
    } catch (error) {
      result = { error: this.#explain(error) };
      await this.close();
    }
    return rowsOf(workload).map((row) => {
      const reading: Reading = { round: this.#round, contender: this.#contender.name, workload: row.name };
      if (!('sample' in result)) return { ...reading, ...result };
      const { sample, ...costs } = result;
      const { value, values, details } = sample;
      return {
        ...reading,
        value: values?.[row.name] ?? value,
        ...costs,
        ...(details === undefined ? {} : { details }),
      };
    });
  }

  async close(): Promise<void> {
    const topology = this.#topology;
    this.#topology = undefined;
    await topology?.close();
  }

  async #open(): Promise<Topology> {
    if (this.#topology === undefined) {
      this.#topology = await this.#createTopology();
      this.#topology.notes = this.#notes;
      this.#children = await this.#contender.start(this.#topology);
      this.#topology.carriers = this.#children.map((child) => child.pid);
    }
    return this.#topology;
  }

  async #measureIn(topology: Topology, { workload, seconds, warmUp }: Measurement): Promise<Measured> {
    if (warmUp) {
      if (workload.warmUp === undefined) await workload.run(topology, Math.min(WARM_UP_SECONDS, seconds));
      else await workload.warmUp(topology);
    }
    const { carriers } = topology;
    const machineBefore = machineSeconds();
    const gatewayBefore = processSeconds(carriers);
    const sample = await workload.run(topology, seconds);
    const gatewayTime = processSeconds(carriers) - gatewayBefore;
    const machineTime = machineSeconds() - machineBefore;
    const { amount } = sample;
    return {
      sample,
      ...(amount === undefined ? {} : { machineCost: machineTime / amount }),
      ...(amount === undefined || carriers.length === 0 ? {} : { gatewayCost: gatewayTime / amount }),
    };
  }

  #explain(error: unknown): string {
    const dead = this.#children.find((child) => child.ended !== undefined);
    if (dead !== undefined) return `it ended meanwhile (${dead.ended}): ${dead.lastWords()}`;
    return error instanceof Error ? error.message : String(error);
  }
}

interface Measured extends Pick<Reading, 'gatewayCost' | 'machineCost'> {
  sample: Sample;
}
