/**
 * The web page and what it reads, over TCP. A browser is the client, so any web site may try to ask in its user's name:
 *
 *     request ─▶ Host is an address or localhost (else 421: a name that was rebound to this address)
 *             ─▶ not sent by another site (Sec-Fetch-Site; else 403)
 *             ─▶ file of the page │ GET of a route in READABLE │ with the token: DELETE /v1/flows ─▶ the control socket's app
 *
 * No answer has a CORS header, and the page runs no script but its own file. The configuration is not readable: it may hold secrets.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { NatgateError } from '../../core/errors.ts';
import { errorBody } from './errors.ts';
import type { Listener } from './http-server.ts';
import type { ControlApp } from './routes/route.ts';

export interface Page {
  app: Pick<ControlApp, 'fetch'>;
  /** Without it nothing can be changed. */
  token: string | null;
  /** By path. */
  files: ReadonlyMap<string, PageFile>;
}

export interface PageFile {
  type: string;
  text: string;
}

const READABLE: ReadonlySet<string> = new Set([
  '/v1/health',
  '/v1/status',
  '/v1/flows',
  '/v1/flows/count',
  '/v1/stats',
  '/v1/top',
  '/v1/rules',
  '/v1/forwards',
  '/openapi.json',
]);
/** What a token allows. */
const CHANGING: ReadonlySet<string> = new Set(['DELETE /v1/flows']);

const FILES: readonly [path: string, file: string, type: string][] = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/style.css', 'style.css', 'text/css; charset=utf-8'],
  ['/page.js', 'page.js', 'text/javascript; charset=utf-8'],
  ['/icon.svg', 'icon.svg', 'image/svg+xml'],
];

const HEADERS: readonly [string, string][] = [
  [
    'content-security-policy',
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  ],
  ['x-content-type-options', 'nosniff'],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['cache-control', 'no-store'],
];

/** Octets of a token, at least. */
const SHORTEST_TOKEN = 16;

/** From `folder`, where the build puts them. Throws NatgateError `page_missing`. */
export function readPageFiles(folder = new URL('../web/', import.meta.url)): Map<string, PageFile> {
  try {
    return new Map(
      FILES.map(([path, file, type]) => [path, { type, text: readFileSync(new URL(file, folder), 'utf8') }]),
    );
  } catch (cause) {
    throw new NatgateError(
      'page_missing',
      `the web page is not there: ${(cause as Error).message}`,
      'run `npm run build`, or leave `metrics.page` out',
      { cause },
    );
  }
}

/** Throws NatgateError `token_file` when there is none, or when others than its owner may read or write it. */
export function readToken(path: string): string {
  const refuse = (what: string, hint: string) =>
    new NatgateError('token_file', `metrics.token-file: ${path}: ${what}`, hint);
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) throw refuse('others than its owner may use it', `chmod 600 ${path}`);
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof NatgateError) throw error;
    throw refuse((error as Error).message, `e.g. (umask 077; openssl rand -hex 24 > ${path})`);
  }
  if (!new RegExp(`^[\\x21-\\x7e]{${SHORTEST_TOKEN},}$`).test(text))
    throw refuse(
      `a token is one word of at least ${SHORTEST_TOKEN} characters`,
      `e.g. openssl rand -hex 24 > ${path}`,
    );
  return text;
}

export function pageListener({ app, token, files }: Page): Listener {
  const forward = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return (request, response) => {
    for (const [name, value] of HEADERS) response.setHeader(name, value);
    const refuse = (status: number, ...words: Parameters<typeof errorBody>) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(errorBody(...words)));
    };
    if (!isOwnHost(request.headers.host))
      return refuse(
        421,
        'wrong_host',
        'this server has no such name',
        'ask it by its address, e.g. 127.0.0.1',
      );
    // A link to the page may be anywhere.
    const path = request.url!.split('?')[0]!;
    if (isForeign(request) && !files.has(path))
      return refuse(403, 'wrong_site', 'another web site asks', 'open the page itself');
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const file = files.get(path);
    if (file !== undefined && isRead) return send(response, file, request.method === 'HEAD');
    if (request.method === 'GET' && READABLE.has(path)) return void forward(request, response);
    if (CHANGING.has(`${request.method} ${path}`)) {
      if (token === null)
        return refuse(403, 'read_only', 'nothing can be changed here', 'set `metrics.token-file`');
      if (isToken(request.headers.authorization, token)) return void forward(request, response);
      response.setHeader('www-authenticate', 'Bearer');
      return refuse(401, 'unauthorized', 'the token is wrong, or there is none', 'Authorization: Bearer …');
    }
    if (file !== undefined || READABLE.has(path))
      return refuse(405, 'method_not_allowed', `${request.method} is no method of this`, 'there is GET');
    refuse(404, 'no_such_route', 'there is no such page', 'there are /, /metrics and what the page reads');
  };
}

/** An address or `localhost`: a name could be anybody's. */
function isOwnHost(host: string | undefined): boolean {
  return /^(localhost|\d{1,3}(\.\d{1,3}){3})(:\d{1,5})?$/i.test(host ?? '');
}

/** Programs that are no browsers do not say. */
function isForeign({ headers }: IncomingMessage): boolean {
  return !['same-origin', 'none', undefined].includes(headers['sec-fetch-site'] as string | undefined);
}

/** In a time that does not depend on where they differ, or on their lengths. */
function isToken(header: string | undefined, token: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(header ?? ''), hash(`Bearer ${token}`));
}

function send(response: ServerResponse, { type, text }: PageFile, isHead: boolean): void {
  response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(isHead ? undefined : text);
}
