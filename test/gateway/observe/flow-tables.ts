/** State files of two workers, full of flows. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FlowTable, H_BYTES, HOT } from '../../../src/conntrack/flow-table.ts';
import { FLOWS_TCP, FLOWS_UDP } from '../../../src/engine/counters.ts';
import { formatState, openState, stateBytes } from '../../../src/engine/state.ts';
import type { RunRecord } from '../../../src/gateway/run/run-record.ts';
import { addon } from '../../../src/link/addon.ts';
import { parseAddress } from '../../../src/wire/address.ts';

/** Flows of each worker: from 10.0.WORKER.2 to 192.0.2.1; every third is TCP. */
export const FLOWS = 3000;
const CAPACITY = 4000;

export function flowTables(): { record: RunRecord; remove(): void } {
  const folder = mkdtempSync('/dev/shm/natgate-test-');
  const statePath = join(folder, 'state');
  const fds = [statePath, `${statePath}.1`].map((file) => openSync(file, 'w+', 0o600));
  const tables = fds.map((fd) => {
    addon().fallocate(fd, stateBytes(CAPACITY));
    const buffer = addon().mmap(fd, stateBytes(CAPACITY), true);
    formatState(buffer, CAPACITY, [1, 2]);
    const state = openState(buffer);
    // As the engine counts them.
    state.counters[FLOWS_TCP] = FLOWS / 3;
    state.counters[FLOWS_UDP] = (FLOWS / 3) * 2;
    return new FlowTable(buffer, state.tableOffset, CAPACITY, state.seed);
  });
  for (const [worker, table] of tables.entries()) {
    for (let i = 0; i < FLOWS; i++) {
      const [source, remote] = [parseAddress(`10.0.${worker}.2`)!, parseAddress('192.0.2.1')!];
      const flow = table.create(i % 3 === 0 ? 6 : 17, source, remote, i, remote, i + 1, i, 0, 0);
      table.hot[flow * HOT + H_BYTES] = i;
    }
  }
  const record = { rules: ['lan'], timeouts: {}, statePath, workers: 2, private: ['g0'], public: 'g1' };
  return {
    record: record as unknown as RunRecord,
    remove() {
      for (const fd of fds) closeSync(fd);
      rmSync(folder, { recursive: true });
    },
  };
}
