/** The loop against an exchange and an engine that write down what they are asked. */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { NOW } from '../../../src/engine/arena.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import {
  BEAT_FLAG,
  CONTROL_BUSY_FLAG,
  CONTROL_FLAG,
  FLAG_BYTES,
  runDataPlane,
} from '../../../src/gateway/engines/data-plane.ts';
import type { ControlMessage } from '../../../src/gateway/engines/messages.ts';

let ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports) port.close();
  ports = [];
});

/**
 * `batches`: what each `run` returns; the last is a negative errno, or `stop` is posted before. `releases`: calls of
 * process() that only send what was held.
 */
function loop(batches: number[], mostPerCall = 64, releases = 0) {
  let left = releases;
  const calls: string[] = [];
  const arena = new ArrayBuffer(4096);
  const words = new Int32Array(arena);
  const flags = new Int32Array(new SharedArrayBuffer(FLAG_BYTES));
  const { port1, port2: control } = new MessageChannel();
  ports.push(port1, control);
  const fake = {
    outCount: 0,
    reconfigurer: { isBusy: false },
    sessions: { isBehind: false },
    clearOut() {
      calls.push('clear');
      this.outCount = 0;
    },
    process(from: number, count: number, now: number) {
      calls.push(`process ${from}/${count} at ${now}`);
      if (left > 0) {
        left--;
        this.outCount += 192;
        return from;
      }
      const done = Math.min(count, from + mostPerCall);
      this.outCount += done - from;
      return done;
    },
    addressChange: { isSweeping: false },
    tick: (now: number) => calls.push(`tick ${now}`),
    setDevice: (...of: unknown[]) => calls.push(`setDevice ${JSON.stringify(of)}`),
    setRoutes: (...of: unknown[]) => calls.push(`setRoutes ${JSON.stringify(of)}`),
    setHeldPorts: (...of: unknown[]) => calls.push(`setHeldPorts ${JSON.stringify(of)}`),
    setNeighbour: (...of: unknown[]) => calls.push(`setNeighbour ${JSON.stringify(of)}`),
  };
  const exchange = {
    arena,
    run(outCount: number, timeoutMs: number) {
      calls.push(`run ${outCount} ${timeoutMs}`);
      words[NOW] = words[NOW]! + 7;
      const next = batches.shift();
      if (next === undefined) throw new Error('the loop went on');
      return next;
    },
    flush: (outCount: number) => void calls.push(`flush ${outCount}`),
  };
  const post = (message: ControlMessage) => {
    port1.postMessage(message);
    Atomics.store(flags, CONTROL_FLAG, 1);
  };
  const run = () =>
    runDataPlane({
      exchange,
      engine: fake as unknown as Engine,
      flags,
      turns: { begin() {}, end() {} },
      control,
      say: () => {},
    });
  return { calls, engine: fake, flags, post, run };
}

test('what one batch decided is written by the next exchange', () => {
  const { calls, run } = loop([2, -77]);
  expect(run()).toBe(-77);
  expect(calls).toEqual(['run 0 250', 'clear', 'process 0/2 at 7', 'tick 7', 'run 2 250', 'clear']);
});

test('an engine that runs out of slots is flushed and goes on with the same batch', () => {
  const { calls, run } = loop([5, -77], 2);
  run();
  expect(calls.slice(2)).toEqual([
    'process 0/5 at 7',
    'flush 2',
    'clear',
    'process 2/5 at 7',
    'flush 2',
    'clear',
    'process 4/5 at 7',
    'tick 7',
    'run 1 250',
    'clear',
  ]);
});

test('an engine that never takes a packet is an error, not an endless loop', () => {
  const { run } = loop([1], 0);
  expect(run).toThrow('did not take a packet');
});

test('an engine that fills its slots with held fragments comes to the same packet again', () => {
  const { calls, run } = loop([2, -77], 64, 3);
  run();
  const round = ['process 0/2 at 7', 'flush 192', 'clear'];
  expect(calls.slice(2)).toEqual([
    ...round,
    ...round,
    ...round,
    'process 0/2 at 7',
    'tick 7',
    'run 2 250',
    'clear',
  ]);
});

test('an exchange without packets ticks too', () => {
  const { calls, run } = loop([0, 0, 3, -5]);
  run();
  expect(calls.filter((call) => call.startsWith('tick'))).toEqual(['tick 7', 'tick 14', 'tick 21']);
});

test('while flows wait to be ended, the exchange does not wait', () => {
  const { calls, engine, run } = loop([0, 0, 0, -5]);
  engine.tick = (now: number) => {
    engine.sessions.isBehind = now < 14;
    return calls.push(`tick ${now}`);
  };
  run();
  expect(calls.filter((call) => call.startsWith('run'))).toEqual([
    'run 0 250',
    'run 0 0',
    'run 0 250',
    'run 0 250',
  ]);
});

test('control messages are applied in order, between batches, once', () => {
  const { calls, flags, post, run } = loop([1, 1, -5]);
  const device = { address: 16777226, mtu: 1400 };
  post({ type: 'device', index: 1, device });
  post({ type: 'routes', routes: [] });
  post({ type: 'heldPorts', protocol: 17, ports: [40000] });
  post({ type: 'neighbour', device: 1, address: 5, failed: true });
  run();
  expect(calls.filter((call) => call.startsWith('set'))).toEqual([
    `setDevice [1,${JSON.stringify(device)}]`,
    'setRoutes [[]]',
    'setHeldPorts [17,[40000]]',
    'setNeighbour [1,5,true]',
  ]);
  expect(calls.indexOf('tick 7')).toBeLessThan(calls.indexOf('setRoutes [[]]'));
  expect(calls.indexOf('setRoutes [[]]')).toBeLessThan(calls.indexOf('run 1 250'));
  expect(flags[CONTROL_FLAG]).toBe(0);
});

test('stop writes what is decided and leaves with 0', () => {
  const { calls, post, run } = loop([3]);
  post({ type: 'stop' });
  expect(run()).toBe(0);
  expect(calls.slice(-2)).toEqual(['flush 3', 'clear']);
});

test('each turn is a beat, and control messages are told from packets', () => {
  const { flags, post, run } = loop([1, 2, 0, -77]);
  post({ type: 'routes', routes: [] });
  expect(flags[BEAT_FLAG]).toBe(0);
  run();
  expect(flags[BEAT_FLAG]).toBe(3);
  expect(flags[CONTROL_BUSY_FLAG]).toBe(0);
});

test('a beat is never 0, which says that there was none', () => {
  const { flags, run } = loop([1, -77]);
  flags[BEAT_FLAG] = 0x7fffffff;
  run();
  expect(flags[BEAT_FLAG]).toBe(1);
});
