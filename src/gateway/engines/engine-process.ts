/**
 * One engine process, as the supervisor sees it.
 *
 *     start ─▶ loading ──standby──▶ standing by ──go──▶ adopting ──ready──▶ forwarding ──▶ ended
 *
 * Until it is told to go it touches nothing that another engine may have: no queue, no state. It may end at any moment; whoever made it
 * (engine-keeper.ts) hears of it once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { V8_FLAGS } from '../../engine/v8-flags.ts';
import { causeOfDeath, readable } from './engine-voice.ts';
import {
  type ControlMessage,
  type FromEngine,
  isFromEngine,
  type StartMessage,
  type ToEngine,
} from './messages.ts';

/** An engine that has not finished its batch by then does not finish it. */
const STOP_MS = 500;

/** What an engine says of itself apart from its life. */
export type EngineNews = Exclude<FromEngine, { type: 'loaded' | 'standby' | 'ready' | 'failed' }>;

export interface EngineEvents {
  /** It has loaded everything and has no privileges any more. */
  onStandby(): void;
  /** It forwards. */
  onReady(): void;
  onNews(message: EngineNews): void;
  /** It sent what is no message. */
  onNonsense(): void;
  /** A TUN queue broke; its end follows. */
  onBrokenQueue(message: string, errno: number): void;
  /** Once, when it is no more. */
  onEnd(reason: string): void;
}

/** What the keeper needs of one; tests have others. */
export interface EngineChild {
  /** Null: it could not even be spawned. */
  readonly pid: number | null;
  /** Whether it is there to be told something. */
  readonly isConnected: boolean;
  /** The newest facts: adopt the state and forward. */
  go(settings: StartMessage): void;
  tell(message: ControlMessage): void;
  /** Lets it finish its batch; ends it when it does not. Resolves when it has gone. */
  stop(): Promise<void>;
  /** Ends one that has nothing to finish. Resolves when it has gone. */
  kill(): Promise<void>;
}

export class EngineProcess implements EngineChild {
  readonly #child: ChildProcess;
  #lastWords = '';
  #hasEnded = false;
  #isReady = false;

  /** `isReserve`: another one forwards, and this one loads without haste. */
  constructor(fds: readonly number[], settings: StartMessage, isReserve: boolean, events: EngineEvents) {
    const main = fileURLToPath(new URL('./engine-main.js', import.meta.url));
    const child = spawn(process.execPath, [...V8_FLAGS, main, ...(isReserve ? ['standby'] : [])], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...fds],
      serialization: 'advanced',
      // Nothing of the caller's environment is meant for it, NODE_OPTIONS least of all.
      env: {},
    });
    this.#child = child;
    const end = (reason: string) => {
      if (this.#hasEnded) return;
      this.#hasEnded = true;
      events.onEnd(reason);
    };
    child.on('error', (error) => {
      this.#lastWords = error.message;
      // A child that was never spawned has no `exit`.
      if (child.pid === undefined) end(this.#lastWords);
    });
    child.on('message', (message) => {
      if (isFromEngine(message)) this.#hear(message, events);
      else events.onNonsense();
    });
    child.on('exit', (code, signal) => end(this.#lastWords || causeOfDeath(code, signal)));
    this.#send(settings);
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  get isConnected(): boolean {
    return this.#child.connected;
  }

  go(settings: StartMessage): void {
    this.#send({ type: 'go', settings });
  }

  tell(message: ControlMessage): void {
    this.#send(message);
  }

  stop(): Promise<void> {
    if (this.#hasEnded) return Promise.resolve();
    return new Promise((resolve) => {
      const impatience = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
      this.#child.once('exit', () => {
        clearTimeout(impatience);
        resolve();
      });
      this.#send({ type: 'stop' });
    });
  }

  kill(): Promise<void> {
    if (this.#hasEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.kill('SIGKILL');
    });
  }

  #hear(message: FromEngine, events: EngineEvents): void {
    if (message.type === 'standby') {
      events.onStandby();
    } else if (message.type === 'ready') {
      // Once is enough: each time it is said in the log.
      if (!this.#isReady) events.onReady();
      this.#isReady = true;
    } else if (message.type === 'failed') {
      this.#lastWords = readable(message.message);
      if (message.errno !== undefined) events.onBrokenQueue(this.#lastWords, message.errno);
    } else if (message.type !== 'loaded') {
      events.onNews(message);
    }
  }

  /** A child that is about to die may have closed its end already; its `exit` follows. */
  #send(message: ToEngine): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }
}
