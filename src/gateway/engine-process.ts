/**
 * The supervisor's side of the engine process: starts it with its descriptors, starts it again when it dies, and
 * stops it.
 *
 *     start ──▶ starting ──ready──▶ forwarding ──dies──▶ waiting (100 ms, doubling to 5 s) ──▶ starting …
 *
 * The descriptors stay open here all the time, so the queues outlive every engine: packets wait in them, and the
 * next engine finds its flows in the state. The settings are asked for anew at each start, so a message sent while
 * there is no engine need not be kept. It never gives up after it has been ready once; a first engine that fails
 * is an error of the start. An engine that dies at once, several times in a row, gets an empty state: better to
 * lose flows than to die of them for ever.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { NatgateError } from '../core/errors.ts';
import type { Reconfiguration, Reconfigured } from '../engine/reconfigure.ts';
import type { TapFilter } from '../engine/tap-filter.ts';
import { V8_FLAGS } from '../engine/v8-flags.ts';
import {
  type ControlMessage,
  isFromEngine,
  type ReconfiguredMessage,
  type StartMessage,
  type ToEngine,
} from './messages.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** An engine that ran this long was well: the pauses begin anew. */
const SOUND_MS = 10_000;
/** Deaths in a row, none of them after SOUND_MS, until the state is thrown away. */
const DEATHS_UNTIL_EMPTY = 5;
/** An engine that has not finished its batch by then does not finish it. */
const STOP_MS = 500;

export interface EngineHost {
  /** The descriptors to hand over, in the order that StartMessage says: others, once a TUN was made anew. */
  fds(): readonly number[];
  /** How many answer. */
  workers: number;
  /** What is known at the moment. */
  settings(): StartMessage;
  /** An engine forwards (again). */
  onReady(): void;
  /** A TUN queue broke, and the engine ends: the next one needs other descriptors. */
  onBrokenQueue(): void;
  /** The engine ended, and is started again. */
  onDeath(reason: string): void;
  emptyState(): void;
  log(line: string): void;
}

export class EngineProcess {
  readonly #host: EngineHost;
  #child: ChildProcess | null = null;
  #stopping = false;
  /** It is ended to be started again: no death to speak of. */
  #isRestarting = false;
  #wasReady = false;
  #deaths = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;
  #lastWords = '';
  #asked = 0;
  /** A reconfiguration that not all workers have yet. */
  #waiting: (Reconfigured & { id: number; left: number; resolve(result: Reconfigured | null): void }) | null =
    null;

  /** Whom the answer to a deletion goes to, by its id. */
  readonly #deletions = new Map<number, (count: number | null) => void>();
  /** Changes of taps that not all workers have yet: by id, how many are left. */
  readonly #tapping = new Map<number, { left: number; resolve(): void }>();

  constructor(host: EngineHost) {
    this.#host = host;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Resolves when the first engine forwards. Throws NatgateError `engine_failed` when it cannot. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#launch(resolve, (message) =>
        reject(new NatgateError('engine_failed', `the packet engine did not start: ${message}`)),
      );
    });
  }

  /** In order, after the settings the engine was started with. */
  send(message: ControlMessage): void {
    this.#tell(message);
  }

  /**
   * Another configuration, which settings() has from now on. Resolves when all workers have it and have ended the flows that it would
   * not have; null: the engine died meanwhile, or there is none at the moment, and the next one has it from its start.
   */
  reconfigure(to: Reconfiguration): Promise<Reconfigured | null> {
    const child = this.#child;
    if (child === null || !child.connected) return Promise.resolve(null);
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#waiting = { id, left: this.#host.workers, ended: [], kept: 0, resolve };
      this.#tell({ type: 'reconfigure', id, to });
    });
  }

  /**
   * Ends flows of a worker, at most DELETED_AT_ONCE, between two batches. Resolves with how many were still there; null: there is no engine
   * at the moment, or it died meanwhile.
   */
  deleteFlows(worker: number, flows: Int32Array): Promise<number | null> {
    if (!this.#child?.connected) return Promise.resolve(null);
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#deletions.set(id, resolve);
      this.#tell({ type: 'deleteFlows', id, worker, flows });
    });
  }

  /**
   * Who captures or traces from now on; settings() has them too. Resolves when all workers write down what they want; at once where there
   * is no engine at the moment.
   */
  tap(filters: readonly TapFilter[]): Promise<void> {
    if (this.#child === null || !this.#child.connected) return Promise.resolve();
    const id = ++this.#asked;
    return new Promise((resolve) => {
      this.#tapping.set(id, { left: this.#host.workers, resolve });
      this.#tell({ type: 'taps', id, filters });
    });
  }

  #tapped(id: number): void {
    const waiting = this.#tapping.get(id);
    if (waiting === undefined || --waiting.left > 0) return;
    this.#tapping.delete(id);
    waiting.resolve();
  }

  #reconfigured({ id, result }: ReconfiguredMessage): void {
    const waiting = this.#waiting;
    if (waiting === null || waiting.id !== id) return;
    waiting.kept += result.kept;
    for (const { kind, name, count } of result.ended) {
      const known = waiting.ended.find((each) => each.kind === kind && each.name === name);
      if (known === undefined) waiting.ended.push({ kind, name, count });
      else known.count += count;
    }
    if (--waiting.left > 0) return;
    this.#waiting = null;
    waiting.resolve({ ended: waiting.ended, kept: waiting.kept });
  }

  /** The descriptors are others: the engine ends at once, and the next one, which takes over its flows, gets them. */
  restart(): void {
    // One that has ended already is started again anyway.
    if (this.#stopping || this.#child === null) return;
    this.#isRestarting = true;
    this.#child.kill('SIGKILL');
  }

  /** Lets the engine finish its batch; ends it when it does not. Resolves when it has gone. */
  stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === null) return Promise.resolve();
    return new Promise((resolve) => {
      const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      child.once('exit', () => {
        clearTimeout(impatience);
        resolve();
      });
      this.#tell({ type: 'stop' });
    });
  }

  #launch(ready: () => void, failed: (message: string) => void): void {
    const startedAt = performance.now();
    const main = fileURLToPath(new URL('./engine-main.js', import.meta.url));
    let child: ChildProcess;
    try {
      child = spawn(process.execPath, [...V8_FLAGS, main], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...this.#host.fds()],
        serialization: 'advanced',
        // Nothing of the caller's environment is meant for it, NODE_OPTIONS least of all.
        env: {},
      });
    } catch (error) {
      // No memory for it, or no TUN at the moment: there may be soon.
      this.#ended(startedAt, (error as Error).message, failed);
      return;
    }
    this.#child = child;
    this.#lastWords = '';
    child.on('error', (error) => {
      this.#lastWords = error.message;
      // A child that was never spawned has no `exit`.
      if (child.pid === undefined) this.#ended(startedAt, this.#lastWords, failed);
    });
    child.on('message', (message) => {
      if (!isFromEngine(message)) return;
      if (message.type === 'ready') {
        this.#wasReady = true;
        ready();
      } else if (message.type === 'reconfigured') {
        this.#reconfigured(message);
      } else if (message.type === 'deletedFlows') {
        this.#deletions.get(message.id)?.(message.count);
        this.#deletions.delete(message.id);
      } else if (message.type === 'tapped') {
        this.#tapped(message.id);
      } else if (message.type === 'log') {
        this.#host.log(message.line);
      } else {
        this.#lastWords = message.message;
        if (message.errno !== undefined && !this.#stopping) {
          this.#host.onBrokenQueue();
        }
      }
    });
    child.on('exit', (code, signal) => {
      const reason = this.#lastWords || (signal === null ? `exit code ${code}` : `killed by ${signal}`);
      this.#ended(startedAt, reason, failed);
    });
    this.#tell(this.#host.settings());
  }

  #ended(startedAt: number, reason: string, failed: (message: string) => void): void {
    this.#child = null;
    this.#waiting?.resolve(null);
    this.#waiting = null;
    for (const resolve of this.#deletions.values()) resolve(null);
    this.#deletions.clear();
    for (const { resolve } of this.#tapping.values()) resolve();
    this.#tapping.clear();
    if (this.#stopping || !this.#wasReady) {
      failed(reason);
      return;
    }
    if (this.#isRestarting) {
      this.#isRestarting = false;
      this.#again(0);
      return;
    }
    if (performance.now() - startedAt >= SOUND_MS) {
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#deaths = 0;
    }
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    this.#deaths++;
    this.#host.log(`the packet engine died (${reason}); starting it again in ${pauseMs} ms`);
    this.#host.onDeath(reason);
    if (this.#deaths % DEATHS_UNTIL_EMPTY === 0) {
      this.#host.log(`the packet engine died ${this.#deaths} times in a row; flows are forgotten`);
      this.#host.emptyState();
    }
    this.#again(pauseMs);
  }

  #again(pauseMs: number): void {
    this.#timer = setTimeout(
      () =>
        this.#launch(
          () => this.#host.onReady(),
          () => {},
        ),
      pauseMs,
    );
  }

  /** A child that is about to die may have closed its end already; its `exit` follows. */
  #tell(message: ToEngine): void {
    if (this.#child?.connected) this.#child.send(message, () => {});
  }
}
