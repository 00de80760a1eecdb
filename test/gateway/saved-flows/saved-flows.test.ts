/** Flows into a file, and out of it into another gateway's states. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NatgateError } from '../../../src/core/errors.ts';
import { formatState, stateBytes } from '../../../src/engine/state.ts';
import type { RunRecord } from '../../../src/gateway/run/run-record.ts';
import { SAVED, SavedFlowsReader, SavedFlowsWriter } from '../../../src/gateway/saved-flows/format.ts';
import { type Restored, restoreFlows } from '../../../src/gateway/saved-flows/restore.ts';
import { saveFlows } from '../../../src/gateway/saved-flows/save.ts';
import { OWNED_BYTES } from '../../../src/nat/owned.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../../src/testing/index.ts';
import { Bed, EXTERNAL, PRIVATE } from '../../engine/bed.ts';
import { decode } from '../../wire/decode.ts';

const SERVER = '203.0.113.9';
const RECORD_BYTES = SAVED * 4;
const ALL_WELL: Restored = {
  restored: 0,
  there: 0,
  expired: 0,
  ruleless: 0,
  full: 0,
  damaged: 0,
  truncated: false,
};

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'natgate-saved-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A gateway with five flows that it has talked on, and what outsiders answer. */
function busy(): Bed {
  const bed = new Bed();
  bed.out(udpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:53` }));
  bed.out(tcpPacket({ from: '10.77.0.2:40001', to: `${SERVER}:80`, flags: 'S', seq: 100 }));
  bed.in(tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40001`, flags: 'SA', seq: 500, ack: 101 }));
  bed.out(tcpPacket({ from: '10.77.0.2:40001', to: `${SERVER}:80`, flags: 'A', seq: 101, ack: 501 }));
  bed.out(tcpPacket({ from: '10.77.0.3:40001', to: `${SERVER}:80`, flags: 'S', seq: 7 }));
  bed.out(echoPacket({ from: '10.77.0.2', to: SERVER, identifier: 5 }));
  bed.pass(4000);
  return bed;
}

function save(bed: Bed, name = 'flows', rules = ['masquerade']): string {
  const statePath = join(directory, `${name}.state`);
  writeFileSync(statePath, new Uint8Array(bed.state));
  const path = join(directory, name);
  expect(saveFlows({ name: 'office', statePath, rules } as RunRecord, path)).toBe(bed.flows().length);
  return path;
}

interface Into {
  bed?: Bed;
  flows?: number;
  rules?: string[];
  /** ms since it was saved. */
  later?: number;
  now?: number;
}

/** Into the states of a new gateway, or of one that stopped. */
function fill(path: string, { bed, flows = 64, rules = ['masquerade'], later = 0, now = 50_000 }: Into = {}) {
  const state = bed?.state ?? new ArrayBuffer(stateBytes(flows));
  if (bed === undefined) formatState(state, flows, [99, -5]);
  const reader = new SavedFlowsReader(path);
  const wallNow = reader.header.saved + later;
  const report = restoreFlows(reader, { states: [state], rules, timeouts: {}, now, wallNow });
  reader.close();
  return { report, after: { state, owned: bed?.owned ?? new Uint8Array(OWNED_BYTES), now } as Bed };
}

/** The gateway that goes on with them. */
function restore(path: string, into: Into = {}) {
  const { report, after } = fill(path, into);
  return { report, bed: new Bed({ after }) };
}

test('flows, states and counters are as before, and connections go on by the same ports', () => {
  const before = busy();
  const { report, bed } = restore(save(before));
  expect(report).toEqual({ ...ALL_WELL, restored: 5 - 1 });
  const key = ({ original }: { original: object }) => JSON.stringify(original);
  const sorted = (one: Bed) => one.flows().sort((a, b) => (key(a) < key(b) ? -1 : 1));
  expect(sorted(bed)).toEqual(sorted(before));
  bed.checkInvariants();
  const answer = { from: `${SERVER}:80`, to: `${EXTERNAL}:40001`, flags: 'PA', payload: 'data' };
  const [received] = bed.in(tcpPacket({ ...answer, seq: 501, ack: 101 }));
  expect(received?.device).toBe(PRIVATE);
  expect(decode(received!.packet)).toMatchObject({ dst: '10.77.0.2', dport: 40001, checksumOk: true });
  // Its window came along, too.
  expect(bed.in(tcpPacket({ ...answer, seq: 501 + 1_000_000, ack: 101 }))).toEqual([]);
  expect(bed.drops).toEqual({ invalid_window: 1 });
});

test('the time in between counts; a clock that was set back does not', () => {
  const path = save(busy());
  const late = restore(path, { later: 100_000 });
  // The echo and the SYN alone have no more than a minute or two.
  expect(late.report.expired).toBeGreaterThan(0);
  expect(late.report.restored + late.report.expired).toBe(4);
  const [first] = restore(path, { later: 30_000 }).bed.flows();
  const [same] = restore(path).bed.flows();
  expect(same!.timeoutSeconds - first!.timeoutSeconds).toBe(30);
  expect(restore(path, { later: -1e9 }).report).toEqual({ ...ALL_WELL, restored: 4 });
  expect(restore(path, { later: 1e12 }).report).toEqual({ ...ALL_WELL, expired: 4 });
});

test('rules are known by their names', () => {
  const path = save(busy());
  expect(restore(path, { rules: ['other'] }).report).toEqual({ ...ALL_WELL, ruleless: 4 });
  expect(restore(path, { rules: [] }).bed.flows()).toEqual([]);
});

test('what is there already stays as it is, and what does not fit is counted', () => {
  const before = busy();
  const path = save(before);
  const flows = before.flows();
  const again = restore(path, { bed: before });
  expect(again.report).toEqual({ ...ALL_WELL, there: 4 });
  expect(again.bed.flows().map(({ original }) => original)).toEqual(flows.map(({ original }) => original));
  expect(restore(path, { flows: 3 }).report).toEqual({ ...ALL_WELL, restored: 3, full: 1 });
});

describe('a file that is damaged', () => {
  test('any byte: one flow is lost, or the file is refused', () => {
    const path = save(busy());
    const bytes = readFileSync(path);
    const records = bytes.indexOf(10) + 1;
    const broken = join(directory, 'broken');
    for (let at = 0; at < bytes.length; at++) {
      const copy = Uint8Array.from(bytes);
      copy[at]! ^= 1 << (at & 7);
      writeFileSync(broken, copy);
      if (at < records) {
        expect(() => fill(broken), `byte ${at}`).toThrow(NatgateError);
        continue;
      }
      const { report } = fill(broken);
      const isLast = at >= bytes.length - RECORD_BYTES;
      expect(report, `byte ${at}`).toEqual({
        ...ALL_WELL,
        restored: isLast ? 4 : 3,
        damaged: 1,
        truncated: isLast,
      });
    }
  });

  test('cut off anywhere: what is there is restored, and it is said that it was cut off', () => {
    const path = save(busy());
    const bytes = readFileSync(path);
    const records = bytes.indexOf(10) + 1;
    const cut = join(directory, 'cut');
    for (let length = records; length < bytes.length; length += 16) {
      writeFileSync(cut, bytes.subarray(0, length));
      const restored = Math.floor((length - records) / RECORD_BYTES);
      expect(fill(cut).report).toEqual({ ...ALL_WELL, restored, truncated: true });
    }
  });

  test.each([
    ['saved_foreign', ''],
    ['saved_foreign', '# Generated by iptables-save\n'],
    ['saved_version', 'natgate-flows 2 00000000 {}\n'],
    ['saved_damaged', 'natgate-flows 1 00000000 {}\n'],
  ])('%s: %j', (code, text) => {
    const path = join(directory, 'other');
    writeFileSync(path, text);
    expect(() => new SavedFlowsReader(path)).toThrow(expect.objectContaining({ code }));
  });
});

test('more than fits into a buffer is written and read whole', () => {
  const path = join(directory, 'many');
  const fd = openSync(path, 'w');
  const writer = new SavedFlowsWriter(fd, { natgate: '1', gateway: 'g', saved: 0, rules: [] });
  const count = 5000;
  for (let i = 1; i <= count; i++) writer.write((words, at) => words.fill(i, at + 1, at + SAVED));
  expect(writer.end()).toBe(count);
  closeSync(fd);
  const reader = new SavedFlowsReader(path);
  let sum = 0;
  for (const { words, at } of reader.records()) sum += words[at + SAVED - 1]!;
  reader.close();
  expect(sum).toBe((count * (count + 1)) / 2);
  expect(reader.damage).toEqual({ damaged: 0, truncated: false });
});
