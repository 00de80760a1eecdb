/**
 * What a gateway does about an engine that is not well: watches over it from outside (engine-watch.ts), keeps the packets that it
 * stumbled over (quarantine.ts), and says how it fares, in the log, as events, and in the run record (engine-health.ts).
 */
import { join } from 'node:path';
import type { EventHub } from '../events/hub.ts';
import type { Log } from '../log.ts';
import { type EngineHealth, HealthRecord } from './engine-health.ts';
import { EngineWatch } from './engine-watch.ts';
import type { QuarantineMessage } from './messages.ts';
import { QuarantineStore } from './quarantine.ts';

/** ms. An engine that has accused a packet ends by itself, unless its end hangs, too. */
const END_MS = 500;
const CRASH_HINT = 'please report it, with a core dump where there is one: natgate has a bug';
/** How a process ends that has done what it must not. */
const CRASHES = ['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGABRT', 'SIGSYS', 'SIGTRAP'];

export interface EngineCareSetup {
  /** The run directory. */
  directory: string;
  /** Of the devices, by index. */
  names: readonly string[];
  events: Pick<EventHub, 'say'>;
  log: Log;
  heartbeats: readonly (() => number)[];
  /** Of the engine that lives; null: there is none at the moment. */
  pid(): number | null;
  /** To be written down. */
  changed(health: EngineHealth): void;
}

export class EngineCare {
  readonly quarantine: QuarantineStore;
  private readonly setup: EngineCareSetup;
  private readonly record: HealthRecord;
  private readonly watch: EngineWatch;
  private isForwarding = false;
  private hung = '';
  private impatience: NodeJS.Timeout | undefined;

  constructor(setup: EngineCareSetup) {
    const { directory, names, events, log, heartbeats } = setup;
    this.setup = setup;
    this.quarantine = new QuarantineStore({ directory: join(directory, 'quarantine'), names, log });
    this.record = new HealthRecord((health) => {
      try {
        setup.changed(health);
      } catch (error) {
        log(`how the packet engine fares cannot be written down: ${(error as Error).message}`, 'error');
      }
    });
    this.watch = new EngineWatch({
      pid: () => (this.isForwarding ? setup.pid() : null),
      heartbeats,
      onStopped: (ms) => {
        const since = ms < 1000 ? '' : ` for ${Math.round(ms / 1000)} s`;
        log(
          `the packet engine has been stopped${since}: nothing is forwarded`,
          'error',
          'by SIGSTOP or a debugger; it goes on with SIGCONT, and is not ended',
        );
        if (since === '') events.say({ event: 'engine', what: 'paused' });
      },
      onContinued: () => {
        log('the packet engine goes on');
        events.say({ event: 'engine', what: 'continued' });
      },
      onStarved: () =>
        log('the packet engine gets no processor', 'warning', 'something of a higher priority has them all'),
      onHung: (reason) => {
        this.hung = reason;
        log(`the packet engine hangs (${reason}) and is ended`, 'error');
        this.kill();
      },
    });
  }

  /** Somebody has stopped the engine: it is silent, but not ill. */
  get isStopped(): boolean {
    return this.watch.isStopped;
  }

  /** An engine forwards; `again`: after one that died. */
  forwards(again: boolean): void {
    this.isForwarding = true;
    this.record.forwards();
    if (!again) return;
    this.setup.log('the packet engine forwards again');
    this.setup.events.say({ event: 'engine', what: 'restarted' });
  }

  /** The engine has ended. */
  died(reason: string): void {
    this.isForwarding = false;
    clearTimeout(this.impatience);
    if (CRASHES.some((signal) => reason === `killed by ${signal}`)) {
      this.setup.log('which packet the packet engine was at is not known: it crashed', 'warning', CRASH_HINT);
    }
    const text = this.hung === '' ? reason : this.hung;
    this.hung = '';
    this.setup.events.say({ event: 'engine', what: 'died', text });
    this.record.died(text, this.quarantine.count);
  }

  /** Whether the next engine will know the packet that this one stumbled over. */
  stumbled(message: QuarantineMessage): boolean {
    const text = this.quarantine.take(message);
    if (text !== null) this.setup.events.say({ event: 'engine', what: 'quarantined', text });
    const pid = this.setup.pid();
    clearTimeout(this.impatience);
    this.impatience = setTimeout(() => {
      if (pid !== null && this.setup.pid() === pid) this.kill();
    }, END_MS);
    return text !== null;
  }

  close(): void {
    clearTimeout(this.impatience);
    this.watch.close();
    this.record.close();
  }

  private kill(): void {
    const pid = this.setup.pid();
    if (pid === null) return;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has just ended.
    }
  }
}
