/** Flows: a list of any length, how many, and their end. */
import { createRoute } from '@hono/zod-openapi';
import { map } from '../../config/schema-values.ts';
import type { FlowQuery, FlowService } from '../../observe/flow-service.ts';
import { bytesAnswer } from '../pulled-stream.ts';
import {
  countQuery,
  deletedFlows,
  flowCount,
  flowQuery,
  flows,
  restoredFlows,
  whichFlows,
} from '../schemas-observe.ts';
import { answers, body, type ControlApp, type ControlledGateway } from './route.ts';

export function flowRoutes(
  app: ControlApp,
  { flows: service, restore, streams, log }: ControlledGateway,
): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/flows',
      request: { query: flowQuery },
      responses: answers(flows, 'Flows that live, in pieces as they are read'),
    }),
    (c) => {
      const { filter = '', limit, sort, cursor } = c.req.valid('query');
      const query = { filter, limit: limit === undefined ? undefined : Number(limit), sort, cursor };
      const answer = bytesAnswer(streams, 'application/json', () => encoded(service, query));
      // Its type cannot say what is in a stream.
      return answer as Promise<never>;
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/flows/count',
      request: { query: countQuery },
      responses: answers(flowCount, 'How many flows there are'),
    }),
    async (c) => c.json({ count: await service.count(c.req.valid('query').filter ?? '') }, 200),
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/flows',
      request: { body: body(whichFlows) },
      responses: answers(deletedFlows, 'So many flows have ended'),
    }),
    async (c) => {
      const which = c.req.valid('json');
      const deleted = await service.delete('all' in which ? '' : which.filter);
      const what = 'all' in which ? 'all' : JSON.stringify(which.filter);
      log(`deleted by the control socket: ${deleted} flows (${what})`);
      return c.json({ deleted }, 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/flows/restore',
      request: { body: body(map({})) },
      responses: answers(restoredFlows, 'What became of the flows of `restore.flows` in the run directory'),
    }),
    async (c) => c.json(await restore(), 200),
  );
}

/** What is wrong with the query is thrown for the first piece. */
async function* encoded(service: FlowService, query: FlowQuery): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  for await (const piece of service.list(query)) yield encoder.encode(piece);
}
