/**
 * The processes of the lab, or of `natgate bench`. All are ended by `endAll`, and what waits for one is interrupted when the lab is (Ctrl-C).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { NatgateError } from '../../core/errors.ts';

/** How long a process may take to end before it is killed; natgate promises two seconds. */
const GRACE_MS = 5000;

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Whose processes they are, for messages. */
export type Owner = 'lab' | 'bench';

export class Child {
  readonly what: string;
  readonly pid: number;
  private readonly owner: Owner;
  private readonly process: ChildProcess;
  private readonly lines: string[] = [];
  private readonly listeners = new Set<() => void>();
  private errors = '';
  /** Settles when the process has ended and all it printed was read. */
  readonly finished: Promise<Finished>;
  private end: Finished | undefined;

  constructor(what: string, argv: readonly string[], owner: Owner) {
    this.what = what;
    this.owner = owner;
    this.process = spawn(argv[0]!, argv.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
    });
    this.pid = this.process.pid ?? 0;
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.lines.push(line);
      this.notify();
    });
    this.process.stderr!.on('data', (chunk: Buffer) => {
      this.errors += chunk;
      this.notify();
    });
    this.finished = new Promise((resolve) => {
      const finish = (code: number) => {
        this.end = { code, stdout: this.lines.join('\n'), stderr: this.errors };
        this.notify();
        resolve(this.end);
      };
      this.process.on('error', (error) => {
        this.errors += error.message;
        finish(1);
      });
      this.process.on('close', (code) => finish(code ?? 1));
    });
  }

  /** All lines of stdout so far. */
  get output(): readonly string[] {
    return this.lines;
  }

  get ended(): boolean {
    return this.end !== undefined;
  }

  /** Calls back after each line of stdout. */
  onLine(callback: (line: string) => void): void {
    let next = 0;
    this.listeners.add(() => {
      while (next < this.lines.length) callback(this.lines[next++]!);
    });
  }

  /** Waits for a line of stdout or stderr that matches. Throws NatgateError `OWNER_failed` when the process ends first. */
  shows(pattern: RegExp, signal: AbortSignal, timeoutMs = 30_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(() => reject(this.failure(`is silent after ${timeoutMs / 1000} s`))),
        timeoutMs,
      );
      const settle = (how: () => void) => {
        clearTimeout(timer);
        this.listeners.delete(check);
        signal.removeEventListener('abort', abort);
        how();
      };
      const abort = () => settle(() => reject(signal.reason));
      const check = () => {
        if (this.lines.some((line) => pattern.test(line)) || pattern.test(this.errors)) settle(resolve);
        else if (this.end) settle(() => reject(this.failure(`ended with ${this.end!.code}`)));
      };
      this.listeners.add(check);
      signal.addEventListener('abort', abort);
      if (signal.aborted) abort();
      else check();
    });
  }

  failure(why: string): NatgateError {
    const said = [...this.lines.slice(-3), this.errors.trim()].filter(Boolean).join('\n  ');
    return new NatgateError(`${this.owner}_failed`, `the ${this.owner}'s ${this.what} ${why}`, said);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
    if (!this.end) this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), GRACE_MS);
    const end = await this.finished;
    clearTimeout(timer);
    return end;
  }

  private notify(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** Starts processes, and ends them all. */
export class Children {
  private readonly signal: AbortSignal;
  private readonly owner: Owner;
  private readonly all: Child[] = [];

  constructor(signal: AbortSignal, owner: Owner = 'lab') {
    this.signal = signal;
    this.owner = owner;
  }

  start(what: string, argv: readonly string[]): Child {
    this.signal.throwIfAborted();
    const child = new Child(what, argv, this.owner);
    this.all.push(child);
    return child;
  }

  /** Runs a command to its end. Throws NatgateError `OWNER_failed` unless it exits with 0 (or `anyCode`). */
  async run(what: string, argv: readonly string[], anyCode = false): Promise<Finished> {
    return this.finish(this.start(what, argv), anyCode);
  }

  /** Waits for the end of a process, as `run` does; one that has not ended after `timeoutMs` is ended, and has failed. */
  async finish(child: Child, anyCode = false, timeoutMs?: number): Promise<Finished> {
    let late = false;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            void child.stop();
          }, timeoutMs);
    const end = await this.unlessAborted(child.finished).finally(() => clearTimeout(timer));
    if (late) throw child.failure(`did not end within ${timeoutMs! / 1000} s`);
    if (end.code !== 0 && !anyCode) throw child.failure(`ended with ${end.code}`);
    return end;
  }

  private async unlessAborted<T>(promise: Promise<T>): Promise<T> {
    let abort = () => {};
    const aborted = new Promise<never>((_, reject) => {
      abort = () => reject(this.signal.reason);
    });
    this.signal.addEventListener('abort', abort);
    try {
      return await Promise.race([promise, aborted]);
    } finally {
      this.signal.removeEventListener('abort', abort);
    }
  }

  /** The last started ends first. */
  async endAll(): Promise<void> {
    for (const child of this.all.reverse()) await child.stop();
  }
}
