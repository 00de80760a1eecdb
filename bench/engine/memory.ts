/**
 * What a flow takes: growth of the resident memory by an engine with so many flows, over all that it has (table, index,
 * mappings, ports, timers). What the harness itself needs, and code, were there before.
 */
import { ARENA_BYTES } from '../../src/engine/arena.ts';
import { Bed } from './bed.ts';
import type { Protocol } from './traffic.ts';

export interface MemoryRun {
  protocol: Protocol;
  flows: number;
  own: boolean;
}

export interface MemoryResult {
  bytesPerFlow: number;
}

export function memoryRun({ protocol, flows, own }: MemoryRun): MemoryResult {
  const arena = new ArrayBuffer(ARENA_BYTES);
  // The code is compiled, and the arena's pages are there. Small, and without a pool's port spaces, so that it leaves little
  // behind that the engine might take again.
  for (let i = 0; i < 3; i++) new Bed(protocol, 4096, false, 0, arena).open();
  const before = resident();
  const bed = new Bed(protocol, flows, own, 0, arena);
  bed.open();
  const bytesPerFlow = (resident() - before) / flows;
  bed.check();
  return { bytesPerFlow };
}

function resident(): number {
  globalThis.gc!();
  globalThis.gc!();
  return process.memoryUsage.rss();
}
