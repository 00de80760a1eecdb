/**
 * The configuration that a gateway runs with, and how it becomes another one: by a change of one forward or rule, or by reading the file
 * again. A change is validated as the file is, whole, and applied as a reload is; one at a time.
 *
 *     document ── change ──▶ document ── shape, compile ──▶ RunOptions ── applyOptions ──▶ engine
 *        ▲                                  │ what is wrong: ConfigError, nothing is applied
 *        └──────────── once applied ────────┘
 */
import { isDeepStrictEqual } from 'node:util';
import { NatgateError } from '../../core/errors.ts';
import { applyEdit, type Change, editOf } from '../config/change.ts';
import { compile } from '../config/compile.ts';
import type { RunArguments } from '../config/flags.ts';
import { type Examined, examine, failure } from '../config/load.ts';
import { ConfigError, type Problem } from '../config/problems.ts';
import { readConfigFile } from '../config/read-file.ts';
import { Reader } from '../config/reader.ts';
import type { ConfigDocument } from '../config/schema.ts';
import { shapeOf } from '../config/shape.ts';
import type { RunOptions } from '../options.ts';
import { type Difference, differences } from './differences.ts';

/** What became of the flows. */
export interface Applied {
  /** Flows that the new configuration does not allow; null: not known. */
  flowsEnded: number | null;
  /** What a person should know. */
  notes: string[];
}

/** Makes a running gateway one with these options, whole or not at all. Rejects with NatgateError. */
export type ApplyOptions = (next: RunOptions) => Promise<Applied>;

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
  readonly #apply: ApplyOptions;
  /** Whoever comes next waits for it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ options, document, flags }: RunningSource, apply: ApplyOptions) {
    this.flags = flags;
    this.#options = options;
    this.#document = document;
    this.#apply = apply;
  }

  get document(): ConfigDocument {
    return this.#document;
  }

  get options(): RunOptions {
    return this.#options;
  }

  /** Rejects with NatgateError, ConfigError among them; nothing has changed then. */
  change(change: Change): Promise<Applied> {
    return this.#inTurn(async () => {
      const edit = editOf(this.#document, change);
      const { document, options } = compiled(applyEdit(this.#document, edit), this.#options);
      return this.#become(options, document);
    });
  }

  /** The file once more, with the flags of `run` over it. */
  reload(): Promise<Applied & { changes: Difference[] }> {
    return this.#inTurn(async () => {
      const path = this.#file();
      const { options, document, problems } = this.#examined();
      if (options === null || document === null) throw failure(path, problems);
      const changes = differences(this.#document, document);
      return { ...(await this.#become(options, document)), changes };
    });
  }

  /** What is wrong with a text, or with the file. */
  check(text?: string): Problem[] {
    return this.#examined(text).problems;
  }

  /** What a reload would change. */
  plan(text?: string): { problems: Problem[]; changes: Difference[] } {
    const { document, problems } = this.#examined(text);
    return { problems, changes: document === null ? [] : differences(this.#document, document) };
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

  async #become(options: RunOptions, document: ConfigDocument): Promise<Applied> {
    const applied = isDeepStrictEqual(options, this.#options)
      ? { flowsEnded: 0, notes: [] }
      : await this.#apply(options);
    this.#options = options;
    this.#document = document;
    return applied;
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
