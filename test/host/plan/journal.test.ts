import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NatgateError } from '../../../src/core/errors.ts';
import { applyPlan } from '../../../src/host/plan/apply.ts';
import { findConflict, openJournal } from '../../../src/host/plan/claim.ts';
import {
  type JournalHeader,
  journalPath,
  readJournal,
  writeJournal,
} from '../../../src/host/plan/journal.ts';
import { describePlan, type Step } from '../../../src/host/plan/step.ts';
import { undoJournal } from '../../../src/host/plan/undo.ts';
import type { UndoRecord } from '../../../src/host/plan/undo-records.ts';
import { bootId, networkNamespace } from '../../../src/host/process-identity.ts';

let root: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'natgate-journal-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  rmSync(root, { recursive: true, force: true });
});

/** Undone at once, since there is no such device. */
const absent: UndoRecord = { kind: 'tun', name: 'ng-not-there' };
/** Cannot be undone: a folder is no setting. */
const impossible: UndoRecord = { kind: 'sysctl', path: 'net/ipv4', before: '0', ours: '1' };

function step(name: string, more: Partial<Step> = {}): Step {
  return { name, show: `do ${name}`, prepare: () => absent, apply() {}, check: () => null, ...more };
}

const claim = (name = 'a', interfaces = ['p0', 'p1']) => openJournal({ stateRoot: root, name, interfaces });
const steps = (name = 'a') => readJournal(root, name)?.entries.map((entry) => entry.step);

/** Rewrites a journal as another process's. */
function giveTo(name: string, change: Partial<JournalHeader>): void {
  const content = readJournal(root, name)!;
  writeJournal(root, { ...content, header: { ...content.header, ...change } });
}

const dead = { processStart: '1' };

function livingProcess(): Partial<JournalHeader> {
  child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
  return { pid: child.pid!, processStart: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]! };
}

function errorOf(work: () => unknown): NatgateError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(NatgateError);
    return error as NatgateError;
  }
  throw new Error('nothing was thrown');
}

describe('applyPlan', () => {
  it('has a record on disk before its step is made', () => {
    let seen: string | undefined;
    const journal = claim();
    applyPlan(
      [
        step('one', {
          apply() {
            seen = readFileSync(journalPath(root, 'a'), 'utf8');
          },
        }),
        step('nothing to undo', { prepare: () => null }),
      ],
      journal,
    );
    expect(seen).toMatch(/\n\{"step":"one","undo":\{"kind":"tun","name":"ng-not-there"\}\}\n$/);
    expect(steps()).toEqual(['one']);
  });

  it('undoes everything when a step fails, earlier plans included', () => {
    const journal = claim();
    applyPlan([step('one')], journal);
    const broken = step('two', {
      apply() {
        throw new Error('no such luck');
      },
    });
    const error = errorOf(() => applyPlan([broken], journal));
    expect(error.code).toBe('step_failed');
    expect(error.message).toBe('could not set up the host: two: no such luck');
    expect(error.hint).toBe('by hand it would be: do two');
    expect(existsSync(join(root, 'a'))).toBe(false);
  });

  it('says what could not be undone after a failure', () => {
    const journal = claim();
    const broken = step('two', {
      prepare() {
        throw new NatgateError('own_code', 'own message', 'own hint');
      },
    });
    const error = errorOf(() => applyPlan([step('one', { prepare: () => impossible }), broken], journal));
    expect(error.code).toBe('own_code');
    expect(error.hint).toMatch(
      /^own hint; and not all could be undone: one \(EISDIR.*`natgate down --name a`/,
    );
    expect(steps()).toEqual(['one']);
  });

  it('shows its steps as command lines', () => {
    expect(describePlan([step('one'), step('two')])).toEqual(['do one', 'do two']);
  });
});

describe('openJournal', () => {
  it('adopts what a dead process left, and keeps the original records', () => {
    applyPlan([step('one')], claim());
    giveTo('a', { ...dead, owner: 'before' });
    const journal = claim();
    expect(journal.adopted).toBe(true);
    expect(journal.header.owner).not.toBe('before');
    expect(journal.header.pid).toBe(process.pid);
    let applied = 0;
    const prepare = () => {
      throw new Error('asked again');
    };
    applyPlan([step('one', { prepare, apply: () => void applied++ }), step('two')], journal);
    expect(applied).toBe(1);
    expect(steps()).toEqual(['one', 'two']);
  });

  it('undoes what was left for other interfaces', () => {
    applyPlan([step('one')], claim());
    giveTo('a', dead);
    const journal = claim('a', ['p0', 'p2']);
    expect(journal.adopted).toBe(false);
    expect(steps()).toEqual([]);
  });

  it('does not start when that cannot be undone', () => {
    applyPlan([step('one', { prepare: () => impossible })], claim());
    giveTo('a', dead);
    expect(errorOf(() => claim('a', ['p0', 'p2'])).code).toBe('undo_failed');
    expect(steps()).toEqual(['one']);
  });

  it('refuses the name of a running gateway', () => {
    claim();
    giveTo('a', livingProcess());
    const error = errorOf(() => claim('a', ['p7', 'p8']));
    expect(error.code).toBe('gateway_running');
    expect(error.message).toBe(`a gateway named a runs already (pid ${child!.pid}, on p0 and p1)`);
    expect(errorOf(() => undoJournal(root, 'a')).code).toBe('gateway_running');
  });

  it('refuses an interface of another gateway, running or dead, in this network namespace', () => {
    claim('other', ['p9', 'p1']);
    giveTo('other', livingProcess());
    expect(errorOf(() => claim()).message).toBe(`p1 is served by the gateway other (pid ${child!.pid})`);
    giveTo('other', dead);
    const error = errorOf(() => claim());
    expect(error.code).toBe('interface_in_use');
    expect(error.message).toBe(
      'p1 is still set up for the gateway other, which has ended without undoing it',
    );
    expect(error.hint).toContain('natgate down --name other');
    expect(existsSync(join(root, 'a'))).toBe(false);
    giveTo('other', { netns: networkNamespace() + 1 });
    expect(findConflict({ stateRoot: root, name: 'a', interfaces: ['p0', 'p1'] })).toBeNull();
  });

  it('takes a pid that another process has by now for dead', () => {
    claim();
    giveTo('a', { ...livingProcess(), processStart: '1' });
    expect(claim().adopted).toBe(false);
  });
});

describe('undoJournal', () => {
  it('goes backwards, continues over failures, and keeps only those', () => {
    const journal = claim();
    applyPlan([step('one'), step('two', { prepare: () => impossible }), step('three')], journal);
    const report = undoJournal(root, 'a');
    expect(report.done).toEqual(['three', 'one']);
    expect(report.failed.map((failure) => failure.step)).toEqual(['two']);
    expect(steps()).toEqual(['two']);
    expect(undoJournal(root, 'a').failed).toHaveLength(1);
  });

  it('finds nothing the second time', () => {
    applyPlan([step('one')], claim());
    expect(undoJournal(root, 'a')).toMatchObject({ found: true, done: ['one'] });
    expect(undoJournal(root, 'a')).toEqual({ found: false, done: [], kept: [], failed: [] });
  });

  it('leaves a journal alone that has been adopted since', () => {
    const before = claim().header.owner;
    giveTo('a', { ...dead });
    const after = claim().header.owner;
    expect(undoJournal(root, 'a', before).found).toBe(false);
    expect(readJournal(root, 'a')?.header.owner).toBe(after);
    expect(undoJournal(root, 'a', after).found).toBe(true);
  });

  it('forgets what was done before a reboot, and in a network namespace that is gone', () => {
    for (const change of [{ boot: 'another' }, { netns: 1 }]) {
      applyPlan([step('one', { prepare: () => impossible })], claim());
      giveTo('a', { ...dead, ...change });
      expect(undoJournal(root, 'a')).toEqual({ found: true, done: [], kept: [], failed: [] });
      expect(readJournal(root, 'a')).toBeNull();
    }
    expect(bootId()).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('the file', () => {
  it('does without a last line that was torn', () => {
    applyPlan([step('one')], claim());
    appendFileSync(journalPath(root, 'a'), '{"step":"two","un');
    expect(steps()).toEqual(['one']);
  });

  it('is refused when it is not natgate’s', () => {
    claim();
    for (const content of ['hello\n', '{"version":2}\n', '']) {
      writeFileSync(journalPath(root, 'a'), content);
      expect(errorOf(() => undoJournal(root, 'a')).code).toBe('journal_broken');
    }
  });
});
