/** The engine process watches its workers: real arenas of the addon, workers that are words, and a clock of the test's own. */
import { closeSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HANDLING, IN_LIST, NO_PACKET, packetOffset } from '../../../src/engine/arena.ts';
import { BEAT_FLAG, CONTROL_BUSY_FLAG, FLAG_BYTES } from '../../../src/gateway/engines/data-plane.ts';
import { type Stall, watchWorkers } from '../../../src/gateway/engines/worker-watch.ts';
import { addon, type Exchange } from '../../../src/link/addon.ts';
import { udpPacket } from '../../../src/testing/index.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
let opened: { exchange: Exchange; fd: number }[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const { exchange, fd } of opened) {
    exchange.close();
    closeSync(fd);
  }
  opened = [];
});

/** `cpu`: part of a processor that each worker gets. */
function bed(cpu: number[]) {
  const native = addon();
  const workers = cpu.map(() => {
    const fd = native.eventfd();
    const exchange = native.exchangeOpen([fd], fd);
    opened.push({ exchange, fd });
    return { flags: new Int32Array(new SharedArrayBuffer(FLAG_BYTES)), wakeFd: fd, exchange };
  });
  const stalls: Stall[] = [];
  const seen = {
    arenaCopy: native.arenaCopy,
    arenaCpu: (fd: number) => performance.now() * cpu[workers.findIndex(({ wakeFd }) => wakeFd === fd)]!,
  };
  const close = watchWorkers(workers, seen, (stall) => stalls.push(stall));
  const pass = (ms: number, beating: readonly number[]) => {
    for (let i = 0; i < ms; i += 100) {
      for (const worker of beating) workers[worker]!.flags[BEAT_FLAG]!++;
      vi.advanceTimersByTime(100);
    }
  };
  return { workers, stalls, pass, close };
}

test('one that is stuck in a packet is found within a second, with the packet', () => {
  const { workers, stalls, pass, close } = bed([1, 1]);
  pass(3000, [0, 1]);
  const words = new Int32Array(workers[1]!.exchange.arena);
  const packet = udpPacket({ from: '10.77.0.2:1', to: '203.0.113.9:2', payload: Buffer.from('stuck') });
  new Uint8Array(workers[1]!.exchange.arena).set(packet, packetOffset(5));
  words[(IN_LIST >> 2) + 10] = 3;
  words[(IN_LIST >> 2) + 11] = packet.length;
  words[HANDLING] = 5;
  pass(1000, [0]);
  expect(stalls).toHaveLength(1);
  const [{ worker, reason, offence }] = stalls as [Stall];
  expect(worker).toBe(1);
  expect(reason).toMatch(/^worker 1 has been at one packet for (8|10)00 ms$/);
  expect(offence.packets.map(({ device, bytes }) => [device, Buffer.from(bytes).toString('hex')])).toEqual([
    [3, Buffer.from(packet).toString('hex')],
  ]);
  pass(5000, [0]);
  expect(stalls).toHaveLength(1);
  close();
});

test('one that gets no processor, that has not begun, or that is told something, is not stuck', () => {
  const { workers, stalls, pass, close } = bed([0, 1, 1]);
  pass(5000, [2]);
  pass(1000, [0, 1, 2]);
  workers[2]!.flags[CONTROL_BUSY_FLAG] = 1;
  pass(5000, [1]);
  expect(stalls).toEqual([]);
  workers[2]!.flags[BEAT_FLAG]!++;
  workers[2]!.flags[CONTROL_BUSY_FLAG] = 0;
  new Int32Array(workers[2]!.exchange.arena)[HANDLING] = NO_PACKET;
  pass(1600, [1]);
  expect(stalls).toEqual([
    { worker: 2, reason: expect.stringContaining('at one turn of its loop'), offence: { packets: [] } },
  ]);
  close();
});

test('the processor time of a thread is that of the one that opened the exchange; what is unknown is none', () => {
  bed([1]);
  const native = addon();
  const fd = opened[0]!.fd;
  const before = native.arenaCpu(fd);
  const end = process.cpuUsage().user + 200_000;
  while (process.cpuUsage().user < end);
  const after = native.arenaCpu(fd);
  expect(after - before).toBeGreaterThan(10);
  expect(native.arenaCpu(1000)).toBe(-1);
  expect(native.arenaCopy(1000, 0, 4)).toBeNull();
  expect(() => native.arenaCopy(fd, 0, 2 ** 30)).toThrow(TypeError);
});
