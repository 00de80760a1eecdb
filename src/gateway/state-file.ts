/**
 * The state file: flows, ports and counters, mapped by the engine and read by `status`.
 *
 * It lies on a tmpfs, so that it costs no disk writes and is gone after a boot (its clock is the monotonic one):
 * in the run directory where that is a tmpfs, else in /dev/shm. It is preallocated, so that a full file system is
 * an error now and not a SIGBUS later. /dev/shm is open to everybody: a file found there counts only when it is a
 * plain file of our own that nobody else may touch; anything else is removed, and the new one made with O_EXCL.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, ftruncateSync, openSync, rmSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isSystemError, NatgateError } from '../core/errors.ts';
import { openState, stateBytes } from '../engine/state.ts';
import { addon } from '../link/addon.ts';

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

/**
 * Opens the state of an earlier run when `adopt` says so and it is of the same size and version, else makes an empty
 * one of `bytes` bytes in its place. Throws NatgateError `state_no_memory` when there is not enough memory for it.
 */
export function openStateFile(path: string, bytes: number, adopt: boolean): StateFile {
  const existing = adopt ? openOwn(path, bytes) : null;
  if (existing !== null) return { fd: existing, path };
  rmSync(path, { force: true });
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
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

function openOwn(path: string, bytes: number): number | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (isSystemError(error)) return null;
    throw error;
  }
  const found = fstatSync(fd);
  const own = found.isFile() && found.uid === process.geteuid!() && (found.mode & 0o077) === 0;
  if (own && found.nlink === 1 && found.size === bytes && isReadable(fd, bytes)) return fd;
  closeSync(fd);
  return null;
}

/** Whether this version of the engine can go on with it. */
function isReadable(fd: number, bytes: number): boolean {
  try {
    return stateBytes(openState(addon().mmap(fd, bytes, false)).capacity) === bytes;
  } catch (error) {
    if (error instanceof NatgateError) return false;
    throw error;
  }
}
