/** Reading flows out of a state file: whole, all, and while another process writes them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  FlowTable,
  H_BYTES,
  H_BYTES_HIGH,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  RULE_SHIFT,
  TUPLE,
} from '../../../src/conntrack/flow-table.ts';
import { formatState, openState, S_NOW, stateBytes, TABLE_OFFSET } from '../../../src/engine/state.ts';
import { contextOf, formatFlowId, listFlowsOf, parseFlowId } from '../../../src/gateway/observe/flow-list.ts';
import { FlowReader } from '../../../src/gateway/observe/flow-reader.ts';
import type { RunRecord } from '../../../src/gateway/run/run-record.ts';
import { addon } from '../../../src/link/addon.ts';

const CAPACITY = 3000;
let folder: string;
let path: string;
let reader: FlowReader | null;
let fd: number;
let table: FlowTable;
let header: Int32Array;

beforeEach(() => {
  folder = mkdtempSync('/dev/shm/natgate-test-');
  path = join(folder, 'state');
  reader = null;
  fd = openSync(path, 'w+', 0o600);
  addon().fallocate(fd, stateBytes(CAPACITY));
});
afterEach(() => {
  reader?.close();
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** A state in this process. */
function makeState(): void {
  const buffer = addon().mmap(fd, stateBytes(CAPACITY), true);
  formatState(buffer, CAPACITY, [1, 2]);
  const state = openState(buffer);
  header = state.header;
  table = new FlowTable(buffer, TABLE_OFFSET, CAPACITY, state.seed);
}

function flowOf(number: number): number {
  return table.create(17, number, number, number, number + 1, number + 1, number + 1, 0, 0);
}

describe('flows of a state file', () => {
  beforeEach(makeState);

  it('are all of them, in the order of their records', () => {
    for (let i = 1; i <= 2500; i++) flowOf(i * 2);
    for (let flow = 0; flow < 2500; flow += 2) table.destroy(flow);
    reader = new FlowReader(path);
    const seen = Array.from(reader.read(), ({ flow, hot }) => [flow, hot[0]]);
    expect(seen).toEqual(Array.from({ length: 1250 }, (_, i) => [i * 2 + 1, (i * 2 + 2) * 2]));
    expect(Array.from(reader.read(2000), ({ flow }) => flow)[0]).toBe(2001);
    expect(reader.one(1)?.hot[0]).toBe(4);
    expect([reader.one(0), reader.one(-1), reader.one(CAPACITY)]).toEqual([null, null, null]);
  });

  it('leave out what is half written', () => {
    const flow = flowOf(2);
    flowOf(4);
    reader = new FlowReader(path);
    table.hot[flow * HOT + H_SEQUENCE]!++;
    expect(Array.from(reader.read(), (raw) => raw.flow)).toEqual([flow + 1]);
    table.hot[flow * HOT + H_SEQUENCE]!++;
    expect(Array.from(reader.read(), (raw) => raw.flow)).toEqual([flow, flow + 1]);
  });

  it('have an id that names one life', () => {
    const flow = flowOf(2);
    const record = { rules: ['lan'], timeouts: {}, statePath: path } as unknown as RunRecord;
    const context = contextOf(record, { nameOf: (address) => (address === 2 ? 'printer' : '') });
    header[S_NOW] = 5000;
    const [listed] = [...listFlowsOf(record, context)];
    expect(listed).toMatchObject({
      id: `0.${flow}.1`,
      rule: 'lan',
      side: 'private',
      client: 'printer',
      ageSeconds: 5,
      idleSeconds: 5,
      timeoutSeconds: 295,
    });
    table.destroy(flow);
    flowOf(6);
    expect([...listFlowsOf(record, context)].map(({ id }) => id)).toEqual([`0.${flow}.3`]);
    const place = { worker: 3, flow: 70_000, life: -6 };
    expect(parseFlowId(formatFlowId(place))).toEqual(place);
    expect(parseFlowId('1.2')).toBeNull();
  });
});

it('a file that is no state, or none of this version, is refused', () => {
  expect(() => new FlowReader(path)).toThrow('no engine has begun it');
  writeSync(fd, Buffer.from('6e616774', 'hex').reverse(), 0, 4, 0);
  expect(() => new FlowReader(path)).toThrow('the state is of version 0');
});

it('while another process makes and ends flows, each is whole', async () => {
  const writer = fileURLToPath(new URL('flow-writer.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', writer, path, `${CAPACITY}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    reader = new FlowReader(path);
    let flows = 0;
    let lives = 0;
    let previous = 0;
    const sequences = new Map<number, number>();
    for (let round = 0; round < 300; round++) {
      for (const { flow, hot, created, mapping } of reader.read()) {
        flows++;
        if (hot[0] === -1) {
          const bytes = (hot[H_BYTES]! >>> 0) + (hot[H_BYTES_HIGH]! & 0xffff) * 2 ** 32;
          expect(bytes % 65_535).toBe(0);
          expect(bytes).toBeGreaterThanOrEqual(previous);
          previous = bytes;
          continue;
        }
        const mark = hot[0]!;
        const words = [hot[1], hot[H_PORTS], hot[TUPLE], hot[TUPLE + 1], hot[TUPLE + 2]];
        const isWhole =
          words.join() === [3, 5, 7, 11, 13].map((times) => (mark * times) | 0).join() &&
          hot[H_STATUS]! >>> RULE_SHIFT === (mark & 511) &&
          created === mark &&
          // It is set right after the flow was made.
          (mapping === mark || mapping === -1);
        if (!isWhole) throw new Error(`record ${flow} is a mixture: ${hot.join(' ')} ${created} ${mapping}`);
        if (sequences.get(flow) !== hot[H_SEQUENCE]) lives++;
        sequences.set(flow, hot[H_SEQUENCE]!);
      }
    }
    expect(flows).toBeGreaterThan(50_000);
    // It was written under the reader's eyes.
    expect(lives).toBeGreaterThan(CAPACITY * 10);
    expect(previous).toBeGreaterThan(2 ** 32);
  } finally {
    child.kill('SIGKILL');
  }
});
