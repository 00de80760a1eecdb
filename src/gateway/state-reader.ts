/** Reads the state file of a gateway from another process, without the addon: the engine goes on writing meanwhile. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type FlowInfo, readFlow } from '../conntrack/flow-info.ts';
import { HOT } from '../conntrack/flow-table.ts';
import { rfcTimeouts, type Timeouts, TimeoutTable } from '../conntrack/timeouts.ts';
import { openState, S_NOW, type State, TABLE_OFFSET } from '../engine/state.ts';

/**
 * Reads header and counters, and the flow table only `withFlows`: it may be large. Without it the table looks empty.
 * Throws NatgateError `state_foreign` when the state is another version's.
 */
export function readStateFile(path: string, withFlows: boolean): State {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    // Zero pages that are never touched cost nothing.
    const buffer = new ArrayBuffer(size);
    const wanted = new Uint8Array(buffer, 0, withFlows ? size : Math.min(size, TABLE_OFFSET));
    let at = 0;
    while (at < wanted.length) {
      const got = readSync(fd, wanted, at, wanted.length - at, at);
      if (got === 0) break;
      at += got;
    }
    return openState(buffer);
  } finally {
    closeSync(fd);
  }
}

/** The live flows, in the order of their records. `timeouts`: where they differ from the defaults. */
export function* readFlows(state: State, timeoutsSet: Partial<Timeouts>): Generator<FlowInfo> {
  const hot = new Int32Array(state.buffer, state.tableOffset, state.capacity * HOT);
  const timeouts = new TimeoutTable({ ...rfcTimeouts, ...timeoutsSet });
  for (let flow = 0; flow < state.capacity; flow++) {
    const info = readFlow(hot, flow, timeouts, state.header[S_NOW]!);
    if (info !== null) yield info;
  }
}
