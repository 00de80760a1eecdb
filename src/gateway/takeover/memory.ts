/** The memory of a gateway that runs: may this version go on with it, as it is? Nothing is changed before that is known. */
import { closeSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import { eventBytes, eventSizes, eventSizesOf } from '../../engine/event-ring.ts';
import { addon } from '../../link/addon.ts';
import { isReadableState, openOwn, type StateFile } from '../run/state-file.ts';
import { workerEventsPath, workerStatePath } from '../run/state-path.ts';
import { TAP_BYTES, type TapFile, workerTapPath } from '../run/tap-files.ts';

/** `flows`, `bytes`: of each worker. Throws NatgateError `takeover_refused`. */
export function requireSameMemory(path: string, flows: number, bytes: number, workers: number): void {
  const sizes = eventSizes(flows);
  for (let number = 0; number < workers; number++) {
    probe(workerStatePath(path, number), bytes, (fd) => isReadableState(fd, bytes, { workers, number }));
    const ring = eventBytes(sizes);
    probe(workerEventsPath(path, number), ring, (fd) => {
      const found = eventSizesOf(addon().mmap(fd, ring, false));
      return found?.records === sizes.records && found.flows === sizes.flows && found.slots === sizes.slots;
    });
    probe(workerTapPath(path, number), TAP_BYTES, () => true);
  }
}

/** Those of the gateway that runs, which requireSameMemory has seen. */
export function openTapFiles(path: string, workers: number): TapFile[] {
  const files: StateFile[] = [];
  for (let worker = 0; worker < workers; worker++) {
    const own = workerTapPath(path, worker);
    const fd = openOwn(own, TAP_BYTES);
    if (fd === null) throw refusal(own);
    files.push({ fd, path: own });
  }
  return files;
}

function probe(path: string, bytes: number, isGood: (fd: number) => boolean): void {
  const fd = openOwn(path, bytes);
  if (fd === null) throw refusal(path);
  try {
    if (!isGood(fd)) throw refusal(path);
  } finally {
    closeSync(fd);
  }
}

function refusal(path: string): NatgateError {
  return new NatgateError(
    'takeover_refused',
    `the gateway that runs has another layout of memory than this version (${path})`,
    'stop it and start this one; connections do not live through that',
  );
}
