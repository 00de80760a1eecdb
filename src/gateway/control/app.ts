/**
 * The control socket's HTTP, without a socket. Each part of the gateway has a file of routes (routes/), each of which does one thing
 * with the running gateway; no route takes the path of a file, so whoever may use the socket can make the supervisor (root) read or
 * write none but its own.
 *
 *     request ─▶ body.ts: length, depth, JSON ─▶ schema ─▶ route ─▶ RunningConfig, status ─▶ JSON
 *                     └────────────┴──────────────┴─▶ `{error: {code, message, hint}}` with a 4xx
 *
 * The OpenAPI document is made from the schemas that requests are checked by.
 */
import { OpenAPIHono, type z } from '@hono/zod-openapi';
import { nearestName } from '../../core/nearest.ts';
import { pathText } from '../config/problems.ts';
import { problemsOf } from '../config/shape.ts';
import { type Parsed, requireJson } from './body.ts';
import { errorBody, errorOf } from './errors.ts';
import { eventRoutes } from './routes/events.ts';
import { firewallRoutes } from './routes/firewall.ts';
import { flowRoutes } from './routes/flows.ts';
import { gatewayRoutes } from './routes/gateway.ts';
import { natRoutes } from './routes/nat.ts';
import { reloadRoutes } from './routes/reload.ts';
import type { ControlApp, ControlledGateway } from './routes/route.ts';
import { statsRoutes } from './routes/stats.ts';
import { tapRoutes } from './routes/taps.ts';
import { topRoutes } from './routes/top.ts';

const ROUTES: readonly ((app: ControlApp, gateway: ControlledGateway) => void)[] = [
  gatewayRoutes,
  natRoutes,
  firewallRoutes,
  reloadRoutes,
  eventRoutes,
  flowRoutes,
  statsRoutes,
  tapRoutes,
  topRoutes,
];

export function controlApp(gateway: ControlledGateway): ControlApp {
  const app: ControlApp = new OpenAPIHono<Parsed>({
    defaultHook: (result, c) => {
      if (result.success) return undefined;
      const problems = result.error.issues
        .flatMap((issue) =>
          problemsOf(
            issue as z.core.$ZodIssue,
            [],
            result.target === 'json' ? (c.get('parsed') ?? {}) : c.req.query(),
          ),
        )
        .map(({ path, what, remedy }) => ({ path: pathText(path), what, remedy }));
      const { path, what, remedy } = problems[0]!;
      const message = path === '' ? what : `${path}: ${what}`;
      return c.json({ error: { code: 'bad_request', message, hint: remedy, problems } }, 400);
    },
  });
  app.use(requireJson);
  app.onError((error, c) => {
    const { status, body } = errorOf(error);
    if (status === 500) gateway.log(`a request failed: ${error.stack ?? error.message}`, 'error');
    return c.json(body, status);
  });
  for (const routes of ROUTES) routes(app, gateway);
  // It is always the same, and costs more than any other answer.
  let document: string | undefined;
  app.get('/openapi.json', (c) => {
    document ??= JSON.stringify(openApiDocument(app, gateway.version));
    return c.body(document, 200, { 'content-type': 'application/json' });
  });
  app.notFound((c) => {
    const path = new URL(c.req.url).pathname;
    const known = app.routes.filter((route) => route.method !== 'ALL');
    const methods = known.filter((route) => isOf(route.path, path)).map((route) => route.method);
    if (methods.length > 0) {
      const allowed = [...new Set(methods)].join(', ');
      c.header('allow', allowed);
      const message = `${c.req.method} is no method of ${path}`;
      return c.json(errorBody('method_not_allowed', message, `there is ${allowed}`), 405);
    }
    const nearest = nearestName(path, [...new Set(known.map((route) => route.path))]);
    return c.json(errorBody('no_such_route', `there is no route ${path}`, `did you mean ${nearest}?`), 404);
  });
  return app;
}

/** All routes, for other programs. */
export function openApiDocument(app: ControlApp, version: string) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'natgate control socket', version },
    servers: [{ url: 'http://natgate' }],
  });
}

function isOf(route: string, path: string): boolean {
  const [wanted, given] = [route.split('/'), path.split('/')];
  return (
    wanted.length === given.length && wanted.every((part, i) => part.startsWith(':') || part === given[i])
  );
}
