/**
 * The journal of a gateway: JSON lines in `<state root>/<name>/journal`. The first line says whose it is, each
 * further one how to take back one step.
 *
 * Invariant: a step's record is on disk before the step is made. So after a crash at any moment the journal knows at
 * least what was changed, and undoing a step that was never made must do no harm. A torn last line belongs to a step
 * that was not made.
 *
 * A gateway that runs must go on when its disk is full, or its folder gone: from `tolerate` on a record that cannot be written is kept here, and
 * its step made; `save` writes all again. Who kills the gateway meanwhile finds less than was changed.
 *
 * The header is also the gateway's claim on its name and interfaces: it holds while its process lives.
 */
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import type { ProcessIdentity } from '../process-identity.ts';
import { replaceFile } from '../replace-file.ts';
import type { UndoRecord } from './undo-records.ts';

const VERSION = 1;

export interface JournalHeader extends ProcessIdentity {
  version: number;
  name: string;
  /** Inode of the network namespace in which the steps were made. */
  netns: number;
  /** Names, private interfaces first, the public one last. */
  interfaces: string[];
  /** Changes whenever a process makes or adopts the journal. */
  owner: string;
  /** ISO 8601. */
  started: string;
}

export interface JournalEntry {
  step: string;
  undo: UndoRecord;
}

export interface JournalContent {
  header: JournalHeader;
  /** In the order in which the steps were made. */
  entries: JournalEntry[];
}

/** A journal that this process may write. `openJournal` (claim.ts) makes them. */
export class Journal {
  readonly stateRoot: string;
  readonly header: JournalHeader;
  /** Steps of an earlier process were found and are kept. */
  readonly adopted: boolean;
  /** Another process lives by what it lists, and may get it back: nothing of it may be undone. */
  isShared: boolean;
  readonly #entries: Map<string, UndoRecord>;
  #tolerates = false;
  /** What kept the newest of it from the disk. */
  #trouble: Error | null = null;

  constructor(root: string, content: JournalContent, isShared = false) {
    this.stateRoot = root;
    this.header = content.header;
    this.isShared = isShared;
    this.adopted = content.entries.length > 0;
    this.#entries = new Map(content.entries.map(({ step, undo }) => [step, undo]));
    writeJournal(root, content);
  }

  /** Whether the journal knows already how to take this step back. */
  has(step: string): boolean {
    return this.#entries.has(step);
  }

  /** Makes it this process's again, with what another has added meanwhile. */
  reclaim(): void {
    const content = readJournal(this.stateRoot, this.header.name);
    this.#entries.clear();
    for (const { step, undo } of content?.entries ?? []) this.#entries.set(step, undo);
    this.#attempt(() => writeJournal(this.stateRoot, this.content));
  }

  /** Forgets steps that have been taken back. */
  drop(steps: readonly string[]): void {
    for (const step of steps) this.#entries.delete(step);
    this.#attempt(() => writeJournal(this.stateRoot, this.content));
  }

  /** Returns once the record is on disk. */
  append(step: string, undo: UndoRecord): void {
    // Behind half a record, or in a file that lacks others, it would be lost.
    if (this.#trouble === null) this.#attempt(() => this.#write(step, undo));
    this.#entries.set(step, undo);
    if (this.#trouble !== null) this.#attempt(() => writeJournal(this.stateRoot, this.content));
  }

  /** What it says, whatever of it is on disk. */
  get content(): JournalContent {
    const entries = Array.from(this.#entries, ([step, undo]) => ({ step, undo }));
    return { header: this.header, entries };
  }

  /** From now on a disk that cannot be written is no reason to stop. */
  tolerate(): void {
    this.#tolerates = true;
  }

  /** Whether the disk lacks something of it. */
  get isBehind(): boolean {
    return this.#trouble !== null || !existsSync(journalPath(this.stateRoot, this.header.name));
  }

  /** Writes all of it again. Throws SystemError. */
  save(): void {
    writeJournal(this.stateRoot, this.content);
    this.#trouble = null;
  }

  #write(step: string, undo: UndoRecord): void {
    const { O_WRONLY, O_APPEND } = constants;
    // Made anew where it is gone, it would be without a header.
    const fd = openSync(journalPath(this.stateRoot, this.header.name), O_WRONLY | O_APPEND);
    try {
      writeSync(fd, `${JSON.stringify({ step, undo })}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  #attempt(write: () => void): void {
    try {
      write();
      this.#trouble = null;
    } catch (error) {
      if (!this.#tolerates) throw error;
      this.#trouble = error as Error;
    }
  }
}

export function journalPath(root: string, name: string): string {
  return join(root, name, 'journal');
}

/** Returns null when there is none. Throws NatgateError `journal_broken` when it is not natgate's. */
export function readJournal(root: string, name: string): JournalContent | null {
  const path = journalPath(root, name);
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return null;
    throw error;
  }
  const lines = content.split('\n');
  // Without its newline the last line was not written whole; after one, it is empty.
  lines.pop();
  try {
    const [header, ...entries] = lines.map((line) => JSON.parse(line));
    if (header.version === VERSION) return { header, entries };
  } catch {
    // Said below.
  }
  throw new NatgateError(
    'journal_broken',
    `${path} is not a journal that this version of natgate can read`,
    'undo it with the version that wrote it; or remove the file, and what it lists by hand',
  );
}

/** Every journal under the root. */
export function readJournals(root: string): JournalContent[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch {
    return [];
  }
  return names.map((name) => readJournal(root, name)).filter((content) => content !== null);
}

/** Replaces the journal as a whole: a reader sees the old one or the new one. */
export function writeJournal(root: string, { header, entries }: JournalContent): void {
  mkdirSync(join(root, header.name), { recursive: true, mode: 0o755 });
  const text = [header, ...entries].map((line) => `${JSON.stringify(line)}\n`).join('');
  replaceFile(journalPath(root, header.name), text, { sync: true });
}

/** Removes the journal, and its folder if nothing else is in it. */
export function removeJournal(root: string, name: string): void {
  rmSync(journalPath(root, name), { force: true });
  try {
    rmdirSync(join(root, name));
  } catch {
    // Other files of the gateway are there.
  }
}

export function newHeader(
  name: string,
  interfaces: readonly string[],
  identity: ProcessIdentity,
  netns: number,
  owner: string,
): JournalHeader {
  return {
    version: VERSION,
    name,
    ...identity,
    netns,
    interfaces: [...interfaces],
    owner,
    started: new Date().toISOString(),
  };
}
