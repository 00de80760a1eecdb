/** Completion as bash asks for it: its own script, with the words of a line. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { valuesAt } from '../../src/cli/completion.ts';
import { buildProgram, type Program } from './program.ts';

let program: Program;
let stateRoot: string;

beforeAll(() => {
  program = buildProgram();
  stateRoot = mkdtempSync(join(tmpdir(), 'natgate-completion-'));
  for (const name of ['office', 'other', '.lock']) mkdirSync(join(stateRoot, name));
});
afterAll(() => {
  program.remove();
  rmSync(stateRoot, { recursive: true });
});

/** What bash offers when the last of these words is being typed. */
function complete(...words: string[]): string[] {
  const script = `
    natgate() { "$NODE" "$MAIN" "$@"; }
    source <(natgate completion)
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _natgate_yargs_completions
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script, 'bash', 'natgate', ...words], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      SHELL: '/bin/bash',
      NODE: process.execPath,
      MAIN: program.main,
      NATGATE_STATE_ROOT: stateRoot,
    },
  });
  expect(stderr).toBe('');
  return stdout.split('\n').filter(Boolean);
}

describe('bash', () => {
  it('completes verbs, options and choices', () => {
    expect(complete('st')).toEqual(['status', 'stats']);
    expect(complete('uninst')).toEqual(['uninstall']);
    expect(complete('run', '--evi')).toEqual(['--evict']);
    expect(complete('run', '--evict', 'un')).toEqual(['unassured']);
  });

  it('completes values', () => {
    expect(complete('run', '--helper', 's')).toEqual(['sip']);
    expect(complete('run', '--helper', '=', 's')).toEqual(['sip']);
    expect(complete('status', '--name', 'of')).toEqual(['office']);
  });
});

describe('values', () => {
  it('are the interfaces that packets can be served on', () => {
    const interfaces = readdirSync('/sys/class/net').filter(
      (name) => name !== 'lo' && !name.startsWith('natgate-'),
    );
    expect(valuesAt(['run', '--private', ''])).toEqual(interfaces.sort());
    expect(valuesAt(['doctor', '--public', ''])).toEqual(interfaces);
    expect(valuesAt(['run', '--private', 'no-such'])).toEqual([]);
  });

  it('are known with and without a sign between', () => {
    expect(valuesAt(['flows', ''])).toEqual(['list', 'count', 'watch', 'delete', 'flush', 'save', 'restore']);
    expect(valuesAt(['flows', 'd'])).toEqual(['delete']);
    expect(valuesAt(['flows', '--'])).toBeNull();
    expect(valuesAt(['run', '--mapping=a'])).toEqual(['--mapping=adm', '--mapping=apdm']);
    expect(valuesAt(['run', '--mapping', '='])).toEqual(['eim', 'adm', 'apdm']);
    expect(valuesAt(['run', '--mapping', '=', 'e'])).toEqual(['eim']);
  });

  it('are gateways of the state root on the line, without hidden files', () => {
    expect(valuesAt(['status', '--state-root', stateRoot, '--name', ''])).toEqual(['office', 'other']);
    expect(valuesAt(['status', '--state-root', '/nonexistent', '--name', ''])).toEqual([]);
  });

  it('are left to yargs, or to the shell where they are paths', () => {
    expect(valuesAt(['run', '--pri'])).toBeNull();
    expect(valuesAt(['run'])).toBeNull();
    expect(valuesAt(['run', '--evict', ''])).toBeNull();
    expect(valuesAt(['install', '--root', '/e'])).toEqual([]);
  });
});
