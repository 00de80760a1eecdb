/** `/metrics` on a TCP port, and where it is asked for the web page (page-server.ts): the only things that natgate serves over a network. */
import type { Server } from 'node:http';
import { NatgateError } from '../../core/errors.ts';
import { formatAddress } from '../../wire/address.ts';
import type { RunOptions } from '../options.ts';
import { errorBody } from './errors.ts';
import { boundedServer } from './http-server.ts';
import type { Moment } from './metric-list.ts';
import { metricsOf } from './metrics.ts';
import { type Page, pageListener } from './page-server.ts';

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

/** `page`: null where there is none. Rejects with NatgateError `metrics_failed`. */
export async function serveMetrics(
  { address, port }: Metrics,
  read: () => Promise<Moment>,
  log: (line: string) => void,
  page: Page | null = null,
): Promise<Server> {
  const metrics = metricsOf(read);
  const pages = page === null ? null : pageListener(page);
  const server = boundedServer((request, response) => {
    const answer = (code: number, type: string, text: string) => {
      response.writeHead(code, { 'content-type': type });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    const refuse = (code: number, ...words: Parameters<typeof errorBody>) =>
      answer(code, 'application/json', JSON.stringify(errorBody(...words)));
    const isMetrics = request.url?.split('?')[0] === '/metrics';
    if (!isMetrics && pages !== null) pages(request, response);
    else if (!isMetrics) refuse(404, 'no_such_route', 'there is only /metrics', '');
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
