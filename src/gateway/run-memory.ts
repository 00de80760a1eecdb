/**
 * The memory of a gateway that outlives its engines, in files: the states (flows, ports, counters), the taps, and the event rings; of each
 * one for every worker. The supervisor opens them once and hands the descriptors to each engine that it starts.
 */
import { closeSync, existsSync, rmSync, symlinkSync } from 'node:fs';
import { randomSeed } from '../core/random.ts';
import { S_HEARTBEAT, stateBytes } from '../engine/state.ts';
import { addon } from '../link/addon.ts';
import { EventHub } from './events/hub.ts';
import type { Log } from './log.ts';
import type { StartMessage } from './messages.ts';
import type { RunOptions } from './options.ts';
import { emptyStateFile, openStateFiles, type StateFile, statePath } from './state-file.ts';
import { createTapFiles, TAP_BYTES, type TapFile } from './tap-files.ts';

export class RunMemory {
  /** State of the first worker; the other files lie beside it. */
  readonly path: string;
  /** Whether the flows of an earlier run are in it. */
  readonly isAdopted: boolean;
  readonly events: EventHub;
  readonly tapFiles: readonly TapFile[];
  /** Of each worker. */
  readonly #flows: number;
  readonly #bytes: number;
  readonly #files: readonly StateFile[];
  readonly #seed = randomSeed();

  /**
   * Takes over what is in `directory` of an earlier run, where `adopt` says so and it can be read; else all is new. Throws NatgateError
   * `state_no_memory`, `tap_no_memory`; nothing is open then.
   */
  constructor(
    directory: string,
    { name, workers, flows }: Pick<RunOptions, 'name' | 'workers' | 'flows'>,
    adopt: boolean,
    log: Log,
  ) {
    this.path = statePath(directory, name);
    this.#flows = Math.ceil(flows / workers);
    this.#bytes = stateBytes(this.#flows);
    const { files, isNew } = openStateFiles(this.path, this.#bytes, workers, adopt);
    this.#files = files;
    this.isAdopted = adopt && !isNew;
    if (adopt && isNew) {
      log(
        'the flows of the earlier run are forgotten: it had other --flows or --workers, or was of another version',
      );
    }
    let tapFiles: TapFile[] = [];
    try {
      tapFiles = createTapFiles(this.path, workers);
      const hub = { path: this.path, flows: this.#flows, workers, adopt: this.isAdopted };
      this.events = new EventHub(hub, log);
    } catch (error) {
      closeAll([...files, ...tapFiles]);
      throw error;
    }
    this.tapFiles = tapFiles;
  }

  /** As an engine gets them: of the states, the taps, the event rings. */
  get fds(): number[] {
    return [...[...this.#files, ...this.tapFiles].map(({ fd }) => fd), ...this.events.fds];
  }

  /** What an engine must know of them. */
  get sizes(): Pick<StartMessage, 'flows' | 'stateBytes' | 'stateSeed' | 'tapBytes' | 'eventBytes'> {
    return {
      flows: this.#flows,
      stateBytes: this.#bytes,
      stateSeed: this.#seed,
      tapBytes: TAP_BYTES,
      eventBytes: this.events.bytes,
    };
  }

  /** The states, mapped anew; by worker. */
  states(): ArrayBuffer[] {
    return this.#files.map(({ fd }) => addon().mmap(fd, this.#bytes, true));
  }

  /** By worker: what changes with each turn of its loop. */
  heartbeats(): (() => number)[] {
    return this.#files.map(({ fd }) => {
      const header = new Int32Array(addon().mmap(fd, this.#bytes, false), 0, 16);
      return () => header[S_HEARTBEAT]!;
    });
  }

  /** Forgets all flows, while no engine has them. */
  empty(): void {
    this.events.forget(this.states());
    for (const { fd } of this.#files) emptyStateFile(fd, this.#bytes);
  }

  /** Names of state files that somebody has removed. */
  get missing(): string[] {
    return this.#files.filter(({ path }) => !existsSync(path)).map(({ path }) => path);
  }

  /**
   * Makes the missing ones visible again. The memory is there as long as this process is; a file that has no name can get none but this. So a
   * later run finds no flows in it.
   */
  relink(): void {
    for (const { fd, path } of this.#files) {
      if (existsSync(path)) continue;
      rmSync(path, { force: true });
      symlinkSync(`/proc/${process.pid}/fd/${fd}`, path);
    }
  }

  /** The files themselves stay. The hub of events is closed on its own: it has things to say until the end. */
  close(): void {
    closeAll([...this.#files, ...this.tapFiles]);
  }
}

function closeAll(files: readonly { fd: number }[]): void {
  for (const { fd } of files) closeSync(fd);
}
