/** What addon.test.ts runs in network namespaces. */
import { execFileSync, spawn } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { isSystemError } from '../../src/core/errors.ts';
import { addon } from '../../src/link/addon.ts';
import { failure } from './failure.ts';
import { LOADER } from './loader.ts';

export * from './system.scenarios.ts';

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE_EXCL = 0x600;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWROUTE = 24;
const RTNLGRP_LINK = 1;
const IFLA_IFNAME = 3;

function message(type: number, flags: number, sequence: number, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(16 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(sequence, 8);
  bytes.set(body, 16);
  return bytes;
}

function linkQuery(flags: number, sequence: number, index = 0): Buffer {
  const body = Buffer.alloc(16);
  body.writeInt32LE(index, 4);
  return message(RTM_GETLINK, NLM_F_REQUEST | flags, sequence, body);
}

/** Type, sequence number and interface name of each link message. */
function links(bytes: Uint8Array): { type: number; sequence: number; name: string }[] {
  const buffer = Buffer.from(bytes);
  const found: { type: number; sequence: number; name: string }[] = [];
  for (let at = 0; at < buffer.length; at += (buffer.readUInt32LE(at) + 3) & ~3) {
    const end = at + buffer.readUInt32LE(at);
    let name = '';
    for (let a = at + 32; a < end; a += (buffer.readUInt16LE(a) + 3) & ~3) {
      if (buffer.readUInt16LE(a + 2) === IFLA_IFNAME)
        name = buffer.toString('latin1', a + 4, a + buffer.readUInt16LE(a) - 1);
    }
    found.push({ type: buffer.readUInt16LE(at + 4), sequence: buffer.readUInt32LE(at + 8), name });
  }
  return found;
}

/**
 * Calls every function with arguments of every wrong kind at every place. What is thrown must be a TypeError that
 * names the function or a failed system call; a crash ends the process.
 */
export function wrongArguments() {
  const detached = new Uint8Array(8);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const values: unknown[] = [
    undefined,
    null,
    true,
    -1,
    0.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    2 ** 31,
    100_000,
    '',
    'x',
    'a'.repeat(5000),
    Symbol('x'),
    10n,
    {},
    [],
    [[]],
    new Uint8Array(0),
    detached,
    new Uint8Array(3),
    new Uint16Array(8),
    new DataView(new ArrayBuffer(8)),
    new ArrayBuffer(8),
    () => {},
  ];
  let calls = 0;
  let returned = 0;
  const wrong: string[] = [];
  // The others change this process; the tests below call them.
  const lasting = new Set([
    'noNewPrivileges',
    'parentDeathSignal',
    'limitCapabilities',
    'resourceLimit',
    'undumpable',
    'closeOnExec',
    'landlockNothing',
    'seccompEnter',
  ]);
  const functions = Object.entries(addon()).filter(([name]) => !lasting.has(name));
  for (const [name, call] of functions as [string, (...args: unknown[]) => unknown][]) {
    for (const value of values) {
      for (const other of values) {
        for (let position = 0; position < 6; position++) {
          calls++;
          try {
            call(...Array.from({ length: 6 }, (_, i) => (i === position ? value : other)));
            returned++;
          } catch (error) {
            const fits =
              error instanceof TypeError ? error.message.startsWith(`${name}: `) : isSystemError(error);
            if (!fits) wrong.push(`${name}: ${String(error)}`);
          }
        }
      }
    }
  }
  return { calls, returned, wrong };
}

/** Links enough for several datagrams: a dump in parts. */
export function dumpOfLinks() {
  const pairs = Array.from({ length: 60 }, (_, i) => `link add a${i} type veth peer name b${i}\n`);
  execFileSync('ip', ['-batch', '-'], { input: pairs.join('') });
  const fd = addon().netlinkOpen(0, []);
  const answer = addon().netlinkRequest(fd, linkQuery(NLM_F_DUMP, 5));
  const found = links(answer);
  return {
    bytes: answer.length,
    types: [...new Set(found.map(({ type }) => type))],
    sequences: [...new Set(found.map(({ sequence }) => sequence))],
    names: found.map(({ name }) => name).sort(),
    expected: ['lo', ...pairs.flatMap((_, i) => [`a${i}`, `b${i}`])].sort(),
  };
}

export function singleAnswersAndRefusals() {
  const fd = addon().netlinkOpen(0, []);
  const request = linkQuery(0, 1, 1);
  // In a view with an offset, to see it honoured; what surrounds it is no netlink message.
  const surrounded = Buffer.concat([Buffer.alloc(7, 0xff), request, Buffer.alloc(9, 0xff)]).subarray(
    7,
    7 + 32,
  );
  const single = links(addon().netlinkRequest(fd, surrounded));
  const acknowledged = links(addon().netlinkRequest(fd, linkQuery(NLM_F_ACK, 2, 1)));
  const missing = failure(() => addon().netlinkRequest(fd, linkQuery(0, 3, 424_242)));
  // 10.0.0.1/24 as a route's destination: host bits are set.
  const route = Buffer.alloc(12 + 8);
  route.set([2, 24, 0, 0, 254, 4, 0, 1], 0);
  route.writeUInt16LE(8, 12);
  route.writeUInt16LE(1, 14);
  route.set([10, 0, 0, 1], 16);
  const explained = failure(() =>
    addon().netlinkRequest(
      fd,
      message(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_EXCL, 4, route),
    ),
  );
  const afterwards = links(addon().netlinkRequest(fd, linkQuery(NLM_F_DUMP, 6)));
  return { single, acknowledged, missing, explained, afterwards };
}

/** Answers to another sequence number are left over from a question nobody waits for. */
export function strayAnswers() {
  const fd = addon().netlinkOpen(0, []);
  // Without NLM_F_ACK the first answer ends the question; the other one stays in the socket.
  const two = Buffer.concat([linkQuery(0, 10, 1), linkQuery(0, 11, 1)]);
  const notOne = failure(() => addon().netlinkRequest(fd, two));
  const dumpOnly = linkQuery(NLM_F_DUMP, 12);
  addon().netlinkRequest(fd, dumpOnly);
  const answers = links(addon().netlinkRequest(fd, linkQuery(0, 13, 1)));
  return { notOne, answers };
}

export async function events() {
  const fd = addon().netlinkOpen(0, [RTNLGRP_LINK]);
  const nothing = addon().netlinkReceive(fd);
  const seen: { type: number; name: string }[] = [];
  await new Promise<void>((resolve) => {
    const watch = addon().watchReadable(fd, () => {
      for (let bytes = addon().netlinkReceive(fd); bytes !== null; bytes = addon().netlinkReceive(fd)) {
        for (const { type, name } of links(bytes)) seen.push({ type, name });
      }
      if (seen.some(({ name }) => name === 'ev0')) {
        watch.close();
        watch.close();
        resolve();
      }
    });
    spawn('ip', ['link', 'add', 'ev0', 'type', 'veth', 'peer', 'name', 'ev1']);
  });
  return { nothing, created: seen.find(({ name }) => name === 'ev0')?.type === RTM_NEWLINK };
}

/** More events than the socket holds: ENOBUFS once, and the watch goes on. */
export async function lostEvents() {
  const fd = addon().netlinkOpen(0, [RTNLGRP_LINK]);
  const lines = Array.from({ length: 12_000 }, (_, i) => `link set lo mtu ${60_000 + (i % 2)}\n`);
  execFileSync('ip', ['-batch', '-'], { input: lines.join('') });
  let lost = 0;
  let received = 0;
  let mark = false;
  await new Promise<void>((resolve) => {
    const watch = addon().watchReadable(fd, () => {
      const lostBefore = lost;
      for (;;) {
        try {
          const bytes = addon().netlinkReceive(fd);
          if (bytes === null) break;
          received++;
          mark ||= links(bytes).some(({ name }) => name === 'mark');
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOBUFS') throw error;
          lost++;
        }
      }
      // Not sooner: the kernel goes on dropping until the socket is empty.
      if (lost > lostBefore) spawn('ip', ['link', 'add', 'mark', 'type', 'veth', 'peer', 'name', 'other']);
      if (mark) {
        watch.close();
        resolve();
      }
    });
  });
  return { lost, some: received > 100, mark };
}

/** What a callback throws is an uncaught exception, and the watch goes on. */
export async function throwingCallback() {
  const fd = addon().eventfd();
  const caught: string[] = [];
  process.on('uncaughtException', (error) => caught.push(error.message));
  let calls = 0;
  await new Promise<void>((resolve) => {
    const watch = addon().watchReadable(fd, () => {
      calls++;
      if (calls === 2) {
        watch.close();
        resolve();
      }
      throw new Error(`thrown ${calls}`);
    });
    addon().eventfdWake(fd);
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  return { calls, caught };
}

/** Threads that end in every way while they hold an exchange, a mapping and a watch. */
export async function workers() {
  const script = `
    const { workerData, parentPort } = require('node:worker_threads');
    const addon = require(workerData.loader)(workerData.native);
    const { fd: tun } = addon.tunOpen('w' + workerData.number);
    const wake = addon.eventfd();
    const exchange = addon.exchangeOpen([tun], wake);
    const map = addon.bpfMapCreate(2, 4, 8, 1, 0x400, 'worker');
    const memory = addon.mmap(map, 4096, true);
    exchange.run(0, 0);
    const watch = addon.watchReadable(wake, () => {});
    const closed = addon.watchReadable(addon.eventfd(), () => {});
    closed.close();
    globalThis.keep = [exchange, memory, watch];
    parentPort.postMessage('ready');
    if (workerData.end === 'return') watch.close();
    if (workerData.end === 'exit') process.exit(7);
    if (workerData.end === 'throw') setTimeout(() => { throw new Error('planned'); }, 0);
    if (workerData.end === 'terminate while waiting') setTimeout(() => exchange.run(0, 200), 0);
  `;
  const codes: Record<string, number> = {};
  for (const [number, end] of ['return', 'exit', 'throw', 'terminate', 'terminate while waiting'].entries()) {
    const worker = new Worker(script, { eval: true, workerData: { ...LOADER, end, number } });
    worker.on('error', () => {}); // what it throws; the exit code says it too
    const ready = new Promise((resolve) => worker.once('message', resolve));
    const exit = new Promise<number>((resolve) => worker.once('exit', resolve));
    await Promise.race([ready, exit]);
    if (end.startsWith('terminate')) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await worker.terminate();
    }
    codes[end] = await exit;
  }
  return codes;
}
