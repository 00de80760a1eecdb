/** What `natgate flows` does, once its words are understood. */
import { accessSync, constants } from 'node:fs';
import { type FlowLineOptions, formatFlow } from '../conntrack/flow-line.ts';
import { NatgateError } from '../core/errors.ts';
import { nearestName } from '../core/nearest.ts';
import { type Filter, isEverything } from '../gateway/observe/filter.ts';
import { flowMatcher } from '../gateway/observe/filter-match.ts';
import { requireRules } from '../gateway/observe/filter-names.ts';
import { CSV_HEADER, flowCsv, flowJson } from '../gateway/observe/flow-json.ts';
import { contextOf, type ListedFlow, listFlowsOf, parseFlowId } from '../gateway/observe/flow-list.ts';
import { type FlowOrder, matchingFlows, sortedFlows } from '../gateway/observe/flow-sort.ts';
import { recordOf } from '../gateway/status.ts';
import type { WhichGateway } from '../gateway/teardown.ts';
import { packageVersion } from '../gateway/version.ts';
import { ClientNames } from '../host/client-names.ts';
import { flowTable } from './flow-columns.ts';
import { askCount, askFlows } from './flow-socket.ts';
import { orSocket } from './or-socket.ts';
import { writeLines } from './output.ts';

export type FlowFormat =
  | { kind: 'table' | 'json' | 'csv' }
  | { kind: 'conntrack'; words: { counters: boolean; extended: boolean; id: boolean } };

const KINDS = ['table', 'json', 'csv', 'conntrack'] as const;
const DETAILS = ['extended', 'id', 'counters'];

/** `-o`: a format; words of conntrack's alone mean conntrack's format, as there. Throws NatgateError `usage`. */
export function requireFormat(output: string, json: boolean): FlowFormat {
  if (json && output === 'table') return { kind: 'json' };
  const words = output.split(',');
  const details = words.filter((word) => DETAILS.includes(word));
  const kinds = words.filter((word) => !DETAILS.includes(word));
  const kind = kinds[0] ?? 'conntrack';
  const known = (KINDS as readonly string[]).includes(kind);
  if (!known || kinds.length > 1 || (details.length > 0 && kind !== 'conntrack')) {
    const wrong = kinds.find((word) => !(KINDS as readonly string[]).includes(word)) ?? output;
    throw new NatgateError(
      'usage',
      `--output ${output}: ${wrong} is no format`,
      `did you mean ${nearestName(wrong, [...KINDS, ...DETAILS])}? ${KINDS.join(', ')}; conntrack,${DETAILS.join(',')}`,
    );
  }
  if (kind !== 'conntrack') return { kind: kind as 'table' | 'json' | 'csv' };
  const has = (word: string) => details.includes(word);
  return {
    kind: 'conntrack',
    words: { counters: has('counters'), extended: has('extended'), id: has('id') },
  };
}

export interface PrintOptions {
  format: FlowFormat;
  sort: FlowOrder | undefined;
  limit: number | undefined;
  heading: boolean;
}

export async function printFlows(
  which: WhichGateway,
  filter: Filter,
  { format, sort, limit, heading }: PrintOptions,
): Promise<void> {
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 0)) {
    throw new NatgateError('usage', `--limit ${limit}: not a number of flows`, 'e.g. --limit 20');
  }
  const flows = sortedFlows(await flowsOf(which, filter), sort, limit);
  if (format.kind === 'conntrack') {
    let shown = 0;
    await writeLines(conntrackLines(flows, format.words, () => shown++));
    // Where conntrack says it, too.
    process.stderr.write(`natgate v${packageVersion()}: ${shown} flow entries have been shown.\n`);
  } else if (format.kind === 'csv') await writeLines(csvLines(flows, heading));
  else if (format.kind === 'json') await writeLines(jsonLines(flows));
  else await writeLines(flowTable(flows, process.stdout.columns ?? Number.POSITIVE_INFINITY, heading));
}

export async function countFlows(which: WhichGateway, filter: Filter, json: boolean): Promise<void> {
  const count = await orSocket(
    () => {
      let count = 0;
      for (const _ of readFlows(which, filter)) count++;
      return count;
    },
    () => askCount(which, filter),
  );
  process.stdout.write(json ? `{"count":${count}}\n` : `${count}\n`);
}

/** Those that the filter means, as they are read. Throws NatgateError `not_running`, `filter_invalid`, and those of client.ts. */
function flowsOf(which: WhichGateway, filter: Filter): Promise<Iterable<ListedFlow>> {
  return orSocket<Iterable<ListedFlow>>(
    () => readFlows(which, filter),
    () => askFlows(which, filter),
  );
}

function readFlows(which: WhichGateway, filter: Filter): Iterable<ListedFlow> {
  const record = recordOf(which);
  // Now, not when the first flow is read.
  accessSync(record.statePath, constants.R_OK);
  requireRules(filter, record.rules);
  const flows = listFlowsOf(record, contextOf(record, new ClientNames()));
  return isEverything(filter) ? flows : matchingFlows(flows, flowMatcher(filter));
}

function* conntrackLines(
  flows: Iterable<ListedFlow>,
  { counters, extended, id }: { counters: boolean; extended: boolean; id: boolean },
  each: () => void,
): Generator<string> {
  for (const flow of flows) {
    const options: FlowLineOptions = { counters, extended, ...(id && { id: idNumber(flow.id) }) };
    each();
    yield formatFlow(flow, options);
  }
}

/** As conntrack's ids are: 32 bits without a meaning, the same as long as the flow lives. */
function idNumber(text: string): number {
  const { worker, flow, life } = parseFlowId(text)!;
  return (Math.imul(flow + 1, 0x9e3779b1) ^ Math.imul(life + worker, 0x85ebca6b)) >>> 0;
}

function* csvLines(flows: Iterable<ListedFlow>, heading: boolean): Generator<string> {
  if (heading) yield CSV_HEADER;
  for (const flow of flows) yield flowCsv(flow);
}

/** One array, a flow a line. */
function* jsonLines(flows: Iterable<ListedFlow>): Generator<string> {
  let before: string | null = null;
  for (const flow of flows) {
    yield before === null ? '[' : `${before},`;
    before = JSON.stringify(flowJson(flow));
  }
  if (before === null) yield '[]';
  else {
    yield before;
    yield ']';
  }
}
