/**
 * The tap files of a gateway, one for each worker, beside its states: rings of dropped packets, captures and traces (engine/tap-ring.ts),
 * which the engine writes and others read. The supervisor makes them anew at each start and holds them, so they outlive an engine.
 *
 * As of the state files, memory is there before it is written to: that of dropped packets always, that of captures from the first one on.
 */
import { closeSync, constants, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import { formatTap, TAP_DROPS_BYTES, TAP_HEADER_BYTES, TAP_WORDS, tapBytes } from '../../engine/tap-ring.ts';
import { addon } from '../../link/addon.ts';
import { MAX_WORKERS } from '../../nat/port-class.ts';
import { workerStatePath } from './state-path.ts';

export const TAP_BYTES = tapBytes(TAP_WORDS);

export interface TapFile {
  fd: number;
  path: string;
}

/** `statePath`: of the first worker's state. */
export function workerTapPath(statePath: string, worker: number): string {
  return `${workerStatePath(statePath, worker)}.tap`;
}

/** By worker. Throws NatgateError `tap_no_memory`; nothing is left then. */
export function createTapFiles(statePath: string, workers: number): TapFile[] {
  removeTapFiles(statePath);
  const files: TapFile[] = [];
  try {
    for (let worker = 0; worker < workers; worker++) files.push(create(workerTapPath(statePath, worker)));
    return files;
  } catch (error) {
    for (const { fd } of files) closeSync(fd);
    removeTapFiles(statePath);
    throw error;
  }
}

export function removeTapFiles(statePath: string): void {
  for (let worker = 0; worker < MAX_WORKERS; worker++) {
    rmSync(workerTapPath(statePath, worker), { force: true });
  }
}

/** Memory for captures. Throws NatgateError `tap_no_memory`. */
export function reserveTap({ fd, path }: TapFile): void {
  allocate(fd, path, TAP_BYTES);
}

function create(path: string): TapFile {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    ftruncateSync(fd, TAP_BYTES);
    allocate(fd, path, TAP_DROPS_BYTES);
    const header = new ArrayBuffer(TAP_HEADER_BYTES);
    formatTap(header, TAP_WORDS);
    writeSync(fd, new Uint8Array(header), 0, TAP_HEADER_BYTES, 0);
    return { fd, path };
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
  }
}

function allocate(fd: number, path: string, bytes: number): void {
  try {
    addon().fallocate(fd, bytes);
  } catch (cause) {
    throw new NatgateError(
      'tap_no_memory',
      `${path}: no room for ${Math.ceil(bytes / 1048576)} MiB of packets`,
      'enlarge that tmpfs',
      { cause },
    );
  }
}
