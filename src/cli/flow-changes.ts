/** The verbs of `natgate flows` that end flows, and the one that tells of flows that begin and end; as conntrack's -D, -F, -E. */
import { formatFlow } from '../conntrack/flow-line.ts';
import { NatgateError } from '../core/errors.ts';
import { type Filter, formatFilter, isEverything } from '../gateway/observe/filter.ts';
import { type FlowJson, flowJson } from '../gateway/observe/flow-json.ts';
import { packageVersion } from '../gateway/version.ts';
import type { Which } from './client.ts';
import { EXIT } from './exit.ts';
import { askDelete, askFlows, listedFlowOf } from './flow-socket.ts';
import { untilInterrupted, writeLines } from './output.ts';
import { readEvents } from './server-events.ts';

/** Prints those that were there when it was asked, and ends what the filter means. Throws NatgateError `usage`, and those of client.ts. */
export async function deleteAndPrint(which: Which, filter: Filter, json: boolean): Promise<void> {
  if (isEverything(filter)) {
    throw new NatgateError('usage', 'which flows?', 'give a filter; `natgate flows flush` deletes all');
  }
  const flows = await askFlows(which, filter);
  const deleted = await askDelete(which, filter);
  const lineOf = (flow: (typeof flows)[number]) => (json ? JSON.stringify(flowJson(flow)) : formatFlow(flow));
  if (deleted > 0) await writeLines(flows.map(lineOf));
  process.stderr.write(`natgate v${packageVersion()}: ${deleted} flow entries have been deleted.\n`);
  if (deleted === 0) process.exitCode = EXIT.failed;
}

export async function flushFlows(which: Which): Promise<void> {
  const deleted = await askDelete(which, null);
  process.stderr.write(`natgate v${packageVersion()}: ${deleted} flow entries have been deleted.\n`);
}

const TAGS: Record<string, string> = { begin: '[NEW]', moved: '[UPDATE]', end: '[DESTROY]' };

/** A flow as events tell of it: how long it would be kept is not said. */
export type ChangedFlow = Omit<FlowJson, 'timeoutSeconds' | 'idleSeconds'>;

/** The line of `conntrack -E`; null: an event about something else. */
export function changeLine(kind: string, flow: ChangedFlow): string | null {
  const tag = Object.hasOwn(TAGS, kind) ? TAGS[kind]! : null;
  if (tag === null) return null;
  return `${tag.padStart(9)} ${formatFlow(listedFlowOf(flow), { marks: false, counters: kind === 'end' })}`;
}

/** Ends with the gateway, or when it is interrupted. Throws NatgateError as client.ts does. */
export async function watchFlows(which: Which, filter: Filter, json: boolean): Promise<void> {
  const { write, signal, end } = untilInterrupted();
  const query = new URLSearchParams({ filter: formatFilter(filter) });
  try {
    for await (const { kind, data } of readEvents(which, `/v1/events?${query}`, signal)) {
      if (kind === 'gap') {
        const { missed } = data as { missed: number };
        process.stderr.write(`natgate: ${missed} events came too fast, and are missing here\n`);
        continue;
      }
      if (!Object.hasOwn(TAGS, kind)) continue;
      await write(`${json ? JSON.stringify(data) : changeLine(kind, data as ChangedFlow)}\n`);
    }
  } finally {
    end();
  }
}
