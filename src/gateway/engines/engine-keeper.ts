/**
 * Keeps an engine forwarding: one that does, and one that stands by, loaded and compiled, for the moment in which it dies.
 *
 *     start ─▶ engine forwards ──dies──▶ the standby is told to go ──ready──▶ forwards, and a little later another one is loaded
 *                                └─ none stands by ─▶ one is loaded and goes
 *
 * The descriptors stay open here all the time, so the queues outlive every engine: packets wait in them, and the
 * next engine finds its flows in the state. The facts are asked for anew at each `go`, so a message sent while
 * there is no engine need not be kept, and a standby hears nothing. It never gives up after an engine has been ready once; a first engine
 * that fails is an error of the start. The first death is made good at once; deaths that follow it wait (100 ms, doubling to 5 s). An engine
 * that dies at once, several times in a row, gets an empty state: better to lose flows than to die of them for ever.
 *
 * Invariant: at most one engine has been told to go, and a next one is told only when that one is no more.
 */
import { NatgateError } from '../../core/errors.ts';
import { shortageHint } from '../../core/shortage-hint.ts';
import type { Reconfiguration, Reconfigured } from '../../engine/reconfigure.ts';
import type { TapFilter } from '../../engine/tap-filter.ts';
import type { EngineHost } from './engine-host.ts';
import { type EngineChild, type EngineEvents, type EngineNews, EngineProcess } from './engine-process.ts';
import { EngineRequests } from './engine-requests.ts';
import { EngineVoice } from './engine-voice.ts';
import type { ControlMessage } from './messages.ts';
import { StandbyReport } from './standby.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** An engine that ran this long was well: the pauses begin anew. */
const SOUND_MS = 2000;
/** Deaths in a row, none of them after SOUND_MS, until the state is thrown away. */
const DEATHS_UNTIL_EMPTY = 5;
/** Until a standby is loaded after the start of the gateway, when machines have other things to do; and after that of a later engine. */
const FIRST_STANDBY_MS = 2000;
const NEXT_STANDBY_MS = 500;
/** After one that ended while it stood by, doubling. */
const STANDBY_AGAIN_MS = 2000;
const LONGEST_STANDBY_PAUSE_MS = 60_000;
/** A process that is wanted and has not loaded by then hangs: Node does, where it may make a process but not all of its threads. */
const LOAD_MS = 90_000;
const LATE = `it was not ready after ${LOAD_MS / 1000} s`;

/** A queue that was made longer for an outage is as before when what waited in it has surely been read. */
const AFTER_OUTAGE_MS = 2000;

/** One that has not been told to go. */
interface Next {
  child: EngineChild;
  isLoaded: boolean;
  /** Was wanted, and not there for LOAD_MS. */
  isLate: boolean;
}

function notStarted(reason: string): NatgateError {
  return new NatgateError(
    'engine_failed',
    `the packet engine did not start: ${reason}`,
    shortageHint(reason === LATE ? 'EAGAIN' : reason),
  );
}

export class EngineKeeper {
  readonly #host: EngineHost;
  readonly #requests: EngineRequests;
  readonly #voice: EngineVoice;
  readonly #standby: StandbyReport;
  /** Has been told to go. */
  #active: EngineChild | null = null;
  #next: Next | null = null;
  /** The next one goes as soon as it is loaded. */
  #isWanted = false;
  #isStopping = false;
  #wasReady = false;
  #wentAt = 0;
  /** What the active one died of is known, and will not come again. */
  #isExplained = false;
  #deaths = 0;
  #pauseMs = 0;
  #standbyPauseMs = STANDBY_AGAIN_MS;
  #pause: NodeJS.Timeout | undefined;
  #standbyTimer: NodeJS.Timeout | undefined;
  #loadTimer: NodeJS.Timeout | undefined;
  /** The queues are longer; the timer runs once somebody reads them. */
  #isOutage = false;
  #outageTimer: NodeJS.Timeout | undefined;
  #started: { resolve(): void; reject(error: Error): void } | null = null;
  /** Runs when the first engine stands by. */
  #beforeGo: (() => Promise<void>) | null = null;

  constructor(host: EngineHost) {
    this.#host = host;
    this.#requests = new EngineRequests(host.workers);
    this.#voice = new EngineVoice((line) => host.log(line));
    this.#standby = new StandbyReport((standby) => {
      if (host.standby) host.onStandby(standby);
    });
  }

  /** Of the engine that forwards, or is about to; null: there is none at the moment. */
  get pid(): number | null {
    return this.#active?.pid ?? null;
  }

  /** Of the one that stands by, loaded; null: there is none at the moment. */
  get standbyPid(): number | null {
    return this.#next?.isLoaded ? this.#next.child.pid : null;
  }

  /**
   * Resolves when the first engine forwards; `beforeGo`, if any, is waited for when that one is loaded. Throws NatgateError
   * `engine_failed` when it cannot, and what `beforeGo` throws.
   */
  start(beforeGo: (() => Promise<void>) | null = null): Promise<void> {
    this.#beforeGo = beforeGo;
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
      this.#promote();
    });
  }

  /** In order, after the settings the engine was told to go with. */
  send(message: ControlMessage): void {
    this.#active?.tell(message);
  }

  /**
   * Another configuration, which settings() has from now on. Resolves when all workers have it and have ended the flows that it would
   * not have; null: the engine died meanwhile, or there is none at the moment, and the next one has it from its start.
   */
  reconfigure(to: Reconfiguration): Promise<Reconfigured | null> {
    const tell = this.#teller;
    return tell === null ? Promise.resolve(null) : this.#requests.reconfigure(to, tell);
  }

  /**
   * Ends flows of a worker, at most DELETED_AT_ONCE, between two batches. Resolves with how many were still there; null: there is no engine
   * at the moment, or it died meanwhile.
   */
  deleteFlows(worker: number, flows: Int32Array): Promise<number | null> {
    const tell = this.#teller;
    return tell === null ? Promise.resolve(null) : this.#requests.deleteFlows(worker, flows, tell);
  }

  /**
   * Who captures or traces from now on; settings() has them too. Resolves when all workers write down what they want; at once where there
   * is no engine at the moment.
   */
  tap(filters: readonly TapFilter[]): Promise<void> {
    const tell = this.#teller;
    return tell === null ? Promise.resolve() : this.#requests.tap(filters, tell);
  }

  /** Lets the engine finish its batch; ends it when it does not. Resolves when it and the standby have gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const timer of [this.#pause, this.#standbyTimer, this.#outageTimer, this.#loadTimer]) {
      clearTimeout(timer);
    }
    await Promise.all([this.#active?.stop(), this.#next?.child.kill()]);
  }

  /** Lets the engine finish its batch, as stop() does, but keeps who stands by: resume() may follow. */
  async suspend(): Promise<void> {
    this.#isStopping = true;
    for (const timer of [this.#pause, this.#standbyTimer, this.#loadTimer]) clearTimeout(timer);
    await this.#active?.stop();
  }

  /** Undoes suspend(). */
  resume(): void {
    this.#isStopping = false;
    this.#promote();
  }

  /**
   * Ends the engine, calls `between` while nobody has the state, and lets the next one go. Resolves when that forwards; rejects with what
   * `between` throws, when it does. Throws NatgateError `engine_away` when there is no engine at the moment.
   */
  async restart(between: () => void): Promise<void> {
    if (this.#active === null || this.#isStopping || this.#started !== null) {
      throw new NatgateError('engine_away', 'the packet engine is being started again', 'try again');
    }
    await this.suspend();
    const ready = new Promise<void>((resolve, reject) => {
      this.#started = { resolve, reject };
    });
    try {
      between();
    } finally {
      this.resume();
      await ready;
    }
  }

  /** The descriptors are others: engines that have the old ones end, and the next one, which takes over the flows, gets them. */
  async renew(): Promise<void> {
    // There will be an engine with the new ones anyway.
    if (this.#isStopping || !this.#wasReady) return;
    const next = this.#next;
    this.#next = null;
    this.#standby.loading();
    await Promise.all([next?.child.kill(), this.suspend()]);
    this.resume();
  }

  get #teller(): ((message: ControlMessage) => void) | null {
    const active = this.#active;
    return active?.isConnected ? (message) => active.tell(message) : null;
  }

  /** While none is active: the next one goes as soon as it can. */
  #promote(): void {
    this.#isWanted = true;
    clearTimeout(this.#loadTimer);
    this.#loadTimer = setTimeout(() => this.#late(), LOAD_MS);
    this.#loadTimer.unref();
    if (this.#next?.isLoaded) {
      this.#go(this.#next.child);
      return;
    }
    if (this.#wasReady) this.#outage(true);
    if (this.#next === null) this.#load(false);
  }

  /** Who hangs makes room for another one. */
  #late(): void {
    const next = this.#next;
    if (next === null || next.isLoaded) return;
    next.isLate = true;
    void next.child.kill();
  }

  #load(isReserve: boolean): void {
    const settings = this.#host.settings();
    const make =
      this.#host.make ??
      ((start, reserve, events) => new EngineProcess(this.#host.fds(), start, reserve, events));
    const next: Next = { child: null as unknown as EngineChild, isLoaded: false, isLate: false };
    this.#next = next;
    const events: EngineEvents = {
      onStandby: () => this.#loaded(next),
      onReady: () => this.#ready(next.child),
      onNews: (message) => this.#news(next.child, message),
      onNonsense: () => this.#voice.sentNonsense(),
      onBrokenQueue: () => {
        if (!this.#isStopping) this.#host.onBrokenQueue();
      },
      onEnd: (reason) => {
        if (next === this.#next) this.#nextEnded(next.isLate ? LATE : reason);
        else if (next.child === this.#active) this.#activeEnded(reason);
      },
    };
    try {
      next.child = make(settings, isReserve, events);
    } catch (error) {
      // No memory for it, or no TUN at the moment: there may be soon.
      setImmediate(() => {
        if (next === this.#next) this.#nextEnded((error as Error).message);
      });
    }
  }

  #loaded(next: Next): void {
    if (next !== this.#next) return;
    next.isLoaded = true;
    const beforeGo = this.#beforeGo;
    if (beforeGo === null) {
      if (this.#isWanted && !this.#isStopping) this.#go(next.child);
      else if (!this.#isStopping) this.#standby.ready();
      return;
    }
    this.#beforeGo = null;
    beforeGo().then(
      () => {
        if (next === this.#next && !this.#isStopping) this.#go(next.child);
      },
      (error: Error) => this.#fail(error),
    );
  }

  #go(child: EngineChild): void {
    clearTimeout(this.#loadTimer);
    this.#next = null;
    this.#standby.loading();
    this.#isWanted = false;
    this.#standbyPauseMs = STANDBY_AGAIN_MS;
    this.#active = child;
    this.#wentAt = performance.now();
    this.#isExplained = false;
    child.go(this.#host.settings());
  }

  #ready(child: EngineChild): void {
    if (child !== this.#active) return;
    if (this.#isOutage) this.#outageTimer = setTimeout(() => this.#outage(false), AFTER_OUTAGE_MS);
    this.#standbyLater(this.#wasReady ? NEXT_STANDBY_MS : FIRST_STANDBY_MS);
    this.#wasReady = true;
    const started = this.#started;
    this.#started = null;
    if (started === null) this.#host.onReady();
    else started.resolve();
  }

  #news(child: EngineChild, message: EngineNews): void {
    if (child !== this.#active || this.#requests.answer(message)) return;
    if (message.type === 'log') this.#voice.line(message.line);
    else if (message.type === 'quarantine') this.#isExplained = this.#host.onQuarantine(message);
  }

  /** The one that stands by, or was loading. */
  #nextEnded(reason: string): void {
    this.#next = null;
    if (this.#isStopping || !this.#wasReady) {
      this.#fail(notStarted(reason));
    } else if (this.#isWanted) {
      this.#died(reason);
    } else {
      const pauseMs = this.#standbyPauseMs;
      this.#standbyPauseMs = Math.min(2 * pauseMs, LONGEST_STANDBY_PAUSE_MS);
      this.#host.log(
        `the packet engine that stood by ended (${reason}); another one is made in ${pauseMs} ms`,
      );
      this.#standbyLater(pauseMs);
      this.#standby.failed(pauseMs);
    }
  }

  #activeEnded(reason: string): void {
    this.#active = null;
    this.#requests.abandon();
    if (this.#isStopping || !this.#wasReady) {
      this.#fail(notStarted(reason));
      return;
    }
    if (performance.now() - this.#wentAt >= SOUND_MS) {
      this.#pauseMs = 0;
      this.#deaths = 0;
    }
    this.#died(reason);
  }

  #died(reason: string): void {
    clearTimeout(this.#standbyTimer);
    this.#isWanted = false;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = pauseMs === 0 ? FIRST_PAUSE_MS : Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    if (!this.#isExplained) this.#deaths++;
    const isPatient = this.#isExplained || this.#deaths % DEATHS_UNTIL_EMPTY !== 0;
    // What a person reads of it can wait; packets cannot.
    if (pauseMs === 0 && isPatient) this.#promote();
    if (this.#active === null) this.#outage(true);
    const next =
      this.standbyPid === null && this.#active === null ? 'starting it again' : 'another takes over';
    this.#host.log(
      `the packet engine died (${reason}); ${next} ${pauseMs === 0 ? 'at once' : `in ${pauseMs} ms`}`,
    );
    this.#host.onDeath(reason);
    if (!isPatient) {
      this.#host.log(`the packet engine died ${this.#deaths} times in a row; flows are forgotten`);
      this.#host.emptyState();
    }
    if (this.#isWanted || this.#active !== null) return;
    this.#pause = setTimeout(() => this.#promote(), pauseMs);
  }

  #standbyLater(ms: number): void {
    clearTimeout(this.#standbyTimer);
    if (!this.#host.standby || this.#isStopping) return;
    this.#standbyTimer = setTimeout(() => {
      if (this.#next === null && this.#active !== null && !this.#isStopping) {
        this.#standby.loading();
        this.#load(true);
      }
    }, ms);
    this.#standbyTimer.unref();
  }

  #outage(isOne: boolean): void {
    clearTimeout(this.#outageTimer);
    if (isOne === this.#isOutage) return;
    this.#isOutage = isOne;
    try {
      this.#host.onOutage(isOne);
    } catch (error) {
      this.#host.log(`the queues keep their length: ${(error as Error).message}`);
    }
  }

  #fail(error: Error): void {
    const started = this.#started;
    this.#started = null;
    started?.reject(error);
  }
}
