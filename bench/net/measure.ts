/** One reading: new namespaces, the contender started, a warm-up, the workload, everything removed. */
import { machineSeconds, processSeconds } from './proc.ts';
import { demandTools } from './tools.ts';
import { Topology } from './topology.ts';
import type { Contender, Reading, Workload } from './types.ts';

/** Long enough for the engines' code to be compiled and for neighbours to be resolved. */
const WARM_UP_SECONDS = 1;

export interface Measurement {
  contender: Contender;
  workload: Workload;
  round: number;
  seconds: number;
  warmUp: boolean;
}

/** Never throws: a failure is a reading too. */
export async function measure(measurement: Measurement): Promise<Reading> {
  const { contender, workload, round } = measurement;
  const reading: Reading = { round, contender: contender.name, workload: workload.name };
  try {
    demandTools(workload.needs);
    const topology = await Topology.create();
    try {
      Object.assign(reading, await measureIn(topology, measurement));
    } finally {
      await topology.close();
    }
  } catch (error) {
    reading.error = error instanceof Error ? error.message : String(error);
  }
  return reading;
}

async function measureIn(topology: Topology, measurement: Measurement): Promise<Partial<Reading>> {
  const { contender, workload, seconds } = measurement;
  const gateway = await contender.start(topology);
  const pids = gateway.map((child) => child.pid);
  try {
    if (measurement.warmUp) await workload.run(topology, Math.min(WARM_UP_SECONDS, seconds));
    const machineBefore = machineSeconds();
    const gatewayBefore = processSeconds(pids);
    const { value, amount, details } = await workload.run(topology, seconds);
    const gatewayTime = processSeconds(pids) - gatewayBefore;
    const machineTime = machineSeconds() - machineBefore;
    return {
      value,
      ...(details === undefined ? {} : { details }),
      ...(amount === undefined ? {} : { machineCost: machineTime / amount }),
      ...(amount === undefined || pids.length === 0 ? {} : { gatewayCost: gatewayTime / amount }),
    };
  } catch (error) {
    const dead = gateway.find((child) => child.ended !== undefined);
    if (dead === undefined) throw error;
    throw new Error(`it ended meanwhile (${dead.ended}): ${dead.lastWords()}`);
  }
}
