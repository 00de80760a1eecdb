/** Whom the client of the control socket asks, and what it says where nobody can be asked. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ask, socketOf } from '../../src/cli/client.ts';
import { type RunRecord, runDirectory, writeRunRecord } from '../../src/gateway/run/run-record.ts';
import { thisProcess } from '../../src/host/process-identity.ts';

let stateRoot: string;
let which: { name: string; stateRoot: string };
beforeEach(() => {
  stateRoot = mkdtempSync(join(tmpdir(), 'natgate-client-'));
  which = { name: 'office', stateRoot };
});
afterEach(() => rmSync(stateRoot, { recursive: true }));

function runs(record: Partial<RunRecord>): void {
  const directory = runDirectory(stateRoot, which.name);
  mkdirSync(directory, { recursive: true });
  writeRunRecord(directory, {
    version: 1,
    natgate: '0.0.1',
    name: which.name,
    process: thisProcess(),
    ...record,
  } as RunRecord);
}

it.each<[string, Partial<RunRecord> | null, string]>([
  ['no gateway', null, 'not_running'],
  ['a gateway that was killed', { process: { ...thisProcess(), processStart: '1' } }, 'not_running'],
  ['one that lingers', { lingersUntil: '2030-01-01T00:00:00Z', control: '/x' }, 'not_running'],
  ['one of a version without a socket', {}, 'gateway_old'],
  ['one whose socket is off', { control: null }, 'control_off'],
])('%s', (_, record, code) => {
  if (record !== null) runs(record);
  expect(() => socketOf(which)).toThrow(expect.objectContaining({ code }));
});

it('nobody at the socket', async () => {
  runs({ control: join(stateRoot, 'control.sock') });
  await expect(ask(which, 'GET', '/v1/health')).rejects.toMatchObject({ code: 'not_running' });
});

it.each<[string, number, unknown, string]>([
  ['what is no JSON', 200, 'hello', 'bad_answer'],
  ['no such route', 404, { error: { code: 'no_such_route', message: 'm', hint: 'h' } }, 'gateway_old'],
  [
    'what the gateway says',
    409,
    { error: { code: 'restart_needed', message: 'm', hint: 'h' } },
    'restart_needed',
  ],
])('an answer that is %s', async (_, status, body, code) => {
  const path = join(stateRoot, 'control.sock');
  const server: Server = createServer((_request, response) => {
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    runs({ control: path });
    await expect(ask(which, 'GET', '/v1/health')).rejects.toMatchObject({ code });
  } finally {
    server.close();
  }
});
