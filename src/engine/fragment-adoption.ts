/**
 * Datagrams in flight that an earlier process has seen the first fragment of: their later ones go its way. An entry is taken over when it
 * is whole (its check word), not older or younger than it can be, and when its flow still is the one whose tuple has its addresses: so
 * that no fragment is ever translated as another flow's.
 */
import { type FlowTable, H_DESTINATION, H_SEQUENCE, H_STATUS, HOT, TUPLE } from '../conntrack/flow-table.ts';
import { DROPPED, FOR_HOST, type Fragments, fragmentKey, HANDED } from '../conntrack/fragments.ts';
import { REASON_COUNT } from '../core/reasons.ts';
import { type State, workerOf } from './state.ts';

/** Returns how many datagrams were lost. */
export function adoptFragments(fragments: Fragments, table: FlowTable, state: State, now: number): number {
  const { workers, number } = workerOf(state);
  return fragments.adopt(now, (datagram) => {
    const verdict = fragments.verdict(datagram);
    const sequence = fragments.sequence(datagram);
    if (verdict === FOR_HOST) return true;
    if (verdict === DROPPED) return sequence > 0 && sequence < REASON_COUNT;
    if (verdict <= HANDED) return HANDED - verdict < workers && HANDED - verdict !== number;
    return verdict >= 0 && isOfFlow(fragments, datagram, table, verdict, sequence);
  });
}

function isOfFlow(
  fragments: Fragments,
  datagram: number,
  table: FlowTable,
  handle: number,
  sequence: number,
): boolean {
  const { hot, capacity } = table;
  const flow = handle >> 1;
  const h = flow * HOT;
  if (flow >= capacity || !table.isLive(flow) || hot[h + H_SEQUENCE] !== sequence) return false;
  const t = h + (handle & 1) * TUPLE;
  const key = fragmentKey(
    hot[h + H_STATUS]! & 0xff,
    fragments.keyOf(datagram) & 0xffff,
    table.sideOf(handle),
  );
  return (
    fragments.sourceOf(datagram) === hot[t] &&
    fragments.destinationOf(datagram) === hot[t + H_DESTINATION] &&
    fragments.keyOf(datagram) === key
  );
}
