/**
 * Another hash key for a flow table that lives: whoever has made tuples collide has to begin anew.
 *
 * All that depends on the key is made again in one pass: the index, and the check word of each live record (flow-check.ts), which is over
 * the hashes. Nothing of a flow's identity changes, SEQUENCE neither: who reads the records from another process, or knows flows by
 * (flow, SEQUENCE), notices nothing. Records are hashed a block at a time as in flow-adoption.ts.
 *
 * Each check word changes in one store. A process that is killed in the pass leaves records that are sealed with either key; whoever
 * adopts them must know both.
 */
import { BLOCK, hashBlock } from './flow-adoption.ts';
import { checkOf } from './flow-check.ts';
import { C_CHECK, C_CREATED, COLD, type FlowTable, H_SEQUENCE, H_STATUS, HOT, LIVE } from './flow-table.ts';
import type { HashKey } from './tuple.ts';

/** Records between two calls of `alive`: a few ms. */
const ALIVE_EVERY = 16_384;

/** Gives the table another key. `alive` is called now and then while that takes. */
export function rekeyTable(table: FlowTable, key: HashKey, alive: () => void = () => {}): void {
  const { hot, cold, index, fresh } = table;
  const hashes = new Int32Array(BLOCK * 2);
  table.setKey(key);
  for (let first = 0; first < fresh; first += BLOCK) {
    if (first % ALIVE_EVERY === 0) alive();
    const end = Math.min(first + BLOCK, fresh);
    hashBlock(table, first, end, hashes);
    for (let flow = first; flow < end; flow++) {
      const status = hot[flow * HOT + H_STATUS]!;
      if ((status & LIVE) === 0) continue;
      const original = hashes[(flow - first) * 2]!;
      const reply = hashes[(flow - first) * 2 + 1]!;
      const created = cold[flow * COLD + C_CREATED]!;
      const sequence = hot[flow * HOT + H_SEQUENCE]!;
      cold[flow * COLD + C_CHECK] = checkOf(original, reply, status, created, sequence);
      index.insert(original, flow << 1);
      index.insert(reply, (flow << 1) | 1);
    }
  }
}
