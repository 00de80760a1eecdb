/** Rules of the firewall: what they have matched, and how they come and go. */
import { createRoute, z } from '@hono/zod-openapi';
import { type RuleInput, ruleName } from '../../config/change.ts';
import { applied, newRule, rules } from '../schemas.ts';
import { answers, body, type ControlApp, type ControlledGateway, get, makeChange, plain } from './route.ts';

/** In a path, for `firewall.rules`: no name of a chain begins with it. */
const MAIN_CHAIN = '-';

export function firewallRoutes(app: ControlApp, gateway: ControlledGateway): void {
  const { running, status } = gateway;
  app.openapi(get('/v1/rules', rules, 'The firewall rules and what they have matched'), (c) => {
    const { firewall } = running.document;
    const counts = status().firewall;
    const byName = new Map(counts.map((row) => [row.name, row]));
    const listed = (chain: string | null, list: readonly RuleInput[]) =>
      list.map((rule, i) => {
        const name = ruleName(rule, i);
        const row = byName.get(chain === null ? name : `${chain}/${name}`);
        return {
          chain,
          position: i + 1,
          name,
          rule: plain(rule),
          flows: row?.flows ?? 0,
          bytes: row?.bytes ?? 0,
        };
      });
    const all = [
      ...listed(null, firewall.rules),
      ...Object.entries(firewall.chains).flatMap(([chain, list]) => listed(chain, list)),
    ];
    const defaults = counts.filter(({ name }) => name.startsWith('default/'));
    return c.json({ rules: all, defaults }, 200);
  });
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/rules',
      request: { body: body(newRule) },
      responses: answers(applied, 'The rule is there'),
    }),
    async (c) => {
      const { rule, chain = null, ...place } = c.req.valid('json');
      return c.json(await makeChange(gateway, { kind: 'add-rule', chain, rule, place }), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/rules/{chain}/{name}',
      request: { params: z.object({ chain: z.string().min(1), name: z.string().min(1) }) },
      responses: answers(applied, 'The rule is gone'),
    }),
    async (c) => {
      const { chain, name } = c.req.valid('param');
      const within = chain === MAIN_CHAIN ? null : chain;
      return c.json(await makeChange(gateway, { kind: 'remove-rule', chain: within, name }), 200);
    },
  );
}
