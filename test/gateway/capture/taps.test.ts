/** The supervisor's side of captures, on real tap files, with a writer in place of the engine. */
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PcapngBlocks } from '../../../src/cli/capture/pcapng-blocks.ts';
import { MAX_TAPS } from '../../../src/engine/tap.ts';
import { EVERYTHING as ALL_PACKETS, type TapFilter } from '../../../src/engine/tap-filter.ts';
import {
  KIND_IN,
  T_CLIENT,
  T_DESTINATION,
  T_HANDLE,
  T_KIND,
  T_LENGTH,
  T_LIFE,
  T_PORTS,
  T_PROTOCOL,
  T_SNAP,
  T_SOURCE,
  T_TO_DESTINATION,
  T_TO_PORTS,
  T_TO_SOURCE,
  TAP_HEADER,
} from '../../../src/engine/tap-record.ts';
import { TAP_WORDS, TapRing, tapPlaces } from '../../../src/engine/tap-ring.ts';
import { readCapture } from '../../../src/gateway/capture/capture-file.ts';
import { type CaptureRequest, captureStream } from '../../../src/gateway/capture/capture-stream.ts';
import { Taps } from '../../../src/gateway/capture/taps.ts';
import { EVERYTHING } from '../../../src/gateway/observe/filter.ts';
import { parseFilter } from '../../../src/gateway/observe/filter-parse.ts';
import type { TapNames } from '../../../src/gateway/observe/tap-names.ts';
import { createTapFiles, TAP_BYTES, type TapFile } from '../../../src/gateway/run/tap-files.ts';
import { addon } from '../../../src/link/addon.ts';
import { udpPacket } from '../../../src/testing/index.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { swap16 } from '../../../src/wire/bytes.ts';

const NAMES: TapNames = {
  devices: [
    { name: 'eth1', side: 'private' },
    { name: 'eth0', side: 'public' },
  ],
  rules: ['masquerade'],
  firewallRules: [],
  clients: { nameOf: (address) => (address === parseAddress('10.0.0.2') ? 'laptop' : '') },
};
const REQUEST: CaptureRequest = {
  filter: EVERYTHING,
  side: 'both',
  flow: null,
  dropped: false,
  snapLength: 65_535,
  count: null,
  durationMs: null,
};
const FILTER: TapFilter = { program: ALL_PACKETS, sides: 3, dropped: false, snapLength: 100 };
const packet = udpPacket({ from: '10.0.0.2:4000', to: '198.18.0.2:9999', payload: 'abc' });

let folder: string;
let files: TapFile[];
let told: (readonly TapFilter[])[];
let taps: Taps;
let ring: TapRing;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ngtest-taps-'));
  files = createTapFiles(join(folder, 'state'), 1);
  told = [];
  taps = new Taps(files, async (filters) => void told.push(filters));
  ring = new TapRing(addon().mmap(files[0]!.fd, TAP_BYTES, true), tapPlaces(TAP_WORDS).tap);
});
afterEach(() => {
  taps.close();
  for (const { fd } of files) closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** A packet of flow `flow` that came from the private side, as the engine would write it. */
function write(flow = 3, bytes: Uint8Array = packet): void {
  const at = ring.claim(TAP_HEADER + ((bytes.length + 7) >> 3) * 2);
  const { words } = ring;
  for (let i = 4; i < TAP_HEADER; i++) words[at + i] = 0;
  words[at + T_KIND] = KIND_IN;
  words[at + T_HANDLE] = flow << 1;
  words[at + T_LIFE] = 2;
  words[at + T_PROTOCOL] = 17;
  words[at + T_SOURCE] = parseAddress('10.0.0.2')!;
  words[at + T_CLIENT] = parseAddress('10.0.0.2')!;
  words[at + T_DESTINATION] = parseAddress('198.18.0.2')!;
  words[at + T_PORTS] = swap16(4000) | (swap16(9999) << 16);
  words[at + T_TO_SOURCE] = parseAddress('198.18.0.1')!;
  words[at + T_TO_DESTINATION] = parseAddress('198.18.0.2')!;
  words[at + T_TO_PORTS] = swap16(5000) | (swap16(9999) << 16);
  words[at + T_LENGTH] = bytes.length;
  words[at + T_SNAP] = bytes.length;
  new Uint8Array(words.buffer).set(bytes, (at + TAP_HEADER) * 4);
  ring.publish();
}

async function collect(
  stream: AsyncGenerator<Buffer, void, void>,
  each: (part: number) => void,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) {
    parts.push(part);
    each(parts.length);
  }
  return Buffer.concat(parts);
}

test('the engine is told of each subscriber, and when the last one has gone', async () => {
  const first = await taps.subscribe(FILTER);
  const second = await taps.subscribe({ ...FILTER, dropped: true });
  expect(taps.filters.map(({ dropped }) => dropped)).toEqual([false, true]);
  first.close();
  first.close();
  second.close();
  expect(told.map((filters) => filters.length)).toEqual([1, 2, 1, 0]);
  for (let i = 0; i < MAX_TAPS; i++) await taps.subscribe(FILTER);
  await expect(taps.subscribe(FILTER)).rejects.toMatchObject({ code: 'too_many_taps' });
  taps.close();
  expect(told.at(-1)).toEqual([]);
  await expect(taps.subscribe(FILTER)).rejects.toMatchObject({ code: 'not_ready' });
});

test('a capture begins with its head, goes on with what comes, and ends with the counts', async () => {
  const controller = new AbortController();
  write();
  const bytes = await collect(
    captureStream(REQUEST, taps, () => NAMES, controller.signal),
    (part) => {
      // What was there before it began is not its.
      if (part === 1) write();
      else controller.abort();
    },
  );
  expect(told.map((filters) => filters.length)).toEqual([1, 0]);
  expect(readCapture(bytes).packets).toMatchObject([{ packet, interface: 'eth1', direction: 'in' }]);
  expect(bytes.toString('latin1')).toContain('flow 0.3.1, 10.0.0.2:4000 -> 198.18.0.1:5000');
  const blocks = new PcapngBlocks();
  blocks.take(bytes);
  expect(blocks.counts).toEqual({ packets: [1, 0], missed: 0 });
});

test.each([
  ['its flow', { flow: '0.3.1' }, 2],
  ['the number of its flow', { flow: '3' }, 2],
  ['another life of the flow', { flow: '0.3.2' }, 0],
  ['so many', { count: 1 }, 1],
  ['a client by name, which the engine does not know', { filter: parseFilter('client laptop') }, 3],
  ['another client', { filter: parseFilter('client printer') }, 0],
  ['the other side', { side: 'public' as const }, 0],
  ['dropped ones only', { dropped: true }, 0],
])('%s', async (_, fields, expected) => {
  const request = { ...REQUEST, ...fields, durationMs: 100 };
  const bytes = await collect(
    captureStream(request, taps, () => NAMES, new AbortController().signal),
    (part) => {
      if (part > 1) return;
      for (const flow of [3, 4, 3]) write(flow);
    },
  );
  expect(readCapture(bytes).packets).toHaveLength(expected);
});

test('who reads slowly is told exactly how much he missed', async () => {
  const large = new Uint8Array(60_000);
  large.set([0x45, 0, 0xea, 0x60]);
  const written = 1000;
  const controller = new AbortController();
  let quiet: NodeJS.Timeout | undefined;
  const bytes = await collect(
    captureStream(REQUEST, taps, () => NAMES, controller.signal),
    (part) => {
      if (part === 1) for (let i = 0; i < written; i++) write(3, large);
      // When nothing more comes; while something does, no timer has its turn.
      clearTimeout(quiet);
      quiet = setTimeout(() => controller.abort(), 200);
    },
  );
  const { packets } = readCapture(bytes);
  const blocks = new PcapngBlocks();
  blocks.take(bytes);
  expect(packets.length).toBeGreaterThan(200);
  expect(blocks.counts.missed).toBeGreaterThan(500);
  expect(packets.length + blocks.counts.missed).toBe(written);
});

test('a reader that goes away ends it', async () => {
  const stream = captureStream(REQUEST, taps, () => NAMES, new AbortController().signal);
  await stream.next();
  await stream.return();
  expect(taps.filters).toEqual([]);
});
