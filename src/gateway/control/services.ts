/** What a running gateway serves: the control socket and the metrics. Neither holds the gateway up, or ends it. */
import { getRequestListener } from '@hono/node-server';
import { NatgateError } from '../../core/errors.ts';
import type { Live } from '../capture/live.ts';
import type { EventHub } from '../events/hub.ts';
import type { Log } from '../log.ts';
import type { DeleteFlows } from '../observe/delete-flows.ts';
import { FlowService } from '../observe/flow-service.ts';
import type { RunOptions } from '../options.ts';
import type { Reload } from '../reload/reload.ts';
import type { RunningConfig } from '../reload/running.ts';
import { type RunRecord, runDirectory } from '../run/run-record.ts';
import { type RestoredFlows, restorePath } from '../saved-flows/restoring.ts';
import { readStatus, recordOf } from '../status.ts';
import { packageVersion } from '../version.ts';
import { controlApp } from './app.ts';
import { socketGroup } from './group.ts';
import { boundedServer } from './http-server.ts';
import { metricsSource } from './metrics.ts';
import { requirePrivate, serveMetrics } from './metrics-server.ts';
import { readPageFiles, readToken } from './page-server.ts';
import { keepListening, requireFree } from './socket.ts';
import { MAX_STREAMS, Streams } from './streams.ts';

const PAGE_STREAMS = 12;

/**
 * What would fail later, before anything of the host is changed. `outside`: addresses of the public interface; `isTakeover`: the socket is
 * still that of the gateway that gives way.
 */
export async function checkServices(
  options: RunOptions,
  outside: readonly number[],
  isTakeover = false,
): Promise<void> {
  const { control, metrics } = options;
  socketGroup(control.group);
  if (control.socket !== null && !isTakeover) await requireFree(control.socket);
  if (metrics === null) return;
  requirePrivate(metrics, outside, options.public);
  if (metrics.tokenFile !== null) readToken(metrics.tokenFile);
  if (metrics.page) readPageFiles();
}

/** What services need of the gateway itself. */
export interface ServedGateway {
  /** Null before it is up. */
  readonly record: RunRecord | null;
  readonly live: Live;
  /** Undefined likewise. */
  readonly events: EventHub | undefined;
  deleteFlows: DeleteFlows;
  restore(path: string): Promise<RestoredFlows>;
}

/** Resolves with what ends them. Rejects with NatgateError; nothing is left then. */
export async function startServices(
  running: RunningConfig,
  reload: Reload,
  gateway: ServedGateway,
  log: Log,
): Promise<() => void> {
  const { options } = running;
  const status = () => readStatus(options);
  const record = () => {
    if (gateway.record === null) throw new NatgateError('not_ready', 'the gateway is starting', 'try again');
    return gateway.record;
  };
  const closers: (() => void)[] = [];
  const close = () => {
    for (const step of closers.splice(0).reverse()) step();
  };
  try {
    // Each with streams of its own: the page takes none from the socket.
    const makeApp = (most: number) =>
      controlApp({
        running,
        version: packageVersion(),
        status,
        reload,
        record,
        live: gateway.live,
        flows: new FlowService(record, (worker, flows) => gateway.deleteFlows(worker, flows)),
        restore: () => gateway.restore(restorePath(runDirectory(options.stateRoot, options.name))),
        log,
        streams: new Streams({ most }),
        subscribe: (...of) => gateway.events!.subscribe(...of),
      });
    if (options.control.socket !== null) {
      const app = makeApp(MAX_STREAMS);
      const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
      const server = boundedServer((request, response) => void listener(request, response));
      const { socket: path, mode, group } = options.control;
      const place = { path, mode, gid: socketGroup(group) };
      closers.push(await keepListening(server, place, (line) => log(line, 'warning')));
      closers.push(() => server.closeAllConnections());
    }
    if (options.metrics !== null) {
      const source = metricsSource(
        status,
        () => recordOf(options),
        () => running.options.nat.rules,
      );
      closers.push(source.close);
      const { page, tokenFile } = options.metrics;
      const token = tokenFile === null ? null : readToken(tokenFile);
      const pages = page ? { app: makeApp(PAGE_STREAMS), token, files: readPageFiles() } : null;
      const server = await serveMetrics(options.metrics, source.read, (line) => log(line, 'error'), pages);
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
