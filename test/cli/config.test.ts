/** `check`, `config show` and `config schema` as processes. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildProgram, type Program } from './program.ts';

let program: Program;
let folder: string;
beforeAll(() => {
  program = buildProgram();
  folder = mkdtempSync(join(tmpdir(), 'natgate-cli-config-'));
});
afterAll(() => {
  program.remove();
  rmSync(folder, { recursive: true });
});

function natgate(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program.main, ...words], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], NATGATE_STATE_ROOT: folder, LC_ALL: 'C' },
  });
  return { code: status, stdout, stderr };
}

function file(text: string): string {
  const path = join(folder, 'office.yaml');
  writeFileSync(path, text);
  return path;
}

test('check says every problem, and whether the file can be used', () => {
  const path = file('private: eth1\npublic: eth0\nports: 80\nfirewall: {chains: {x: []}}\nevict: x\n');
  expect(natgate('check', '--no-host', path)).toEqual({
    code: 1,
    stderr: '',
    stdout: [
      `${path}:3:8: ports: 80 is not allowed here; give a range of ports, e.g. 32768-65535`,
      `${path}:5:8: evict: "x" is not allowed here; did you mean fair? There is fair, never or unassured`,
      `${path}: 2 errors, 0 warnings`,
      '',
    ].join('\n'),
  });
  file('private: eth1\npublic: eth0\nfirewall: {chains: {x: []}}\n');
  expect(natgate('check', '--no-host', path)).toEqual({
    code: 0,
    stderr: '',
    stdout: `${path}:3:21: warning: firewall.chains.x: no rule leads to this chain; jump to it, or leave it out\n${path}: usable, 1 warning\n`,
  });
  const json = JSON.parse(natgate('check', '--no-host', '--json', path).stdout);
  expect(json).toMatchObject({
    file: path,
    errors: 0,
    warnings: 1,
    problems: [{ severity: 'warning', path: ['firewall', 'chains', 'x'], place: { line: 3, column: 21 } }],
  });
});

test('an interface that is not here is a warning of check', () => {
  const path = file('private: [lo, nowhere0]\npublic: nowhere1\n');
  const { code, stdout } = natgate('check', path);
  expect(stdout).toContain(`${path}:1:15: warning: private[1]: there is no interface nowhere0; `);
  expect(stdout).toContain(`${path}:2:9: warning: public: there is no interface nowhere1; `);
  // Loopback is no interface that could be served, ever.
  expect(stdout).toContain(
    `${path}:1:11: private[0]: lo is no interface that natgate can serve, it is loopback; `,
  );
  expect(code).toBe(1);
});

test('run and doctor refuse a bad file with its lines, and a flag with the flag', () => {
  const path = file('private: eth1\npublik: eth0\n');
  for (const verb of ['run', 'doctor']) {
    const { code, stdout, stderr } = natgate(verb, '--config', path);
    expect(stderr).toBe(
      `${path}:1:1: public: it is missing; give an interface name, e.g. eth0\n` +
        `${path}:2:1: publik: there is no key "publik" here; did you mean public?\n` +
        'natgate: 2 errors in the configuration: nothing was changed\n',
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  }
  file('private: eth1\npublic: eth0\n');
  expect(natgate('run', '--config', path, '--forward', 'tcp:80')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('natgate: --forward tcp:80: there is no `='),
  });
  expect(natgate('run', '--config', join(folder, 'none.yaml'))).toMatchObject({
    code: 1,
    stderr: `natgate: ${join(folder, 'none.yaml')} cannot be read: there is no such file\n  give the path of a configuration with --config\n`,
  });
});

test('config show prints a file that shows the same; schema prints JSON', () => {
  const path = file('private: eth1\npublic: eth0\nnat: {mapping: adm}\n');
  const shown = natgate('config', 'show', path);
  expect(shown).toMatchObject({ code: 0, stderr: '' });
  expect(shown.stdout).toContain('\n  mapping: adm\n  filtering: apdf\n');
  expect(natgate('config', 'show', file(shown.stdout)).stdout).toBe(shown.stdout);
  expect(JSON.parse(natgate('config', 'show', '--json', path).stdout)).toMatchObject({
    nat: { mapping: 'adm' },
  });
  expect(JSON.parse(natgate('config', 'schema').stdout)).toMatchObject({
    title: 'natgate',
    required: ['private', 'public'],
  });
  expect(natgate('config', 'print').code).toBe(2);
});
