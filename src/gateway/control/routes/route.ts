/** What all routes have: the gateway that they are about, and how a route says what it takes and gives. */
import { createRoute, type OpenAPIHono, type z } from '@hono/zod-openapi';
import type { JSONValue } from 'hono/utils/types';
import type { Live } from '../../capture/live.ts';
import type { Change } from '../../config/change.ts';
import type { EventHub } from '../../events/hub.ts';
import type { Log } from '../../log.ts';
import type { FlowService } from '../../observe/flow-service.ts';
import type { Reload } from '../../reload/reload.ts';
import { changeLines, endedCount } from '../../reload/result.ts';
import type { RunningConfig } from '../../reload/running.ts';
import type { RunRecord } from '../../run/run-record.ts';
import type { RestoredFlows } from '../../saved-flows/restoring.ts';
import type { GatewayStatus } from '../../status.ts';
import type { Parsed } from '../body.ts';
import { EVENT_STREAM } from '../event-stream.ts';
import { errorBody } from '../schemas.ts';
import type { Streams } from '../streams.ts';

export type ControlApp = OpenAPIHono<Parsed>;

/** What the routes do things with. */
export interface ControlledGateway {
  running: RunningConfig;
  /** Of natgate. */
  version: string;
  status(): GatewayStatus;
  /** As it is now. Throws NatgateError `not_ready`. */
  record(): RunRecord;
  reload: Reload;
  flows: FlowService;
  /** Takes over saved flows (saved-flows/restoring.ts). */
  restore(): Promise<RestoredFlows>;
  /** Its packets as they pass. */
  live: Live;
  /** Answers that go on. */
  streams: Streams;
  /** To events (EventHub.subscribe). */
  subscribe: EventHub['subscribe'];
  log: Log;
}

export const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});

/** Answers of a route: what it gives, and what everything that is wrong looks like. */
export const answers = <T extends z.ZodType>(schema: T, description: string) => ({
  200: json(schema, description),
  '4XX': json(errorBody, 'What is wrong'),
});

/** Answers of a route that sends events (event-stream.ts), each with data as `schema` says. */
export const events = <T extends z.ZodType>(schema: T, description: string) => ({
  200: { description, content: { [EVENT_STREAM]: { schema } } },
  '4XX': json(errorBody, 'What is wrong'),
});

/** Of a request. */
export const body = <T extends z.ZodType>(schema: T) => ({
  required: true,
  content: { 'application/json': { schema } },
});

/** A route that only reads. */
export const get = <P extends string, T extends z.ZodType>(path: P, schema: T, description: string) =>
  createRoute({ method: 'get', path, responses: answers(schema, description) });

/** Makes a change, and says so in the log. Rejects with NatgateError; nothing has changed then. */
export async function makeChange({ running, log }: ControlledGateway, change: Change) {
  const taken = await running.change(change);
  const lines = taken.changes === null ? [] : changeLines(taken.changes);
  const ended = taken.restarted ? 'the engine was started anew' : `flows ended: ${endedCount(taken)}`;
  log(`changed by the control socket: ${[...lines, ended].join('; ')}`);
  return { flowsEnded: taken.restarted ? null : endedCount(taken), notes: taken.leftovers };
}

/** As JSON has it: what is undefined is not there. */
export function plain(value: object): Record<string, JSONValue> {
  return JSON.parse(JSON.stringify(value));
}
