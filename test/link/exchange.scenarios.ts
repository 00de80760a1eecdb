/** What exchange.test.ts runs in network namespaces. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  NOW,
  READ_TRUNCATED,
  WAITS,
  WRITE_DOWN,
  WRITE_ERRNO,
  WRITE_NO_BUFFER,
  WRITE_REFUSED,
} from '../../src/engine/arena.ts';
import { addon } from '../../src/link/addon.ts';
import { echoRequest, pattern, tcp, udp } from './packets.ts';
import { ip, Tuns } from './tuns.ts';

const monotonic = () => Number(process.hrtime.bigint() / 1_000_000n) | 0;

/** The kernel answers a ping that comes out of a TUN. */
export function echo() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const request = echoRequest('10.1.0.2', '10.1.0.1', 7, pattern(56));
  tuns.put(0, request);
  const before = monotonic();
  const received = tuns.run(1000);
  return {
    request: request.toString('hex'),
    received: received.map(({ device, vnet, packet }) => ({ device, vnet, packet: packet.toString('hex') })),
    nowIsBetween: tuns.control[NOW]! >= before && tuns.control[NOW]! <= monotonic(),
    afterwards: tuns.run(0).length,
    failedWrites: [tuns.control[WRITE_REFUSED], tuns.control[WRITE_NO_BUFFER], tuns.control[WRITE_DOWN]],
  };
}

/** 100 pings over two TUNs in one out list; sizes on both sides of the header slot's end. */
export function batches() {
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  const sent: string[][] = [[], []];
  for (let i = 0; i < 50; i++) {
    for (const device of [0, 1]) {
      const data = pattern(1980 + i, i + 1); // packets of 2008 to 2057 bytes; 2036 fit in the header slot
      tuns.put(device, echoRequest(`10.${device + 1}.0.2`, `10.${device + 1}.0.1`, i, data));
      sent[device]!.push(data.toString('hex'));
    }
  }
  const runs = [tuns.run(1000), tuns.run(1000), tuns.run(1000), tuns.run(1000), tuns.run(0)];
  const all = runs.flat();
  return {
    sizes: runs.map((run) => run.length),
    bytes: runs.map((run) => run.reduce((sum, { packet }) => sum + packet.length, 0)),
    firstDevices: runs.map((run) => run.slice(0, 4).map(({ device }) => device)),
    sent,
    received: [0, 1].map((device) =>
      all.filter((r) => r.device === device).map((r) => r.packet.toString('hex', 28)),
    ),
  };
}

/** Sizes of the batches in which 100 small echo requests to two TUNs are answered. */
export function smallBatches() {
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  for (let i = 0; i < 50; i++) {
    for (const device of [0, 1]) {
      tuns.put(device, echoRequest(`10.${device + 1}.0.2`, `10.${device + 1}.0.1`, i, pattern(18, i + 1)));
    }
  }
  return [tuns.run(1000), tuns.run(1000), tuns.run(0)].map((run) => run.length);
}

/** Super-packets and large datagrams from one TUN to another through the kernel's forwarding. */
export function superPackets() {
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  const segment = tcp(
    {
      from: '10.1.0.2',
      to: '10.2.0.2',
      sourcePort: 1000,
      destinationPort: 2000,
      sequence: 1,
      acknowledgement: 1,
      flags: 0x10,
    },
    pattern(40 * 1448),
    'partial',
  );
  const tso = {
    flags: 1,
    gsoType: 1,
    headerLength: 40,
    gsoSize: 1448,
    checksumStart: 20,
    checksumOffset: 16,
  };
  const datagrams = udp('10.1.0.2', '10.2.0.2', 1000, 2000, pattern(30 * 1200), 'partial');
  const uso = { flags: 1, gsoType: 5, headerLength: 28, gsoSize: 1200, checksumStart: 20, checksumOffset: 6 };
  const largest = udp('10.1.0.2', '10.2.0.2', 1000, 2000, pattern(65507), 'full');
  tuns.put(0, segment, tso);
  tuns.put(0, datagrams, uso);
  tuns.put(0, largest);
  return {
    sent: [segment, datagrams, largest].map((packet) => packet.toString('hex')),
    received: tuns
      .collect(3)
      .map(({ device, vnet, packet }) => ({ device, vnet, packet: packet.toString('hex') })),
  };
}

/** Wake-ups before and during a wait; a time-out. */
export async function wakeUps() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const results: Record<string, number> = {};
  addon().eventfdWake(tuns.wakeFd);
  addon().eventfdWake(tuns.wakeFd);
  results['before'] = tuns.exchange.run(0, -1);
  results['timeout'] = tuns.exchange.run(0, 20); // the wake-ups are used up
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads');
     const addon = require(workerData.loader)(workerData.native);
     setTimeout(() => addon.eventfdWake(workerData.fd), 100);`,
    {
      eval: true,
      workerData: {
        loader: createRequire(import.meta.url).resolve('node-gyp-build'),
        native: fileURLToPath(new URL('../../native', import.meta.url)),
        fd: tuns.wakeFd,
      },
    },
  );
  await new Promise((resolve) => worker.once('online', resolve));
  results['during'] = tuns.exchange.run(0, -1);
  await worker.terminate();
  results['waits'] = tuns.control[WAITS]!;
  tuns.exchange.run(0, 0);
  results['waitsAfterPolling'] = tuns.control[WAITS]!;
  return results;
}

/** Entries that point anywhere are refused and counted; the good one among them is written. */
export function wrongEntries() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const wrong: [number, number, number][] = [
    [1, 64, 100],
    [0x7fff, 64, 100],
    [0, 256, 100],
    [0, 0xffff, 100],
    [0, 64, 0],
    [0, 64, -1],
    [0, 64, 2036 + 65536 + 1],
    [0, 64, 0x7fffffff],
  ];
  for (const entry of wrong) tuns.putEntry(...entry);
  tuns.put(0, echoRequest('10.1.0.2', '10.1.0.1', 1, pattern(8)));
  const received = tuns.run(1000).length;
  const byAddon = [tuns.control[WRITE_REFUSED], tuns.control[WRITE_ERRNO]];
  const notIp = Buffer.from(echoRequest('10.1.0.2', '10.1.0.1', 1, pattern(8)));
  notIp[0] = 0x15;
  tuns.put(0, notIp);
  tuns.flush();
  const byKernel = tuns.control[WRITE_REFUSED]! - byAddon[0]!;
  return { wrong: wrong.length, received, byAddon, byKernel };
}

/** More entries than the list has, and none. */
export function wrongCounts() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const run = (outCount: unknown, timeout: unknown) =>
    tuns.exchange.run(outCount as number, timeout as number);
  return {
    negative: run(-5, 0),
    tooMany: run(100_000, 0),
    refused: tuns.control[WRITE_REFUSED],
    notNumbers: [run('1', 0), run(0, undefined), run(0, {})],
  };
}

export function downAndDeleted() {
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  ip('link set t0 down');
  tuns.put(0, echoRequest('10.1.0.2', '10.1.0.1', 1, pattern(8)));
  const whileDown = tuns.exchange.run(1, 20);
  const down = [tuns.control[WRITE_DOWN], tuns.control[WRITE_ERRNO]];
  ip('link delete t0');
  const whenDeleted = tuns.exchange.run(0, 1000);
  tuns.put(1, echoRequest('10.2.0.2', '10.2.0.1', 1, pattern(8)));
  const later = tuns.exchange.run(1, 0);
  return { whileDown, down, whenDeleted, later };
}

/** A broken queue is not hidden by a busy one. */
export function deletedBesideBusy() {
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  ip('link delete t0');
  const results: number[] = [];
  for (let i = 0; i < 3; i++) {
    tuns.put(1, echoRequest('10.2.0.2', '10.2.0.1', i, pattern(8)));
    results.push(tuns.exchange.run(1, 0));
    if (results.at(-1)! < 0) break;
  }
  return results;
}

/** A read that fills everything cannot be whole: it is counted, and the batch ends. */
export function truncated() {
  const zero = openSync('/dev/zero', 'r');
  const exchange = addon().exchangeOpen([zero], addon().eventfd());
  const control = new Int32Array(exchange.arena);
  const count = exchange.run(0, 0);
  const result = { count, truncated: control[READ_TRUNCATED] };
  exchange.close();
  closeSync(zero);
  return { ...result, closed: exchange.run(0, 0), control: control[READ_TRUNCATED] };
}

/** A packet that is there already, asked for after a short batch: with and without leave to wait. Of each run: packets, waits. */
export function afterShortBatch() {
  const tuns = new Tuns(['10.1.0.1/24', '10.2.0.1/24']);
  const results: number[][] = [];
  for (const [device, timeoutMs] of [
    [0, 1000],
    [1, 1000],
    [0, 0],
    [1, 1000],
  ] as const) {
    tuns.put(device, echoRequest(`10.${device + 1}.0.2`, `10.${device + 1}.0.1`, 1, pattern(8)));
    tuns.flush();
    const before = tuns.control[WAITS]!;
    results.push([tuns.run(timeoutMs).length, tuns.control[WAITS]! - before]);
  }
  return results;
}

/** A packet ends a long wait, and its answer is there at once. Of each run: packets, waits (poll calls). */
export function answerAfterIdleWait() {
  const tuns = new Tuns(['10.1.0.1/24']);
  const results: number[][] = [];
  const count = (packets: () => number) => {
    const before = tuns.control[WAITS]!;
    results.push([packets(), tuns.control[WAITS]! - before]);
  };
  // The run has long begun to wait by then.
  const asking = spawn('sh', ['-c', 'sleep 0.5; exec ping -c 1 -W 1 10.1.0.2'], { stdio: 'ignore' });
  count(() => tuns.run(5000).length);
  for (let i = 0; i < 2; i++) {
    tuns.put(0, echoRequest('10.1.0.2', '10.1.0.1', 1, pattern(8)));
    count(() => tuns.run(1000).length);
  }
  asking.kill();
  return results;
}

export function flushing() {
  const tuns = new Tuns(['10.1.0.1/24']);
  for (let i = 0; i < 3; i++) tuns.put(0, echoRequest('10.1.0.2', '10.1.0.1', i, pattern(8)));
  tuns.flush();
  return { read: tuns.run(1000).map(({ packet }) => packet.readUInt16BE(26)) };
}

/** The arena outlives the exchange object, and the methods the arena. */
export async function lifetimes() {
  const collect = (globalThis as unknown as { gc(): void }).gc;
  const mappedMiB = () =>
    Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) / 1024;
  const fd = addon().eventfd();
  const parts = () => {
    const { arena, run } = addon().exchangeOpen([fd], fd);
    return { arena, run };
  };
  const kept: { arena: ArrayBuffer | undefined; run: ReturnType<typeof parts>['run'] } = parts();
  const turn = () => new Promise((resolve) => setTimeout(resolve, 20)); // finalizers run between turns
  collect();
  await turn();
  const bytes = new Uint8Array(kept.arena!).fill(0x5a);
  const filled = bytes.at(-1);
  bytes.fill(0);
  kept.arena = undefined;
  collect();
  await turn();
  const ran = kept.run(0, 0);
  const before = mappedMiB();
  for (let i = 0; i < 100; i++) parts();
  const most = mappedMiB();
  for (let i = 0; i < 5; i++) {
    collect();
    await turn();
  }
  return { filled, ran, mapped: most - before, left: mappedMiB() - before };
}

export function persistence() {
  const exists = () => ip('-o link show').includes('keep0');
  const { fd } = addon().tunOpen('keep0');
  addon().tunSetPersist(fd, true);
  closeSync(fd);
  const kept = exists();
  const again = addon().tunOpen('keep0').fd;
  const second = addon().tunOpen('keep0').fd; // multi-queue: a second queue of the same device
  addon().tunSetPersist(again, false);
  closeSync(again);
  const heldBySecond = exists();
  closeSync(second);
  return { kept, heldBySecond, gone: !exists() };
}

export function tunErrors() {
  const attempt = (name: string) => {
    try {
      addon().tunOpen(name);
      return undefined;
    } catch (error) {
      const { code, syscall, errno, message } = error as NodeJS.ErrnoException;
      return { code, syscall, errno, message };
    }
  };
  ip('tuntap add dev single mode tun');
  return { notTun: attempt('lo'), singleQueue: attempt('single'), tap: attempt('a/b') };
}
