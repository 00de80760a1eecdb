/** Tuples that somebody who knows the key can make: the index has one home for all of them. */
import { type FlowTable, H_STATUS, HOT, LIVE } from '../../src/conntrack/flow-table.ts';
import { type HashKey, hashTuple } from '../../src/conntrack/tuple.ts';

/** Words of a tuple. */
export type Tuple = readonly [source: number, destination: number, ports: number];

/** `count` tuples of `protocol` whose hashes are equal under `mask`, of those that `nth` names. */
export function collidingTuples(
  count: number,
  protocol: number,
  key: HashKey,
  mask: number,
  nth: (n: number) => Tuple,
): Tuple[] {
  const found: Tuple[] = [];
  const home = hashTuple(...nth(0), protocol, ...key) & mask;
  for (let n = 0; found.length < count; n++) {
    const tuple = nth(n);
    if ((hashTuple(...tuple, protocol, ...key) & mask) === home) found.push(tuple);
  }
  return found;
}

/** How far from its home the farthest entry of the index is; that each is there is seen by the way. */
export function farthestOf(table: FlowTable): number {
  const { index, hot, capacity } = table;
  const at = new Map<number, number>();
  for (let slot = 0; slot < index.words.length; slot++) {
    if (index.words[slot] !== 0) at.set(index.valueAt(slot), slot);
  }
  let farthest = 0;
  for (let handle = 0; handle < capacity * 2; handle++) {
    if ((hot[(handle >> 1) * HOT + H_STATUS]! & LIVE) === 0) continue;
    const distance = (at.get(handle)! - table.hashOfHandle(handle)) & index.mask;
    farthest = Math.max(farthest, distance);
  }
  return farthest;
}
