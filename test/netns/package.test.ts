/**
 * The Debian package in a clean Debian, which is then booted: systemd itself runs the unit with everything that it forbids, between
 * the two hosts of the topology. Node comes from this machine, as a package, since Debian's may be too old.
 */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureTools } from '../../src/cli/lab/tools.ts';
import { Agent } from './support/agent.ts';
import { CleanRoot } from './support/clean-root.ts';
import { natgateOnly } from './support/gateway.ts';
import { run, until } from './support/process.ts';
import { hostState } from './support/snapshot.ts';
import { CLIENT, createTopology, ip, SERVER, type Topology } from './support/topology.ts';

const BUILD = fileURLToPath(new URL('../../packaging/build-deb.sh', import.meta.url));
const UNITS = ['natgate.service', 'natgate@office.service'];
const SETUP_MS = 600_000;
natgateOnly('the package', () => {
  let root: CleanRoot;
  let topology: Topology;
  let client: Agent;
  let server: Agent;
  let filesBefore: string[];
  let before: Record<string, string[]>;
  let built = '';
  let natgateDeb = '';

  beforeAll(async () => {
    const tools = ['debootstrap', 'lintian'].map((binary) => ({ binary, package: binary }));
    ensureTools(tools, () => {});
    built = mkdtempSync(join(tmpdir(), 'natgate-deb-'));
    const build = run([BUILD, built], { timeoutMs: SETUP_MS });
    [root, topology] = await Promise.all([
      CleanRoot.create(['systemd', 'systemd-sysv']),
      createTopology(),
      build,
    ]);
    [client, server] = await Promise.all([Agent.start(topology.client), Agent.start(topology.server)]);
    await server.tcpEcho(7);
    await packNode();
    const [name = ''] = readdirSync(built);
    // Not in /tmp, which is cleared at boot.
    natgateDeb = `/root/${name}`;
    copyFileSync(join(built, name), join(root.path, natgateDeb));
    await root.exec('dpkg -i /tmp/nodejs.deb');
    filesBefore = await files();
    await root.exec(['dpkg', '-i', natgateDeb]);
  }, SETUP_MS);
  afterAll(async () => {
    await root?.remove();
    rmSync(built, { recursive: true, force: true });
    await topology?.destroy();
  }, SETUP_MS);

  /** Of Debian's name and of this machine's version. */
  async function packNode(): Promise<void> {
    const folder = join(root.path, 'tmp/node');
    mkdirSync(join(folder, 'DEBIAN'), { recursive: true });
    mkdirSync(join(folder, 'usr/bin'), { recursive: true });
    copyFileSync(process.execPath, join(folder, 'usr/bin/node'));
    const architecture = (await root.exec('dpkg --print-architecture')).stdout.trim();
    const fields = { Package: 'nodejs', Version: process.versions.node, Architecture: architecture };
    const more = { Maintainer: 'nobody <nobody@example.org>', Description: 'node of this machine' };
    const control = Object.entries({ ...fields, ...more }).map(([key, value]) => `${key}: ${value}\n`);
    writeFileSync(join(folder, 'DEBIAN/control'), control.join(''));
    await run([
      'dpkg-deb',
      '--root-owner-group',
      '-Znone',
      '--build',
      folder,
      join(root.path, 'tmp/nodejs.deb'),
    ]);
    rmSync(folder, { recursive: true });
  }

  /** All there is, apart from what the package manager and systemd keep for themselves. */
  async function files(): Promise<string[]> {
    const { stdout } = await root.exec(
      'find / -xdev ( -path /proc -o -path /sys -o -path /dev -o -path /run ) -prune -o -print',
    );
    const others =
      /^\/(tmp|var\/(lib\/(dpkg|systemd)|log|cache|tmp)|etc\/(group|passwd|g?shadow)-|oldroot|etc\/(machine-id|\.pwd\.lock))/;
    return stdout
      .split('\n')
      .filter((path) => !others.test(path))
      .sort();
  }

  const systemctl = (...words: string[]) => root.inside(['systemctl', ...words]);
  const property = async (name: string) =>
    (await systemctl('show', '--value', '-p', name, 'natgate')).stdout.trim();
  /** Its pid, another one than `not`. */
  const running = async (not = '') => {
    let pid = '';
    const isAnother = async () => {
      pid = await property('MainPID');
      return pid !== not && pid !== '0' && (await property('SubState')) === 'running';
    };
    await until('the gateway runs', isAnother, 30_000);
    return pid;
  };

  it('has a command, manual pages, an account and completion', async () => {
    expect((await root.exec('natgate version')).stdout).toMatch(/^natgate \d+\.\d+\.\d+\n/);
    expect((await root.exec('natgate --help')).stdout).toContain('natgate install');
    expect((await root.exec('zcat /usr/share/man/man1/natgate.1.gz')).stdout).toMatch(/^\.TH NATGATE 1 /);
    const configPage = await root.exec('zcat /usr/share/man/man5/natgate.yaml.5.gz');
    expect(configPage.stdout).toMatch(/^\.TH NATGATE\.YAML 5 /);
    expect((await root.exec('id natgate')).code).toBe(0);
    expect((await root.exec('head -1 /usr/share/zsh/vendor-completions/_natgate')).stdout).toBe(
      '#compdef natgate\n',
    );
  });

  it('has no error that lintian finds', async () => {
    const { stdout } = await run(
      ['lintian', '--allow-root', '--fail-on', 'error', join(root.path, natgateDeb)],
      {
        timeoutMs: 120_000,
      },
    );
    expect(stdout).not.toMatch(/^E: /m);
  });

  it.each(UNITS)('%s: systemd finds nothing wrong, and an exposure below 3', async (unit) => {
    const verified = await root.exec(['systemd-analyze', 'verify', '--man=no', unit]);
    expect(verified.stdout + verified.stderr).toBe('');
    const file = `/lib/systemd/system/${unit.replace('office', '')}`;
    const { stdout } = await root.exec(['systemd-analyze', 'security', '--offline=true', '--no-pager', file]);
    const exposure = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1];
    expect(Number(exposure)).toBeGreaterThan(0);
    expect(Number(exposure)).toBeLessThan(3);
  });

  it('runs under systemd; connections live through a crash, a restart and an upgrade', async () => {
    await topology.gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
    await root.boot(topology.gateway);
    before = await hostState(topology.gateway);

    const { stdout } = await root.inside('natgate install --private g0 --public g1');
    expect(stdout).toBe('wrote /etc/natgate/natgate.yaml\nenabled and started natgate.service\n');
    const again = await root.inside('natgate install');
    expect(again.stdout).toBe('kept /etc/natgate/natgate.yaml\nenabled and started natgate.service\n');
    let pid = await running();
    expect(await property('StatusText')).toMatch(/^ready private=g0 public=g1 external=/);
    const connection = await client.connect([SERVER, 7]);
    expect(await connection.echo('first')).toBe('first');

    await systemctl('kill', '--kill-whom=main', '--signal=KILL', 'natgate');
    pid = await running(pid);
    expect(await connection.echo('after a crash')).toBe('after a crash');
    await systemctl('restart', 'natgate');
    pid = await running(pid);
    expect(await connection.echo('after a restart')).toBe('after a restart');
    await root.inside(['dpkg', '-i', natgateDeb], { timeoutMs: 60_000 });
    await running(pid);
    expect(await connection.echo('after an upgrade')).toBe('after an upgrade');
    await connection.close();
  });

  it('reads its configuration again, and is not tried again where that is wrong', async () => {
    const path = join(root.path, 'etc/natgate/natgate.yaml');
    const text = readFileSync(path, 'utf8');
    const pid = await running();
    writeFileSync(path, `${text}forwards: ["tcp:8080=${CLIENT}:80"]\n`);
    await systemctl('reload', 'natgate');
    const plan = () => root.inside('natgate plan');
    await until('the forward is in force', async () =>
      (await plan()).stdout.includes('nothing is different'),
    );
    expect(await running()).toBe(pid);

    writeFileSync(path, `${text}forwardz: []\n`);
    await systemctl('kill', '--kill-whom=main', '--signal=KILL', 'natgate');
    await until('it gives up', async () => (await property('ActiveState')) === 'failed', 30_000);
    expect(await property('ExecMainStatus')).toBe('2');
    writeFileSync(path, text);
    await systemctl('start', 'natgate');
    await running(pid);
  });

  it('has the rights that the unit gives, and the packet engine none', async () => {
    const pid = await running();
    const children = (await root.inside(['cat', `/proc/${pid}/task/${pid}/children`])).stdout;
    const engine = children.split(' ')[0]!;
    const status = async (which: string) => (await root.inside(['cat', `/proc/${which}/status`])).stdout;
    const names = (await property('CapabilityBoundingSet')).toUpperCase().split(' ');
    expect(names).toHaveLength(9);
    // SETUID, SETGID and SETPCAP are for the packet engine only.
    const granted = /^CapEff:\t(\w+)$/m.exec(await status(pid))?.[1] ?? '0';
    expect(BigInt(`0x${granted}`).toString(2).replaceAll('0', '')).toHaveLength(names.length - 3);
    expect(await status(engine)).toMatch(/^CapPrm:\t0+\nCapEff:\t0+$/m);
    expect(await status(engine)).toMatch(/^NoNewPrivs:\t1$/m);
    expect(await status(engine)).not.toMatch(/^Uid:\t0\t/m);
    const asService = (...words: string[]) =>
      root.inside(['nsenter', '--target', pid, '--mount', ...words], { check: false });
    expect((await asService('touch', '/etc/written')).stderr).toContain('Read-only file system');
    expect((await asService('sh', '-c', 'echo 1 >/proc/sys/kernel/panic')).stderr).toContain(
      'Read-only file system',
    );
    expect((await asService('ls', '/dev/net')).stdout).toBe('tun\n');
  });

  it('completes values in bash', async () => {
    const script = `
      source /usr/share/bash-completion/completions/natgate
      COMP_WORDS=(natgate run --helper si) COMP_CWORD=3
      _natgate_yargs_completions
      echo "\${COMPREPLY[@]}"`;
    expect((await root.inside(['bash', '-c', script])).stdout).toBe('sip\n');
  });

  it('goes without a trace', async () => {
    await root.inside('natgate uninstall --purge');
    expect(await property('ActiveState')).toBe('inactive');
    expect(await hostState(topology.gateway)).toEqual(before);
    await root.inside('dpkg --purge natgate');
    await root.halt();
    expect(await files()).toEqual(filesBefore);
    expect(readFileSync(join(root.path, 'etc/passwd'), 'utf8')).not.toContain('natgate');
    expect((await ip(topology.gateway, '-br link')).stdout).not.toContain('natgate');
  });
});
