/**
 * Taking over the records of a flow table from an earlier process: every record is looked at, none is believed.
 *
 *     torn      SEQUENCE is odd: its engine died while it wrote the identity
 *     damaged   the check word (flow-check.ts) is not that of the record, under the key before neither (rekey.ts)
 *     twice     another record has one of its tuples: the younger of the two stays, where that is known in time
 *     refused   whoever called does not want it
 *
 * Index and free list are built anew, whatever the buffer has there. A record is hashed once: for its check word, to look for
 * its tuples and to put them into the index. Records are hashed a block at a time, and the places of the index touched, and what the
 * caller will look for, so that the cache misses of a block overlap. Records behind the last one that was used stay untouched.
 */
import { checkOf } from './flow-check.ts';
import {
  C_CHECK,
  C_CREATED,
  COLD,
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  LIVE,
  TUPLE,
} from './flow-table.ts';

export const BLOCK = 64;

/** What became of the records. */
export interface Adoption {
  /** Live records that were cleared, those that were refused among them. */
  cleared: number;
  /** Flows that were in the records and could not be adopted, by why. */
  torn: number;
  damaged: number;
  twice: number;
  /** Flows that have been adopted before an older record with a tuple of theirs was found; to be ended. Counted as `twice`. */
  doubtful: number[];
}

/** Brings into the cache what the caller will want of a live record, whole or not. Returns something of it, so that it is no dead code. */
export type Touch = (flow: number) => number;

/**
 * Calls `each` for every flow that can live on, its links reset; a false from it clears the flow. `broken` is called with live records
 * that cannot, `touch` some records ahead.
 */
export function adoptRecords(
  table: FlowTable,
  each: (flow: number) => boolean,
  broken: (flow: number) => void = () => {},
  touch: Touch = () => 0,
): Adoption {
  const result: Adoption = { cleared: 0, torn: 0, damaged: 0, twice: 0, doubtful: [] };
  const hashes = new Int32Array(BLOCK * 2);
  const used = countUsed(table);
  table.beginAdoption(used);
  for (let end = used; end > 0; end -= BLOCK) {
    const first = Math.max(end - BLOCK, 0);
    hashBlock(table, first, end, hashes, touch);
    for (let flow = end - 1; flow >= first; flow--) {
      const original = hashes[(flow - first) * 2]!;
      const reply = hashes[(flow - first) * 2 + 1]!;
      if (isWhole(table, flow, original, reply, result)) {
        const originalRival = table.rivalOf(flow << 1, original);
        const replyRival = table.rivalOf((flow << 1) | 1, reply);
        if (originalRival < 0 && replyRival < 0) {
          table.takeOver(flow, original, reply, originalRival, replyRival);
          if (each(flow)) continue;
          table.destroy(flow);
          result.cleared++;
          continue;
        }
        result.twice++;
        doubt(table, flow, originalRival >> 1, result);
        doubt(table, flow, replyRival >> 1, result);
      }
      if (table.isLive(flow)) {
        broken(flow);
        result.cleared++;
      }
      table.discard(flow);
    }
  }
  return result;
}

/** Records up to the last one that shows a trace of use. */
function countUsed({ hot, cold, capacity }: FlowTable): number {
  let used = capacity;
  for (; used > 0; used--) {
    const h = (used - 1) * HOT;
    if ((hot[h + H_SEQUENCE]! | hot[h + H_STATUS]! | cold[(used - 1) * COLD + C_CHECK]!) !== 0) break;
  }
  return used;
}

/** The hashes of both tuples of live records. Returns something of what was touched. */
export function hashBlock(
  table: FlowTable,
  first: number,
  end: number,
  hashes: Int32Array,
  touch: Touch = () => 0,
): number {
  const { hot, index } = table;
  let count = 0;
  for (let flow = first; flow < end; flow++) {
    const h = flow * HOT;
    const t = h + TUPLE;
    const status = hot[h + H_STATUS]!;
    if ((status & LIVE) === 0) continue;
    const protocol = status & 0xff;
    const i = (flow - first) * 2;
    hashes[i] = table.hash(hot[h]!, hot[h + H_DESTINATION]!, hot[h + H_PORTS]!, protocol);
    hashes[i + 1] = table.hash(hot[t]!, hot[t + H_DESTINATION]!, hot[t + H_PORTS]!, protocol);
    count = i + 2;
  }
  let touched = 0;
  for (let i = 0; i < count; i++) touched |= index.touch(hashes[i]!);
  for (let flow = first; flow < end; flow++) if (table.isLive(flow)) touched |= touch(flow);
  return touched;
}

/** Whether a record is as its engine wrote it, and a live flow. Counts what it had, if not. */
function isWhole(table: FlowTable, flow: number, original: number, reply: number, result: Adoption): boolean {
  const { hot, cold } = table;
  const h = flow * HOT;
  const status = hot[h + H_STATUS]!;
  const sequence = hot[h + H_SEQUENCE]!;
  const check = cold[flow * COLD + C_CHECK]!;
  const created = cold[flow * COLD + C_CREATED]!;
  if ((status & LIVE) === 0) {
    // A flow was here: something of it is left.
    if (check !== 0 && (status !== 0 || (sequence === 0 && created !== 0))) result.damaged++;
    return false;
  }
  if ((sequence & 1) !== 0) {
    result.torn++;
    return false;
  }
  if (check !== checkOf(original, reply, status, created, sequence) && !table.resealed(flow)) {
    if (check !== 0) result.damaged++;
    return false;
  }
  return true;
}

/** An adopted flow, or -1, that has a tuple of `flow`. One that is not the younger is in doubt itself. */
function doubt({ cold }: FlowTable, flow: number, other: number, result: Adoption): void {
  if (other < 0) return;
  const isYounger = ((cold[other * COLD + C_CREATED]! - cold[flow * COLD + C_CREATED]!) | 0) > 0;
  if (isYounger || result.doubtful.includes(other)) return;
  result.doubtful.push(other);
  result.twice++;
}
