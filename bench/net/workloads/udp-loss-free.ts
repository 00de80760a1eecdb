/** UDP at the highest rate at which next to nothing is lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../../src/core/errors.ts';
import { GCC } from '../tools.ts';
import type { Topology } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';
import { highestRate, type Trial } from './rate-search.ts';
import { flowsText, spreadText, udp18 } from './udp.ts';
import { parseSent, parseSink, startBlast, startSink, type UdpOffer } from './udp-tools.ts';

/** Of one trial; more than a queue holds in any case. */
const TRIAL_SECONDS = 0.3;
/** What is in a queue arrives within that, or is lost. */
const DRAIN_MS = 50;

function udpLossFree(name: string, bytes: number, flows: number): Workload {
  return {
    name,
    title: `UDP, ${bytes}-byte payload, ${flowsText(flows)}, highest rate with a loss below 0.1 %`,
    about:
      `Trials of ${TRIAL_SECONDS} s in ${flowsText(flows)}${spreadText(flows)} at an even rate (bursts of 100 µs), which a search ` +
      'closes in on to 5 %. A rate fails when two trials lose more.',
    unit: 'kpps',
    better: 'higher',
    digits: 1,
    needs: GCC,
    warmUp: async (topology) => await udp18.run(topology, TRIAL_SECONDS),
    run: async (topology) => await search(topology, bytes, flows),
  };
}

export const udpLossFree18 = udpLossFree('udp-18-lossless', 18, 1);
export const udpLossFree18Flows = udpLossFree('udp-18-1000-lossless', 18, 1000);
export const udpLossFree1400 = udpLossFree('udp-1400-lossless', 1400, 1);
export const udpLossFree1400Flows = udpLossFree('udp-1400-1000-lossless', 1400, 1000);

async function search(topology: Topology, bytes: number, flows: number): Promise<Sample> {
  let trials = 0;
  const rate = await highestRate(async (offered) => {
    trials++;
    return await trial(topology, { bytes, flows, rate: offered });
  });
  if (rate === 0) throw new NatgateError('BENCH_UDP', 'packets are lost at every rate');
  if (bytes === 18 && flows === 1) topology.notes.set(udpLossFree18.name, rate);
  return { value: rate / 1e3, details: { trials } };
}

/** The rate of `udp-18-lossless`, packets a second: as found in this round, else looked for now. */
export async function lossFreeRate(topology: Topology): Promise<number> {
  if (!topology.notes.has(udpLossFree18.name)) await search(topology, 18, 1);
  return topology.notes.get(udpLossFree18.name)!;
}

async function trial(topology: Topology, offer: UdpOffer): Promise<Trial> {
  const sink = await startSink(topology, 0, offer.bytes);
  try {
    const blast = await startBlast(topology, offer, TRIAL_SECONDS);
    const { sent, seconds } = parseSent(await blast.finish(TRIAL_SECONDS * 1000 + 5000));
    await sleep(DRAIN_MS);
    await sink.stop();
    return { offered: sent / seconds, delivered: parseSink(sink.stdout).received / seconds };
  } finally {
    await sink.stop();
  }
}
