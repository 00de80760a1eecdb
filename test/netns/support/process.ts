/**
 * Commands and background processes of the namespace tests. Everything started here is ended here, by its pid,
 * when the test worker ends for whatever reason.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface CommandResult {
  stdout: string;
  stderr: string;
  /** Exit code; 128 + signal when a signal ended it, as a shell says it. */
  code: number;
}

export interface RunOptions {
  /** Default 30 s; the command is killed then, and the promise rejected. */
  timeoutMs?: number;
  /** What the command reads from its standard input. */
  input?: string | Buffer;
  /** Reject when the exit code is not 0. Default true. */
  check?: boolean;
  env?: Record<string, string>;
}

const SIGNAL_NUMBERS: Record<string, number> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };
const living = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

/** Runs a command to its end. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
  const child = start(argv, options.env);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout!.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr!.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin!.on('error', () => {}); // the command may end without reading it all
  child.stdin!.end(options.input ?? '');
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, options.timeoutMs ?? 30_000);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(timer);
  const result = {
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
    code: exitCode(code, signal),
  };
  if (late || (options.check !== false && result.code !== 0)) {
    const why = late ? 'took too long' : `ended with ${result.code}`;
    throw new Error(`\`${argv.join(' ')}\` ${why}\n${result.stdout}${result.stderr}`);
  }
  return result;
}

/** A process that goes on beside the test, with all it has printed so far. */
export class Background {
  readonly argv: readonly string[];
  readonly child: ChildProcess;
  /** Settles with the exit code when the process has ended. */
  readonly ended: Promise<number>;
  stdout = '';
  stderr = '';

  constructor(argv: readonly string[], env?: Record<string, string>) {
    this.argv = argv;
    this.child = start(argv, env);
    this.child.stdin!.on('error', () => {});
    this.child.stdout!.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr!.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => resolve(exitCode(code, signal)));
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits until stdout or stderr shows `pattern`; rejects when the process ends before, or after `timeoutMs`. */
  async shows(pattern: RegExp, timeoutMs = 10_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (!pattern.test(this.stdout) && !pattern.test(this.stderr)) {
      if (!this.running || Date.now() > end) {
        const why = this.running ? 'has not yet shown' : 'ended without showing';
        throw new Error(`\`${this.argv.join(' ')}\` ${why} ${pattern}\n${this.stdout}${this.stderr}`);
      }
      await sleep(10);
    }
  }

  /** Sends a signal and waits for the end; SIGKILL after `timeoutMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 10_000): Promise<number> {
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const code = await this.ended;
    clearTimeout(timer);
    return code;
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until `condition` holds (or returns something truthy), and returns that; rejects after `timeoutMs`. */
export async function until<T>(
  what: string,
  condition: () => Promise<T> | T,
  timeoutMs = 10_000,
): Promise<NonNullable<T>> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`still not after ${timeoutMs} ms: ${what}`);
    await sleep(30);
  }
}

function start(argv: readonly string[], env?: Record<string, string>): ChildProcess {
  const child = spawn(argv[0]!, argv.slice(1), { env: { ...process.env, LC_ALL: 'C', ...env } });
  living.add(child);
  child.on('close', () => living.delete(child));
  child.on('error', () => living.delete(child));
  return child;
}

function exitCode(code: number | null, signal: string | null): number {
  return code ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? 0);
}
