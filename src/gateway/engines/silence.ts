/**
 * What to make of a thread that has not given a sign of life for a while. A pure judgement, without a clock or a process of its own, for
 * those who watch: the engine's control thread its workers (worker-watch.ts), the supervisor the engine process (engine-watch.ts).
 *
 * Silence alone says little: on a machine that is busy, suspended or in a debugger everybody is silent. So two other clocks count. The
 * time of the watcher, of which a look that comes late counts no more than MOST_LATE_MS: what the watcher itself has slept through, the
 * thread may have slept through, too. And the processor time of the thread: one that has used much of it in one turn is stuck; one that
 * has had none waits for its turn, or sleeps where it should not, which its state says (that of /proc, where it can be read).
 */

/** Of the time between two looks, more does not count. */
const MOST_LATE_MS = 500;

export interface Limits {
  /** Silent so long, and so much of a processor used meanwhile: stuck. ms */
  silence: number;
  cpu: number;
  /** Asleep so long where it should not sleep: deadlocked. ms */
  sleep: number;
}

/** What is known of a thread besides its beat. */
export interface ThreadState {
  /** ms of processor time that it has used. */
  cpu: number;
  /** As in /proc/PID/stat: R, S, D, T, t …; '': not known. */
  state: string;
}

/**
 * `alive`; `silent`: not yet long enough to say; `stuck`: in a loop; `deadlocked`: asleep for good; `stopped`: by a signal or a
 * debugger; `starved`: it gets no processor.
 */
export type Verdict = 'alive' | 'silent' | 'stuck' | 'deadlocked' | 'stopped' | 'starved';

/** A thread that sleeps uses less than this of a processor. */
const ASLEEP_CPU_MS = 50;

export class Silence {
  private readonly limits: Limits;
  private beat: number;
  private looked: number;
  private silentMs = 0;
  /** Processor time when the thread was looked at first in this silence; -1: it has not been. */
  private cpu = -1;
  private asleepMs = 0;
  private isStopped = false;

  /** `time`: ms of CLOCK_MONOTONIC; `beat` changes when the thread lives. */
  constructor(limits: Limits, time: number, beat: number) {
    this.limits = limits;
    this.beat = beat;
    this.looked = time;
  }

  /** ms since the last sign of life, as far as the watcher was awake. */
  get ms(): number {
    return this.silentMs;
  }

  /** `look` is called only when the silence has lasted half as long as `limits` allows. `limits`: instead of its own. */
  judge(time: number, beat: number, look: () => ThreadState, limits = this.limits): Verdict {
    const passed = Math.min(MOST_LATE_MS, Math.max(0, time - this.looked));
    this.looked = time;
    if (beat !== this.beat) {
      this.beat = beat;
      this.begin();
      return 'alive';
    }
    this.silentMs += passed;
    if (this.silentMs < limits.silence / 2) return 'silent';
    const { cpu, state } = look();
    if (state === 'T' || state === 't') {
      this.isStopped = true;
      return this.silentMs < limits.silence ? 'silent' : 'stopped';
    }
    if (this.isStopped) {
      // Let go just now: it begins anew.
      this.begin();
      return 'silent';
    }
    if (this.cpu < 0) this.cpu = cpu;
    this.asleepMs = state === 'S' || state === 'D' ? this.asleepMs + passed : 0;
    if (this.silentMs < limits.silence) return 'silent';
    const used = cpu - this.cpu;
    if (used >= limits.cpu) return 'stuck';
    if (used >= ASLEEP_CPU_MS) return 'silent';
    if (this.asleepMs >= limits.sleep) return 'deadlocked';
    return state === 'R' && this.silentMs >= limits.sleep ? 'starved' : 'silent';
  }

  /** As if it had just lived. */
  begin(): void {
    this.silentMs = 0;
    this.cpu = -1;
    this.asleepMs = 0;
    this.isStopped = false;
  }
}
