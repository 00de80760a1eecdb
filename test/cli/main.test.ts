/** The command line as a process: what it prints where, and its exit codes. Needs no root. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NO_FREE_PORT } from '../../src/core/reasons.ts';
import { formatState, stateBytes } from '../../src/engine/state.ts';
import { packageVersion } from '../../src/gateway/version.ts';
import { thisProcess } from '../../src/host/process-identity.ts';
import { buildProgram, type Program } from './program.ts';

let program: Program;
let root: string;

beforeAll(() => {
  program = buildProgram();
  root = mkdtempSync(join(tmpdir(), 'natgate-cli-'));
});
afterAll(() => {
  program.remove();
  rmSync(root, { recursive: true });
});

function natgate(line: string, env: Record<string, string> = {}) {
  const words = line.split(' ').filter(Boolean);
  const { status, stdout, stderr } = spawnSync(process.execPath, [program.main, ...words], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], NATGATE_STATE_ROOT: root, LC_ALL: 'C', ...env },
  });
  return { code: status, stdout, stderr };
}

describe('bad usage', () => {
  test.each([
    ['', 'say what to do'],
    ['statsu', 'statsu is no command: Did you mean status?'],
    ['status extra', 'extra'],
    ['run', 'Missing required arguments: private, public'],
    ['run --private g0 --public', 'Not enough arguments following: public'],
    ['run --private g0 --public g1 --masquerade', 'masquerade'],
    ['run --private g0 --public g1 --ports 80', '--ports 80'],
    ['run --private g0 --public g1 --flows many', '--flows'],
    ['run --private g0 --public g1 --linger -1', '--linger'],
    ['run --private g/0 --public g1', '--private g/0'],
    ['run --private g0 --public g1 --forward tcp:80', '--forward tcp:80'],
    ['run --private g0 --public g1 --forward', 'Not enough arguments following: forward'],
    [
      'run --private g0 --public g1 --external 203.0.113.8 --external 203.0.113.0/28',
      '--external 203.0.113.0/28: 203.0.113.8 is in --external 203.0.113.8 already',
    ],
    ['run --private g0 --public g1 --external 203.0.113.8 203.0.113.9', '203.0.113.9'],
    ['run --private g0 --public g1 --quarantine soon', '--quarantine NaN'],
    ['run --private g0 --public g1 --timeout udp=0', '--timeout udp=0'],
    ['run --private g0 --public g1 --deterministic', '--deterministic'],
    ['run --private g0 --private g/1 --public g1', '--private g/1'],
    ['doctor --mapping none', '--mapping none'],
    ['doctor --timeout now=1', '--timeout now=1'],
    ['run --private g0 --public g1 --helper', 'helper'],
    ['run --private g0 --public g1 --helper h323', '--helper h323: no helper of that name'],
    ['run --private g0 --public g1 --helper sip=0', '--helper sip=0: not a port'],
    ['run --private g0 --public g1 --helper ftp --helper irc=21', 'port 21 has the helper ftp already'],
    ['run --private g0 --public g1 --ports 80 --ports 79', '--ports 79: not'],
    ['run --private g0 --public g1 --dns 192.0.2', '--dns 192.0.2'],
    ['run --private g0 --public g1 --dns system,192.0.2.1', '--dns'],
    ['clients --for windows', 'windows'],
    ['clients', 'no gateway default runs here'],
    ['clients --private lo --host 10.0.0.1', '--host 10.0.0.1: not an address with a prefix length'],
    ['clients --private lo --check --lookup a;b', '--lookup a;b: not a name'],
    ['doctor --from-client --gateway here', '--gateway here: not an address'],
    ['down --name ../x', '--name ../x'],
    ['bench --rounds 0', '--rounds 0'],
    ['bench --seconds 0.5', '--seconds 0.5'],
    ['bench --only ipvs', '--only ipvs: neither a contender nor a measurement'],
    ['doctor --private g0', '--private and --public belong together'],
    ['install --private g0', '--private and --public belong together'],
    ['install --name natgate', '--name natgate'],
    ['uninstall --name ../x', '--name ../x'],
  ])('`natgate %s` exits with 2, one line and a hint', (line, message) => {
    const { code, stdout, stderr } = natgate(line);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^natgate: [^\n]+\n {2}[^\n]+\n$/);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});

test('what is not running is said with exit code 3', () => {
  for (const verb of ['status', 'status --json', 'status --flows', 'down']) {
    const { code, stdout, stderr } = natgate(verb);
    expect({ verb, code, stdout }).toEqual({ verb, code: 3, stdout: '' });
    expect(stderr).toMatch(/^natgate: no gateway default [^\n]+\n {2}[^\n]+\n$/);
  }
});

test('a stack trace only with --debug', () => {
  expect(natgate('status').stderr).not.toContain('    at ');
  expect(natgate('status --debug').stderr).toContain('    at ');
});

test('help and versions go to stdout', () => {
  const help = natgate('--help');
  expect(help).toMatchObject({ code: 0, stderr: '' });
  for (const verb of [
    'run',
    'down',
    'status',
    'flows',
    'stats',
    'top',
    'check',
    'config',
    'clients',
    'doctor',
    'install',
    'uninstall',
    'lab',
    'bench',
    'version',
    'completion',
  ]) {
    expect(help.stdout).toContain(`natgate ${verb} `);
  }
  expect(natgate('run --help').stdout).toContain('[default: "32768-65535"]');
  expect(natgate('--version').stdout).toBe(`${packageVersion()}\n`);
  expect(natgate('version').stdout).toContain(`natgate ${packageVersion()}\n`);
});

test('completion knows the verbs and the options', () => {
  expect(natgate('completion', { SHELL: '/bin/bash' }).stdout).toContain('complete -o bashdefault');
  expect(natgate('completion', { SHELL: '/bin/zsh' }).stdout).toContain('compdef');
  expect(natgate('--get-yargs-completions natgate st').stdout.split('\n')).toContain('status');
  expect(natgate('--get-yargs-completions natgate run --pr').stdout).toContain('--private');
});

describe('status of a gateway without flows', () => {
  const record = () => ({
    version: 1,
    natgate: '1.2.3',
    name: 'office',
    process: thisProcess(),
    private: ['g0'],
    public: 'g1',
    external: null,
    ports: { first: 32768, last: 65535 },
    rules: ['masquerade'],
    firewallRules: ['web', 'silent', 'default/outbound', 'default/inbound', 'default/between'],
    timeouts: {},
    statePath: join(root, 'office', 'state'),
    started: new Date().toISOString(),
  });

  beforeAll(() => {
    mkdirSync(join(root, 'office'));
    const memory = new ArrayBuffer(stateBytes(1024));
    formatState(memory, 1024, [0, 0]);
    const state = Buffer.from(memory);
    // 10.77.0.2 was refused a port seven times.
    state.writeInt32LE(0x02004d0a, 8192);
    state.writeInt32LE(NO_FREE_PORT, 8196);
    state.writeInt32LE(7, 8200);
    // The drop counter of `not_ipv4`, and 5 packets of 700 bytes that left by device 1.
    state.writeDoubleLE(3, 4096 + 8 * 2);
    state.writeDoubleLE(5, 4096 + 8 * (128 + 8 + 2));
    state.writeDoubleLE(3500, 4096 + 8 * (128 + 8 + 3));
    // The rule `web` has matched four flows, the default of inbound two.
    state.writeDoubleLE(4, 24576);
    state.writeDoubleLE(240, 24576 + 8);
    state.writeDoubleLE(2, 24576 + 8 * 6);
    writeFileSync(record().statePath, state);
    writeFileSync(join(root, 'office', 'run.json'), JSON.stringify(record()));
  });

  test('as text, without colour', () => {
    const { code, stdout } = natgate('status --name office');
    expect(code).toBe(0);
    expect(stdout.replace(/\d+ seconds?, pid \d+/, 'TIME')).toBe(
      [
        'gateway: office',
        '  running: TIME',
        '  standby: off',
        '  private: g0',
        '  public: g1, waiting for an IPv4 address',
        '  ports: 32768-65535',
        '',
        'interface: g0',
        '  private: no IPv4 address',
        '  received: 0 packets, 0 B',
        '  sent: 0 packets, 0 B',
        '',
        'interface: g1',
        '  public: no IPv4 address',
        '  received: 0 packets, 0 B',
        '  sent: 5 packets, 3.42 KiB',
        '',
        'flows: 0 of 1 024',
        '',
        'traffic:',
        '  out: 5 packets, 3.42 KiB',
        '  in: 0 packets, 0 B',
        '  now: out 0 bit/s, 0 packets/s; in 0 bit/s, 0 packets/s; 0 flows/s begin, 0 end',
        '',
        'drops:',
        '  not_ipv4: 3',
        '',
        'firewall:',
        '  web: 4 flows, 240 B of first packets',
        '  default/inbound: 2 flows, 0 B of first packets',
        '',
        'refused:',
        '  10.77.0.2: 7 no_free_port, rule masquerade',
        '',
      ].join('\n'),
    );
  });

  test('as JSON', () => {
    expect(JSON.parse(natgate('status --name office --json').stdout)).toMatchObject({
      name: 'office',
      version: '1.2.3',
      external: null,
      flows: { count: 0, capacity: 1024 },
      traffic: { out: { packets: 5, bytes: 3500 }, in: { packets: 0, bytes: 0 } },
      drops: { not_ipv4: 3 },
      firewall: [
        { name: 'web', flows: 4, bytes: 240 },
        { name: 'silent', flows: 0, bytes: 0 },
        { name: 'default/outbound', flows: 0, bytes: 0 },
        { name: 'default/inbound', flows: 2, bytes: 0 },
        { name: 'default/between', flows: 0, bytes: 0 },
      ],
    });
    expect(JSON.parse(natgate('status --name office --flows --json').stdout)).toEqual([]);
  });

  test('one that was killed is not running, and says how to clean up', () => {
    const dead = { ...record(), process: { ...thisProcess(), processStart: '1' } };
    writeFileSync(join(root, 'office', 'run.json'), JSON.stringify(dead));
    const { code, stderr } = natgate('status --name office');
    expect(code).toBe(3);
    expect(stderr).toContain('natgate down --name office');
  });
});
