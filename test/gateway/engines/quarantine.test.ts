/** The supervisor keeps the packets that engines stumble over: files, and what the next engine is told. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MOST_SIGNATURES } from '../../../src/engine/quarantine.ts';
import { readCapture } from '../../../src/gateway/capture/capture-file.ts';
import type { QuarantineMessage } from '../../../src/gateway/engines/messages.ts';
import {
  isWellFormed,
  KEEP_MS,
  MOST_FILES,
  QuarantineStore,
} from '../../../src/gateway/engines/quarantine.ts';
import { tcpPacket, udpPacket } from '../../../src/testing/index.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-quarantine-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const VNET = new Uint8Array(10);
const packet = (port: number, text = 'bad', to = '203.0.113.9:53') =>
  udpPacket({ from: `10.77.0.2:${port}`, to, payload: Buffer.from(text) });
const accused = (...packets: Uint8Array[]): QuarantineMessage => ({
  type: 'quarantine',
  worker: 0,
  reason: 'TypeError: oh\n    at somewhere',
  packets: packets.map((bytes) => ({ device: 1, bytes, vnet: VNET })),
});

function bed(directory = join(folder, 'quarantine')) {
  const lines: string[] = [];
  const clock = { now: 5, wall: Date.UTC(2030, 0, 1) };
  const store = new QuarantineStore({
    directory,
    names: ['lan0', 'lan1', 'wan0'],
    log: (line) => lines.push(line),
    now: () => clock.now,
    wallClock: () => clock.wall++,
  });
  const files = () => readdirSync(directory).map((name) => join(directory, name));
  return { store, lines, clock, files };
}

test('a packet is written down with all that is known of it, for nobody but root', () => {
  const { store, lines, files } = bed();
  expect(store.take(accused(packet(4000)))).toBe(
    'protocol 17, 10.77.0.2:4000 → 203.0.113.9:53, 31 bytes, from lan1',
  );
  const [path] = files();
  expect(path).toMatch(/2030-01-01T00-00-00\.\d{3}Z-000\.pcapng$/);
  expect([statSync(path!).mode & 0o777, statSync(join(folder, 'quarantine')).mode & 0o777]).toEqual([
    0o600, 0o700,
  ]);
  const bytes = readFileSync(path!);
  expect(bytes.toString('latin1')).toContain('worker 0: TypeError: oh\n    at somewhere');
  const { packets } = readCapture(bytes);
  expect(packets).toEqual([
    { time: Date.UTC(2030, 0, 1), packet: packet(4000), interface: 'lan1', direction: 'in' },
  ]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(path);
  expect([store.count, store.signatures]).toMatchObject([1, [{ likeness: 'packet', device: 1 }]]);
});

test('of several it is not known which: all are written down, none is dropped', () => {
  const { store, lines, files } = bed();
  expect(store.take(accused(packet(1), packet(2)))).toBeNull();
  const { packets } = readCapture(readFileSync(files()[0]!));
  expect(packets).toHaveLength(2);
  expect([store.count, store.signatures]).toEqual([0, []]);
  expect(lines[0]).toContain('one of 2 packets');
});

test('none: there is nothing to write down', () => {
  const { store, lines, files } = bed();
  expect(store.take(accused())).toBeNull();
  expect(files).toThrow('ENOENT');
  expect(lines).toEqual([]);
});

test('at most so many files are kept, the newest', () => {
  const { store, files } = bed();
  for (let i = 0; i < MOST_FILES + 5; i++) store.take(accused(packet(1000 + i)));
  expect(files()).toHaveLength(MOST_FILES);
  const ports = files().map((path) => readCapture(readFileSync(path)).packets[0]!.packet[21]! & 0xff);
  expect(ports.toSorted((a, b) => a - b)[0]).toBe((1000 + 5) & 0xff);
});

test('a file that cannot be written is said, and the packet is dropped all the same', () => {
  const path = join(folder, 'file');
  writeFileSync(path, '');
  const { store, lines } = bed(join(path, 'quarantine'));
  expect(store.take(accused(packet(1)))).not.toBeNull();
  expect(lines[0]).toMatch(/cannot be saved: .*ENOTDIR/);
  expect(store.signatures).toHaveLength(1);
});

test('the same bytes again: whatever their addresses', () => {
  const { store } = bed();
  store.take(accused(packet(1)));
  store.take(accused(packet(2)));
  expect(store.signatures).toMatchObject([{ likeness: 'bytes' }]);
});

test('three different packets of a flow: all of it', () => {
  const { store } = bed();
  store.take(accused(packet(1, 'one')));
  store.take(accused(packet(2, 'other')));
  store.take(accused(packet(1, 'two')));
  expect(store.signatures.map(({ likeness }) => likeness)).toEqual(['packet', 'packet', 'packet']);
  store.take(accused(packet(1, 'three')));
  expect(store.signatures.map(({ likeness }) => likeness)).toEqual(['packet', 'tuple']);
  store.take(accused(tcpPacket({ from: '10.77.0.2:1', to: '203.0.113.9:53', flags: 'A' })));
  expect(store.signatures).toHaveLength(3);
});

test('for a while, and so many', () => {
  const { store, clock } = bed();
  for (let i = 0; i < MOST_SIGNATURES + 3; i++)
    store.take(accused(packet(1, `${i}`, `203.0.113.9:${i + 1}`)));
  expect(store.signatures).toHaveLength(MOST_SIGNATURES);
  clock.now += KEEP_MS / 2;
  store.take(accused(packet(2, 'late')));
  clock.now += KEEP_MS / 2;
  expect(store.signatures).toHaveLength(1);
  clock.now += KEEP_MS / 2;
  expect(store.signatures).toHaveLength(0);
  expect(store.count).toBe(MOST_SIGNATURES + 4);
});

test('what no engine says is refused', () => {
  const { store, lines } = bed();
  const good = accused(packet(1));
  const [one] = good.packets;
  const wrong: unknown[] = [
    { ...good, worker: 1.5 },
    { ...good, worker: '0' },
    { ...good, reason: 7 },
    { ...good, reason: 'x'.repeat(20_000) },
    { ...good, packets: null },
    { ...good, packets: [null] },
    { ...good, packets: Array(65).fill(one) },
    { ...good, packets: [{ ...one, device: 3 }] },
    { ...good, packets: [{ ...one, device: -1 }] },
    { ...good, packets: [{ ...one, bytes: 'text' }] },
    { ...good, packets: [{ ...one, bytes: new Uint8Array(19) }] },
    { ...good, packets: [{ ...one, bytes: new Uint8Array(65_536) }] },
    { ...good, packets: [{ ...one, vnet: new Uint8Array(9) }] },
  ];
  for (const message of wrong) {
    expect(isWellFormed(message as QuarantineMessage, 3)).toBe(false);
    expect(store.take(message as QuarantineMessage)).toBeNull();
  }
  expect(new Set(lines)).toEqual(new Set(['the packet engine accused a packet that cannot be']));
  expect(store.signatures).toEqual([]);
});
