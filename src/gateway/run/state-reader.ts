/** Reads the state file of a gateway from another process, without the addon: the engine goes on writing meanwhile. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { openState, type State, TABLE_OFFSET } from '../../engine/state.ts';
import type { RunRecord } from './run-record.ts';
import { workerStatePath } from './state-path.ts';

/**
 * Reads header and counters, and the flow table only `withFlows`: it may be large, and is then as it was word for word at slightly
 * different times (observe/flow-reader.ts reads flows whole). Without it the buffer ends before the table.
 * Throws NatgateError `state_foreign` when the state is another version's.
 */
export function readStateFile(path: string, withFlows: boolean): State {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const wanted = new Uint8Array(new ArrayBuffer(withFlows ? size : Math.min(size, TABLE_OFFSET)));
    readAt(fd, wanted, 0);
    return openState(wanted.buffer, size);
  } finally {
    closeSync(fd);
  }
}

/** The states of all workers of a gateway. */
export function statesOf(
  { statePath, workers = 1 }: Pick<RunRecord, 'statePath' | 'workers'>,
  withFlows: boolean,
): State[] {
  return Array.from({ length: workers }, (_, worker) =>
    readStateFile(workerStatePath(statePath, worker), withFlows),
  );
}

/** Reads as much of `wanted` as the file has from `offset`. */
export function readAt(fd: number, wanted: Uint8Array, offset: number): void {
  let at = 0;
  while (at < wanted.length) {
    const got = readSync(fd, wanted, at, wanted.length - at, offset + at);
    if (got === 0) break;
    at += got;
  }
}
