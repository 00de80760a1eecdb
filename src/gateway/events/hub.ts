/**
 * Events of a gateway, as its supervisor has them: holds the rings of the workers, and the thread that follows them.
 *
 *     engine ─▶ ring ─┐
 *     engine ─▶ ring ─┴▶ thread (thread.ts) ─▶ files, stdout, syslog, IPFIX
 *     supervisor, say() ──▶ ┘        └─▶ subscribe(): whoever in this process wants them
 *
 * What nobody wants is not written into the rings: their WANTED is set here, before the engine or the thread can do anything about it. The
 * thread is started when somebody wants something for the first time.
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { END_FORGOTTEN, END_STOPPED } from '../../conntrack/end-reasons.ts';
import { endEvents, forgetLives } from '../../engine/event-closing.ts';
import {
  EventReader,
  WANT_BLOCKS,
  WANT_FLOWS,
  WANT_MAPPINGS,
  WANT_REFUSALS,
} from '../../engine/event-ring.ts';
import { classOf, type GatewayEvent, type HostEvent } from './event.ts';
import { type EventFiles, openEventFiles, reserve } from './event-files.ts';
import type { EventSettings, FromThread, ThreadInput, ToThread, Watch } from './messages.ts';
import type { EventClass, SinkOptions } from './options.ts';
import type { SaySink } from './sink.ts';

const WANTS: Readonly<Partial<Record<EventClass, number>>> = {
  flow: WANT_FLOWS,
  mapping: WANT_MAPPINGS,
  block: WANT_BLOCKS,
  exhausted: WANT_REFUSALS,
  quota: WANT_REFUSALS,
};
const WANT_ALL = WANT_FLOWS | WANT_MAPPINGS | WANT_BLOCKS | WANT_REFUSALS;
/** A thread that does not keep up with the end of all flows is waited for so long, while it gets on. */
const WAIT_MS = 5;
const PATIENCE_MS = 2000;
const CLOSE_MS = 10_000;
/** After it failed. */
const RESTART_MS = 1000;

export interface EventFilter {
  /** Null or absent: all. */
  only?: readonly EventClass[] | null;
  /** Which of these; absent: all. */
  filter?: (event: GatewayEvent) => boolean;
}

interface Subscriber extends EventFilter {
  onEvent(event: GatewayEvent): void;
  onGap(lost: number): void;
}

/** As an event without its time. */
export type Said = { [E in HostEvent as E['event']]: Omit<E, 'time'> }[HostEvent['event']];

export class EventHub {
  readonly #files: EventFiles;
  readonly #log: SaySink;
  readonly #subscribers = new Set<Subscriber>();
  #settings: EventSettings = { sinks: [], rules: [] };
  #thread: Worker | null = null;
  #isReserved = false;
  #restart: NodeJS.Timeout | undefined;

  /** `flows`: of each worker; `path`: of the first worker's state; `adopt`: the states are those of an earlier run. */
  constructor(where: { path: string; flows: number; workers: number; adopt: boolean }, log: SaySink) {
    this.#files = openEventFiles(where.path, where.flows, where.workers, where.adopt);
    this.#log = log;
  }

  /** Of the rings, for the engine. */
  get fds(): readonly number[] {
    return this.#files.fds;
  }

  /** Of each ring. */
  get bytes(): number {
    return this.#files.bytes;
  }

  /** Takes the memory that these need. Throws NatgateError `events_no_memory`. */
  reserve(sinks: readonly SinkOptions[]): void {
    if (sinks.length > 0) this.#prepare();
  }

  /** Other receivers, or names. Throws NatgateError `events_no_memory`, and nothing has changed. */
  configure(settings: EventSettings): void {
    this.reserve(settings.sinks);
    this.#settings = settings;
    this.#tell({ type: 'settings', settings });
    // Whoever rotates files by another program has moved them away.
    this.#tell({ type: 'reopen' });
    this.#want();
  }

  /** Tells of something that the supervisor knows. */
  say(event: Said): void {
    this.#tell({ type: 'say', event: { time: new Date().toISOString(), ...event } as HostEvent });
  }

  /**
   * Gives the events that `filter` chooses to `onEvent`, as they come, from now on. `onGap`: so many before the next one are missing, because
   * this process did not keep up; of all that subscribers want, whatever `filter` says. Gaps of the rings are events, which everybody
   * gets. Returns what ends it. Throws NatgateError `events_no_memory`.
   */
  subscribe(
    filter: EventFilter,
    onEvent: (event: GatewayEvent) => void,
    onGap: (lost: number) => void,
  ): () => void {
    const subscriber: Subscriber = { ...filter, onEvent, onGap };
    this.#subscribers.add(subscriber);
    try {
      this.#prepare();
    } catch (error) {
      this.#subscribers.delete(subscriber);
      throw error;
    }
    this.#watch();
    return () => {
      if (this.#subscribers.delete(subscriber)) this.#watch();
    };
  }

  /** The states are about to be thrown away, while there is no engine: `states` by worker, mapped. */
  forget(states: readonly ArrayBuffer[]): void {
    this.#endAll(states, END_FORGOTTEN);
    for (const memory of this.#files.memories) forgetLives(memory, Date.now());
    this.say({ event: 'engine', what: 'forgotten' });
  }

  /** The gateway ends, and its engine has. `states`: by worker, mapped; null: its flows go on after it. */
  async close(states: readonly ArrayBuffer[] | null): Promise<void> {
    try {
      if (states !== null) this.#endAll(states, END_STOPPED);
    } catch (error) {
      // A state or a ring that an engine has spoilt must not keep the host from being undone.
      this.#log(`the end of flows could not be told: ${(error as Error).message}`, 'warning');
    }
    await this.pause();
    for (const fd of this.#files.fds) closeSync(fd);
  }

  /** Ends the thread when it has given on all that there is; configure() goes on. Who subscribes hears nothing meanwhile. */
  async pause(): Promise<void> {
    clearTimeout(this.#restart);
    const thread = this.#thread;
    this.#thread = null;
    if (thread !== null) {
      await new Promise<void>((resolve) => {
        const impatience = setTimeout(resolve, CLOSE_MS);
        thread.once('exit', () => {
          clearTimeout(impatience);
          resolve();
        });
        thread.ref();
        thread.postMessage({ type: 'close' } satisfies ToThread);
      });
      await thread.terminate();
    }
  }

  #endAll(states: readonly ArrayBuffer[], why: number): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    const now = Number(BigInt.asIntN(32, process.hrtime.bigint() / 1_000_000n));
    for (const [worker, memory] of this.#files.memories.entries()) {
      const reader = new EventReader(memory);
      let { read } = reader;
      let since = performance.now();
      const wait = () => {
        if (reader.read !== read) {
          read = reader.read;
          since = performance.now();
        }
        if (this.#thread === null || performance.now() - since > PATIENCE_MS) return false;
        Atomics.wait(sleeper, 0, 0, WAIT_MS);
        return true;
      };
      endEvents({ state: states[worker]!, memory, clock: Date.now, now, wait }, why);
    }
  }

  /** Somebody wants events: there must be memory for them, and the thread. */
  #prepare(): void {
    if (!this.#isReserved) {
      reserve(this.#files);
      this.#isReserved = true;
    }
    if (this.#thread !== null) return;
    const { fds, bytes } = this.#files;
    const rings = fds.map((fd, worker) => ({ fd, bytes, worker }));
    const input: ThreadInput = { rings, settings: this.#settings, watch: this.#wishes() };
    const thread = new Worker(new URL('./thread.js', import.meta.url), { workerData: input, name: 'events' });
    thread.on('message', (message: FromThread) => this.#heard(message));
    thread.on('error', (error) => {
      this.#thread = null;
      this.#log(`the thread that follows events failed, and is started again: ${error.message}`, 'warning');
      this.#restart = setTimeout(() => this.#prepare(), RESTART_MS).unref();
    });
    // The gateway does not live for it.
    thread.unref();
    this.#thread = thread;
  }

  #heard(message: FromThread): void {
    if (message.type === 'log') this.#log(message.text, message.level);
    if (message.type !== 'events') return;
    this.#tell({ type: 'taken' });
    for (const subscriber of this.#subscribers) {
      if (message.lost > 0) subscriber.onGap(message.lost);
      for (const event of message.events) {
        if (isFor(subscriber, event)) subscriber.onEvent(event);
      }
    }
  }

  #watch(): void {
    this.#tell({ type: 'watch', classes: this.#wishes() });
    this.#want();
  }

  #wishes(): Watch {
    const all = [...this.#subscribers].map(({ only }) => only ?? null);
    return all.includes(null) ? null : [...new Set(all.flatMap((only) => only ?? []))];
  }

  /** Says to the engine what it shall write. */
  #want(): void {
    const wishes = [
      ...this.#settings.sinks.map(({ only }) => only),
      ...[...this.#subscribers].map(({ only }) => only ?? null),
    ];
    let wanted = 0;
    for (const classes of wishes) {
      wanted |= classes === null ? WANT_ALL : classes.reduce((bits, kind) => bits | (WANTS[kind] ?? 0), 0);
    }
    for (const memory of this.#files.memories) new EventReader(memory).want(wanted);
  }

  #tell(message: ToThread): void {
    this.#thread?.postMessage(message);
  }
}

function isFor({ only, filter }: EventFilter, event: GatewayEvent): boolean {
  const kind = classOf(event);
  const isWanted = kind === null || only === undefined || only === null || only.includes(kind);
  return isWanted && (filter === undefined || filter(event));
}
