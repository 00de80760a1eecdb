/**
 * Clients of the control socket that mean no good, while packets cross: each is told why or cut off, what they cost is bounded, and no
 * packet is lost.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAX_BODY_BYTES } from '../../src/gateway/control/body.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { createTopology, type Namespace, SERVER, type Topology } from './support/topology.ts';

const TRAFFIC = fileURLToPath(new URL('./support/reload-traffic.py', import.meta.url));
const CONNECTIONS = 50;
const RATE = 1000;
const SECONDS = 30;
const PORT = 7000;
/** Buffers of the largest bodies, some of them not collected yet. */
const MAX_GROWTH_KB = 65_536;

/** Unlike events.once() it does not fail with the socket. */
const said = (socket: Socket, event: string) =>
  new Promise<void>((resolve) => socket.once(event, () => resolve()));

natgateOnly('clients of the control socket that mean no good', () => {
  let topology: Topology;
  let folder: string;
  let natgate: Natgate;

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-abuse-'));
    const file = join(folder, 'natgate.yaml');
    writeFileSync(file, 'private: g0\npublic: g1\nengine: {txqueuelen: 20000}\n');
    natgate = Natgate.launch(topology.gateway, ['--no-standby', '--config', file]);
    await natgate.process.shows(READY, 15_000);
  });
  afterEach(async () => {
    await natgate.cleanUp();
    await topology.destroy();
    rmSync(folder, { recursive: true });
  });

  const socketPath = () => join(topology.gateway.stateRoot, natgate.name, 'control.sock');
  const residentKb = () =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${natgate.process.pid}/status`, 'utf8'))![1]);
  const descriptors = async () =>
    (await topology.gateway.exec(['ls', `/proc/${natgate.process.pid}/fd`])).stdout.split('\n').length;

  /** Writes that, and returns all that comes until the gateway closes. */
  async function raw(...parts: string[]): Promise<string> {
    const socket = open();
    let answer = '';
    socket.setEncoding('utf8').on('data', (part) => {
      answer += part;
    });
    for (const part of parts) {
      if (socket.destroyed || answer !== '') break;
      if (!socket.write(part)) await Promise.race([said(socket, 'drain'), said(socket, 'close')]);
    }
    if (!socket.closed) await said(socket, 'close');
    return answer;
  }

  function open(): Socket {
    const socket = connect(socketPath());
    // Being refused is what these are for.
    socket.on('error', () => {});
    return socket;
  }

  const ask = (path: string, method = 'GET', body?: string) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const sent = request(
        { socketPath: socketPath(), path, method, headers, agent: false },
        async (response) => {
          let text = '';
          for await (const part of response.setEncoding('utf8')) text += part;
          resolve({ status: response.statusCode!, text });
        },
      );
      sent.on('error', (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
      sent.end(body);
    });

  /** Each is answered as it deserves. */
  async function mischief(): Promise<void> {
    // Bodies: one says how long it is, one does not, one is larger than it says, one is nested, one is no JSON.
    const post = (...headers: string[]) =>
      ['POST /v1/check HTTP/1.1', 'host: x', 'content-type: application/json', ...headers, '', ''].join(
        '\r\n',
      );
    const MB = 'x'.repeat(1_048_576);
    expect(await raw(post('content-length: 10000000000'), ...Array<string>(64).fill(MB))).toMatch(
      /^HTTP\/1\.1 413 [\s\S]*"body_too_large"/,
    );
    const chunk = `100000\r\n${MB}\r\n`;
    expect(await raw(post('transfer-encoding: chunked'), ...Array<string>(64).fill(chunk))).toMatch(
      /^HTTP\/1\.1 413 [\s\S]*"body_too_large"/,
    );
    const deep = '['.repeat(MAX_BODY_BYTES / 2) + ']'.repeat(MAX_BODY_BYTES / 2);
    expect(await ask('/v1/check', 'POST', deep)).toMatchObject({ status: 400 });
    expect((await ask('/v1/check', 'POST', deep)).text).toContain('nested too deeply');
    expect((await ask('/v1/rules', 'POST', '{"rule"')).text).toContain('"bad_json"');
    // An alias of an alias of …
    const laughs = [
      'a: &a [x]',
      ...[...'bcdefghijklmnop'].map(
        (name, i) => `${name}: &${name} [${`*${'abcdefghijklmnop'[i]}, `.repeat(9)}]`,
      ),
    ];
    const bomb = await ask('/v1/check', 'POST', JSON.stringify({ text: laughs.join('\n') }));
    expect(bomb).toMatchObject({ status: 200, text: expect.stringContaining('"usable":false') });

    // Heads.
    expect(await raw(`GET /v1/health HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    );
    expect(await raw('\x16\x03\x01\x02\x00\x01\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*"bad_http"/);
    expect(await raw('GET /v1/health HTTP/1.1\r\nhost: x\r\nx: ')).toMatch(
      /^HTTP\/1\.1 408 [\s\S]*"too_slow"/,
    );

    // Routes and methods.
    for (const path of [
      '/',
      '/v1',
      '/v1/../../etc/passwd',
      '/v1/%00',
      `/${'a'.repeat(10_000)}`,
      '//x/v1/health',
    ]) {
      const answer = await ask(path);
      expect([path.slice(0, 30), answer.status]).toEqual([path.slice(0, 30), 404]);
      expect(JSON.parse(answer.text).error.code).toBe('no_such_route');
    }
    expect(await ask('/v1/health', 'BREW')).toMatchObject({ status: 400 });
    expect(await ask('/v1/health', 'PURGE')).toMatchObject({ status: 405 });

    // Readers that ask and do not read.
    const deaf = Array.from({ length: 20 }, open);
    for (const socket of deaf) {
      socket.pause();
      socket.write('GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(200));
    }
    for (let i = 0; i < 20; i++) expect(await ask('/v1/status')).toMatchObject({ status: 200 });
    for (const socket of deaf) socket.destroy();
  }

  it('a thousand connections, huge bodies and headers, slow readers and writers', async () => {
    const script = (ns: Namespace, ...words: (string | number)[]) =>
      ns.spawn(['python3', TRAFFIC, ...words.map(String)]);
    const server = script(topology.server, 'server', PORT);
    await server.shows(/listening/, 10_000);
    const client = script(topology.client, 'client', SERVER, PORT, CONNECTIONS, RATE, SECONDS);
    await client.shows(/connected/, 30_000);
    await ask('/v1/status');
    const before = await descriptors();

    // Nobody of a thousand says a word. Those above the limit are refused at once, the others when their time is over.
    const silent = Array.from({ length: 1000 }, () => open().resume());
    await Promise.all(silent.map((socket) => socket.closed || said(socket, 'close')));
    expect(await ask('/v1/health')).toMatchObject({ status: 200 });

    await mischief();
    // What the heap holds by now is as much as it takes.
    const first = residentKb();
    await mischief();

    expect(residentKb() - first).toBeLessThan(MAX_GROWTH_KB);
    expect(await client.ended).toBe(0);
    server.child.stdin!.end();
    await server.ended;
    const report = (text: string) => JSON.parse(text.trim().split('\n').at(-1)!);
    const [sent, got] = [report(client.stdout), report(server.stdout)];
    expect(sent).toMatchObject({ failed: 0 });
    expect(got).toMatchObject({ datagrams: sent.sent, twice: 0 });
    expect(await descriptors()).toBe(before);
    expect((await natgate.cli('forward', ['list'])).code).toBe(0);
    expect(natgate.process.stdout).toBe('');
    expect(natgate.process.stderr).not.toMatch(/a request failed|rror/);
    await natgate.stop();
  });
});
