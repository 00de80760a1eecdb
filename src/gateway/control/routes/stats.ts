/** Every counter, once or again and again. */
import { createRoute } from '@hono/zod-openapi';
import { NatgateError } from '../../../core/errors.ts';
import { isGauge, sampleCounters } from '../../observe/counters.ts';
import type { RunRecord } from '../../run/run-record.ts';
import { EVENT_STREAM, eventStream } from '../event-stream.ts';
import { errorBody } from '../schemas.ts';
import { stats, statsQuery } from '../schemas-observe.ts';
import { type ControlApp, type ControlledGateway, json } from './route.ts';

/** Seconds. */
const SHORTEST = 0.1;
const LONGEST = 3600;

export function statsRoutes(app: ControlApp, { record, streams, log }: ControlledGateway): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/stats',
      request: { query: statsQuery },
      responses: {
        200: {
          description: 'Every counter by its name',
          content: { 'application/json': { schema: stats }, [EVENT_STREAM]: { schema: stats } },
        },
        '4XX': json(errorBody, 'What is wrong'),
      },
    }),
    (c) => {
      const { follow, interval = '1' } = c.req.valid('query');
      const seconds = Number(interval);
      if (seconds < SHORTEST || seconds > LONGEST) {
        const remedy = `${SHORTEST} to ${LONGEST} seconds`;
        throw new NatgateError('bad_interval', `an interval of ${interval} seconds is not allowed`, remedy);
      }
      if (follow !== 'true') return c.json(statsOf(record()), 200);
      // What is wrong from the beginning has an answer of its own.
      const first = statsOf(record());
      return eventStream(streams, (events) => {
        events.send('stats', first);
        const timer = setInterval(() => {
          try {
            events.send('stats', statsOf(record()));
          } catch (error) {
            log(`counters cannot be read: ${(error as Error).message}`, 'error');
            clearInterval(timer);
            events.end();
          }
        }, seconds * 1000).unref();
        return () => clearInterval(timer);
      });
    },
  );
}

function statsOf(record: RunRecord) {
  const { time, values } = sampleCounters(record);
  const gauges = Object.keys(values).filter(isGauge);
  return { time: new Date().toISOString(), elapsed: time, counters: values, gauges };
}
