/**
 * Tells the service manager that the gateway lives, for as long as the data plane does: only while the heartbeat
 * that its loop writes to the state moves. An engine that hangs, or that cannot be brought back, thus ends in a
 * restart of the whole gateway by the manager.
 */
import type { ServiceManager } from './notify.ts';

/** The loop turns at least once a second; three of them missing is no accident. */
const SILENCE_MS = 3500;

/** `heartbeat` changes with every turn of the loop. */
export function feedWatchdog(manager: ServiceManager, heartbeat: () => number): { close(): void } {
  if (manager.watchdogMs === 0) return { close: () => {} };
  let last = heartbeat();
  let movedAt = performance.now();
  const timer = setInterval(() => {
    if (heartbeat() !== last) {
      last = heartbeat();
      movedAt = performance.now();
    }
    if (performance.now() - movedAt < SILENCE_MS) manager.alive();
  }, manager.watchdogMs / 3);
  return { close: () => clearInterval(timer) };
}
