/**
 * The configuration that a gateway runs with, and how it becomes another one: by a change of one forward or rule, or by reading the file
 * again. A change is validated as the file is, whole, and applied as a reload is; one at a time.
 *
 *     document ── change ──▶ document ── shape, compile ──▶ RunOptions ── reconfigure ──▶ engine
 *        ▲                                  │ what is wrong: ConfigError, nothing is applied
 *        └──────────── once applied ────────┘
 */
import { NatgateError } from '../../core/errors.ts';
import { applyEdit, type Change, editOf } from '../config/change.ts';
import { compile } from '../config/compile.ts';
import type { RunArguments } from '../config/flags.ts';
import { type Examined, examine, failure, warningLines } from '../config/load.ts';
import { ConfigError, type Problem } from '../config/problems.ts';
import { readConfigFile } from '../config/read-file.ts';
import { Reader } from '../config/reader.ts';
import type { ConfigDocument } from '../config/schema.ts';
import { shapeOf } from '../config/shape.ts';
import type { RunOptions } from '../options.ts';
import type { Foreseen } from './plan.ts';
import type { Taken } from './result.ts';

/** The gateway, to a configuration. */
export interface Reconfigurable {
  /** Makes it one with these options, whole or not at all. Rejects with NatgateError. */
  reconfigure(next: RunOptions): Promise<Taken>;
  /** What that would do. */
  foresee(next: RunOptions): Foreseen;
}

/** What a gateway is started from. */
export interface RunningSource {
  options: RunOptions;
  /** With defaults, the flags laid over the file. */
  document: ConfigDocument;
  flags: RunArguments;
}

export class RunningConfig {
  readonly flags: RunArguments;
  #options: RunOptions;
  #document: ConfigDocument;
  readonly #gateway: Reconfigurable;
  /** Whoever comes next waits for it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ options, document, flags }: RunningSource, gateway: Reconfigurable) {
    this.flags = flags;
    this.#options = options;
    this.#document = document;
    this.#gateway = gateway;
  }

  get document(): ConfigDocument {
    return this.#document;
  }

  get options(): RunOptions {
    return this.#options;
  }

  /** Rejects with NatgateError, ConfigError among them; nothing has changed then. */
  change(change: Change): Promise<Taken> {
    return this.#inTurn(async () => {
      const edit = editOf(this.#document, change);
      const { document, options } = compiled(applyEdit(this.#document, edit), this.#options);
      return this.#become(options, document);
    });
  }

  /** The file once more, with the flags of `run` over it. */
  reload(): Promise<Taken & { warnings: string[] }> {
    return this.#inTurn(async () => {
      const path = this.#file();
      const { options, document, problems } = this.#examined();
      if (options === null || document === null) throw failure(path, problems);
      const taken = await this.#become(options, document);
      return { ...taken, warnings: warningLines(path, problems) };
    });
  }

  /** What is wrong with a text, or with the file. */
  check(text?: string): Problem[] {
    return this.#examined(text).problems;
  }

  /** What a reload would do; `foreseen` is null where it would be refused because of the problems. */
  plan(text?: string): { problems: Problem[]; foreseen: Foreseen | null } {
    const { options, problems } = this.#examined(text);
    return { problems, foreseen: options === null ? null : this.#gateway.foresee(options) };
  }

  #examined(given?: string): Examined {
    const { name, stateRoot } = this.#options;
    const path = given === undefined ? this.#file() : 'request';
    const text = given ?? readConfigFile(path);
    return examine({ name, stateRoot, flags: this.flags, file: { path, text } });
  }

  #file(): string {
    const { configPath } = this.#options;
    if (configPath !== null) return configPath;
    throw new NatgateError(
      'no_file',
      'this gateway was started without a configuration file',
      'start it with `natgate run --config FILE`, or give a text',
    );
  }

  async #become(options: RunOptions, document: ConfigDocument): Promise<Taken> {
    const taken = await this.#gateway.reconfigure(options);
    this.#options = options;
    this.#document = document;
    return taken;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }
}

/** A document that has no file. Throws ConfigError. */
export function compiled(
  value: unknown,
  identity: Pick<RunOptions, 'name' | 'stateRoot' | 'configPath'>,
): { document: ConfigDocument; options: RunOptions } {
  const place = { line: 0, column: 0 };
  const shape = shapeOf(value);
  const problems = shape.problems.map(
    ({ path, what, remedy }): Problem => ({ severity: 'error', path, what, remedy, place }),
  );
  if (shape.document === null || problems.length > 0) throw new ConfigError('', problems);
  const reader = new Reader({ flagAt: () => null, locate: () => place });
  const options = compile(shape.document, identity, reader);
  if (reader.failed) throw new ConfigError('', reader.problems);
  return { document: shape.document, options };
}
