/**
 * Tells the service manager that the gateway lives, for as long as the data plane does: only while the heartbeats
 * that the loops of all workers write to their states move. An engine that hangs, or that cannot be brought back, thus ends in a
 * restart of the whole gateway by the manager.
 */
import type { ServiceManager } from './notify.ts';

/** The loop turns at least every quarter of a second, and an engine that died is back well before. */
const SILENCE_MS = 3500;

/**
 * `heartbeats`: of each worker one that changes with every turn of its loop. `isExcused`: the engine is silent because somebody has stopped
 * it, which no restart would mend.
 */
export function feedWatchdog(
  manager: ServiceManager,
  heartbeats: readonly (() => number)[],
  isExcused: () => boolean = () => false,
): { close(): void } {
  if (manager.watchdogMs === 0) return { close: () => {} };
  const last = heartbeats.map((heartbeat) => heartbeat());
  const movedAt = heartbeats.map(() => performance.now());
  const timer = setInterval(() => {
    for (const [worker, heartbeat] of heartbeats.entries()) {
      const beat = heartbeat();
      if (beat !== last[worker]) movedAt[worker] = performance.now();
      last[worker] = beat;
    }
    if (performance.now() - Math.min(...movedAt) < SILENCE_MS || isExcused()) manager.alive();
  }, manager.watchdogMs / 3);
  return { close: () => clearInterval(timer) };
}
