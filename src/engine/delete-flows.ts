/** Ending flows that somebody asked for (`natgate flows delete`), between two batches. */
import { END_DELETED } from '../conntrack/end-reasons.ts';
import { H_SEQUENCE, HOT } from '../conntrack/flow-table.ts';
import type { Tracker } from '../conntrack/tracker.ts';

/**
 * `pairs`: the number of a flow and its H_SEQUENCE. One that has ended since, and whose record may be another flow's, is left alone.
 * Returns how many ended.
 */
export function deleteFlows(tracker: Tracker, pairs: Int32Array): number {
  const { table } = tracker;
  let ended = 0;
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const flow = pairs[i]!;
    if (flow < 0 || flow >= table.capacity || !table.isLive(flow)) continue;
    if (table.hot[flow * HOT + H_SEQUENCE] !== pairs[i + 1]) continue;
    tracker.close(flow, END_DELETED);
    ended++;
  }
  return ended;
}
