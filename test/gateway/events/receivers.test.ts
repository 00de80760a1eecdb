/** Receivers of events: whole lines in files that are rotated, datagrams as they arrive, and exact gaps where one is too slow. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GatewayEvent } from '../../../src/gateway/events/event.ts';
import { FileSink } from '../../../src/gateway/events/file-sink.ts';
import { IpfixSink } from '../../../src/gateway/events/ipfix-sink.ts';
import { LineSink } from '../../../src/gateway/events/sink.ts';
import { SyslogSink, syslogMessage } from '../../../src/gateway/events/syslog-sink.ts';
import { BEGIN, EXHAUSTED, TIME } from './sample.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ngtest-events-'));
  path = join(folder, 'log', 'events.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

const event = (n: number): GatewayEvent => ({
  time: TIME,
  event: 'engine',
  what: 'died',
  text: `number ${n}`,
});
const textsOf = (file: string) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
const give = (sink: FileSink | LineSink | SyslogSink | IpfixSink, events: readonly GatewayEvent[]) => {
  for (const one of events) sink.write(one, JSON.stringify(one));
  sink.flush();
};
const options = { kind: 'file', only: null } as const;

describe('a file', () => {
  test('is rotated by size; so many older ones are kept; each is whole lines', async () => {
    const line = `${JSON.stringify(event(10))}\n`.length;
    const sink = new FileSink({ ...options, path, rotateBytes: 3 * line, keep: 2 }, () => {});
    give(
      sink,
      Array.from({ length: 12 }, (_, n) => event(10 + n)),
    );
    await sink.close();
    const files = readdirSync(join(folder, 'log')).toSorted();
    expect(files).toEqual(['events.jsonl', 'events.jsonl.1', 'events.jsonl.2']);
    const all = [`${path}.2`, `${path}.1`, path].flatMap((file) => textsOf(file).map(({ text }) => text));
    expect(all).toEqual(Array.from({ length: 9 }, (_, n) => `number ${n + 13}`));
    // It says who talks to whom.
    expect(statSync(path).mode & 0o027).toBe(0);
  });

  test('goes on in one that is there, and in a new one once it is reopened', async () => {
    const make = () => new FileSink({ ...options, path, rotateBytes: 1e6, keep: 1 }, () => {});
    const first = make();
    give(first, [event(0)]);
    await first.close();
    const sink = make();
    give(sink, [event(1)]);
    await expect.poll(() => sink.isIdle).toBe(true);
    renameSync(path, `${path}.moved`);
    sink.reopen();
    give(sink, [event(2)]);
    await sink.close();
    expect([textsOf(`${path}.moved`).length, textsOf(path).length]).toEqual([2, 1]);
  });

  test('that cannot be written waits, and says so once; nothing is lost while there is room', async () => {
    const said: string[] = [];
    const sink = new FileSink({ ...options, path: '/dev/full', rotateBytes: 1e6, keep: 0 }, (text) =>
      said.push(text),
    );
    give(sink, [event(0)]);
    await expect.poll(() => said.length).toBe(1);
    expect(said[0]).toContain('ENOSPC');
    expect(sink.isIdle).toBe(false);
    await sink.close();
    expect(said).toHaveLength(1);
  });
});

describe('a receiver that is too slow', () => {
  test('gets a gap with the exact number in the place where they are missing', async () => {
    const got: GatewayEvent[] = [];
    let open!: () => void;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    class Slow extends LineSink {
      protected override async deliver(lines: readonly string[], from: number): Promise<number> {
        await gate;
        got.push(JSON.parse(lines[from]!));
        return 1;
      }
    }
    const line = `${JSON.stringify(event(0))}\n`.length;
    const sink = new Slow('slow', null, () => {}, 4 * line);
    give(
      sink,
      Array.from({ length: 10 }, (_, n) => event(n)),
    );
    open();
    await expect.poll(() => sink.isIdle).toBe(true);
    give(sink, [event(9)]);
    await sink.close();
    expect(got).toHaveLength(6);
    expect(got[4]).toMatchObject({ event: 'gap', missed: 6, where: 'receiver' });
    expect(got[5]).toMatchObject({ text: 'number 9' });
  });
});

describe('syslog', () => {
  const origin = { facility: 'local0', hostname: 'gw 1', pid: 42 } as const;
  test('a message of RFC 5424, byte by byte', () => {
    const one = { ...BEGIN, client: 'bücher' };
    expect(syslogMessage(one, JSON.stringify(one), origin)).toBe(
      `<134>1 ${TIME} gw1 natgate 42 begin - ${JSON.stringify(one).replace('ü', '\\u00fc')}`,
    );
    expect(syslogMessage(EXHAUSTED, '{}', origin)).toBe(`<132>1 ${TIME} gw1 natgate 42 exhausted - {}`);
  });

  test('arrives as one datagram each', async () => {
    const server = createSocket('udp4').bind(0, '127.0.0.1');
    await once(server, 'listening');
    const got: string[] = [];
    server.on('message', (message) => got.push(message.toString()));
    const { port } = server.address();
    const to = { kind: 'syslog', host: '127.0.0.1', port, facility: 'daemon', only: null } as const;
    const sink = new SyslogSink(to, () => {});
    give(sink, [event(0), event(1)]);
    await expect.poll(() => got.length).toBe(2);
    await sink.close();
    server.close();
    expect(got[0]).toMatch(new RegExp(`^<29>1 ${TIME} \\S+ natgate ${process.pid} engine - \\{`));
    expect(got[1]).toContain('number 1');
  });
});

test('IPFIX arrives as messages of many records', async () => {
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  const got: Buffer[] = [];
  server.on('message', (message) => got.push(message));
  const { port } = server.address();
  const sink = new IpfixSink({ kind: 'ipfix', host: '127.0.0.1', port, domain: 1, only: null }, () => {});
  give(sink, [BEGIN, BEGIN, BEGIN]);
  await expect.poll(() => got.length).toBe(1);
  await sink.close();
  server.close();
  expect(got[0]!.readUInt16BE(0)).toBe(10);
});
