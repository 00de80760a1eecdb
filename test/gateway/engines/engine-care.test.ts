/** What a gateway does about engines that are not well; processes are real ones that sleep. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EngineCare } from '../../../src/gateway/engines/engine-care.ts';
import type { EngineHealth } from '../../../src/gateway/engines/engine-health.ts';
import type { QuarantineMessage } from '../../../src/gateway/engines/messages.ts';
import type { Said } from '../../../src/gateway/events/hub.ts';
import { udpPacket } from '../../../src/testing/index.ts';

let folder: string;
let engine: ChildProcess | null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-care-'));
  engine = null;
});
afterEach(() => {
  engine?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const accused = (...packets: Uint8Array[]): QuarantineMessage => ({
  ...{ type: 'quarantine', worker: 0, reason: 'stuck' },
  packets: packets.map((bytes) => ({ device: 0, bytes, vnet: new Uint8Array(10) })),
});

function bed(changed: (health: EngineHealth) => void = () => {}) {
  const events: Said[] = [];
  const lines: string[] = [];
  const care = new EngineCare({
    ...{ directory: folder, names: ['lan0'], heartbeats: [], changed },
    events: { say: (event) => events.push(event) },
    log: (line) => lines.push(line),
    pid: () => engine?.pid ?? null,
  });
  return { care, events, lines };
}

test('from the accusation to the next engine: events, and what is written down', () => {
  const written: EngineHealth[] = [];
  const { care, events } = bed((health) => written.push(health));
  care.forwards(false);
  expect(events).toEqual([]);
  expect(care.stumbled(accused(udpPacket({ from: '10.0.0.2:1', to: '203.0.113.9:2' })))).toBe(true);
  expect(care.stumbled(accused())).toBe(false);
  care.died('stuck');
  care.forwards(true);
  expect(events).toEqual([
    {
      ...{ event: 'engine', what: 'quarantined' },
      text: 'protocol 17, 10.0.0.2:1 → 203.0.113.9:2, 28 bytes, from lan0',
    },
    { event: 'engine', what: 'died', text: 'stuck' },
    { event: 'engine', what: 'restarted' },
  ]);
  expect(written).toEqual([{ deaths: 1, lastDeath: 'stuck', failingSince: null, quarantined: 1 }]);
  expect(care.quarantine.signatures).toHaveLength(1);
  care.close();
});

test('an engine whose end hangs is ended', async () => {
  const { care } = bed();
  engine = spawn('sleep', ['60']);
  await once(engine, 'spawn');
  care.stumbled(accused());
  const [, signal] = await once(engine, 'exit');
  expect(signal).toBe('SIGKILL');
  care.close();
});

test('a crash says that the packet is not known; a full disk is said and no end', () => {
  const { care, lines } = bed(() => {
    throw new Error('ENOSPC: no space left on device');
  });
  care.died('killed by SIGSEGV');
  care.died('killed by SIGKILL');
  expect(lines).toEqual([
    'which packet the packet engine was at is not known: it crashed',
    'how the packet engine fares cannot be written down: ENOSPC: no space left on device',
    'how the packet engine fares cannot be written down: ENOSPC: no space left on device',
  ]);
  care.close();
});
