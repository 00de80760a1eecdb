/**
 * The memory of the event rings, one file a worker beside its state (state-file.ts), and of the same kind: it goes on with the state, and is
 * made anew where that is.
 *
 * A ring is large, and most gateways want no events. So a file has its size from the start, but its pages only once somebody wants events
 * (reserve): until then nobody touches more than the header.
 */
import { closeSync, ftruncateSync, rmSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import {
  type EventSizes,
  eventBytes,
  eventSizes,
  eventSizesOf,
  formatEvents,
} from '../../engine/event-ring.ts';
import { addon } from '../../link/addon.ts';
import { createOwn, openOwn } from '../run/state-file.ts';
import { workerEventsPath } from '../run/state-path.ts';

/** What is looked at while nobody wants events: the header, and the place of the first record. */
const HEADER_BYTES = 8192;

export interface EventFiles {
  /** By worker. */
  fds: readonly number[];
  bytes: number;
  /** Each mapped, by worker. */
  memories: readonly ArrayBuffer[];
}

/** `flows`: of each worker; `path`: of the first worker's state; `adopt`: the states are those of an earlier run. */
export function openEventFiles(path: string, flows: number, workers: number, adopt: boolean): EventFiles {
  const sizes = eventSizes(flows);
  const bytes = eventBytes(sizes);
  const fds: number[] = [];
  try {
    const memories: ArrayBuffer[] = [];
    for (let worker = 0; worker < workers; worker++) {
      const { fd, memory } = openOne(workerEventsPath(path, worker), sizes, bytes, adopt);
      fds.push(fd);
      memories.push(memory);
    }
    return { fds, bytes, memories };
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw error;
  }
}

/** Gives the rings all their pages, so that a full file system cannot end in SIGBUS. Throws NatgateError `events_no_memory`. */
export function reserve({ fds, bytes }: EventFiles): void {
  try {
    for (const fd of fds) addon().fallocate(fd, bytes);
  } catch (cause) {
    throw new NatgateError(
      'events_no_memory',
      `no room for ${fds.length} event rings of ${Math.ceil(bytes / 1048576)} MiB`,
      'use fewer --flows, or enlarge the tmpfs that the state lies in',
      { cause },
    );
  }
}

function openOne(
  path: string,
  sizes: EventSizes,
  bytes: number,
  adopt: boolean,
): { fd: number; memory: ArrayBuffer } {
  const earlier = adopt ? openOwn(path, bytes) : null;
  if (earlier !== null) {
    const memory = addon().mmap(earlier, bytes, true);
    const found = eventSizesOf(memory);
    if (found?.records === sizes.records && found.flows === sizes.flows && found.slots === sizes.slots) {
      return { fd: earlier, memory };
    }
    closeSync(earlier);
  }
  rmSync(path, { force: true });
  const fd = createOwn(path);
  ftruncateSync(fd, bytes);
  addon().fallocate(fd, HEADER_BYTES);
  const memory = addon().mmap(fd, bytes, true);
  formatEvents(memory, sizes, Date.now());
  return { fd, memory };
}
