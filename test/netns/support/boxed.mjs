/**
 * A process in the sandbox of the packet engine, for what a healthy engine hardly ever does: `node boxed.mjs CASE`, as root, with an
 * IPC channel. Says `in` once it is inside, then does it. A worker is there before, as in the engine.
 */
import * as childProcess from 'node:child_process';
import * as fs from 'node:fs';
import { Worker } from 'node:worker_threads';

const dist = new URL('../../../dist/', import.meta.url);
const { enterSandbox } = await import(new URL('gateway/engines/sandbox.js', dist));
const { addon } = await import(new URL('link/addon.js', dist));

const WORK = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', (what) => {
    if (what === 'throw') throw new Error('of a worker');
    if (what === 'compute') {
      let sum = 0;
      const kept = [];
      for (let i = 0; i < 3e6; i++) {
        kept[i % 1000] = { i, text: 'x' + i };
        sum += kept[i % 1000].text.length;
      }
      parentPort.postMessage(sum);
    }
    if (what === 'exit') process.exit(0);
    if (what === 'read') {
      try {
        require('node:fs').readFileSync('/etc/passwd');
        parentPort.postMessage('read');
      } catch (error) {
        parentPort.postMessage(error.code);
      }
    }
  });
  parentPort.postMessage('up');
`;
const worker = new Worker(WORK, { eval: true });
worker.on('error', (error) => {
  process.stderr.write(`worker: ${error.stack}\n`);
  process.exit(3);
});
await new Promise((resolve) => worker.once('message', resolve));

const answer = () => new Promise((resolve) => worker.once('message', resolve));
const CASES = {
  nothing: () => process.exit(0),
  async compute() {
    worker.postMessage('compute');
    await answer();
    let text = '';
    for (let i = 0; i < 2e6; i++) text = `${text}${i}`.slice(-1000);
    const buffers = [];
    for (let i = 0; i < 200; i++) buffers.push(Buffer.alloc(1 << 20, i));
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.hrtime.bigint();
    process.send({ sum: buffers.length }, () => process.exit(0));
  },
  async workerExit() {
    worker.postMessage('exit');
    await new Promise((resolve) => worker.once('exit', resolve));
    process.exit(0);
  },
  async workerTerminate() {
    await worker.terminate();
    process.exit(0);
  },
  throws() {
    throw new Error('of the main thread');
  },
  workerThrows: () => worker.postMessage('throw'),
  rejects: () => void Promise.reject(new Error('of a promise')),
  abort: () => process.abort(),
  overflow() {
    const deeper = () => deeper() + 1;
    deeper();
  },
  memory() {
    const kept = [];
    for (;;) kept.push(new Array(1e5).fill({}));
  },
  open: () => fs.openSync('/etc/passwd'),
  spawn: () => childProcess.spawnSync('/bin/true'),
  thread: () => void new Worker(WORK, { eval: true }),
  eventfd: () => addon().eventfd(),
};

const action = process.argv[2];
if (action === 'landlock') {
  // Without the filter, to see what Landlock does by itself: in this thread and in another one that was there before.
  fs.readFileSync('/etc/passwd');
  addon().landlockNothing();
  let own = 'read';
  try {
    fs.readFileSync('/etc/passwd');
  } catch (error) {
    own = error.code;
  }
  worker.postMessage('read');
  process.stdout.write(`${own} ${await answer()}\n`);
  process.exit(0);
}
enterSandbox({ uid: 65_534, gid: 65_534 }, (line) => process.stderr.write(`warning: ${line}\n`));
process.stderr.write('in\n');
await CASES[action]();
