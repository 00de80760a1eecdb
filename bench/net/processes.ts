/**
 * Child processes of the benchmark. Every one is known here from start to exit, so that an interrupted run
 * can end them all, each by its own pid, and nothing else.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../src/core/errors.ts';
import { family } from './proc.ts';

const LAST_OUTPUT_MS = 200;

const running = new Set<Child>();
let closing = false;

export interface StartOptions {
  /** What error messages call it; the whole command when absent. */
  label?: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

export class Child {
  readonly label: string;
  readonly exited: Promise<void>;
  stdout = '';
  stderr = '';
  /** How it ended, in words; undefined while it runs. */
  ended: string | undefined;
  succeeded = false;
  readonly #process: ChildProcess;
  #onOutput: () => void = () => {};

  constructor(command: string, args: readonly string[], options: StartOptions = {}) {
    if (closing) throw new NatgateError('BENCH_INTERRUPTED', 'interrupted');
    const { label, ...rest } = options;
    this.label = label ?? [command, ...args].join(' ');
    this.#process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...rest });
    running.add(this);
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#onOutput();
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#onOutput();
    });
    this.exited = new Promise((resolve) => {
      const done = (how: string, succeeded: boolean) => {
        this.ended ??= how;
        this.succeeded = succeeded;
        running.delete(this);
        this.#onOutput();
        resolve();
      };
      this.#process.on('error', (error) => done(error.message, false));
      // 'close' comes after the last output, but never while a descendant holds the pipes.
      this.#process.on('exit', () => setTimeout(() => this.#dropOutput(), LAST_OUTPUT_MS).unref());
      this.#process.on('close', (status, signal) => done(`exit ${status ?? signal}`, status === 0));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** The last words of the process, for an error message; without the stack of an uncaught exception. */
  lastWords(): string {
    const lines = (this.stderr.trim() || this.stdout.trim()).split('\n');
    return lines
      .filter((line) => /^\S/.test(line) && !/^(}|Node\.js v)/.test(line))
      .slice(-3)
      .join(' / ');
  }

  /** Waits until its output (both streams) matches. */
  async output(pattern: RegExp, timeoutMs: number): Promise<void> {
    const seen = () => pattern.test(this.stdout) || pattern.test(this.stderr);
    const changed = new Promise<void>((resolve) => {
      this.#onOutput = () => {
        if (seen() || this.ended !== undefined) resolve();
      };
      this.#onOutput();
    });
    await withTimeout(changed, timeoutMs);
    this.#onOutput = () => {};
    if (seen()) return;
    const limit = this.ended === undefined ? `within ${timeoutMs / 1000} s` : 'before it ended';
    throw failure(this, `did not print ${pattern} ${limit}`);
  }

  /** Waits for a successful exit and returns what it printed on stdout. */
  async finish(timeoutMs: number): Promise<string> {
    await withTimeout(this.exited, timeoutMs);
    if (this.ended === undefined) {
      await this.stop();
      throw failure(this, `did not end within ${timeoutMs / 1000} s`);
    }
    if (!this.succeeded) throw failure(this, 'failed');
    return this.stdout;
  }

  /** Ends it: SIGTERM, and when that has not been enough after graceMs, SIGKILL to it and its descendants. */
  async stop(graceMs = 4000): Promise<void> {
    if (this.ended !== undefined) return;
    this.#process.kill('SIGTERM');
    await withTimeout(this.exited, graceMs);
    if (this.ended === undefined) {
      for (const pid of family([this.pid]).keys()) kill(pid);
    }
    await this.exited;
  }

  #dropOutput(): void {
    this.#process.stdout?.destroy();
    this.#process.stderr?.destroy();
  }
}

/** Runs a command to its end; fails when it does. Returns its stdout. */
export async function run(
  command: string,
  args: readonly string[],
  options: StartOptions & { timeoutMs?: number } = {},
): Promise<string> {
  const { timeoutMs = 20_000, ...rest } = options;
  return await new Child(command, args, rest).finish(timeoutMs);
}

/** For an interrupted run: ends every process; none can be started afterwards. */
export async function stopAll(): Promise<void> {
  closing = true;
  await Promise.all([...running].map((child) => child.stop()));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}

async function withTimeout(promise: Promise<void>, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, sleep(ms, undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}

function failure(child: Child, what: string): NatgateError {
  const how = child.ended === undefined ? '' : ` (${child.ended})`;
  return new NatgateError('BENCH_COMMAND_FAILED', `${child.label} ${what}${how}: ${child.lastWords()}`);
}
