/**
 * What a gateway writes down of itself in its run directory: the record, the configuration in force, the journal. From `tolerate` on, a disk
 * that is full or read-only, or a directory that somebody removed, stops nothing: it is said once, what was to be written is kept, and
 * `restore` writes it when it can.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { notWritable, writableHint } from '../../host/not-writable.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { Log } from '../log.ts';
import { type Applied, appliedPath, writeApplied } from '../reload/applied.ts';
import type { RunMemory } from './run-memory.ts';
import { type RunRecord, recordPath, writeRunRecord } from './run-record.ts';

export class RunFiles {
  readonly #directory: string;
  readonly #journal: Journal;
  readonly #log: Log;
  #record: RunRecord | undefined;
  #applied: Applied | undefined;
  #tolerates = false;
  /** Files that the disk has not, or not as they should be. */
  readonly #behind = new Set<'record' | 'applied'>();
  #saidTrouble = false;
  /** Of the memory that outlives engines; its files may be removed as well. */
  memory: Pick<RunMemory, 'missing' | 'relink'> | undefined;

  constructor(directory: string, journal: Journal, log: Log) {
    this.#directory = directory;
    this.#journal = journal;
    this.#log = log;
  }

  /** Undefined before the first was written. */
  get record(): RunRecord | undefined {
    return this.#record;
  }

  /** Throws NatgateError `state_not_writable` before `tolerate`. */
  write(record: RunRecord): void {
    this.#record = record;
    this.#attempt('record');
  }

  /** Throws NatgateError `state_not_writable` before `tolerate`. */
  writeApplied(applied: Applied): void {
    this.#applied = applied;
    this.#attempt('applied');
  }

  tolerate(): void {
    this.#tolerates = true;
    this.#journal.tolerate();
  }

  /** What was removed, or could not be written; null: all is there. */
  check(): string | null {
    if (this.#behind.size > 0 || this.#journal.isBehind)
      return `${this.#directory} lacks what should be in it`;
    const paths = [recordPath(this.#directory), appliedPath(this.#directory)];
    const isAll = paths.every((path) => existsSync(path)) && (this.memory?.missing ?? []).length === 0;
    return isAll ? null : `files were removed from ${this.#directory}`;
  }

  /** Writes all of it again. Throws SystemError. */
  restore(): void {
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
      this.#journal.save();
      if (this.#record !== undefined) writeRunRecord(this.#directory, this.#record);
      if (this.#applied !== undefined) writeApplied(this.#directory, this.#applied);
      this.memory?.relink();
    } catch (error) {
      this.#trouble(error);
      throw error;
    }
    this.#behind.clear();
    this.#saidTrouble = false;
  }

  /** Writes all of it again, after somebody else has; if it can. */
  rewrite(): void {
    try {
      this.restore();
    } catch {
      // It was said, and is tried again.
    }
  }

  /** Writes what the disk lacks, if it can. */
  flush(): void {
    if (this.#record === undefined || this.check() === null) return;
    try {
      this.restore();
    } catch {
      // It was said.
    }
  }

  #attempt(which: 'record' | 'applied'): void {
    try {
      if (which === 'record') writeRunRecord(this.#directory, this.#record!);
      else writeApplied(this.#directory, this.#applied!);
      this.#behind.delete(which);
    } catch (error) {
      if (!this.#tolerates) throw notWritable(this.#directory, error);
      this.#behind.add(which);
      this.#trouble(error);
    }
  }

  #trouble(error: unknown): void {
    if (this.#saidTrouble) return;
    this.#saidTrouble = true;
    this.#log(
      `${this.#directory} cannot be written (${(error as Error).message}): the gateway goes on, other commands may see what was`,
      'warning',
      writableHint(this.#directory, error),
    );
  }
}
