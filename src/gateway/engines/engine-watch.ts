/**
 * The supervisor watches over the engine process from outside, by the heartbeats that the workers write to their states, and by what /proc
 * says of their threads: it sees what the engine's own watch (worker-watch.ts) cannot, a process that is stopped, a worker that sleeps where
 * it should not or gets no processor, and a control thread that does not watch any more.
 *
 *     stopped      by a signal or a debugger: said, and again once a minute; it is left alone, and goes on when it is let
 *     starved      it gets no processor: said once
 *     stuck, deadlocked: ended (SIGKILL); the next engine takes over its state
 *
 * Only an engine that forwards is watched. While it lives, a look reads a word of each state and nothing else.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type Limits, Silence, type ThreadState, type Verdict } from './silence.ts';

const LOOK_MS = 250;
/** The engine's own watch comes first where it can. */
const LIMITS: Limits = { silence: 1000, cpu: 2000, sleep: 3000 };
/** A control message may take as long as the engine's own watch lets it. */
const CPU_OF_CONTROL_MS = 10_000;
const SAY_AGAIN_MS = 60_000;
/** ms of a tick of /proc/PID/stat (USER_HZ is 100 on every Linux). */
const TICK_MS = 10;

export interface EngineSeen {
  /** Of the engine that forwards; null: there is none at the moment. */
  pid(): number | null;
  /** By worker. */
  heartbeats: readonly (() => number)[];
  /** Once, and again once a minute. */
  onStopped(forMs: number): void;
  onContinued(): void;
  onStarved(): void;
  /** It is to be ended: it does nothing any more. */
  onHung(reason: string): void;
}

export class EngineWatch {
  private readonly seen: EngineSeen;
  private readonly read: (pid: number, worker: number) => ThreadState | null;
  private readonly now: () => number;
  private readonly timer: NodeJS.Timeout;
  private pid: number | null = null;
  private silences: Silence[] = [];
  private stoppedAt: number | null = null;
  private saidAt = 0;
  private isStarved = false;

  constructor(seen: EngineSeen, read = readWorkerThread, now: () => number = () => performance.now()) {
    this.seen = seen;
    this.read = read;
    this.now = now;
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
  }

  /** The engine is silent because somebody stopped it. */
  get isStopped(): boolean {
    return this.stoppedAt !== null;
  }

  close(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const { seen } = this;
    const pid = seen.pid();
    if (pid === null || pid !== this.pid) {
      this.pid = pid;
      const beginOf = (heartbeat: () => number) => new Silence(LIMITS, this.now(), heartbeat());
      this.silences = pid === null ? [] : seen.heartbeats.map(beginOf);
      this.stoppedAt = null;
      this.isStarved = false;
      return;
    }
    const verdicts = this.silences.map((silence, worker) =>
      // Where the thread cannot be seen, its silence alone is no reason to end it.
      silence.judge(
        this.now(),
        seen.heartbeats[worker]!(),
        () => this.read(pid, worker) ?? { state: '', cpu: 0 },
      ),
    );
    const hung = verdicts.findIndex((verdict) => verdict === 'stuck' || verdict === 'deadlocked');
    if (hung >= 0 && this.isSure(hung, verdicts[hung]!)) {
      const seconds = (this.silences[hung]!.ms / 1000).toFixed(1);
      const how = verdicts[hung] === 'stuck' ? 'is stuck' : 'sleeps and does not wake up';
      // The next look finds another engine, or none.
      this.pid = null;
      seen.onHung(`worker ${hung} ${how}, silent for ${seconds} s`);
      return;
    }
    this.report(verdicts);
  }

  private isSure(worker: number, verdict: Verdict): boolean {
    return verdict === 'deadlocked' || this.silences[worker]!.ms >= CPU_OF_CONTROL_MS;
  }

  private report(verdicts: readonly Verdict[]): void {
    const { seen } = this;
    const now = this.now();
    if (verdicts.includes('stopped')) {
      this.stoppedAt ??= now;
      if (this.saidAt === 0 || now - this.saidAt >= SAY_AGAIN_MS) {
        this.saidAt = now;
        seen.onStopped(now - this.stoppedAt);
      }
    } else if (this.stoppedAt !== null && verdicts.includes('alive')) {
      this.stoppedAt = null;
      this.saidAt = 0;
      seen.onContinued();
    }
    const isStarved = verdicts.includes('starved');
    if (isStarved && !this.isStarved) seen.onStarved();
    if (isStarved || verdicts.includes('alive')) this.isStarved = isStarved;
  }
}

/** The thread of a worker, by its name (worker.ts). Null: there is none. */
export function readWorkerThread(pid: number, worker: number): ThreadState | null {
  const name = `data-plane-${worker}`;
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1');
      const found = parseThread(text);
      if (found.name === name) return found;
    }
  } catch {
    // It has just ended.
  }
  return null;
}

/** `text`: of /proc/PID/task/TID/stat (man 5 proc). */
export function parseThread(text: string): ThreadState & { name: string } {
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    state: fields[0] ?? '',
    cpu: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
  };
}
