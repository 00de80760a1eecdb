/** Ends the process when an input does not come to an end, and says which: only another thread can tell. */
import { Worker } from 'node:worker_threads';

const SECONDS = 60;
const MOST = 65_536;

/** [inputs so far, bytes of this one, bytes of the name], the name (64 bytes), the input. */
const shared = new SharedArrayBuffer(12 + 64 + MOST);
const words = new Int32Array(shared, 0, 3);
const name = new Uint8Array(shared, 12, 64);
const bytes = new Uint8Array(shared, 76, MOST);

/** An input begins. */
export function beat(target: string, input: Uint8Array): void {
  const text = Buffer.from(target);
  words[1] = Math.min(input.length, MOST);
  words[2] = Math.min(text.length, 64);
  name.set(text.subarray(0, 64));
  bytes.set(input.subarray(0, MOST));
  words[0] = words[0]! + 1;
}

/** Starts the watch; it does not keep the process alive. */
export function watchInputs(): void {
  const code = `
    const { workerData: { shared, seconds } } = require('node:worker_threads');
    const words = new Int32Array(shared, 0, 3);
    let seen = words[0];
    let since = Date.now();
    setInterval(() => {
      if (words[0] !== seen) [seen, since] = [words[0], Date.now()];
      if (Date.now() - since < seconds * 1000) return;
      const of = (from, length) => Buffer.from(shared, from, length);
      const input = of(76, words[1]).toString('hex');
      require('node:fs').writeSync(2, 'fuzz: ' + of(12, words[2]) + ' hangs on ' + input + '\\n');
      process.kill(process.pid, 'SIGKILL');
    }, 500);`;
  new Worker(code, { eval: true, workerData: { shared, seconds: SECONDS } }).unref();
}
