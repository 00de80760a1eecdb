/** Flows and counters over the control socket: what ends flows, and what those look at who may not read the state files. */
import type { CounterSample } from '../gateway/observe/counters.ts';
import { type Filter, formatFilter } from '../gateway/observe/filter.ts';
import type { FlowJson } from '../gateway/observe/flow-json.ts';
import type { ListedFlow } from '../gateway/observe/flow-list.ts';
import { parseAddress } from '../wire/address.ts';
import { ask, type Which } from './client.ts';

/** An answer is held as one text. */
const PAGE = 10_000;

/** All that the filter means, page by page. Limits: they are held. */
export async function askFlows(which: Which, filter: Filter): Promise<ListedFlow[]> {
  const flows: ListedFlow[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query = new URLSearchParams({ filter: formatFilter(filter), limit: `${PAGE}` });
    if (cursor !== '') query.set('cursor', cursor);
    const page: { flows: FlowJson[]; cursor: string | null } = await ask(which, 'GET', `/v1/flows?${query}`);
    for (const flow of page.flows) flows.push(listedFlowOf(flow));
    cursor = page.cursor;
  }
  return flows;
}

export async function askCount(which: Which, filter: Filter): Promise<number> {
  const query = new URLSearchParams({ filter: formatFilter(filter) });
  return (await ask<{ count: number }>(which, 'GET', `/v1/flows/count?${query}`)).count;
}

/** Ends those that the filter means; null: all. Returns how many have ended. */
export async function askDelete(which: Which, filter: Filter | null): Promise<number> {
  const body = filter === null ? { all: true } : { filter: formatFilter(filter) };
  return (await ask<{ deleted: number }>(which, 'DELETE', '/v1/flows', body)).deleted;
}

export async function askCounters(which: Which): Promise<CounterSample> {
  const { elapsed, counters } = await ask<{ elapsed: number; counters: Record<string, number> }>(
    which,
    'GET',
    '/v1/stats',
  );
  return { time: elapsed, values: counters };
}

/** The flow that flowJson() was made of. */
export function listedFlowOf<T extends Pick<FlowJson, 'original' | 'reply'>>(flow: T) {
  const { original, reply } = flow;
  return { ...flow, original: tupleOf(original), reply: tupleOf(reply) };
}

function tupleOf({ src, dst, ...rest }: FlowJson['original']): ListedFlow['original'] {
  return { ...rest, src: parseAddress(src)!, dst: parseAddress(dst)! };
}
