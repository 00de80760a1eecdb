/**
 * The memory of a gateway that outlives its engines, in files: the states (flows, ports, counters), the taps, and the event rings; of each
 * one for every worker. The supervisor opens them once and hands the descriptors to each engine that it starts.
 */
import { closeSync, existsSync, rmSync, symlinkSync } from 'node:fs';
import { randomSeed } from '../../core/random.ts';
import { FLOWS_LOST } from '../../engine/counters.ts';
import { formatState, isBlank, openState, S_HEARTBEAT, stateBytes } from '../../engine/state.ts';
import { addon } from '../../link/addon.ts';
import { monotonicMs } from '../clock.ts';
import type { StartMessage } from '../engines/messages.ts';
import { EventHub } from '../events/hub.ts';
import type { Log } from '../log.ts';
import type { RunOptions } from '../options.ts';
import type { SavedFlowsReader } from '../saved-flows/format.ts';
import { type Restored, restoreFlows } from '../saved-flows/restore.ts';
import { openTapFiles, requireSameMemory } from '../takeover/memory.ts';
import { bootNumber } from './boot.ts';
import type { RunRecord } from './run-record.ts';
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
   * Takes over what is in `directory` of an earlier run, where `adopt` says so and it can be read; else all is new. With `from`
   * `running` that run goes on, and nothing may be new. Throws NatgateError `state_no_memory`, `tap_no_memory`, `takeover_refused`;
   * nothing is open then.
   */
  constructor(
    directory: string,
    { name, workers, flows }: Pick<RunOptions, 'name' | 'workers' | 'flows'>,
    from: 'nobody' | 'earlier' | 'running',
    log: Log,
  ) {
    this.path = statePath(directory, name);
    this.#flows = Math.ceil(flows / workers);
    this.#bytes = stateBytes(this.#flows);
    const adopt = from !== 'nobody';
    if (from === 'running') requireSameMemory(this.path, this.#flows, this.#bytes, workers);
    const { files, isNew, refused } = openStateFiles(this.path, this.#bytes, workers, adopt);
    this.#files = files;
    this.isAdopted = adopt && !isNew;
    if (adopt && isNew) {
      log(`the flows of the earlier run are forgotten: ${refused}`);
    }
    let tapFiles: TapFile[] = [];
    try {
      tapFiles = from === 'running' ? openTapFiles(this.path, workers) : createTapFiles(this.path, workers);
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
  get sizes(): Pick<StartMessage, 'flows' | 'stateBytes' | 'stateSeed' | 'boot' | 'tapBytes' | 'eventBytes'> {
    return {
      flows: this.#flows,
      stateBytes: this.#bytes,
      stateSeed: this.#seed,
      boot: bootNumber(),
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

  /** Gives the states saved flows, while no engine has them; `record`: of the gateway. */
  restore(file: SavedFlowsReader, { rules, timeouts }: Pick<RunRecord, 'rules' | 'timeouts'>): Restored {
    const states = this.states();
    const { length: workers } = states;
    const origin = { boot: bootNumber(), created: Math.floor(Date.now() / 1000) };
    for (const [number, state] of states.entries()) {
      if (isBlank(state)) formatState(state, this.#flows, this.#seed, { workers, number }, origin);
    }
    return restoreFlows(file, { states, rules, timeouts, now: monotonicMs(), wallNow: Date.now() });
  }

  /** Flows that engines could not take over. */
  get lost(): number {
    return this.states().reduce((sum, state) => sum + openState(state).counters[FLOWS_LOST]!, 0);
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
