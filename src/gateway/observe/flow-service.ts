/**
 * Flows as the control socket gives them: a page or all of them as JSON, how many there are, and their end. Made for requests of any size:
 * it holds no more than a piece of the answer (of a sorted one, `limit` flows), and lets the event loop turn between two pieces.
 *
 * A cursor is the place in the table where the next page begins. Pages together are every flow that lived throughout, once; of those that
 * began or ended in between each is in at most one.
 */
import { setImmediate } from 'node:timers/promises';
import { NatgateError } from '../../core/errors.ts';
import { FLOW_GAUGES, sumOfCounters } from '../../engine/counters.ts';
import { ClientNames } from '../../host/client-names.ts';
import type { RunRecord } from '../run/run-record.ts';
import { statesOf } from '../run/state-reader.ts';
import { type DeleteFlows, deleteFlows, FLOWS_AT_ONCE } from './delete-flows.ts';
import { type Filter, isEverything } from './filter.ts';
import { flowMatcher } from './filter-match.ts';
import { requireRules } from './filter-names.ts';
import { parseFilter } from './filter-parse.ts';
import { flowJson } from './flow-json.ts';
import { contextOf, type ListedFlow, listFlowsOf, parseFlowId } from './flow-list.ts';
import { type FlowOrder, sortedFlows } from './flow-sort.ts';

export interface FlowQuery {
  /** In the filter language; empty: all. */
  filter: string;
  limit?: number | undefined;
  sort?: FlowOrder | undefined;
  /** Where the page before has ended. */
  cursor?: string | undefined;
}

/** Flows of a sorted answer, at most: they are held. */
const MOST_SORTED = 10_000;

export class FlowService {
  private readonly record: () => RunRecord;
  private readonly ask: DeleteFlows;
  private readonly names = new ClientNames();

  /** `record`: of the gateway at the moment; may throw NatgateError `not_ready`. `ask`: Gateway.deleteFlows. */
  constructor(record: () => RunRecord, ask: DeleteFlows) {
    this.record = record;
    this.ask = ask;
  }

  /**
   * `{"flows": [...], "cursor": null}` in pieces; the cursor is a text where there may be more. What is wrong with the query is thrown at
   * once, before the first piece: NatgateError `filter_invalid`, `bad_cursor`, `bad_limit`.
   */
  list({ filter, limit, sort, cursor }: FlowQuery): AsyncGenerator<string, void, void> {
    const matches = this.matcher(filter);
    const from = cursor === undefined ? { worker: 0, flow: 0 } : placeOf(cursor);
    if (sort !== undefined && (cursor !== undefined || (limit ?? MOST_SORTED) > MOST_SORTED)) {
      throw new NatgateError(
        'bad_limit',
        `a sorted list has no pages and at most ${MOST_SORTED} flows`,
        'leave `sort` or `cursor` out',
      );
    }
    const flows = listFlowsOf(this.record(), this.context(), from);
    if (sort !== undefined) return this.sorted(flows, matches, sort, limit ?? MOST_SORTED);
    return this.page(flows, matches, limit ?? Number.POSITIVE_INFINITY);
  }

  /** Of all flows the engine has counted them itself; else all of them are looked at. */
  async count(filter: string): Promise<number> {
    if (isEverything(parseFilter(filter))) return liveFlows(this.record());
    const matches = this.matcher(filter);
    let count = 0;
    for await (const _ of this.matching(listFlowsOf(this.record(), this.context()), matches)) count++;
    return count;
  }

  /** Ends those that the filter means; returns how many. */
  delete(filter: string): Promise<number> {
    const matches = this.matcher(filter);
    return deleteFlows(listFlowsOf(this.record(), this.context()), matches, this.ask);
  }

  private context() {
    return contextOf(this.record(), this.names);
  }

  private matcher(text: string): (flow: ListedFlow) => boolean {
    const filter: Filter = parseFilter(text);
    requireRules(filter, this.record().rules);
    return isEverything(filter) ? () => true : flowMatcher(filter);
  }

  private async *page(
    flows: Iterable<ListedFlow>,
    matches: (flow: ListedFlow) => boolean,
    limit: number,
  ): AsyncGenerator<string, void, void> {
    let piece = '{"flows":[';
    let count = 0;
    let next: string | null = null;
    if (limit > 0) {
      for await (const flow of this.matching(flows, matches)) {
        piece += `${count++ === 0 ? '' : ','}${JSON.stringify(flowJson(flow))}`;
        if (piece.length > 65_536) {
          yield piece;
          piece = '';
        }
        if (count < limit) continue;
        const place = parseFlowId(flow.id)!;
        next = `${place.worker}.${place.flow + 1}`;
        break;
      }
    }
    yield `${piece}],"cursor":${JSON.stringify(next)}}`;
  }

  private async *sorted(
    flows: Iterable<ListedFlow>,
    matches: (flow: ListedFlow) => boolean,
    order: FlowOrder,
    limit: number,
  ): AsyncGenerator<string, void, void> {
    let best: ListedFlow[] = [];
    for await (const flow of this.matching(flows, matches)) {
      best.push(flow);
      if (best.length > 2 * limit + FLOWS_AT_ONCE) best = [...sortedFlows(best, order, limit)];
    }
    const list = [...sortedFlows(best, order, limit)].map((flow) => JSON.stringify(flowJson(flow)));
    yield `{"flows":[${list.join(',')}],"cursor":null}`;
  }

  private async *matching(
    flows: Iterable<ListedFlow>,
    matches: (flow: ListedFlow) => boolean,
  ): AsyncGenerator<ListedFlow, void, void> {
    let looked = 0;
    for (const flow of flows) {
      if (++looked % FLOWS_AT_ONCE === 0) await setImmediate();
      if (matches(flow)) yield flow;
    }
  }
}

function liveFlows(record: RunRecord): number {
  const counters = sumOfCounters(statesOf(record, false));
  return FLOW_GAUGES.reduce((sum, gauge) => sum + counters[gauge]!, 0);
}

function placeOf(cursor: string): { worker: number; flow: number } {
  const match = /^(\d{1,2})\.(\d{1,8})$/.exec(cursor);
  if (match === null) {
    throw new NatgateError(
      'bad_cursor',
      `${cursor.slice(0, 40)} is no cursor`,
      'give back what the page before said',
    );
  }
  return { worker: Number(match[1]), flow: Number(match[2]) };
}
