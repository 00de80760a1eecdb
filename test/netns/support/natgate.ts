/** A `natgate run` in the background. Knows nothing of the test runner, so that scripts may use it too. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readStatus } from '../../../src/gateway/status.ts';
import { RECIPE_PAGE, RECIPE_SAVED } from '../../gateway/iptables/recipe.ts';
import { MAIN } from './contender.ts';
import { type Background, type CommandResult, type RunOptions, run } from './process.ts';
import type { Namespace } from './topology.ts';

export interface Gateway {
  /** Ends it and restores the host. */
  stop(): Promise<void>;
}

export const READY = /^natgate: ready private=(\S+) public=(\S+) external=(\S+)$/m;

/** `NATGATE_WORKERS=4`: every gateway of the tests that says nothing else has so many. */
const workers = process.env['NATGATE_WORKERS'];
const WORKERS = workers === undefined ? [] : ['--workers', workers];

/**
 * `NATGATE_TEST_IMPORT=saved`, or `page`: gateways of the tests run from what `natgate import` makes of the recipe's rules, as iptables-save
 * writes them or as web pages spell them.
 */
const IMPORT = process.env['NATGATE_TEST_IMPORT'];

function interfaces(ns: Namespace): string[] {
  if (IMPORT === undefined) return ['--private', 'g0', '--public', 'g1'];
  return ['--config', importRecipe(ns, IMPORT === 'page' ? RECIPE_PAGE : RECIPE_SAVED)];
}

/** Writes the configuration that the rules make, by the command line; returns its path. */
export function importRecipe(ns: Namespace, rules: string): string {
  mkdirSync(ns.stateRoot, { recursive: true });
  const path = join(ns.stateRoot, 'natgate.yaml');
  const text = rules.replaceAll('eth1', 'g0').replaceAll('eth0', 'g1');
  const argv = ns.argv([process.execPath, MAIN, 'import', '-', '-o', path]);
  execFileSync(argv[0]!, argv.slice(1), { input: text, stdio: ['pipe', 'ignore', 'inherit'] });
  return path;
}

let started = 0;

/** A `natgate run` in the background. */
export class Natgate implements Gateway {
  readonly ns: Namespace;
  readonly name: string;
  readonly process: Background;

  private constructor(ns: Namespace, args: readonly string[], name: string, main: string) {
    this.ns = ns;
    this.name = name;
    const which = ['--name', name, '--state-root', ns.stateRoot];
    const number = args.includes('--workers') ? [] : WORKERS;
    this.process = ns.spawn([process.execPath, main, 'run', ...which, ...number, ...args]);
  }

  /** Starts it between g0 and g1 and waits until packets flow. `main`: of another build. */
  static async start(
    ns: Namespace,
    args: readonly string[] = [],
    name = newName(),
    main = MAIN,
  ): Promise<Natgate> {
    const natgate = Natgate.launch(ns, [...interfaces(ns), ...args], name, main);
    await natgate.process.shows(READY, 30_000);
    return natgate;
  }

  /** Starts it with these arguments and waits for nothing. */
  static launch(ns: Namespace, args: readonly string[], name = newName(), main = MAIN): Natgate {
    return new Natgate(ns, args, name, main);
  }

  /** Runs another verb of the command line on this gateway. */
  cli(verb: string, args: readonly string[] = [], options: RunOptions = {}): Promise<CommandResult> {
    const which = ['--name', this.name, '--state-root', this.ns.stateRoot];
    return run(this.ns.argv([process.execPath, MAIN, verb, ...which, ...args]), options);
  }

  /** What `natgate status --json` prints, without a process for it. */
  async status(): Promise<{ drops: Record<string, number> } & Record<string, unknown>> {
    return JSON.parse(JSON.stringify(readStatus({ name: this.name, stateRoot: this.ns.stateRoot })));
  }

  /** The pid of the engine process that forwards: the child of the supervisor that says so. */
  enginePid(): Promise<number> {
    return this.#childNamed('natgate-engine');
  }

  /** Of the one that stands by. */
  standbyPid(): Promise<number> {
    return this.#childNamed('natgate-standby');
  }

  async #childNamed(name: string): Promise<number> {
    const { stdout } = await run(['cat', `/proc/${this.process.pid}/task/${this.process.pid}/children`]);
    const pids = stdout.split(' ').filter(Boolean).map(Number);
    const named = pids.filter((pid) => commOf(pid) === name);
    if (named.length !== 1)
      throw new Error(`expected one ${name} below the supervisor, found ${named.length}`);
    return named[0]!;
  }

  async stop(): Promise<void> {
    const code = await this.process.stop('SIGTERM');
    if (code !== 0) {
      await this.cli('down', [], { check: false });
      throw new Error(`natgate ended with ${code}\n${this.process.stderr}`);
    }
    if (existsSync(this.#directory)) {
      const files = readdirSync(this.#directory).join(', ');
      throw new Error(`${this.#directory} was left behind, with ${files || 'nothing'}`);
    }
  }

  /** Ends it however it is, and undoes what it left. */
  async cleanUp(): Promise<void> {
    if (this.process.running) await this.process.stop('SIGKILL');
    if (existsSync(this.#directory)) await this.cli('down', [], { check: false });
  }

  get #directory(): string {
    return join(this.ns.stateRoot, this.name);
  }
}

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function newName(): string {
  return `test${process.pid}x${++started}`;
}
