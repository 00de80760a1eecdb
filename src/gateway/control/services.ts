/** What a running gateway serves: the control socket and the metrics. Neither holds the gateway up, or ends it. */
import { getRequestListener } from '@hono/node-server';
import type { Log } from '../log.ts';
import type { RunOptions } from '../options.ts';
import type { Reload } from '../reload/reload.ts';
import type { RunningConfig } from '../reload/running.ts';
import { readStatus, recordOf } from '../status.ts';
import { packageVersion } from '../version.ts';
import { controlApp } from './app.ts';
import { socketGroup } from './group.ts';
import { boundedServer } from './http-server.ts';
import { metricsSource } from './metrics.ts';
import { requirePrivate, serveMetrics } from './metrics-server.ts';
import { listenAt, requireFree } from './socket.ts';
import { Streams } from './streams.ts';

/** What would fail later, before anything of the host is changed. `outside`: addresses of the public interface. */
export async function checkServices(options: RunOptions, outside: readonly number[]): Promise<void> {
  const { control, metrics } = options;
  socketGroup(control.group);
  if (control.socket !== null) await requireFree(control.socket);
  if (metrics !== null) requirePrivate(metrics, outside, options.public);
}

/** Resolves with what ends them. Rejects with NatgateError; nothing is left then. */
export async function startServices(running: RunningConfig, reload: Reload, log: Log): Promise<() => void> {
  const { options } = running;
  const status = () => readStatus(options);
  const closers: (() => void)[] = [];
  const close = () => {
    for (const step of closers.splice(0).reverse()) step();
  };
  try {
    if (options.control.socket !== null) {
      const app = controlApp({
        running,
        version: packageVersion(),
        status,
        reload,
        log,
        streams: new Streams(),
      });
      const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
      const server = boundedServer((request, response) => void listener(request, response));
      const { socket: path, mode, group } = options.control;
      closers.push(await listenAt(server, { path, mode, gid: socketGroup(group) }));
      closers.push(() => server.closeAllConnections());
    }
    if (options.metrics !== null) {
      const source = metricsSource(
        status,
        () => recordOf(options),
        () => running.options.nat.rules,
      );
      closers.push(source.close);
      const server = await serveMetrics(options.metrics, source.read, (line) => log(line, 'error'));
      closers.push(() => {
        server.close();
        server.closeAllConnections();
      });
    }
  } catch (error) {
    close();
    throw error;
  }
  return close;
}
