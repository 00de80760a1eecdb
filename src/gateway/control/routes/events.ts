/** Events as they come: `natgate events`, and whoever else follows them. */
import { createRoute, z } from '@hono/zod-openapi';
import { NatgateError } from '../../../core/errors.ts';
import { nearestName } from '../../../core/nearest.ts';
import { eventMatcher } from '../../events/matching.ts';
import { EVENT_CLASSES, type EventClass } from '../../events/options.ts';
import { requireRules } from '../../observe/filter-names.ts';
import { parseFilter } from '../../observe/filter-parse.ts';
import { namesByNumber } from '../../reload/rule-numbers.ts';
import { eventStream } from '../event-stream.ts';
import { type ControlApp, type ControlledGateway, events } from './route.ts';

const MAX_FILTER = 4096;
const MAX_KINDS = 200;

const query = z.strictObject({
  filter: z
    .string()
    .max(MAX_FILTER, { error: `${MAX_FILTER} characters at most` })
    .default('')
    .meta({ description: 'Which, e.g. `tcp and host 10.0.0.2`; empty: all' }),
  kinds: z
    .string()
    .max(MAX_KINDS)
    .default('')
    .meta({ description: `Only these, with commas between them: ${EVENT_CLASSES.join(', ')}; empty: all` }),
});

const event = z
  .looseObject({ time: z.string(), event: z.string() })
  .openapi('Event', { description: 'See docs/events.md' });

export function eventRoutes(app: ControlApp, gateway: ControlledGateway): void {
  const { streams, running } = gateway;
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/events',
      request: { query },
      responses: events(
        event,
        'Events from now on, each under its name; `gap` says how many are missing in its place',
      ),
    }),
    (c) => {
      const asked = c.req.valid('query');
      const filter = parseFilter(asked.filter);
      requireRules(filter, namesByNumber(running.options.nat.rules));
      const only = kindsOf(asked.kinds);
      return eventStream(streams, (out) => {
        const stop = gateway.subscribe(
          { only, filter: eventMatcher(filter) },
          (one) => void out.send(one.event, one),
          (missed) => void out.send('gap', { missed }),
        );
        out.send('ready', {});
        return stop;
      });
    },
  );
}

/** Null: all. Throws NatgateError `bad_kind`. */
function kindsOf(text: string): EventClass[] | null {
  if (text === '') return null;
  return text.split(',').map((kind) => {
    if ((EVENT_CLASSES as readonly string[]).includes(kind)) return kind as EventClass;
    throw new NatgateError(
      'bad_kind',
      `${kind} is no kind of events`,
      `did you mean ${nearestName(kind, [...EVENT_CLASSES])}? there are ${EVENT_CLASSES.join(', ')}`,
    );
  });
}
