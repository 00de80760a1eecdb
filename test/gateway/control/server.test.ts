/** The socket as a file, and the server against clients that are slow, many, or speak no HTTP. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { groupName, socketGroup } from '../../../src/gateway/control/group.ts';
import { boundedServer } from '../../../src/gateway/control/http-server.ts';
import { requirePrivate, serveMetrics } from '../../../src/gateway/control/metrics-server.ts';
import { listenAt } from '../../../src/gateway/control/socket.ts';
import { MOMENT } from './support.ts';

let folder: string;
let path: string;
const undo: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-socket-'));
  path = join(folder, 'control.sock');
});
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
  rmSync(folder, { recursive: true, force: true });
});

const place = (mode = 0o660) => ({ path, mode, gid: null });
const answering = () => boundedServer((_, response) => response.end('{"here":true}'));
async function listening(server: Server = answering()): Promise<() => void> {
  const close = await listenAt(server, place());
  undo.push(close);
  return close;
}

/** What comes back for these bytes. */
async function raw(text: string): Promise<string> {
  const socket = connect(path);
  socket.setEncoding('utf8');
  let answer = '';
  socket.on('data', (part) => {
    answer += part;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

it('has its mode whatever the umask is, leaves no other file, and is gone afterwards', async () => {
  const before = process.umask(0o777);
  undo.push(() => process.umask(before));
  chmodSync(folder, 0o755);
  const close = await listening();
  process.umask(before);
  expect(lstatSync(path).isSocket()).toBe(true);
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect(readdirSync(folder)).toEqual(['control.sock']);
  close();
  expect(existsSync(path)).toBe(false);
});

it('takes the place of a dead gateway, and of no live one', async () => {
  const child: ChildProcess = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.stdout.write('.'))`,
  ]);
  await once(child.stdout!, 'data');
  await expect(listenAt(answering(), place())).rejects.toMatchObject({ code: 'control_in_use' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(lstatSync(path).isSocket()).toBe(true);
  await listening();
  expect(await raw('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).toContain('{"here":true}');
});

it('leaves a file alone that is no socket', async () => {
  writeFileSync(path, 'mine');
  await expect(listenAt(answering(), place())).rejects.toMatchObject({ code: 'control_in_use' });
  expect(statSync(path).size).toBe(4);
});

it('does not take the next gateway’s socket away', async () => {
  const close = await listening();
  rmSync(path);
  await listening();
  close();
  expect(existsSync(path)).toBe(true);
});

it('knows groups by name and number', () => {
  expect(socketGroup(null)).toBe(null);
  expect(socketGroup('root')).toBe(0);
  expect(socketGroup('4711')).toBe(4711);
  expect(groupName(0)).toBe('root');
  expect(groupName(4_711_471)).toBe('4711471');
  expect(() => socketGroup('no-such-group')).toThrow(expect.objectContaining({ code: 'group_unknown' }));
});

it('tells who speaks no HTTP, or sends too much of a header', async () => {
  await listening();
  expect(await raw('hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*"code":"bad_http"/);
  expect(await raw(`GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)).toMatch(
    /^HTTP\/1\.1 431 [\s\S]*"headers_too_large"/,
  );
});

it('tells who takes too long', async () => {
  await listening();
  expect(await raw('GET / HTTP/1.1\r\nhost: x\r\n')).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"too_slow"/);
});

it('refuses requests, then connections, when there are too many, and recovers', async () => {
  await listening();
  const idle = Array.from({ length: 32 }, () => connect(path));
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  const get = 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
  expect(await raw(get)).toMatch(/^HTTP\/1\.1 429 [\s\S]*"code":"too_many_connections"/);
  for (const socket of idle) socket.destroy();
  let answer = '';
  while (!answer.includes('here')) answer = await raw(get);
  expect(answer).toMatch(/^HTTP\/1\.1 200/);
});

it('serves metrics, and nothing else', async () => {
  const loopback = { address: 0x0100007f, port: 0, public: false, page: false, tokenFile: null };
  const server = await serveMetrics(
    loopback,
    async () => MOMENT,
    () => {},
  );
  undo.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const get = (target: string, method = 'GET') =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', path: target, method, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode!, text }));
      });
      sent.on('error', reject).end();
    });
  for (let i = 0; i < 2; i++) {
    const { text } = await get('/metrics');
    const lines = text.split('\n');
    for (const line of [
      'natgate_flows{proto="tcp"} 2',
      'natgate_flows_limit 1024',
      'natgate_flows_started_total 12',
      'natgate_flows_ended_total{why="idle"} 8',
      'natgate_drops_total{reason="bad_tcp"} 7',
      'natgate_ports_in_use{outside="203.0.113.1",proto="udp"} 1',
      'natgate_packets_total{interface="eth1",side="private",dir="in"} 5',
      'natgate_bytes_total{interface="eth0",side="public",dir="out"} 500',
      'natgate_firewall_rule_flows_total{rule="no-ssh"} 4',
      'natgate_build_info{version="1.2.3"} 1',
    ])
      expect(lines).toContain(line);
    expect(text).toMatch(/^natgate_uptime_seconds \d/m);
  }
  expect(await get('/v1/status')).toMatchObject({ status: 404 });
  expect(await get('/metrics', 'POST')).toMatchObject({ status: 405 });
});

it('does not show metrics to the world unless that is said', async () => {
  const outside = [0x017100cb];
  const at =
    (address: number, isPublic = false) =>
    () =>
      requirePrivate(
        { address, port: 9469, public: isPublic, page: false, tokenFile: null },
        outside,
        'eth0',
      );
  const refused = expect.objectContaining({ code: 'metrics_public' });
  expect(at(0x017100cb)).toThrow(refused);
  expect(at(0)).toThrow(refused);
  expect(at(0x017100cb, true)).not.toThrow();
  expect(at(0, true)).not.toThrow();
  expect(at(0x0100007f)).not.toThrow();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  undo.push(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const metrics = { address: 0x0100007f, port, public: false, page: false, tokenFile: null };
  await expect(
    serveMetrics(
      metrics,
      async () => MOMENT,
      () => {},
    ),
  ).rejects.toMatchObject({ code: 'metrics_failed' });
});
