/** The web page's server: who may ask it what. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { serveMetrics } from '../../../src/gateway/control/metrics-server.ts';
import { readPageFiles, readToken } from '../../../src/gateway/control/page-server.ts';
import { MOMENT } from './support.ts';

const TOKEN = '0123456789abcdef';
const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

async function serving(token: string | null, isPage = true) {
  const files = new Map([['/', { type: 'text/html; charset=utf-8', text: '<p>é</p>' }]]);
  const fetch = (asked: Request) =>
    Response.json({ asked: `${asked.method} ${new URL(asked.url).pathname}` });
  const metrics = { address: 0x0100007f, port: 0, public: false, page: true, tokenFile: null };
  const page = isPage ? { app: { fetch }, token, files } : null;
  const server = await serveMetrics(
    metrics,
    async () => MOMENT,
    () => {},
    page,
  );
  undo.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return (path: string, { method = 'GET', headers = {}, body }: Asked = {}) =>
    new Promise<{ status: number; text: string; headers: IncomingHttpHeaders }>((resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode!, text, headers: response.headers }));
      });
      sent.on('error', reject).end(body);
    });
}

describe('the web page', () => {
  it('is not there unless it is asked for', async () => {
    const ask = await serving(null, false);
    for (const path of ['/', '/page.js', '/v1/status', '/v1/flows'])
      expect(await ask(path), path).toMatchObject({ status: 404 });
    expect(await ask('/metrics')).toMatchObject({ status: 200 });
  });

  it('comes with headers that let nothing else in, and is not kept', async () => {
    const ask = await serving(null);
    for (const path of ['/', '/v1/status', '/nowhere']) {
      const { headers } = await ask(path);
      expect(headers['content-security-policy'], path).toMatch(
        /^default-src 'self'; .*frame-ancestors 'none'/,
      );
      expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
    expect(await ask('/')).toMatchObject({ status: 200, text: '<p>é</p>' });
    expect(await ask('/', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
  });

  it.each([
    '/v1/status',
    '/v1/flows',
    '/v1/flows?filter=tcp',
    '/v1/flows/count',
    '/v1/stats?follow=true',
    '/v1/top',
    '/v1/rules',
    '/v1/forwards',
    '/openapi.json',
  ])('reads %s', async (path) => {
    const ask = await serving(null);
    expect(JSON.parse((await ask(path)).text)).toEqual({ asked: `GET ${path.split('?')[0]}` });
  });

  it.each([
    ['GET', '/v1/config', 404],
    ['GET', '/v1/trace', 404],
    ['GET', '/v1/status/', 404],
    ['GET', '//v1/config', 404],
    ['GET', '/v1/status/../config', 404],
    ['GET', '/v1/%63onfig', 404],
    ['POST', '/v1/reload', 404],
    ['POST', '/v1/capture', 404],
    ['POST', '/v1/flows', 405],
    ['PUT', '/', 405],
    ['OPTIONS', '/v1/flows', 405],
    ['DELETE', '/v1/forwards/web', 404],
    ['DELETE', '/v1/status', 405],
  ])('refuses %s %s, with a token too', async (method, path, status) => {
    const ask = await serving(TOKEN);
    const answer = await ask(path, { method, headers: { authorization: `Bearer ${TOKEN}` } });
    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain('asked');
  });

  it('ends flows with the token alone', async () => {
    const remove = (authorization?: string) => ({
      method: 'DELETE',
      headers: authorization === undefined ? {} : { authorization },
    });
    const readOnly = await serving(null);
    expect(await readOnly('/v1/flows', remove(`Bearer ${TOKEN}`))).toMatchObject({ status: 403 });
    expect(await readOnly('/v1/flows', remove('Bearer null'))).toMatchObject({ status: 403 });
    const ask = await serving(TOKEN);
    for (const wrong of [undefined, '', 'Bearer ', TOKEN, `Bearer ${TOKEN}0`, `Bearer ${TOKEN.slice(1)}`])
      expect(await ask('/v1/flows', remove(wrong))).toMatchObject({ status: 401 });
    expect(await ask('/v1/flows', remove(`Bearer ${TOKEN}`))).toMatchObject({
      status: 200,
      text: '{"asked":"DELETE /v1/flows"}',
    });
  });

  it('answers to no name but localhost, and to no other site', async () => {
    const ask = await serving(null);
    for (const host of [
      'evil.example',
      'evil.example:9469',
      '127.0.0.1.evil.example',
      'localhost.evil.example',
    ])
      for (const path of ['/', '/v1/status'])
        expect((await ask(path, { headers: { host } })).status, host).toBe(421);
    for (const host of ['localhost', 'localhost:9469', '127.0.0.1:9469', '192.168.1.1'])
      expect((await ask('/v1/status', { headers: { host } })).status, host).toBe(200);
    for (const site of ['cross-site', 'same-site']) {
      const headers = { 'sec-fetch-site': site };
      expect(await ask('/v1/status', { headers })).toMatchObject({ status: 403 });
      expect(await ask('/', { headers })).toMatchObject({ status: 200 });
    }
    expect(await ask('/v1/status', { headers: { 'sec-fetch-site': 'same-origin' } })).toMatchObject({
      status: 200,
    });
  });
});

describe('the token', () => {
  it('is a word of one line in a file of its owner', () => {
    const folder = mkdtempSync(join(tmpdir(), 'natgate-token-'));
    undo.push(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'token');
    const wrong = expect.objectContaining({ code: 'token_file' });
    expect(() => readToken(path)).toThrow(wrong);
    writeFileSync(path, `${TOKEN}\n`, { mode: 0o600 });
    expect(readToken(path)).toBe(TOKEN);
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(path, mode);
      expect(() => readToken(path)).toThrow(wrong);
    }
    chmodSync(path, 0o600);
    for (const text of ['', 'short', 'two words of a token', `${TOKEN}\n${TOKEN}`]) {
      writeFileSync(path, text);
      expect(() => readToken(path), text).toThrow(wrong);
    }
  });
});

it('is said to be missing where nothing was built', () => {
  const nowhere = new URL('file:///nowhere/');
  expect(() => readPageFiles(nowhere)).toThrow(expect.objectContaining({ code: 'page_missing' }));
});
