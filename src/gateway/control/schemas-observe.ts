/** Flows and counters as they go over the control socket, as zod sees them. */
import { z } from '@hono/zod-openapi';
import { list, map } from '../config/schema-values.ts';
import { FLOW_ORDERS } from '../observe/flow-sort.ts';
import { flow } from './schemas.ts';

const count = () => z.number().nonnegative();
const text = (what: string) => z.string({ error: what });
/** In a query all is text. */
const number = (what: string) => z.string().regex(/^\d{1,9}$/, { error: what });

const filter = () =>
  text('a filter').optional().openapi({
    description: 'In the filter language of `natgate flows`; without it, all',
    example: 'tcp and src 10.0.0.0/24 and not dport 443',
  });

export const flowQuery = map({
  filter: filter(),
  limit: number('a number of flows').optional().openapi({ description: 'So many at most; without it, all' }),
  sort: z
    .enum(FLOW_ORDERS, { error: FLOW_ORDERS.join(', ') })
    .optional()
    .openapi({ description: 'The most first, at most 10 000; such a list has no pages' }),
  cursor: text('a cursor').optional().openapi({ description: 'What the page before has given' }),
});

export const countQuery = map({ filter: filter() });

export const listedFlow = flow
  .extend({
    id: z.string().describe('Names this flow, and no later one'),
    side: z.enum(['private', 'public']).describe('Which side began it'),
    rule: z.string().describe('NAT rule'),
    client: z.string().describe('Name of the private host; empty without one'),
    ageSeconds: z.number().describe('Since it began'),
    idleSeconds: z.number().describe('Since the last packet that kept it alive'),
  })
  .openapi('ListedFlow');

export const flows = z
  .object({
    flows: z.array(listedFlow),
    cursor: z.string().nullable().describe('Where the next page begins; null: there is none'),
  })
  .openapi('Flows');

export const flowCount = z.object({ count: count() }).openapi('FlowCount');

export const whichFlows = z
  .union([
    map({
      filter: z
        .string({ error: 'a filter, or {"all": true} for all flows' })
        .regex(/\S/, { error: 'a filter, or {"all": true} for all flows' })
        .describe('Those that it means end'),
    }),
    map({ all: z.literal(true, { error: 'true' }).describe('All of them end') }),
  ])
  .openapi('WhichFlows');

export const deletedFlows = z.object({ deleted: count() }).openapi('DeletedFlows');

export const restoredFlows = z
  .object({
    restored: count(),
    there: count().describe('They, or others with one of their tuples, were there already'),
    expired: count().describe('Their time was up'),
    ruleless: count().describe('Of rules whose names no rule has here'),
    full: count().describe('There was no room for them'),
    lost: count().describe('Their address, port or forward is not here'),
    damaged: count(),
    truncated: z.boolean().describe('The file ends before its end'),
  })
  .openapi('RestoredFlows');

export const statsQuery = map({
  follow: z
    .enum(['true', 'false'], { error: 'true or false' })
    .optional()
    .openapi({ description: 'Again and again, as events `stats`' }),
  interval: z
    .string()
    .regex(/^\d{1,4}(\.\d{1,3})?$/, { error: 'a number of seconds' })
    .optional()
    .openapi({ description: 'Seconds between two events: 0.1 to 3600; without it, 1' }),
});

export const stats = z
  .object({
    time: z.string().describe('ISO 8601'),
    elapsed: z.number().describe('Milliseconds of a clock that does not jump: for rates'),
    counters: z.record(z.string(), count()),
    gauges: list(z.string()).describe('Counters that go up and down'),
  })
  .openapi('Stats');

const usage = {
  address: z.string(),
  flows: count(),
  out: count().describe('Bytes to the public side, of the flows that live'),
  in: count(),
  outRate: count().describe('Bytes a second since the last look'),
  inRate: count(),
};

export const top = z
  .object({
    flows: count(),
    elapsed: count().describe('Between this look and the last, ms; 0: there was none, and no rates'),
    clients: z.array(z.object({ ...usage, name: z.string().describe('Empty without one') })),
    destinations: z.array(z.object(usage)),
    ports: z.array(z.object({ ...usage, protocol: count(), port: count() })),
  })
  .openapi('Top');
