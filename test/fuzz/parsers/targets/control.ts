/** Requests to the control socket: `METHOD /path?query`, a line of its content type, and the body. Each to a gateway that has just begun. */
import { NatgateError } from '../../../../src/core/errors.ts';
import { liveOf } from '../../../../src/gateway/capture/live.ts';
import { examine } from '../../../../src/gateway/config/load.ts';
import { showConfig } from '../../../../src/gateway/config/show.ts';
import { controlApp } from '../../../../src/gateway/control/app.ts';
import type { ErrorBody } from '../../../../src/gateway/control/errors.ts';
import { Streams } from '../../../../src/gateway/control/streams.ts';
import { FlowService } from '../../../../src/gateway/observe/flow-service.ts';
import { difference } from '../../../../src/gateway/reload/difference.ts';
import { RunningConfig } from '../../../../src/gateway/reload/running.ts';
import { STATUS } from '../../../gateway/control/support.ts';
import { must, type Target } from '../target.ts';

const read = (text: string) =>
  examine({ name: 'x', stateRoot: '/run/x', flags: {}, file: { path: 'natgate.yaml', text } });

const FILE = `private: eth1
public: eth0
forwards: [{name: web, protocol: tcp, port: 8080, to: "192.168.1.10:80"}]
firewall:
  chains: {guests: [{name: dns, action: accept, protocol: udp, ports: 53}]}
  rules: [{name: no-ssh, action: drop, protocol: tcp, ports: 22}, {jump: guests, from: 192.168.2.0/24}]
`;
const JSON_TYPE = 'application/json';
/** What a request may be about; others are no requests, and Request itself refuses them. */
const METHODS = /^(GET|POST|DELETE|PUT|HEAD|PATCH|OPTIONS)$/;

const notReady = (): never => {
  throw new NatgateError('not_ready', 'the gateway is starting', 'try again');
};

/** The routes of a gateway with that file, its configuration, and what it logged as its own fault. */
function begin() {
  const { options, document } = read(FILE);
  let inForce = options!;
  const running = new RunningConfig(
    { options: inForce, document: document!, flags: {} },
    {
      async reconfigure(next) {
        const changes = difference(inForce, next);
        inForce = next;
        return { changes, ended: [], kept: 0, restarted: false, leftovers: [] };
      },
      foresee: (next) => ({
        changes: difference(inForce, next),
        refused: null,
        host: [],
        ending: [],
        kept: 0,
      }),
    },
  );
  const faults: string[] = [];
  const nothing = () => undefined;
  const app = controlApp({
    running,
    version: '1.2.3',
    status: () => STATUS,
    record: notReady,
    reload: notReady,
    flows: new FlowService(notReady, async () => null),
    restore: notReady,
    live: liveOf(nothing, nothing),
    log: (line, severity) => void (severity === 'error' && faults.push(line)),
    streams: new Streams(),
    subscribe: () => () => {},
  });
  return { app, running, faults };
}

const post = (route: string, body: unknown, type = JSON_TYPE) =>
  `POST ${route}\n${type}\n${typeof body === 'string' ? body : JSON.stringify(body)}`;

export const control: Target = {
  name: 'control',
  files: [
    'gateway/control/app.ts',
    'gateway/control/body.ts',
    'gateway/control/errors.ts',
    'gateway/config/change.ts',
  ],
  form: 'utf8',
  seeds: () => [
    ...[
      'health',
      'status',
      'config',
      'rules',
      'nat-rules',
      'forwards',
      'stats',
      'drops?last=3',
      'top?by=host',
    ].map((route) => `GET /v1/${route}\n\n`),
    'GET /v1/flows?filter=tcp%20and%20port%2080&limit=5&sort=bytes&cursor=x\n\n',
    'GET /v1/flows/count?filter=src%2010.0.0.2\n\n',
    post('/v1/forwards', { forward: 'tcp:9000=192.168.1.10' }),
    post('/v1/forwards', { forward: { name: 'b', protocol: 'udp', port: '5000-5009', to: ['192.168.1.9'] } }),
    post('/v1/rules', {
      rule: { name: 'r', action: 'drop', to: '10.0.0.0/8', ports: [25] },
      chain: 'guests',
      position: 1,
    }),
    post('/v1/rules', { rule: { action: 'accept', protocol: 'tcp' }, before: 'no-ssh' }),
    post('/v1/check', { text: FILE }),
    post('/v1/plan', {}, 'application/json; charset=utf-8'),
    post('/v1/reload', {}),
    post('/v1/flows/restore', {}),
    post('/v1/check', '[[[[{"text":"\\u0000"}]]]]', 'text/plain'),
    `DELETE /v1/forwards/web\n\n`,
    `DELETE /v1/rules/guests/dns\n\n`,
    `DELETE /v1/flows\n${JSON_TYPE}\n{"filter": "tcp"}`,
    `DELETE /v1/flows\n${JSON_TYPE}\n{"all": true}`,
  ],
  run: async (_, text) => {
    const [first = '', type = '', ...rest] = text.split('\n');
    const [method = '', route = ''] = first.split(' ');
    if (!METHODS.test(method) || !/^\/[\x21-\x7e]*$/.test(route) || !/^[\x20-\x7e]*$/.test(type)) return;
    const hasBody = method !== 'GET' && method !== 'HEAD' && rest.join('\n') !== '';
    const { app, running, faults } = begin();
    const answer = await app.request(`http://natgate${route}`, {
      method,
      headers: type === '' ? {} : { 'content-type': type },
      ...(hasBody && { body: rest.join('\n') }),
    });
    must(answer.status !== 500 && faults.length === 0, 'internal', () => faults.join('\n'));
    if (answer.headers.get('content-type')?.startsWith(JSON_TYPE) === true && method !== 'HEAD') {
      // A stream begins well and breaks off when what it is about is not there.
      const said = (await answer.json().catch(() => null)) as ErrorBody | null;
      if (answer.status >= 400) {
        must(!!said?.error.code && said.error.message !== '', 'mute', () => JSON.stringify(said));
      }
    } else await answer.body?.cancel();
    // Whatever was asked, what is in force could be a file.
    const shown = showConfig(running.document);
    const { problems } = read(shown);
    must(
      !problems.some(({ severity }) => severity === 'error'),
      'in force',
      () => `${JSON.stringify(problems)}\n${shown}`,
    );
  },
};
