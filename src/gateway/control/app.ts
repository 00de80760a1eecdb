/**
 * The routes of the control socket. Each does one thing with the running gateway and knows nothing of sockets; no route takes the path of
 * a file, so whoever may use the socket can make the supervisor (root) read or write none but its own.
 *
 * Whatever is wrong is `{error: {code, message, hint}}` with a 4xx.
 */
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { JSONValue } from 'hono/utils/types';
import { nearestName } from '../../core/nearest.ts';
import type { Live } from '../capture/live.ts';
import { type Change, forwardName, type RuleInput, ruleName } from '../config/change.ts';
import { type Problem, pathText } from '../config/problems.ts';
import { problemsOf } from '../config/shape.ts';
import type { Log } from '../log.ts';
import type { Foreseen } from '../reload/plan.ts';
import type { Reload } from '../reload/reload.ts';
import { causeText, changeLines, endedCount, type Taken } from '../reload/result.ts';
import type { RunningConfig } from '../reload/running.ts';
import type { GatewayStatus } from '../status.ts';
import { type Parsed, requireJson } from './body.ts';
import { errorBody, errorOf } from './errors.ts';
import * as schemas from './schemas.ts';
import { tapRoutes } from './tap-routes.ts';

export interface ControlledGateway {
  running: RunningConfig;
  /** Of natgate. */
  version: string;
  status(): GatewayStatus;
  reload: Reload;
  /** Its packets as they pass. */
  live: Live;
  log: Log;
}

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});
const WRONG = json(schemas.errorBody, 'What is wrong');
const ok = <T extends z.ZodType>(schema: T, description: string) => ({
  200: json(schema, description),
  '4XX': WRONG,
});
const body = <T extends z.ZodType>(schema: T) => ({
  required: true,
  content: { 'application/json': { schema } },
});

/** In a path, for `firewall.rules`: no name of a chain begins with it. */
const MAIN_CHAIN = '-';

export function controlApp({
  running,
  version,
  status,
  reload,
  live,
  log,
}: ControlledGateway): OpenAPIHono<Parsed> {
  const app = new OpenAPIHono<Parsed>({
    defaultHook: (result, c) => {
      if (result.success) return undefined;
      const [first, ...rest] = result.error.issues.flatMap((issue) =>
        problemsOf(issue as z.core.$ZodIssue, [], result.target === 'json' ? c.get('parsed') : {}),
      );
      const problems = [first!, ...rest].map(({ path, what, remedy }) => ({
        path: pathText(path),
        what,
        remedy,
      }));
      const { path, what, remedy } = problems[0]!;
      const message = path === '' ? what : `${path}: ${what}`;
      return c.json({ error: { code: 'bad_request', message, hint: remedy, problems } }, 400);
    },
  });
  app.use(requireJson);
  app.onError((error, c) => {
    const { status: code, body: content } = errorOf(error);
    if (code === 500) log(`a request failed: ${error.stack ?? error.message}`, 'error');
    return c.json(content, code);
  });

  const change = async (wanted: Change) => {
    const taken = await running.change(wanted);
    const lines = taken.changes === null ? [] : changeLines(taken.changes);
    log(`changed by the control socket: ${lines.join('; ')}; flows ended: ${endedCount(taken)}`);
    return asApplied(taken);
  };
  const get = <T extends z.ZodType>(path: string, schema: T, description: string) =>
    createRoute({ method: 'get', path, responses: ok(schema, description) });

  app.openapi(get('/v1/health', schemas.health, 'Whether somebody is there, and who'), (c) =>
    c.json({ ok: true as const, name: running.options.name, version, api: 'v1' as const }, 200),
  );
  app.openapi(get('/v1/status', schemas.status, 'What the gateway does'), (c) => c.json(status(), 200));
  app.openapi(get('/v1/config', schemas.config, 'The configuration that runs'), (c) => {
    const { options, document, flags } = running;
    return c.json({ file: options.configPath, flags: plain(flags), config: plain(document) }, 200);
  });
  app.openapi(get('/v1/rules', schemas.rules, 'The firewall rules and what they have matched'), (c) => {
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
    const rules = [
      ...listed(null, firewall.rules),
      ...Object.entries(firewall.chains).flatMap(([chain, list]) => listed(chain, list)),
    ];
    return c.json({ rules, defaults: counts.filter(({ name }) => name.startsWith('default/')) }, 200);
  });
  app.openapi(get('/v1/nat-rules', schemas.natRules, 'The NAT rules, in their order'), (c) =>
    c.json({ rules: running.options.nat.rules.map(({ name, action }) => ({ name, action })) }, 200),
  );
  app.openapi(get('/v1/forwards', schemas.forwards, 'The forwards'), (c) => {
    const forwards = running.document.forwards.map((forward) => ({
      name: forwardName(forward),
      forward: typeof forward === 'string' ? forward : plain(forward),
    }));
    return c.json({ forwards }, 200);
  });
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/forwards',
      request: { body: body(schemas.newForward) },
      responses: ok(schemas.applied, 'The forward is there'),
    }),
    async (c) => {
      const { forward } = c.req.valid('json');
      return c.json(await change({ kind: 'add-forward', forward }), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/forwards/{name}',
      request: { params: z.object({ name: z.string().min(1) }) },
      responses: ok(schemas.applied, 'The forward is gone, and so are its flows'),
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return c.json(await change({ kind: 'remove-forward', name }), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/rules',
      request: { body: body(schemas.newRule) },
      responses: ok(schemas.applied, 'The rule is there'),
    }),
    async (c) => {
      const { rule, chain = null, ...place } = c.req.valid('json');
      return c.json(await change({ kind: 'add-rule', chain, rule, place }), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/rules/{chain}/{name}',
      request: { params: z.object({ chain: z.string().min(1), name: z.string().min(1) }) },
      responses: ok(schemas.applied, 'The rule is gone'),
    }),
    async (c) => {
      const { chain, name } = c.req.valid('param');
      const within = chain === MAIN_CHAIN ? null : chain;
      return c.json(await change({ kind: 'remove-rule', chain: within, name }), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/check',
      request: { body: body(schemas.text) },
      responses: ok(schemas.checked, 'What is wrong with a configuration in itself; nothing changes'),
    }),
    (c) => c.json(report(running.check(c.req.valid('json').text)), 200),
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/plan',
      request: { body: body(schemas.text) },
      responses: ok(schemas.planned, 'What a reload would change; nothing changes'),
    }),
    (c) => {
      const { problems, foreseen } = running.plan(c.req.valid('json').text);
      return c.json({ ...report(problems), foreseen: foreseen === null ? null : asForeseen(foreseen) }, 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/reload',
      request: { body: body(z.strictObject({})) },
      responses: ok(schemas.reloaded, 'The file is in force'),
    }),
    async (c) => {
      const { result, error } = await reload();
      if (error !== undefined) throw error;
      return c.json(result, 200);
    },
  );
  tapRoutes(app, live);
  app.get('/v1/openapi.json', (c) => c.json(openApiDocument(app, version)));
  app.notFound((c) => {
    const path = new URL(c.req.url).pathname;
    const routes = app.routes.filter((route) => route.path.startsWith('/v1/'));
    const methods = routes.filter((route) => isOf(route.path, path)).map((route) => route.method);
    if (methods.length > 0) {
      c.header('allow', [...new Set(methods)].join(', '));
      const message = `${c.req.method} is no method of ${path}`;
      return c.json(
        errorBody('method_not_allowed', message, `there is ${[...new Set(methods)].join(', ')}`),
        405,
      );
    }
    const nearest = nearestName(path, [...new Set(routes.map((route) => route.path))]);
    return c.json(errorBody('no_such_route', `there is no route ${path}`, `did you mean ${nearest}?`), 404);
  });
  return app;
}

export function openApiDocument(app: OpenAPIHono<Parsed>, version: string) {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'natgate control socket', version },
    servers: [{ url: 'http://natgate' }],
  });
}

function report(problems: readonly Problem[]) {
  return {
    usable: problems.every(({ severity }) => severity !== 'error'),
    problems: problems.map(({ severity, path, what, remedy, place }) => ({
      severity,
      path: pathText(path),
      what,
      remedy,
      line: place?.line ?? null,
      column: place?.column ?? null,
    })),
  };
}

function asApplied(taken: Taken) {
  return { flowsEnded: taken.restarted ? null : endedCount(taken), notes: taken.leftovers };
}

/** Flows that would end are counted by cause: there may be a million. */
function asForeseen({ changes, refused, host, ending, kept }: Foreseen) {
  const counts = new Map<string, { kind: string; name: string; count: number }>();
  for (const { cause } of ending) {
    const counted = counts.get(causeText(cause));
    if (counted === undefined) counts.set(causeText(cause), { ...cause, count: 1 });
    else counted.count++;
  }
  return { changes, refused, host, ending: [...counts.values()], kept };
}

/** As JSON has it: what is undefined is not there. */
function plain(value: object): Record<string, JSONValue> {
  return JSON.parse(JSON.stringify(value));
}

function isOf(route: string, path: string): boolean {
  const [wanted, given] = [route.split('/'), path.split('/')];
  return (
    wanted.length === given.length && wanted.every((part, i) => part.startsWith(':') || part === given[i])
  );
}
