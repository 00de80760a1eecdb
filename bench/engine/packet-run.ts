/**
 * Packets through the engine, one shape of traffic: a process of its own runs this once (child.ts), so that what the
 * compiler has learned of one shape does not help or harm another.
 *
 *     warm-up   an engine of its own, same shape: flows made, packets both ways
 *     open      the flows of the run, timed: that is what making a flow costs on warm code
 *     settle    all variants, with the engine and without, until the compiler has done with the loops of the benchmark itself
 *     variants  order × size, taking turns; each batch half from inside, half from outside
 *
 * Writing the packets into the arena is what reading from a device would do. Its time is measured by a run without the
 * engine and taken off.
 */
import { BATCH } from '../../src/engine/arena.ts';
import { Bed, cpuMs } from './bed.ts';
import { Collections } from './collections.ts';
import type { Protocol, Size } from './traffic.ts';

/** Rounds of all variants before the first reading. */
export const SETTLING = 3;

export type Order = 'in order' | 'random';

export interface PacketRun {
  protocol: Protocol;
  flows: number;
  /** A mapping for each flow: only making flows is measured. */
  own: boolean;
  /** Packets of each reading, and readings of each variant. */
  packets: number;
  readings: number;
  /** Flows and packets of the warm-up engine. */
  warmUp: number;
}

export interface Variant {
  order: Order;
  size: Size;
  /** One for each reading. */
  nsPerPacket: number[];
}

export interface PacketRunResult {
  nsPerFlow: number;
  variants: Variant[];
  /** Packets that were measured. */
  measured: number;
  /** Garbage collections while they were handled, and while the flows were made. */
  collections: number;
  collectionsMaking: number;
}

export async function packetRun(run: PacketRun): Promise<PacketRunResult> {
  const making = new Collections();
  const collections = new Collections();
  const warm = new Bed(run.protocol, run.warmUp, run.own);
  warm.open();
  warm.emptySweep(false);
  if (!run.own) new Drive(warm).run('random', 'small', 2 * run.warmUp, true);
  warm.check();

  const bed = new Bed(run.protocol, run.flows, run.own);
  globalThis.gc!();
  let measured = 0;
  const gross = making.during(() => bed.open());
  const began = cpuMs();
  bed.emptySweep(false);
  const nsPerFlow = ((gross - (cpuMs() - began)) * 1e6) / run.flows;

  const variants: Variant[] = [];
  if (!run.own) {
    for (const order of ['in order', 'random'] as const) {
      for (const size of ['small', 'full'] as const) variants.push({ order, size, nsPerPacket: [] });
    }
  }
  const drive = new Drive(bed);
  for (let round = 0; round < SETTLING; round++) {
    for (const { order, size } of variants) {
      drive.run(order, size, run.warmUp, true);
      drive.run(order, size, run.warmUp, false);
    }
  }
  // What making the flows has left behind is not to be collected while packets are counted.
  globalThis.gc!();
  for (let reading = 0; reading < run.readings; reading++) {
    for (const { order, size, nsPerPacket } of variants) {
      drive.run(order, size, run.warmUp, true);
      const full = collections.during(() => timed(() => drive.run(order, size, run.packets, true)));
      const empty = timed(() => drive.run(order, size, run.packets, false));
      nsPerPacket.push(((full - empty) * 1e6) / run.packets);
      measured += run.packets;
    }
  }
  bed.check();
  const counts = { collections: await collections.count(), collectionsMaking: await making.count() };
  return { nsPerFlow, variants, measured, ...counts };
}

/** CPU time of `work`, ms. */
export function timed(work: () => void): number {
  const began = cpuMs();
  work();
  return cpuMs() - began;
}

/** Where the visits of the flows stand. */
export class Drive {
  private readonly bed: Bed;
  private next = 0;
  private turn = 0;
  private random = 88172645;

  constructor(bed: Bed) {
    this.bed = bed;
  }

  /** `handled`: by the engine; else the packets are only written. */
  run(order: Order, size: Size, packets: number, handled: boolean): void {
    const { bed } = this;
    bed.traffic.begin('data', size);
    const random = order === 'random';
    for (let sent = 0; sent < packets; sent += BATCH) {
      if (random) this.writeRandom();
      else this.writeNext();
      if (!handled) continue;
      bed.handle(BATCH);
      bed.clearOut();
    }
  }

  /** Any flow, some twice, some not at all. */
  private writeRandom(): void {
    const { traffic, flows } = this.bed;
    let { random } = this;
    for (let i = 0; i < BATCH; i++) {
      random ^= random << 13;
      random ^= random >>> 17;
      random ^= random << 5;
      traffic.write(i, Math.floor((random >>> 0) * (flows / 4294967296)) | 0, i >= BATCH / 2);
    }
    this.random = random;
  }

  /** One flow after the other; which ones come from outside changes with every turn. */
  private writeNext(): void {
    const { traffic, flows } = this.bed;
    let { next } = this;
    for (let i = 0; i < BATCH; i++) {
      traffic.write(i, next, i >= BATCH / 2 !== ((this.turn & 1) !== 0));
      if (++next < flows) continue;
      next = 0;
      this.turn++;
    }
    this.next = next;
  }
}
