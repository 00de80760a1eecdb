/** The flow table: listed, counted, ended. Read from the shared memory, piece by piece: the engine knows nothing of it. */
import { createRoute } from '@hono/zod-openapi';
import { bytesAnswer } from '../pulled-stream.ts';
import * as schemas from '../schemas-observe.ts';
import { answers, body, type ControlApp, type ControlledGateway } from './route.ts';

export function flowRoutes(app: ControlApp, { flows, streams, log }: ControlledGateway): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/flows',
      request: { query: schemas.flowQuery },
      responses: answers(schemas.flows, 'Flows, as they are while they are read; each is whole'),
    }),
    async (c) => {
      const { filter = '', limit, ...rest } = c.req.valid('query');
      const pieces = () =>
        flows.list({ filter, ...(limit !== undefined && { limit: Number(limit) }), ...rest });
      // Its body is what the schema says, but comes in pieces.
      return (await bytesAnswer(streams, 'application/json', () => encoded(pieces()))) as never;
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/flows/count',
      request: { query: schemas.countQuery },
      responses: answers(schemas.flowCount, 'How many there are'),
    }),
    async (c) => c.json({ count: await flows.count(c.req.valid('query').filter ?? '') }, 200),
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/flows',
      request: { body: body(schemas.whichFlows) },
      responses: answers(schemas.deletedFlows, 'They have ended; what they were is not told'),
    }),
    async (c) => {
      const which = c.req.valid('json');
      const filter = 'filter' in which ? which.filter : '';
      const deleted = await flows.delete(filter);
      log(`flows deleted by the control socket: ${deleted}${filter === '' ? '' : ` (${filter})`}`);
      return c.json({ deleted }, 200);
    },
  );
}

async function* encoded(pieces: AsyncGenerator<string, void, void>): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  for await (const piece of pieces) yield encoder.encode(piece);
}
