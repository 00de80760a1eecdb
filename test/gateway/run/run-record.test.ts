import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type RunRecord,
  readRunRecord,
  recordPath,
  writeRunRecord,
} from '../../../src/gateway/run/run-record.ts';
import { thisProcess } from '../../../src/host/process-identity.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-record-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const record: RunRecord = {
  version: 1,
  natgate: '1.2.3',
  name: 'default',
  process: thisProcess(),
  private: ['g0'],
  public: 'g1',
  external: null,
  ports: { first: 32768, last: 65535 },
  rules: ['masquerade'],
  timeouts: {},
  statePath: '/dev/shm/x',
  started: '2026-01-02T03:04:05.000Z',
};

test('what is written is read, and nothing else is left in the folder', () => {
  expect(readRunRecord(folder)).toBeNull();
  writeRunRecord(folder, record);
  writeRunRecord(folder, { ...record, external: '198.18.0.1' });
  expect(readRunRecord(folder)).toEqual({ ...record, external: '198.18.0.1' });
  expect(readdirSync(folder)).toEqual(['run.json']);
});

test('a record of a gateway from before there were several private interfaces is read', () => {
  writeFileSync(recordPath(folder), JSON.stringify({ ...record, private: 'g0' }));
  expect(readRunRecord(folder)).toEqual(record);
});

test.each(['', '{', '{"version":2}', 'null'])('%j is not taken for a record', (text) => {
  writeFileSync(recordPath(folder), text);
  expect(() => readRunRecord(folder)).toThrow('not a run record');
});
