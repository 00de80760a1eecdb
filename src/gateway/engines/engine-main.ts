/**
 * The engine process. The supervisor spawns it as root with the descriptors it needs and nothing else:
 *
 *     0-2 stdio | 3 IPC | 4… a TUN queue per device and worker | state file per worker | tap file per worker |
 *     event ring per worker | owned ports (BPF map)
 *
 * It loads every module, in all threads, and only then enters its sandbox, for good (sandbox.ts): natgate may be
 * installed where its account cannot read. From then on no file is opened. So it stands by, until it is told to go: at once where there
 * is no other engine, else when that one dies. This thread passes control messages on to the workers and watches over them
 * (worker-watch.ts); it sees no packet. It lives as long as its supervisor: when the IPC channel closes, it ends.
 */
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { MessageChannel, Worker } from 'node:worker_threads';
import { randomSeed } from '../../core/random.ts';
import { makeHub } from '../../engine/hub.ts';
import { addon } from '../../link/addon.ts';
import type { Credentials } from '../user.ts';
import { CONTROL_FLAG, FLAG_BYTES, GO_ADOPT, GO_FLAG, GO_FORWARD } from './data-plane.ts';
import {
  type ControlMessage,
  type FailedMessage,
  FIRST_INHERITED_FD,
  type FromEngine,
  type GoMessage,
  isFromEngine,
  isToEngine,
  type StartMessage,
} from './messages.ts';
import { enterSandbox } from './sandbox.ts';
import type { WorkerInput } from './worker.ts';
import { watchWorkers } from './worker-watch.ts';

/** Gives a message to the workers; there once they are being made. */
let passOn: ((message: GoMessage | ControlMessage) => void) | undefined;
/** Once set, the process ends when its last word has been sent. */
let failing = false;

/**
 * The kernel forwards in soft interrupts, ahead of every process; the engine's threads come ahead of most. Without it a
 * gateway whose processors are busy forwards half as fast (docs/decisions.md).
 */
const NICE = -10;
/** The shortest that the kernel knows: a thread that asks for short turns gets them sooner after it slept (docs/decisions.md). */
const SLICE_NS = 100_000;
const LEISURELY_NICE = 10;

/** Another engine forwards: this one loads without taking its time. */
const isReserve = process.argv[2] === 'standby';
const TITLE = 'natgate-engine';
process.title = isReserve ? 'natgate-standby' : TITLE;
schedule();
if (isReserve) loadLeisurely();
process.chdir('/');
// Ctrl-C goes to the whole foreground group: it is the supervisor that decides when the engine ends.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));
process.on('uncaughtException', (error) => fail({ type: 'failed', message: error.message }));
process.on('message', (message) => {
  if (!isToEngine(message)) return;
  if (message.type === 'start') passOn = start(message);
  else passOn?.(message);
});

/** Makes the workers. Returns what gives them a message. */
function start(settings: StartMessage): (message: GoMessage | ControlMessage) => void {
  const native = addon();
  const { workers } = settings;
  const wakeFds = Array.from({ length: workers }, () => native.eventfd());
  const hub = workers === 1 ? null : makeHub(workers, settings.flows * workers, randomSeed());
  const states = FIRST_INHERITED_FD + settings.devices.length * workers;
  let loaded = 0;
  let ready = 0;
  const all = wakeFds.map((wakeFd, number) => {
    const flags = new Int32Array(new SharedArrayBuffer(FLAG_BYTES));
    const { port1: toWorker, port2: control } = new MessageChannel();
    const input: WorkerInput = {
      number,
      hub,
      start: settings,
      tunFds: settings.devices.map((_, device) => FIRST_INHERITED_FD + device * workers + number),
      stateFd: states + number,
      tapFd: states + workers + number,
      eventFd: states + 2 * workers + number,
      ownedFd: states + 3 * workers,
      wakeFds,
      flags,
      control,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: input,
      transferList: [control],
      name: `data-plane-${number}`,
    });
    worker.on('message', (message: unknown) => {
      if (!isFromEngine(message)) return;
      if (message.type === 'failed') fail(message);
      else if (message.type === 'loaded') {
        if (++loaded === workers) standBy(settings.credentials);
      } else if (message.type !== 'ready') tell(message);
      else if (++ready === workers) {
        allow(GO_FORWARD);
        watchWorkers(all, native, ({ worker, reason, offence }) => {
          tell({ type: 'quarantine', worker, reason, packets: offence.packets });
          fail({ type: 'failed', message: reason });
        });
        tell(message);
      }
    });
    worker.on('error', (error) => fail({ type: 'failed', message: error.message }));
    // Only a `stop` ends one without an error, and it ends all.
    worker.on('exit', () => {
      if (!failing && --loaded === 0) process.exit(0);
    });
    return { flags, toWorker, wakeFd };
  });
  const allow = (step: number) => {
    for (const { flags } of all) {
      Atomics.store(flags, GO_FLAG, step);
      Atomics.notify(flags, GO_FLAG);
    }
  };
  return (message) => {
    for (const [number, { flags, toWorker, wakeFd }] of all.entries()) {
      if (message.type === 'deleteFlows' && message.worker !== number) continue;
      toWorker.postMessage(message);
      if (message.type === 'go') continue;
      // The event loop of the worker never turns, hence the flag; it may wait for packets, hence the eventfd.
      Atomics.store(flags, CONTROL_FLAG, 1);
      native.eventfdWake(wakeFd);
    }
    if (message.type !== 'go') return;
    process.title = TITLE;
    allow(GO_ADOPT);
  };
}

/** Everything is loaded. */
function standBy(credentials: Credentials): void {
  if (isReserve) hurry();
  enterSandbox(credentials, warn);
  if (!process.connected) process.exit(0);
  tell({ type: 'standby' });
}

/**
 * A standby competes with the engine that forwards, so it loads behind everything else; where it may not raise its priority again
 * afterwards, it does not lower it.
 */
function loadLeisurely(): void {
  const own = getPriority();
  setPriority(own + 1);
  try {
    setPriority(own);
  } catch {
    return;
  }
  setPriority(LEISURELY_NICE);
}

/** Back to what the engine has, in all threads: each has its own. */
function hurry(): void {
  attempt("raise the standby's priority", () => {
    for (const thread of readdirSync('/proc/self/task')) {
      if (getPriority(Number(thread)) === LEISURELY_NICE) setPriority(Number(thread), NICE);
    }
  });
}

/** This thread, and so the workers that it makes. A container may forbid it: that costs speed, no more. */
function schedule(): void {
  // A service manager that gives it may forbid to ask for it.
  if (getPriority() > NICE) attempt("raise the engine's priority", () => setPriority(NICE));
  attempt("shorten the engine's time slice", () => addon().timeSlice(SLICE_NS));
}

function attempt(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    warn(`cannot ${what}: ${(error as Error).message}`);
  }
}

function warn(line: string): void {
  process.stderr.write(`natgate: warning: ${line}\n`);
}

function tell(message: FromEngine): void {
  process.send!(message);
}

function fail(message: FailedMessage): void {
  failing = true;
  process.send!(message, undefined, undefined, () => process.exit(1));
}
