/** The first so many flows in an order, out of any number, without keeping them all. */
import type { ListedFlow } from './flow-list.ts';

export const FLOW_ORDERS = ['bytes', 'packets', 'age', 'timeout'] as const;
export type FlowOrder = (typeof FLOW_ORDERS)[number];

const KEYS: Record<FlowOrder, (flow: ListedFlow) => number> = {
  bytes: (flow) => flow.originalBytes + flow.replyBytes,
  packets: (flow) => flow.originalPackets + flow.replyPackets,
  age: (flow) => flow.ageSeconds,
  timeout: (flow) => flow.timeoutSeconds,
};

/** The most at the front; `order` undefined: as they come. */
export function* sortedFlows(
  flows: Iterable<ListedFlow>,
  order: FlowOrder | undefined,
  limit = Number.POSITIVE_INFINITY,
): Generator<ListedFlow, void, void> {
  if (order === undefined) {
    let left = limit;
    if (left <= 0) return;
    for (const flow of flows) {
      yield flow;
      if (--left <= 0) return;
    }
    return;
  }
  const key = KEYS[order];
  const compare = (a: ListedFlow, b: ListedFlow) => key(b) - key(a);
  let best: ListedFlow[] = [];
  for (const flow of flows) {
    best.push(flow);
    if (best.length >= 2 * limit + 1024) best = best.sort(compare).slice(0, limit);
  }
  yield* best.sort(compare).slice(0, limit);
}

export function* matchingFlows(
  flows: Iterable<ListedFlow>,
  matches: (flow: ListedFlow) => boolean,
): Generator<ListedFlow, void, void> {
  for (const flow of flows) if (matches(flow)) yield flow;
}
