/** Packets as they pass: captures, traces, drops. */
import { createRoute, z } from '@hono/zod-openapi';
import { type CaptureRequest, MAX_SNAP } from '../../capture/capture-stream.ts';
import { parseFilter } from '../../observe/filter-parse.ts';
import { bytesAnswer, eventsAnswer } from '../pulled-stream.ts';
import { errorBody } from '../schemas.ts';
import { body, type ControlApp, type ControlledGateway, events, json } from './route.ts';

/** No capture lasts longer, s: a day. */
const MAX_SECONDS = 86_400;
const MAX_DROPS = 10_000;
const MAX_FILTER = 4096;

const filter = z
  .string()
  .max(MAX_FILTER)
  .default('')
  .describe('Which packets, e.g. `tcp and host 10.0.0.2 and not port 22`; empty: all');

const captureBody = z.strictObject({
  filter,
  side: z.enum(['private', 'public', 'both']).default('both'),
  flow: z.string().max(64).nullable().default(null).describe('Id of a flow'),
  dropped: z.boolean().default(false).describe('Dropped packets only'),
  snaplen: z.int().min(1).max(MAX_SNAP).default(MAX_SNAP).describe('Bytes of each packet, at most'),
  count: z.int().min(1).nullable().default(null).describe('Packets after which it ends'),
  duration: z.number().positive().max(MAX_SECONDS).nullable().default(null).describe('Seconds likewise'),
});

const drop = z
  .object({
    time: z.string(),
    interface: z.string(),
    side: z.enum(['private', 'public']),
    reason: z.string(),
    meaning: z.string(),
    packet: z.string(),
    flow: z.string().nullable(),
    client: z.string().nullable(),
    rule: z.string().nullable(),
    resource: z.string().nullable(),
    remedy: z.string().nullable(),
  })
  .openapi('Drop');

const drops = z
  .object({
    drops: z.array(drop),
    missed: z.number(),
    leftOut: z.number().describe('In floods: counted, and not written down, since the gateway began'),
  })
  .openapi('Drops');

const wrong = json(errorBody, 'What is wrong');

export function tapRoutes(app: ControlApp, { live, streams }: ControlledGateway): void {
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/capture',
      request: { body: body(captureBody) },
      responses: {
        200: {
          description: 'pcapng, as packets pass',
          content: { 'application/x-pcapng': { schema: z.string() } },
        },
        '4XX': wrong,
      },
    }),
    (c) => {
      const { side, flow, dropped, snaplen, count, duration, ...asked } = c.req.valid('json');
      const request: CaptureRequest = {
        filter: parseFilter(asked.filter),
        side,
        flow,
        dropped,
        snapLength: snaplen,
        count,
        durationMs: duration === null ? null : duration * 1000,
      };
      return bytesAnswer(streams, 'application/x-pcapng', (signal) => live.capture(request, signal));
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/trace',
      request: { query: z.strictObject({ filter }) },
      responses: events(z.string(), 'Events `packet` (each decision about it) and `missed`'),
    }),
    (c) => {
      const wanted = parseFilter(c.req.valid('query').filter);
      return eventsAnswer(streams, (signal) => live.trace(wanted, signal));
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/drops',
      request: {
        query: z.strictObject({
          filter,
          count: z.coerce.number().int().min(1).max(MAX_DROPS).default(20),
          follow: z
            .enum(['true', 'false'])
            .default('false')
            .describe('Events `drop` and `missed` from now on'),
        }),
      },
      responses: {
        200: {
          description: 'The last dropped packets, oldest first',
          content: { 'application/json': { schema: drops }, 'text/event-stream': { schema: z.string() } },
        },
        '4XX': wrong,
      },
    }),
    async (c) => {
      const { count, follow, ...asked } = c.req.valid('query');
      const wanted = parseFilter(asked.filter);
      if (follow === 'true') return eventsAnswer(streams, (signal) => live.followDrops(wanted, signal));
      return c.json(live.drops(wanted, count), 200);
    },
  );
}
