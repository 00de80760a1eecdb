/**
 * How long an engine takes to take over the flows of the one before: all that its making costs, on a state with so many flows, half
 * of them TCP, half UDP. The first time in a process of its own, as after a crash: what adopts has not been compiled yet.
 */
import { Bed } from './bed.ts';

export interface AdoptionRun {
  flows: number;
  /** A mapping for each flow; else flows to different remotes share one. */
  own: boolean;
}

export interface AdoptionResult {
  /** ms of CPU time of the thread that adopts. */
  ms: number;
}

export function adoptionRun({ flows, own }: AdoptionRun): AdoptionResult {
  const bed = new Bed('mixed', flows, own);
  bed.open();
  globalThis.gc!();
  return { ms: bed.restart() };
}
