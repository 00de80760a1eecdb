/** `natgate install` and `uninstall` on a root in a folder, and on this host with a systemd that only takes notes. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { examine } from '../../src/gateway/config/load.ts';
import { firstConfig } from '../../src/gateway/service/first-config.ts';
import { type InstallOptions, installService } from '../../src/gateway/service/install.ts';
import { parseServiceName } from '../../src/gateway/service/layout.ts';
import { thisSystem } from '../../src/gateway/service/system.ts';
import { type UninstallOptions, uninstallService } from '../../src/gateway/service/uninstall.ts';
import { unitText } from '../../src/gateway/service/unit.ts';

const UNIT = 'etc/systemd/system/natgate.service';
const CONFIG = 'etc/natgate/natgate.yaml';
const COMMAND = ['/usr/local/bin/node', '/opt/natgate/dist/cli/main.js'];

let root: string;
let said: string[];
let called: string[];

const system = (booted = false) => ({
  isBooted: () => booted,
  run(program: string, args: readonly string[]) {
    called.push([program, ...args].join(' '));
    return true;
  },
});
const install = (options: Partial<InstallOptions> = {}, booted = false) =>
  installService(
    {
      name: 'default',
      interfaces: { private: ['eth1'], public: 'eth0' },
      root,
      dryRun: false,
      command: COMMAND,
      say: (line) => said.push(line),
      ...options,
    },
    system(booted),
  );
const uninstall = (options: Partial<UninstallOptions> = {}) =>
  uninstallService(
    {
      name: null,
      root,
      dryRun: false,
      purge: false,
      stateRoot: join(root, 'run'),
      say: (line) => said.push(line),
      ...options,
    },
    system(),
  );
const files = () =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
const read = (path: string) => readFileSync(join(root, path), 'utf8');
/** Of a link, where it leads. */
const content = (path: string) =>
  lstatSync(join(root, path)).isSymbolicLink() ? readlinkSync(join(root, path)) : read(path);
const write = (path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'natgate-install-'));
  said = [];
  called = [];
});
afterEach(() => rmSync(root, { recursive: true }));

describe('install', () => {
  it('writes units, account and configuration below a root, and enables the unit there', () => {
    install();
    expect(files()).toEqual([
      CONFIG,
      'etc/systemd/system/multi-user.target.wants/natgate.service',
      UNIT,
      'etc/systemd/system/natgate@.service',
      'etc/sysusers.d/natgate.conf',
      'var/lib/natgate/installed.json',
    ]);
    const link = join(root, 'etc/systemd/system/multi-user.target.wants/natgate.service');
    expect(readlinkSync(link)).toBe('/etc/systemd/system/natgate.service');
    expect(read(UNIT)).toContain(
      'ExecStart=/usr/local/bin/node /opt/natgate/dist/cli/main.js run --config /etc/natgate/natgate.yaml\n',
    );
    expect(read('etc/systemd/system/natgate@.service')).toContain(
      'run --name %i --config /etc/natgate/%i.yaml\n',
    );
    expect(called).toEqual([`systemd-sysusers --root=${root} ${root}/etc/sysusers.d/natgate.conf`]);
    expect(said.at(-1)).toBe(`enabled natgate.service: it starts when ${root} is booted`);
  });

  it('does nothing more the second time, and keeps the configuration', () => {
    install();
    write(CONFIG, 'private: lan\npublic: wan\n');
    write('etc/passwd', 'natgate:x:999:999::/:/usr/sbin/nologin\n');
    const before = files().map((path) => [path, content(path)]);
    said = [];
    install({ interfaces: null });
    expect(files().map((path) => [path, content(path)])).toEqual(before);
    expect(said).toEqual([
      `kept ${root}/${CONFIG}`,
      `enabled natgate.service: it starts when ${root} is booted`,
    ]);
  });

  it('replaces the units of an earlier version', () => {
    install({ command: ['/opt/old/natgate'] });
    install();
    expect(read(UNIT)).toContain('ExecStart=/usr/local/bin/node ');
  });

  it('changes nothing where a unit is not its own, or was changed', () => {
    write(UNIT, '[Service]\nExecStart=/usr/bin/other\n');
    expect(() => install()).toThrow(/natgate.service is there, and not as `natgate install` writes it/);
    expect(files()).toEqual([UNIT]);
    rmSync(join(root, UNIT));
    install();
    write(UNIT, `${read(UNIT)}# mine\n`);
    expect(() => install()).toThrow(/natgate.service is there/);
  });

  it('uses the units of a package', () => {
    write('lib/systemd/system/natgate.service', '');
    install();
    expect(files()).not.toContain(UNIT);
    const link = join(root, 'etc/systemd/system/multi-user.target.wants/natgate.service');
    expect(readlinkSync(link)).toBe('/lib/systemd/system/natgate.service');
    expect(called).toEqual([]);
  });

  it('asks for interfaces where there is no configuration', () => {
    expect(() => install({ interfaces: null })).toThrow(/there is no .*natgate.yaml/);
    expect(files()).toEqual([]);
  });

  it('says what it would do, and changes nothing', () => {
    install({ dryRun: true });
    expect(files()).toEqual([]);
    expect(said.join('\n')).toContain(`would write ${root}/${UNIT}:\n    # natgate's own`);
    expect(said.at(-1)).toBe('would enable natgate.service');
    install({ dryRun: true, root: '/', interfaces: { private: ['eth1'], public: 'eth0' } });
    expect(said.at(-1)).toBe('would enable natgate.service and start it');
    expect(called).toEqual([]);
  });

  it('refuses where systemd does not run, and says what to do instead', () => {
    expect(() => install({ root: '/' })).toThrow(
      expect.objectContaining({ code: 'no_systemd', hint: expect.stringContaining('natgate run --config') }),
    );
  });

  it('has several gateways share the units', () => {
    install();
    install({ name: 'office', interfaces: { private: ['eth2', 'eth3'], public: 'eth0' } });
    expect(parse(read('etc/natgate/office.yaml'))).toMatchObject({
      private: ['eth2', 'eth3'],
      public: 'eth0',
    });
    uninstall({ name: 'office' });
    expect(files()).toContain(UNIT);
    expect(files()).not.toContain('etc/systemd/system/multi-user.target.wants/natgate@office.service');
    expect(files()).toContain('etc/systemd/system/multi-user.target.wants/natgate.service');
    expect(() => uninstall({ name: 'office' })).toThrow('no gateway office was installed here');
    expect(() => parseServiceName('natgate')).toThrow('--name natgate');
  });
});

describe('uninstall', () => {
  it('leaves only the configuration, and with --purge nothing', () => {
    install();
    uninstall();
    expect(files()).toEqual([CONFIG]);
    install();
    uninstall({ purge: true });
    expect(readdirSync(join(root, 'etc'))).toEqual(['systemd']);
    expect(files()).toEqual([]);
    expect(() => uninstall()).toThrow('natgate install has done nothing here');
  });

  it('keeps what was changed since, and says so', () => {
    install();
    write(UNIT, `${read(UNIT)}# mine\n`);
    uninstall();
    expect(files()).toEqual([CONFIG, UNIT]);
    expect(said).toContain(`kept ${root}/${UNIT}: it was changed since`);
  });

  it('removes the account only if it made it', () => {
    write('etc/passwd', 'natgate:x:999:999::/:/usr/sbin/nologin\n');
    install();
    uninstall();
    expect(called).toEqual([]);
    write('etc/passwd', '');
    install();
    write('etc/passwd', 'natgate:x:999:999::/:/usr/sbin/nologin\n');
    uninstall();
    expect(called.at(-1)).toBe(`userdel --prefix ${root} natgate`);
  });

  it('says what it would do, and changes nothing', () => {
    install();
    const before = files();
    uninstall({ dryRun: true });
    expect(files()).toEqual(before);
    expect(said.slice(-4)).toContain(`would remove ${root}/${UNIT}`);
  });
});

describe('the unit', () => {
  it('has words that systemd would change, or cut, quoted', () => {
    const unit = unitText('natgate.service', ['/opt/a b/node', '/opt/100%/$x/main.js']);
    expect(unit).toContain('ExecStart="/opt/a b/node" /opt/100%%/$$x/main.js run --config ');
    expect(unit).not.toMatch(/@[A-Z_]+@/);
  });

  it('sees the home directory that natgate lies in, and no /tmp', () => {
    expect(unitText('natgate.service', COMMAND)).toContain('\nProtectHome=yes\n');
    expect(unitText('natgate.service', ['/home/me/node', '/x'])).toContain('\nProtectHome=read-only\n');
    expect(() => unitText('natgate.service', ['/tmp/natgate/main.js'])).toThrow(/has a \/tmp of its own/);
  });
});

it('writes a first configuration that is YAML whatever the interfaces are called', () => {
  expect(parse(firstConfig(['eth1'], 'eth0'))).toEqual({
    private: 'eth1',
    public: 'eth0',
    engine: { linger: 15 },
  });
  expect(parse(firstConfig(['on', '0x10', 'br-lan.5'], 'a#b'))).toMatchObject({
    private: ['on', '0x10', 'br-lan.5'],
    public: 'a#b',
  });
});

it('writes a first configuration that natgate takes, also with what stands in comments', () => {
  const text = firstConfig(['eth1'], 'eth0');
  const all = text.replace(/^#(?=[a-z ]+(:|-))/gm, '');
  expect(parse(all)).toMatchObject({ forwards: ['tcp:8080=192.168.1.10:80'], helpers: ['ftp'] });
  for (const one of [text, all]) {
    const file = { path: 'natgate.yaml', text: one };
    const { options, problems } = examine({ name: 'default', stateRoot: '/run/natgate', flags: {}, file });
    expect([options?.lingerSeconds, problems]).toEqual([15, []]);
  }
});

it('passes on why a program of the host failed', () => {
  expect(thisSystem.run('no-such-program-of-any-host', [])).toBe(false);
  expect(thisSystem.run('true', [])).toBe(true);
  expect(() => thisSystem.run('ls', ['/nonexistent/x'])).toThrow(/`ls \/nonexistent\/x`: .*No such file/);
  expect(existsSync('/nonexistent')).toBe(false);
});
