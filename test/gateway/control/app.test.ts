/** The routes, with a gateway that remembers what it is asked to become. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { FlowInfo } from '../../../src/conntrack/flow-info.ts';
import { NatgateError } from '../../../src/core/errors.ts';
import { liveOf } from '../../../src/gateway/capture/live.ts';
import { loadConfig } from '../../../src/gateway/config/load.ts';
import { controlApp, openApiDocument } from '../../../src/gateway/control/app.ts';
import { boundedServer } from '../../../src/gateway/control/http-server.ts';
import * as schemas from '../../../src/gateway/control/schemas.ts';
import { listenAt } from '../../../src/gateway/control/socket.ts';
import { Streams } from '../../../src/gateway/control/streams.ts';
import { FlowService } from '../../../src/gateway/observe/flow-service.ts';
import type { RunOptions } from '../../../src/gateway/options.ts';
import { difference } from '../../../src/gateway/reload/difference.ts';
import type { EndingFlow } from '../../../src/gateway/reload/plan.ts';
import { reloader } from '../../../src/gateway/reload/reload.ts';
import { RunningConfig } from '../../../src/gateway/reload/running.ts';
import { STATUS } from './support.ts';

const FILE = `
private: eth1
public: eth0
forwards:
  - {name: web, protocol: tcp, port: 8080, to: "192.168.1.10:80"}
  - tcp:8443=192.168.1.10:443
firewall:
  chains: {guests: [{name: dns, action: accept, protocol: udp, ports: 53}]}
  rules:
    - {name: no-ssh, action: drop, protocol: tcp, ports: 22}
    - {name: guests, jump: guests, from: 192.168.2.0/24}
`;
const folder = mkdtempSync(join(tmpdir(), 'natgate-control-'));
const path = join(folder, 'natgate.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const TUPLE = { src: 0x0100000a, dst: 0x0200000a, sport: 7, dport: 8 };
const FLOW: FlowInfo = {
  protocol: 6,
  state: 'ESTABLISHED',
  original: TUPLE,
  reply: TUPLE,
  originalPackets: 1,
  originalBytes: 60,
  replyPackets: 0,
  replyBytes: 0,
  timeoutSeconds: 432_000,
  assured: false,
  unreplied: true,
  related: false,
};

const noRecord = (): never => {
  throw new NatgateError('not_ready', 'it is starting', 'try again');
};

let became: RunOptions[];
/** Names of the forwards whose flows a plan ends. */
let endingBy: string[];
let logged: string[];
let app: ReturnType<typeof controlApp>;
beforeEach(() => {
  writeFileSync(path, FILE);
  became = [];
  endingBy = ['web', 'web', 'mail'];
  const { options, document } = loadConfig({ name: 'default', stateRoot: folder, flags: {}, path });
  let inForce = options;
  const running = new RunningConfig(
    { options, document, flags: {} },
    {
      async reconfigure(next) {
        became.push(next);
        const changes = difference(inForce, next);
        inForce = next;
        const ended = [{ kind: 'forward' as const, name: 'web', count: 3 }];
        return { changes, ended, kept: 5, restarted: false, leftovers: [] };
      },
      foresee(next) {
        const ending = endingBy.map((name): EndingFlow => ({ cause: { kind: 'forward', name }, flow: FLOW }));
        return { changes: difference(inForce, next), refused: null, host: [], ending, kept: 5 };
      },
    },
  );
  logged = [];
  const log = (line: string) => void logged.push(line);
  const reload = reloader({ running, log, directory: folder });
  const live = liveOf(
    () => undefined,
    () => undefined,
  );
  app = controlApp({
    running,
    version: '1.2.3',
    status: () => STATUS,
    record: noRecord,
    reload,
    flows: new FlowService(noRecord, async () => null),
    restore: noRecord,
    live,
    log,
    streams: new Streams(),
    subscribe: () => () => {},
  });
});

async function ask(method: string, route: string, body?: unknown, headers: Record<string, string> = {}) {
  const init = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const response = await app.request(route, { method, ...init, headers: { ...type, ...headers } });
  // biome-ignore lint/suspicious/noExplicitAny: what it is, each test says.
  return { status: response.status, headers: response.headers, body: (await response.json()) as any };
}
const forwardNames = async () =>
  (await ask('GET', '/v1/forwards')).body.forwards.map(({ name }: { name: string }) => name);
const ruleNames = async () =>
  (await ask('GET', '/v1/rules')).body.rules.map(
    ({ chain, name }: { chain: string | null; name: string }) => `${chain ?? ''}/${name}`,
  );

describe('answers', () => {
  it('says of a content type that only looks like JSON that it is none, and logs no fault', async () => {
    const answer = await ask('POST', '/v1/plan', {}, { 'content-type': 'application/json;' });
    expect([answer.status, answer.body.error.code]).toEqual([415, 'not_json']);
    expect(logged).toEqual([]);
  });

  it.each([
    ['GET', '/v1/health', undefined, schemas.health],
    ['GET', '/v1/status', undefined, schemas.status],
    ['GET', '/v1/config', undefined, schemas.config],
    ['GET', '/v1/rules', undefined, schemas.rules],
    ['GET', '/v1/nat-rules', undefined, schemas.natRules],
    ['GET', '/v1/forwards', undefined, schemas.forwards],
    ['POST', '/v1/forwards', { forward: 'tcp:9000=192.168.1.10' }, schemas.applied],
    ['DELETE', '/v1/forwards/web', undefined, schemas.applied],
    ['POST', '/v1/rules', { rule: { action: 'drop' } }, schemas.applied],
    ['DELETE', '/v1/rules/-/no-ssh', undefined, schemas.applied],
    ['POST', '/v1/check', {}, schemas.checked],
    ['POST', '/v1/plan', {}, schemas.planned],
    ['POST', '/v1/reload', {}, schemas.reloaded],
  ])('%s %s as its schema says', async (method, route, body, schema) => {
    const answer = await ask(method, route, body);
    expect(answer.status).toBe(200);
    expect(schema.strict().parse(answer.body)).toEqual(answer.body);
  });

  it('has every route in its OpenAPI document, and no reference that leads nowhere', async () => {
    const { body } = await ask('GET', '/openapi.json');
    expect(body).toEqual(JSON.parse(JSON.stringify(openApiDocument(app, '1.2.3'))));
    expect(body.openapi).toBe('3.1.0');
    const operations = Object.entries(
      body.paths as Record<string, Record<string, { responses: object }>>,
    ).flatMap(([route, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => ({ route, method, responses })),
    );
    expect(operations.map(({ route, method }) => `${method} ${route}`).sort()).toEqual([
      'delete /v1/flows',
      'delete /v1/forwards/{name}',
      'delete /v1/rules/{chain}/{name}',
      'get /v1/config',
      'get /v1/drops',
      'get /v1/events',
      'get /v1/flows',
      'get /v1/flows/count',
      'get /v1/forwards',
      'get /v1/health',
      'get /v1/nat-rules',
      'get /v1/rules',
      'get /v1/stats',
      'get /v1/status',
      'get /v1/top',
      'get /v1/trace',
      'post /v1/capture',
      'post /v1/check',
      'post /v1/flows/restore',
      'post /v1/forwards',
      'post /v1/plan',
      'post /v1/reload',
      'post /v1/rules',
    ]);
    for (const { responses } of operations) expect(Object.keys(responses)).toEqual(['200', '4XX']);
    const references = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)];
    expect(references.length).toBeGreaterThan(13);
    for (const [, name] of references) expect(body.components.schemas).toHaveProperty(name!);
  });
});

describe('changes', () => {
  it('adds a forward, and the gateway becomes one that has it', async () => {
    const forward = { name: 'mail', protocol: 'tcp', port: 25, to: '192.168.1.11' };
    expect((await ask('POST', '/v1/forwards', { forward })).body).toEqual({ flowsEnded: 3, notes: [] });
    expect(await forwardNames()).toEqual(['web', 'tcp:8443=192.168.1.10:443', 'mail']);
    expect(became.map(({ nat }) => nat.forwards.map(({ name }) => name))).toEqual([
      ['web', 'tcp:8443=192.168.1.10:443', 'mail'],
    ]);
  });

  it.each(['web', 'tcp:8080', 'tcp:8443', 'tcp:8443=192.168.1.10:443'])(
    'removes a forward by %s',
    async (name) => {
      expect((await ask('DELETE', `/v1/forwards/${encodeURIComponent(name)}`)).status).toBe(200);
      expect(became[0]!.nat.forwards).toHaveLength(1);
    },
  );

  it.each([
    [{}, ['/no-ssh', '/guests', '/new', 'guests/dns']],
    [{ position: 1 }, ['/new', '/no-ssh', '/guests', 'guests/dns']],
    [{ before: 'guests' }, ['/no-ssh', '/new', '/guests', 'guests/dns']],
    [{ after: 'no-ssh' }, ['/no-ssh', '/new', '/guests', 'guests/dns']],
    [{ chain: 'guests', before: 'dns' }, ['/no-ssh', '/guests', 'guests/new', 'guests/dns']],
  ])('adds a rule at %j', async (place, names) => {
    expect(
      (await ask('POST', '/v1/rules', { rule: { name: 'new', action: 'log', log: 'x' }, ...place })).status,
    ).toBe(200);
    expect(await ruleNames()).toEqual(names);
    expect(became).toHaveLength(1);
  });

  it('are made one after the other', async () => {
    const ports = Array.from({ length: 20 }, (_, i) => 9000 + i);
    await Promise.all(
      ports.map((port) => ask('POST', '/v1/forwards', { forward: `tcp:${port}=192.168.1.10` })),
    );
    expect(became.map(({ nat }) => nat.forwards.length)).toEqual(ports.map((_, i) => i + 3));
  });

  it('are undone by a reload, which plan and reload say', async () => {
    await ask('POST', '/v1/forwards', { forward: 'udp:53=192.168.1.10' });
    expect(logged).toEqual([
      'changed by the control socket: forwards added: udp:53=192.168.1.10 (udp 53); flows ended: 3',
    ]);
    const changes = { forwards: { added: [], removed: ['udp:53=192.168.1.10 (udp 53)'], changed: [] } };
    expect((await ask('POST', '/v1/plan', {})).body).toMatchObject({
      usable: true,
      problems: [],
      foreseen: {
        changes,
        refused: null,
        host: [],
        ending: [
          { kind: 'forward', name: 'web', count: 2 },
          { kind: 'forward', name: 'mail', count: 1 },
        ],
        kept: 5,
      },
    });
    expect((await ask('POST', '/v1/reload', {})).body).toMatchObject({ applied: true, changes, kept: 5 });
    expect(await forwardNames()).toEqual(['web', 'tcp:8443=192.168.1.10:443']);
  });
});

it('a plan lists the flows that would end, as far as they are few', async () => {
  const { body } = await ask('POST', '/v1/plan', {});
  const flow = {
    ...FLOW,
    original: { ...TUPLE, src: '10.0.0.1', dst: '10.0.0.2' },
    reply: { ...TUPLE, src: '10.0.0.1', dst: '10.0.0.2' },
  };
  expect(body.foreseen.flows).toEqual(
    ['web', 'web', 'mail'].map((name) => ({ cause: { kind: 'forward', name }, flow })),
  );
  endingBy = Array(schemas.MAX_FLOWS_FORESEEN + 1).fill('web');
  const { foreseen } = (await ask('POST', '/v1/plan', {})).body;
  expect(foreseen.flows).toHaveLength(schemas.MAX_FLOWS_FORESEEN);
  expect(foreseen.ending).toEqual([{ kind: 'forward', name: 'web', count: schemas.MAX_FLOWS_FORESEEN + 1 }]);
});

describe('over a socket', () => {
  it('takes requests without a body, and in pieces', async () => {
    const server = boundedServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
    const close = await listenAt(server, { path: join(folder, 's'), mode: 0o600, gid: null });
    const send = (method: string, route: string, parts: string[]) =>
      new Promise<{ status: number; text: string }>((resolve, reject) => {
        const headers = parts.length > 0 ? { 'content-type': 'application/json' } : {};
        const sent = request({ socketPath: join(folder, 's'), method, path: route, headers }, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part) => {
            text += part;
          });
          response.on('end', () => resolve({ status: response.statusCode!, text }));
        });
        sent.on('error', reject);
        for (const part of parts) sent.write(part);
        sent.end();
      });
    expect(await send('DELETE', '/v1/rules/-/no-ssh', [])).toMatchObject({ status: 200 });
    const pieces = ['{"forward":', '"udp:53=192.168.1.9"}'];
    expect(await send('POST', '/v1/forwards', pieces)).toMatchObject({ status: 200 });
    expect(became).toHaveLength(2);
    close();
  });
});

describe('refusals change nothing', () => {
  it.each<[string, string, string, unknown, number, string, RegExp]>([
    ['no JSON', 'POST', '/v1/forwards', '{"forward":', 400, 'bad_json', /no JSON/],
    [
      'nested too deeply',
      'POST',
      '/v1/check',
      '['.repeat(40) + ']'.repeat(40),
      400,
      'bad_json',
      /too deeply/,
    ],
    [
      'a wrong type',
      'POST',
      '/v1/forwards',
      { forward: 3 },
      400,
      'bad_request',
      /^forward: 3 is not allowed/,
    ],
    ['an unknown key', 'POST', '/v1/rules', { rule: { actoin: 'drop' } }, 400, 'bad_request', /"actoin"/],
    ['a missing body', 'POST', '/v1/rules', {}, 400, 'bad_request', /^rule: it is missing/],
    ['an overlap', 'POST', '/v1/forwards', { forward: 'tcp:8080=192.168.1.9' }, 422, 'config_invalid', /web/],
    [
      'a name that is taken',
      'POST',
      '/v1/rules',
      { rule: { name: 'no-ssh', action: 'drop' } },
      422,
      'config_invalid',
      /no-ssh/,
    ],
    [
      'a chain that is not there',
      'POST',
      '/v1/rules',
      { rule: { jump: 'gests' } },
      422,
      'config_invalid',
      /gests/,
    ],
    ['a forward that is not there', 'DELETE', '/v1/forwards/wep', undefined, 404, 'no_such_forward', /wep/],
    ['a rule that is not there', 'DELETE', '/v1/rules/-/no-shh', undefined, 404, 'no_such_rule', /no-shh/],
    ['a chain that is used', 'DELETE', '/v1/rules/gusts/dns', undefined, 404, 'no_such_chain', /gusts/],
    [
      'a position beyond',
      'POST',
      '/v1/rules',
      { rule: { action: 'drop' }, position: 9 },
      422,
      'bad_position',
      /9/,
    ],
    [
      'two places',
      'POST',
      '/v1/rules',
      { rule: { action: 'drop' }, position: 1, before: 'guests' },
      422,
      'bad_position',
      /several/,
    ],
    ['an unknown route', 'GET', '/v1/forwrads', undefined, 404, 'no_such_route', /forwrads/],
    ['a wrong method', 'PUT', '/v1/forwards', undefined, 405, 'method_not_allowed', /PUT/],
    ['a long body', 'POST', '/v1/check', { text: 'x'.repeat(1_048_576) }, 413, 'body_too_large', /1048576/],
  ])('%s', async (_, method, route, body, status, code, message) => {
    const answer = await ask(method, route, body);
    expect({ status: answer.status, code: answer.body.error?.code }).toEqual({ status, code });
    expect(answer.body.error.message).toMatch(message);
    expect(schemas.errorBody.parse(answer.body)).toEqual(answer.body);
    expect(became).toEqual([]);
  });

  it('names what was meant', async () => {
    const hint = async (method: string, route: string, body?: unknown) =>
      (await ask(method, route, body)).body.error.hint;
    expect(await hint('GET', '/v1/forwrads')).toBe('did you mean /v1/forwards?');
    expect(await hint('DELETE', '/v1/forwards/wep')).toBe('did you mean web?');
    expect(await hint('POST', '/v1/rules', { rule: { actoin: 'drop' } })).toMatch(/^did you mean action\?/);
    const { headers } = await ask('PUT', '/v1/forwards');
    expect(headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'POST']);
  });

  it('a body that is not JSON by its type', async () => {
    const type = { 'content-type': 'text/plain' };
    expect(await ask('POST', '/v1/check', {}, type)).toMatchObject({
      status: 415,
      body: { error: { code: 'not_json' } },
    });
  });

  it('a reload of a bad file', async () => {
    writeFileSync(path, `${FILE}\nevict: sometimes\n`);
    expect(await ask('POST', '/v1/reload', {})).toMatchObject({
      status: 422,
      body: { error: { code: 'config_invalid', problems: [{ path: 'evict' }] } },
    });
    expect((await ask('POST', '/v1/check', {})).body).toMatchObject({
      usable: false,
      problems: [{ line: 13 }],
    });
    expect(became).toEqual([]);
  });
});
