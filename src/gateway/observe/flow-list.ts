/**
 * The flows of a gateway, of all its workers, as objects: a FlowInfo and what else is known of a flow by who runs the gateway. The list is
 * a generator: nothing is held but the flow at hand.
 */
import { type FlowInfo, readFlow } from '../../conntrack/flow-info.ts';
import { H_LAST, H_SEQUENCE, H_STATUS, ORIGINAL_SIDE, RULE_SHIFT } from '../../conntrack/flow-table.ts';
import { rfcTimeouts, TimeoutTable } from '../../conntrack/timeouts.ts';
import type { ClientNames } from '../../host/client-names.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerStatePath } from '../run/state-path.ts';
import { FlowReader, type RawFlow } from './flow-reader.ts';

export interface ListedFlow extends FlowInfo {
  /** `worker.number.life`: names this flow as long as the state exists, and no later one. */
  id: string;
  /** Which side began it. */
  side: 'private' | 'public';
  /** Name of the NAT rule. */
  rule: string;
  /** Name of the private host; empty without one. */
  client: string;
  /** Since it began. */
  ageSeconds: number;
  /** Since the last packet that kept it alive. */
  idleSeconds: number;
}

/** What a record alone does not say. */
export interface FlowContext {
  timeouts: TimeoutTable;
  /** Names of the NAT rules, by number. */
  rules: readonly string[];
  clients: Pick<ClientNames, 'nameOf'>;
}

export interface FlowPlace {
  worker: number;
  flow: number;
  life: number;
}

/** The life: how often the record was used before. */
export function formatFlowId({ worker, flow, life }: FlowPlace): string {
  return `${worker}.${flow}.${life >>> 1}`;
}

/** null: no such id. */
export function parseFlowId(text: string): FlowPlace | null {
  const match = /^(\d{1,2})\.(\d{1,8})\.(\d{1,10})$/.exec(text);
  if (match === null) return null;
  return { worker: Number(match[1]), flow: Number(match[2]), life: (Number(match[3]) * 2) | 0 };
}

export function contextOf(record: RunRecord, clients: FlowContext['clients']): FlowContext {
  const timeouts = new TimeoutTable({ ...rfcTimeouts, ...record.timeouts });
  return { timeouts, rules: record.rules, clients };
}

/** In the order of workers and records, `from` a place on. */
export function* listFlowsOf(
  record: RunRecord,
  context: FlowContext,
  from: Omit<FlowPlace, 'life'> = { worker: 0, flow: 0 },
): Generator<ListedFlow, void, void> {
  for (let worker = from.worker; worker < (record.workers ?? 1); worker++) {
    const reader = new FlowReader(workerStatePath(record.statePath, worker));
    try {
      const now = reader.now();
      for (const raw of reader.read(worker === from.worker ? from.flow : 0))
        yield listedFlow(raw, worker, context, now);
    } finally {
      reader.close();
    }
  }
}

export function listedFlow(raw: RawFlow, worker: number, context: FlowContext, now: number): ListedFlow {
  const { hot, flow } = raw;
  const status = hot[H_STATUS]!;
  // It lives, and its sequence is even: FlowReader has looked.
  const info = readFlow(hot, 0, context.timeouts, now)!;
  const isInside = (status & ORIGINAL_SIDE) === 0;
  const rule = status >>> RULE_SHIFT;
  // Field by field: to copy an object by `...` takes ten times as long, a million times.
  return {
    protocol: info.protocol,
    state: info.state,
    original: info.original,
    reply: info.reply,
    originalPackets: info.originalPackets,
    originalBytes: info.originalBytes,
    replyPackets: info.replyPackets,
    replyBytes: info.replyBytes,
    timeoutSeconds: info.timeoutSeconds,
    assured: info.assured,
    unreplied: info.unreplied,
    related: info.related,
    id: formatFlowId({ worker, flow, life: hot[H_SEQUENCE]! }),
    side: isInside ? 'private' : 'public',
    rule: context.rules[rule] ?? `${rule}`,
    client: context.clients.nameOf(isInside ? info.original.src : info.reply.src),
    ageSeconds: secondsSince(raw.created, now),
    idleSeconds: secondsSince(hot[H_LAST]!, now),
  };
}

/** Times are int32 and wrap: right for 49 days. A packet of this very moment may be later than `now`. */
function secondsSince(then: number, now: number): number {
  const difference = (now - then) | 0;
  return difference < 0 && difference > -60_000 ? 0 : Math.floor((difference >>> 0) / 1000);
}
