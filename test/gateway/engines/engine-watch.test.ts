/** The supervisor watches the engine process: threads that are words, and a clock of the test's own. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { EngineWatch, parseThread, readWorkerThread } from '../../../src/gateway/engines/engine-watch.ts';
import type { ThreadState } from '../../../src/gateway/engines/silence.ts';
import { addon } from '../../../src/link/addon.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
afterEach(() => void vi.useRealTimers());

function bed() {
  const beats = [0, 0];
  const engine: { pid: number | null; threads: (ThreadState | null)[] } = {
    pid: 100,
    threads: [
      { state: 'S', cpu: 0 },
      { state: 'S', cpu: 0 },
    ],
  };
  const said: string[] = [];
  let reads = 0;
  const watch = new EngineWatch(
    {
      pid: () => engine.pid,
      heartbeats: beats.map((_, worker) => () => beats[worker]!),
      onStopped: (ms) => said.push(`stopped ${Math.round(ms / 1000)}`),
      onContinued: () => said.push('continued'),
      onStarved: () => said.push('starved'),
      onHung: (reason) => said.push(reason),
    },
    (pid, worker) => {
      reads++;
      expect(pid).toBe(engine.pid);
      const thread = engine.threads[worker]!;
      if (thread?.state === 'busy') return { state: 'R', cpu: performance.now() };
      return thread;
    },
  );
  const pass = (ms: number, beating: readonly number[] = []) => {
    for (let i = 0; i < ms; i += 250) {
      for (const worker of beating) beats[worker]!++;
      vi.advanceTimersByTime(250);
    }
    return said.splice(0);
  };
  return { watch, engine, pass, reads: () => reads };
}

test('while it lives nothing is said, and /proc is not read', () => {
  const { pass, reads, watch } = bed();
  expect(pass(10_000, [0, 1])).toEqual([]);
  expect(reads()).toBe(0);
  watch.close();
});

test('one that is stopped is told of, once a minute, and never ended', () => {
  const { pass, engine, watch } = bed();
  pass(1000, [0, 1]);
  engine.threads = [
    { state: 'T', cpu: 0 },
    { state: 'T', cpu: 0 },
  ];
  expect(pass(1250)).toEqual(['stopped 0']);
  expect(watch.isStopped).toBe(true);
  expect(pass(55_000)).toEqual([]);
  expect(pass(10_000)).toEqual(['stopped 60']);
  engine.threads = [
    { state: 'S', cpu: 0 },
    { state: 'R', cpu: 0 },
  ];
  expect(pass(250)).toEqual([]);
  expect(watch.isStopped).toBe(true);
  expect(pass(250, [0, 1])).toEqual(['continued']);
  expect(watch.isStopped).toBe(false);
  expect(pass(10_000, [0, 1])).toEqual([]);
  watch.close();
});

test('a worker that sleeps and does not wake up ends it', () => {
  const { pass, engine, watch } = bed();
  pass(1000, [0, 1]);
  expect(pass(3000, [0])).toEqual([]);
  expect(pass(1000, [0])).toEqual([
    expect.stringMatching(/^worker 1 sleeps and does not wake up, silent for 3\.\d s$/),
  ]);
  // The same process, for as long as it takes to die; then another one.
  expect(pass(250)).toEqual([]);
  engine.pid = null;
  expect(pass(10_000)).toEqual([]);
  engine.pid = 101;
  expect(pass(3000)).toEqual([]);
  expect(pass(1000)).toHaveLength(1);
  watch.close();
});

test('one that is busy is left to its own watch for long; one without a processor is told of once', () => {
  const { pass, engine, watch } = bed();
  pass(1000, [0, 1]);
  engine.threads[0] = { state: 'busy', cpu: 0 };
  expect(pass(9000, [1])).toEqual([]);
  expect(pass(1500, [1])).toEqual([expect.stringMatching(/^worker 0 is stuck, silent for 10\.\d s$/)]);
  engine.threads[0] = { state: 'R', cpu: 3 };
  expect(pass(20_000, [1])).toEqual(['starved']);
  watch.close();
});

test('what cannot be seen is not ended', () => {
  const { pass, engine, watch } = bed();
  engine.threads = [null, null];
  expect(pass(60_000)).toEqual([]);
  watch.close();
});

test('a thread is known by its name, whatever is in it', () => {
  const text = '7 (data-plane-0) S 1 7 7 0 -1 4194304 5 0 0 0 12 34 0 0 10 -10 3 0 99 0 0';
  expect(parseThread(text)).toEqual({ name: 'data-plane-0', state: 'S', cpu: 460 });
  expect(parseThread(text.replace('data-plane-0', 'a) R (b')).name).toBe('a) R (b');
  expect(readWorkerThread(process.pid, 77)).toBeNull();
  expect(readWorkerThread(2 ** 22 + 1, 0)).toBeNull();
});

test('the name that the addon gives a thread is the one that /proc has', () => {
  addon().threadName('data-plane-78');
  const found = readWorkerThread(process.pid, 78);
  addon().threadName('node');
  expect(found?.state).toBe('R');
  expect(() => addon().threadName('a name that is too long')).toThrow(TypeError);
});
