/**
 * Firewalls of different lengths, side by side: engines with 1, 100 and 1000 rules in one process, of which only the last rule matches, and whose
 * readings take turns. A machine's speed may change by half within seconds; readings that follow each other have the same one, so the ratio of two
 * rows is the median of such pairs, not the ratio of their medians.
 *
 *     warm-up   an engine of its own with the longest firewall
 *     open      the flows of each engine, timed
 *     settle    packets through all, until the compiler has done with the loop of the benchmark
 *     readings  short ones, of any flow and small packets, each round beginning with another engine
 */
import { Bed, cpuMs } from './bed.ts';
import { Collections } from './collections.ts';
import { Drive, SETTLING, timed } from './packet-run.ts';
import type { Protocol } from './traffic.ts';

export interface RulesRun {
  protocol: Protocol;
  flows: number;
  /** Of each engine's firewall, fewest first. */
  rules: readonly number[];
  /** Packets of each reading, and readings of each engine. */
  packets: number;
  readings: number;
  /** Flows of the warm-up engine, packets of a settling round. */
  warmUp: number;
  /** Which engine is opened first. */
  first: number;
}

/** Lists are by engine, in the order of `rules`. */
export interface RulesRunResult {
  nsPerFlow: number[];
  /** Of each, by reading. */
  nsPerPacket: number[][];
  /** As in PacketRunResult. */
  measured: number;
  collections: number;
  collectionsMaking: number;
}

export async function rulesRun(run: RulesRun): Promise<RulesRunResult> {
  const making = new Collections();
  const collections = new Collections();
  const turns = (first: number) => run.rules.map((_, i) => (first + i) % run.rules.length);
  const warm = new Bed(run.protocol, run.warmUp, false, run.rules.at(-1));
  warm.open();
  warm.emptySweep(false);
  new Drive(warm).run('random', 'small', 2 * run.warmUp, true);
  warm.check();

  const beds = run.rules.map((count) => new Bed(run.protocol, run.flows, false, count));
  globalThis.gc!();
  const nsPerFlow = run.rules.map(() => 0);
  for (const i of turns(run.first)) {
    const bed = beds[i]!;
    const gross = making.during(() => bed.open());
    const began = cpuMs();
    bed.emptySweep(false);
    nsPerFlow[i] = ((gross - (cpuMs() - began)) * 1e6) / run.flows;
  }

  const drives = beds.map((bed) => new Drive(bed));
  for (let round = 0; round < SETTLING; round++) {
    for (const drive of drives) {
      drive.run('random', 'small', run.warmUp, true);
      drive.run('random', 'small', run.warmUp, false);
    }
  }
  globalThis.gc!();
  const nsPerPacket: number[][] = run.rules.map(() => []);
  for (let reading = 0; reading < run.readings; reading++) {
    for (const i of turns(reading)) {
      const drive = drives[i]!;
      const full = collections.during(() => timed(() => drive.run('random', 'small', run.packets, true)));
      const empty = timed(() => drive.run('random', 'small', run.packets, false));
      nsPerPacket[i]!.push(((full - empty) * 1e6) / run.packets);
    }
  }
  for (const bed of beds) bed.check();
  const measured = run.readings * run.packets * beds.length;
  const counts = { collections: await collections.count(), collectionsMaking: await making.count() };
  return { nsPerFlow, nsPerPacket, measured, ...counts };
}
