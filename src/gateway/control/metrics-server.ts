/** `/metrics` on a TCP port: the only thing that natgate serves over a network, and nothing can be changed by it. */
import type { Server } from 'node:http';
import { NatgateError } from '../../core/errors.ts';
import { formatAddress } from '../../wire/address.ts';
import type { RunOptions } from '../options.ts';
import { errorBody } from './errors.ts';
import { boundedServer } from './http-server.ts';
import type { Observed } from './metric-list.ts';
import { metricsOf } from './metrics.ts';

type Metrics = NonNullable<RunOptions['metrics']>;

/**
 * Throws NatgateError `metrics_public` when the world could ask, and nobody said that it may.
 * `outside`: addresses of the public interface, wire order.
 */
export function requirePrivate(metrics: Metrics, outside: readonly number[], publicName: string): void {
  if (metrics.public || (metrics.address !== 0 && !outside.includes(metrics.address))) return;
  const address = formatAddress(metrics.address);
  throw new NatgateError(
    'metrics_public',
    `metrics: ${address} can be reached by ${publicName}`,
    'name a private address or 127.0.0.1, or say `metrics: {listen: …, public: true}`',
  );
}

/** Rejects with NatgateError `metrics_failed`. */
export async function serveMetrics(
  { address, port }: Metrics,
  observe: () => Observed,
  log: (line: string) => void,
): Promise<Server> {
  const metrics = metricsOf(observe);
  const server = boundedServer((request, response) => {
    const answer = (code: number, type: string, text: string) => {
      response.writeHead(code, { 'content-type': type });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    const refuse = (code: number, ...words: Parameters<typeof errorBody>) =>
      answer(code, 'application/json', JSON.stringify(errorBody(...words)));
    if (request.url?.split('?')[0] !== '/metrics') refuse(404, 'no_such_route', 'there is only /metrics', '');
    else if (request.method !== 'GET' && request.method !== 'HEAD')
      refuse(405, 'method_not_allowed', 'there is only GET', '');
    else {
      metrics.text().then(
        (text) => answer(200, metrics.contentType, text),
        (error: Error) => {
          log(`metrics could not be read: ${error.message}`);
          refuse(500, 'internal', 'metrics could not be read', 'see the log of the gateway');
        },
      );
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const at = `${formatAddress(address)}:${port}`;
      reject(
        new NatgateError(
          'metrics_failed',
          `metrics: no listening on ${at}: ${cause.message}`,
          'name another address or port',
          { cause },
        ),
      );
    });
    server.listen(port, formatAddress(address), resolve);
  });
  return server;
}
