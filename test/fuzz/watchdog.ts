/**
 * Ends the process when nothing has moved for a while: an endless loop throws nothing, and only another thread can tell.
 */
import { Worker } from 'node:worker_threads';

const SECONDS = 60;

/** [batches handled so far, seed of the episode]. */
const progress = new Int32Array(new SharedArrayBuffer(8));

export function beat(): void {
  progress[0] = progress[0]! + 1;
}

export function beginEpisode(seed: number): void {
  progress[1] = seed | 0;
}

/** Starts the watch; it does not keep the process alive. */
export function watch(): void {
  const code = `
    const { workerData: { progress, seconds } } = require('node:worker_threads');
    let seen = progress[0];
    let since = Date.now();
    setInterval(() => {
      if (progress[0] !== seen) [seen, since] = [progress[0], Date.now()];
      if (Date.now() - since < seconds * 1000) return;
      const seed = progress[1] >>> 0;
      require('node:fs').writeSync(2, '\\nfuzz: hangs (again: --seed ' + seed + ' --packets 20000)\\n');
      process.kill(process.pid, 'SIGKILL');
    }, 500);`;
  new Worker(code, { eval: true, workerData: { progress, seconds: SECONDS } }).unref();
}
