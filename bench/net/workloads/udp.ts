/**
 * UDP offered as fast as the sender can. The value is what arrives at the server, which also looks whether it came from
 * the gateway's public address.
 */
import { GCC } from '../tools.ts';
import type { Topology } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';
import { parseSink, SOCKETS, startBlast, startSink } from './udp-tools.ts';

/** The sender goes on for longer than the sink counts. */
const OVERTIME_SECONDS = 10;

function udp(name: string, bytes: number, flows: number): Workload {
  return {
    name,
    title: `UDP, ${bytes}-byte payload, ${flowsText(flows)}, full offer, delivered`,
    about: `udp-blast sends as much as it can in ${flowsText(flows)}${spreadText(flows)}; what arrives at udp-sink counts.`,
    unit: 'kpps',
    better: 'higher',
    digits: 1,
    needs: GCC,
    costUnit: 'million packets',
    run: async (topology, seconds) => await deliver(topology, { bytes, flows, rate: 0 }, seconds),
  };
}

export const udp18 = udp('udp-18', 18, 1);
export const udp18Flows = udp('udp-18-1000', 18, 1000);
export const udp1400 = udp('udp-1400', 1400, 1);
export const udp1400Flows = udp('udp-1400-1000', 1400, 1000);

async function deliver(
  topology: Topology,
  offer: Parameters<typeof startBlast>[1],
  seconds: number,
): Promise<Sample> {
  const sink = await startSink(topology, seconds, offer.bytes);
  const blast = await startBlast(topology, offer, seconds + OVERTIME_SECONDS);
  try {
    const report = await sink.finish(seconds * 1000 + 10_000);
    if (blast.ended !== undefined) await blast.finish(0);
    const { received, seconds: measured } = parseSink(report);
    return { value: received / measured / 1e3, amount: received / 1e6 };
  } finally {
    await blast.stop();
    await sink.stop();
  }
}

export function flowsText(flows: number): string {
  return flows === 1 ? 'one flow' : `${flows.toLocaleString('en')} flows`;
}

export function spreadText(flows: number): string {
  return flows === 1 ? '' : ` (${SOCKETS} source ports, ${flows / SOCKETS} destination addresses each)`;
}
