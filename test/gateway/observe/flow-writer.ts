/**
 * A process that makes, uses and ends flows in a state file as fast as it can, until it is killed. Every flow's words say the same thing
 * in different ways, so that a reader can tell one flow from a mixture of two.
 *
 *     flow-writer.ts PATH CAPACITY
 */
import { openSync } from 'node:fs';
import { C_MAPPING, COLD, FlowTable, H_BYTES, H_BYTES_HIGH, HOT } from '../../../src/conntrack/flow-table.ts';
import { formatState, openState, stateBytes } from '../../../src/engine/state.ts';
import { addon } from '../../../src/link/addon.ts';

const [path, words] = process.argv.slice(2);
const capacity = Number(words);
const fd = openSync(path!, 'r+');
const buffer = addon().mmap(fd, stateBytes(capacity), true);
formatState(buffer, capacity, [1, 2]);
const state = openState(buffer);
const table = new FlowTable(buffer, state.tableOffset, capacity, state.seed);
process.stdout.write('ready\n');

let mark = 0;
const alive: number[] = [];
// One that lives throughout, and whose bytes go up and carry.
const steady = table.create(17, -1, -1, -1, -2, -2, -2, 0, 0);
let bytes = 0;
for (;;) {
  mark = (mark + 1) & 0xffff;
  const flow = table.create(
    17,
    mark,
    mark * 3,
    mark * 5,
    mark * 7,
    mark * 11,
    mark * 13,
    (mark & 511) << 23,
    mark,
  );
  table.cold[flow * COLD + C_MAPPING] = mark;
  alive.push(flow);
  if (alive.length > capacity / 2) table.destroy(alive.shift()!);
  const h = steady * HOT;
  const before = table.hot[h + H_BYTES]!;
  const after = (before + 65_535) | 0;
  table.hot[h + H_BYTES] = after;
  if (after >>> 0 < before >>> 0) table.hot[h + H_BYTES_HIGH] = table.hot[h + H_BYTES_HIGH]! + 1;
  bytes += 65_535;
  if (!Number.isSafeInteger(bytes)) break;
}
