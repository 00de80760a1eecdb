import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stateRoot, withStateLock } from '../../src/host/state-root.ts';

const MODULE = new URL('../../src/host/state-root.ts', import.meta.url).href;
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'natgate-state-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('withStateLock', () => {
  it('lets one process at a time change what is there', async () => {
    writeFileSync(join(root, 'count'), '0');
    const source = `
      import { readFileSync, writeFileSync } from 'node:fs';
      import { withStateLock } from ${JSON.stringify(MODULE)};
      for (let i = 0; i < 50; i++) withStateLock(${JSON.stringify(root)}, () => {
        const file = ${JSON.stringify(join(root, 'count'))};
        writeFileSync(file, String(Number(readFileSync(file, 'utf8')) + 1));
      });`;
    const tsx = import.meta.resolve('tsx');
    const one = () =>
      promisify(execFile)(process.execPath, ['--import', tsx, '--input-type=module', '-e', source]);
    await Promise.all([one(), one(), one()]);
    expect(readFileSync(join(root, 'count'), 'utf8')).toBe('150');
    expect(readdirSync(root)).toEqual(['count']);
  });

  it('takes over from a process that died, and from what nobody wrote', () => {
    for (const left of ['{"pid":1,"processStart":"7","boot":"another"}', 'rubbish', '']) {
      writeFileSync(join(root, '.lock'), left);
      expect(withStateLock(root, () => 'done')).toBe('done');
      expect(readdirSync(root)).toEqual([]);
    }
  });

  it('may be taken again by who has it, and is free after an error', () => {
    expect(withStateLock(root, () => withStateLock(root, () => existsSync(join(root, '.lock'))))).toBe(true);
    expect(() =>
      withStateLock(root, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(existsSync(join(root, '.lock'))).toBe(false);
  });
});

describe('stateRoot', () => {
  it('is the option, the environment’s, or under /run', () => {
    const before = process.env['NATGATE_STATE_ROOT'];
    try {
      process.env['NATGATE_STATE_ROOT'] = '/somewhere';
      expect(stateRoot('/option')).toBe('/option');
      expect(stateRoot()).toBe('/somewhere');
      delete process.env['NATGATE_STATE_ROOT'];
      expect(stateRoot()).toBe('/run/natgate');
    } finally {
      if (before !== undefined) process.env['NATGATE_STATE_ROOT'] = before;
    }
  });
});
