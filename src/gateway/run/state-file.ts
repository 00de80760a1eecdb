/**
 * The state file: flows, ports and counters, mapped by the engine and read by `status`. Each worker has its own.
 *
 * It lies on a tmpfs, so that it costs no disk writes and is gone after a boot (its clock is the monotonic one):
 * in the run directory where that is a tmpfs, else in /dev/shm. It is preallocated, so that a full file system is
 * an error now and not a SIGBUS later. /dev/shm is open to everybody: a file found there counts only when it is a
 * plain file of our own that nobody else may touch; anything else is removed, and the new one made with O_EXCL. One that was
 * copied from another machine, or kept over a boot, says so itself (engine/state.ts) and is refused.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, ftruncateSync, openSync, rmSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { isStateOf, stateBytes, tryState } from '../../engine/state.ts';
import { addon } from '../../link/addon.ts';
import { MAX_WORKERS, type PortClass } from '../../nat/port-class.ts';
import { bootNumber } from './boot.ts';
import { workerEventsPath, workerStatePath } from './state-path.ts';
import { removeTapFiles } from './tap-files.ts';

const TMPFS_MAGIC = 0x01021994;
const SHARED_MEMORY = '/dev/shm';

export interface StateFile {
  fd: number;
  path: string;
}

/** Where the state of a run directory lies. The directory must exist. */
export function statePath(directory: string, name: string): string {
  if (statfsSync(directory).type === TMPFS_MAGIC) return join(directory, 'state');
  // Two gateways of one name may exist under two state roots.
  const which = createHash('sha256').update(resolve(directory)).digest('hex').slice(0, 8);
  return join(SHARED_MEMORY, `natgate-${name}-${which}.state`);
}

/** All that may lie there, whatever the number of workers was. */
export function removeStateFiles(path: string): void {
  for (let worker = 0; worker < MAX_WORKERS; worker++) {
    rmSync(workerStatePath(path, worker), { force: true });
    rmSync(workerEventsPath(path, worker), { force: true });
  }
  removeTapFiles(path);
}

export interface StateFiles {
  /** By worker. */
  files: StateFile[];
  /** An earlier run's that was there could not be adopted. */
  isNew: boolean;
  /** Why not. */
  refused: string;
}

/**
 * Opens the states of an earlier run when `adopt` says so and they are of the same size, version and number of workers, else
 * makes empty ones of `bytes` bytes in their place: all of them, since a flow is in the state of the worker that its ports name.
 * Throws NatgateError `state_no_memory` when there is not enough memory for them.
 */
export function openStateFiles(path: string, bytes: number, workers: number, adopt: boolean): StateFiles {
  const files: StateFile[] = [];
  let refused = '';
  try {
    for (let number = 0; adopt && number < workers; number++) {
      const own = workerStatePath(path, number);
      const fd = openEarlier(own, bytes, { workers, number });
      if (typeof fd === 'string') {
        refused = fd;
        break;
      }
      files.push({ fd, path: own });
    }
    if (files.length === workers) return { files, isNew: false, refused };
    for (const { fd } of files.splice(0)) closeSync(fd);
    removeStateFiles(path);
    for (let number = 0; number < workers; number++) files.push(create(workerStatePath(path, number), bytes));
    return { files, isNew: true, refused };
  } catch (error) {
    for (const { fd } of files) closeSync(fd);
    removeStateFiles(path);
    throw error;
  }
}

/** An empty file of our own, where there is none. */
export function createOwn(path: string): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  return openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

function create(path: string, bytes: number): StateFile {
  const fd = createOwn(path);
  try {
    addon().fallocate(fd, bytes);
  } catch (cause) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw new NatgateError(
      'state_no_memory',
      `${path}: no room for a flow table of ${Math.ceil(bytes / 1048576)} MiB`,
      'use fewer --flows, or enlarge that tmpfs',
      { cause },
    );
  }
  return { fd, path };
}

/** Makes the state of an open file empty, while no engine has it. */
export function emptyStateFile(fd: number, bytes: number): void {
  ftruncateSync(fd, 0);
  addon().fallocate(fd, bytes);
}

/** A file of this size that is there already; null where there is none, or where it is not of our own. */
export function openOwn(path: string, bytes: number): number | null {
  const fd = openOfAnySize(path);
  if (typeof fd === 'string') return null;
  if (fstatSync(fd).size === bytes) return fd;
  closeSync(fd);
  return null;
}

/** Or why not. */
function openOfAnySize(path: string): number | string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (isSystemError(error)) return `${path} cannot be opened: ${error.message}`;
    throw error;
  }
  const found = fstatSync(fd);
  const own = found.isFile() && found.uid === process.geteuid!() && (found.mode & 0o077) === 0;
  if (own && found.nlink === 1) return fd;
  closeSync(fd);
  return `${path} is not a plain file of our own that nobody else may touch`;
}

/** The file, or why it cannot be adopted. */
function openEarlier(path: string, bytes: number, worker: PortClass): number | string {
  const fd = openOfAnySize(path);
  if (typeof fd === 'string') return fd;
  const refused = refusal(fd, bytes, worker);
  if (refused === null) return fd;
  closeSync(fd);
  return refused;
}

/** Why this version of the engine cannot go on with it, on this boot; null: it can. */
function refusal(fd: number, bytes: number, worker: PortClass): string | null {
  const { size } = fstatSync(fd);
  if (size === 0) return 'the state is truncated: it is an empty file';
  const state = tryState(addon().mmap(fd, size, false), size, bootNumber());
  if (state instanceof NatgateError) return state.message;
  const { buffer, capacity } = state;
  if (stateBytes(capacity) !== bytes) return `it had other --flows: ${capacity} for each worker`;
  if (!isStateOf(buffer, worker)) return 'it had other --workers';
  return size === bytes ? null : `the state has ${size} bytes, not ${bytes}`;
}

/** Whether this version of the engine can go on with it. */
export function isReadableState(fd: number, bytes: number, worker: PortClass): boolean {
  return refusal(fd, bytes, worker) === null;
}
