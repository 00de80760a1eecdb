/** Every counter by its name: once, or again and again. */
import { createRoute, z } from '@hono/zod-openapi';
import { type CounterSample, isGauge } from '../../observe/counters.ts';
import { EVENT_STREAM, eventStream } from '../event-stream.ts';
import { errorBody } from '../schemas.ts';
import * as schemas from '../schemas-observe.ts';
import { type ControlApp, type ControlledGateway, json } from './route.ts';

export function statsRoutes(app: ControlApp, { counters, streams, log }: ControlledGateway): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/stats',
      request: { query: schemas.statsQuery },
      responses: {
        200: {
          description: 'Counters; with `follow` events `stats`, each with the same',
          content: { 'application/json': { schema: schemas.stats }, [EVENT_STREAM]: { schema: z.string() } },
        },
        '4XX': json(errorBody, 'What is wrong'),
      },
    }),
    (c) => {
      const { follow, interval = '1' } = c.req.valid('query');
      // What is wrong shows before the answer begins.
      const first = statsOf(counters());
      if (follow !== 'true') return c.json(first, 200);
      return eventStream(streams, (events) => {
        events.send('stats', first);
        const timer = setInterval(() => {
          try {
            events.send('stats', statsOf(counters()));
          } catch (error) {
            log(`counters could not be read: ${(error as Error).message}`, 'error');
            events.end();
          }
        }, Number(interval) * 1000);
        return () => clearInterval(timer);
      });
    },
  );
}

function statsOf({ time, values }: CounterSample): z.infer<typeof schemas.stats> {
  return {
    time: new Date().toISOString(),
    elapsed: time,
    counters: values,
    gauges: Object.keys(values).filter(isGauge),
  };
}
