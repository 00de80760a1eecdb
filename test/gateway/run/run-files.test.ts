/** What a gateway writes of itself, while its disk is full or its folder gone. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RunFiles } from '../../../src/gateway/run/run-files.ts';
import { type RunRecord, readRunRecord, recordPath } from '../../../src/gateway/run/run-record.ts';
import { openJournal } from '../../../src/host/plan/claim.ts';
import { readJournal } from '../../../src/host/plan/journal.ts';
import type { UndoRecord } from '../../../src/host/plan/undo-records.ts';

const RECORD = { version: 1, name: 'a', private: ['g0'], external: null } as unknown as RunRecord;
const UNDO: UndoRecord = { kind: 'tun', name: 'ng-not-there' };

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'natgate-files-'));
  directory = join(root, 'a');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function files() {
  const lines: string[] = [];
  const journal = openJournal({ stateRoot: root, name: 'a', interfaces: ['g0', 'g1'] });
  return { journal, lines, files: new RunFiles(directory, journal, (line) => lines.push(line)) };
}

/** A folder in the place of a file: it cannot be written, for root either. */
const block = (name: string) => {
  rmSync(join(directory, name), { recursive: true, force: true });
  mkdirSync(join(directory, name, 'in the way'), { recursive: true });
};

test('at the start a record that cannot be written is an error', () => {
  const { files: made } = files();
  block('run.json.new');
  expect(() => made.write(RECORD)).toThrow(expect.objectContaining({ code: 'state_not_writable' }));
});

test('later it is said once, kept, and written when that is possible', () => {
  const { files: made, lines } = files();
  made.write(RECORD);
  made.writeApplied({ options: {} as never, flags: {} });
  made.tolerate();
  expect(made.check()).toBe(null);
  block('run.json.new');
  made.write({ ...RECORD, external: '192.0.2.1' });
  made.write({ ...RECORD, external: '192.0.2.2' });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/cannot be written \(.*\): the gateway goes on/);
  expect(readRunRecord(directory)).toMatchObject({ external: null });
  expect(made.check()).toMatch(/lacks/);
  expect(() => made.restore()).toThrow();
  rmSync(join(directory, 'run.json.new'), { recursive: true });
  made.restore();
  expect(readRunRecord(directory)).toMatchObject({ external: '192.0.2.2' });
  expect(made.check()).toBe(null);
  expect(lines).toHaveLength(1);
});

test('a folder that was removed is made again, with the journal', () => {
  const { files: made, journal } = files();
  journal.append('one', UNDO);
  made.write(RECORD);
  made.writeApplied({ options: {} as never, flags: {} });
  made.tolerate();
  rmSync(root, { recursive: true });
  expect(made.check()).toMatch(/removed|lacks/);
  journal.append('two', UNDO);
  made.restore();
  expect(readdirSync(directory).sort()).toEqual(['applied.json', 'journal', 'run.json']);
  expect(readJournal(root, 'a')?.entries.map(({ step }) => step)).toEqual(['one', 'two']);
  expect(readJournal(root, 'a')?.header).toEqual(journal.header);
});

test('a journal that cannot be written knows its steps, and has no half of one', () => {
  const { journal } = files();
  journal.append('one', UNDO);
  expect(() => {
    block('journal');
    journal.append('two', UNDO);
  }).toThrow();
  expect(journal.has('two')).toBe(false);
  journal.tolerate();
  journal.append('three', UNDO);
  expect(journal.has('three')).toBe(true);
  expect(journal.isBehind).toBe(true);
  rmSync(join(directory, 'journal'), { recursive: true });
  journal.save();
  expect(journal.isBehind).toBe(false);
  expect(readJournal(root, 'a')?.entries.map(({ step }) => step)).toEqual(['one', 'three']);
});

test('what is written replaces the old whole, and leaves no draft', () => {
  const { files: made } = files();
  made.write(RECORD);
  writeFileSync(`${recordPath(directory)}.new`, 'half of on');
  made.write({ ...RECORD, external: '192.0.2.3' });
  expect(JSON.parse(readFileSync(recordPath(directory), 'utf8')).external).toBe('192.0.2.3');
  expect(readdirSync(directory)).not.toContain('run.json.new');
});
