/** New TCP connections: wrk asks nginx for a page, and nginx closes the connection after each answer. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../../src/core/errors.ts';
import type { Child } from '../processes.ts';
import { GATEWAY_PRIVATE_ADDRESS, serverAddress, type Topology } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';

const CLIENTS = 4;
/** At the same time, of each client. */
const CONNECTIONS = 16;
const PORT = 8080;
const WARM_UP_MS = 300;

/** Everything nginx would write stays in its folder. */
const NGINX_CONF = `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server { listen ${PORT} backlog=4096; return 200 "natgate\\n"; }
}
`;

export const newConnections: Workload = {
  name: 'new-tcp-connections',
  title: 'TCP connections: connect, one request, close',
  about:
    'wrk (`Connection: close`) and nginx (one process), which closes first. ' +
    `${CLIENTS} clients, each with an address of its own, ` +
    `28 232 ports and ${CONNECTIONS} connections at a time, each to a server address of its own. Tables of 262 144 flows, ` +
    '32 768 ports (natgate, which reuses those of closed connections) and all ports (kernel), default timeouts.',
  unit: 'k/s',
  better: 'higher',
  digits: 2,
  needs: [
    { command: 'wrk', package: 'wrk' },
    { command: 'nginx', package: 'nginx-light' },
  ],
  costUnit: 'thousand connections',
  fresh: true,
  warmUp: async (topology) =>
    await serving(topology, async () => {
      const clients = start(topology, 1);
      await sleep(WARM_UP_MS);
      await Promise.all(clients.map((client) => client.stop()));
    }),
  run: async (topology, seconds) =>
    await serving(topology, async () => {
      // wrk knows whole seconds only.
      const whole = Math.max(1, Math.round(seconds));
      const clients = start(topology, whole);
      return parseWrk(await Promise.all(clients.map((client) => client.finish(whole * 1000 + 10_000))));
    }),
};

/** Runs `work` with nginx on the server and the addresses in place. */
async function serving<T>(topology: Topology, work: () => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-bench-'));
  try {
    writeFileSync(join(folder, 'nginx.conf'), NGINX_CONF);
    const flags = ['-e', 'stderr', '-p', folder, '-c', 'nginx.conf'];
    const nginx = topology.start(topology.server, 'nginx', flags);
    await listening(topology, nginx);
    for (let i = 0; i < CLIENTS; i++) {
      const address = clientAddress(i);
      await topology.ip(topology.client, `address replace ${address}/24 dev c0`);
      const route = `${serverAddress(i)} via ${GATEWAY_PRIVATE_ADDRESS} src ${address}`;
      await topology.ip(topology.client, `route replace ${route}`);
    }
    const result = await work();
    await nginx.stop();
    return result;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts wrk once for each client. */
function start(topology: Topology, seconds: number): Child[] {
  // The close is asked for by the client, because wrk takes one that it did not ask for as a failed read.
  const flags = ['-t', '1', '-c', `${CONNECTIONS}`, '-d', `${seconds}s`, '-H', 'Connection: close'];
  return Array.from({ length: CLIENTS }, (_, i) =>
    topology.start(topology.client, 'wrk', [...flags, `http://${serverAddress(i)}:${PORT}/`]),
  );
}

function clientAddress(index: number): string {
  return `10.77.0.${10 + index}`;
}

async function listening(topology: Topology, nginx: Child): Promise<void> {
  for (let attempt = 0; attempt < 100 && nginx.ended === undefined; attempt++) {
    const sockets = await topology.run(topology.server, 'cat', ['/proc/net/tcp']);
    if (sockets.includes(`:${PORT.toString(16).toUpperCase().padStart(4, '0')} `)) return;
  }
  throw new NatgateError('BENCH_NGINX', 'nginx does not listen');
}

/** Adds up what several wrk say. Fails when requests failed: those that went well would not be the whole truth. */
export function parseWrk(outputs: readonly string[]): Sample {
  let requests = 0;
  let rate = 0;
  for (const output of outputs) {
    const counted = /(\d+) requests in /.exec(output);
    const perSecond = /Requests\/sec:\s+([\d.]+)/.exec(output);
    if (counted === null || perSecond === null) throw new NatgateError('BENCH_WRK', `wrk: ${output.trim()}`);
    const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output);
    if (errors !== null || /Non-2xx/.test(output) || counted[1] === '0') {
      throw new NatgateError('BENCH_WRK', `wrk: ${errors?.[0] ?? 'no answer, or a wrong one'}`);
    }
    requests += Number(counted[1]);
    rate += Number(perSecond[1]);
  }
  return { value: rate / 1e3, amount: requests / 1e3 };
}
