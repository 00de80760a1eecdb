/** Forwards, which can be added and removed, and NAT rules. */
import { createRoute, z } from '@hono/zod-openapi';
import { forwardName } from '../../config/change.ts';
import { applied, forwards, natRules, newForward } from '../schemas.ts';
import { answers, body, type ControlApp, type ControlledGateway, get, makeChange, plain } from './route.ts';

export function natRoutes(app: ControlApp, gateway: ControlledGateway): void {
  const { running } = gateway;
  app.openapi(get('/v1/nat-rules', natRules, 'The NAT rules, in their order'), (c) =>
    c.json({ rules: running.options.nat.rules.map(({ name, action }) => ({ name, action })) }, 200),
  );
  app.openapi(get('/v1/forwards', forwards, 'The forwards'), (c) => {
    const list = running.document.forwards.map((forward) => ({
      name: forwardName(forward),
      forward: typeof forward === 'string' ? forward : plain(forward),
    }));
    return c.json({ forwards: list }, 200);
  });
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/forwards',
      request: { body: body(newForward) },
      responses: answers(applied, 'The forward is there'),
    }),
    async (c) => {
      const { forward } = c.req.valid('json');
      return c.json(await makeChange(gateway, { kind: 'add-forward', forward }), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/forwards/{name}',
      request: { params: z.object({ name: z.string().min(1) }) },
      responses: answers(applied, 'The forward is gone, and so are its flows'),
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return c.json(await makeChange(gateway, { kind: 'remove-forward', name }), 200);
    },
  );
}
