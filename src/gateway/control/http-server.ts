/**
 * An HTTP server that a client cannot keep busy: few connections, short waits, small headers. Whoever is refused is told why as
 * the routes do.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type ErrorBody, errorBody } from './errors.ts';

export type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** Above the first a request is refused, above the second a connection. */
const MAX_CONNECTIONS = 32;
const HARD_LIMIT = 64;
const HEADERS_MS = 5000;
const REQUEST_MS = 10_000;
const IDLE_MS = 5000;

export function boundedServer(listener: Listener): Server {
  let connections = 0;
  const server = createServer(
    {
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 16_384,
    },
    (request, response) => {
      if (connections <= MAX_CONNECTIONS) return listener(request, response);
      const body = errorBody(
        'too_many_connections',
        `there are ${MAX_CONNECTIONS} connections already`,
        'try again later, and close connections that are not needed',
      );
      response.writeHead(429, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify(body));
    },
  );
  server.maxConnections = HARD_LIMIT;
  server.on('connection', (socket) => {
    connections++;
    socket.once('close', () => connections--);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuse(error, socket));
  // The gateway does not wait for it.
  server.on('close', () => server.closeAllConnections());
  return server;
}

function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, body]: [string, ErrorBody] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', errorBody('too_slow', 'the request did not come in time', 'send it at once')]
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? [
            '431 Request Header Fields Too Large',
            errorBody('headers_too_large', 'the headers are too large', ''),
          ]
        : [
            '400 Bad Request',
            errorBody('bad_http', 'this is no HTTP request', 'e.g. curl --unix-socket PATH'),
          ];
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}`;
  socket.end(`${head}\r\nconnection: close\r\n\r\n${text}`);
}
