/** The control socket of a real gateway: by curl, by the command line, by other users; what changes there does to flows. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { UNREADY_PREFIX } from '../../src/gateway/control/socket.ts';
import { Agent } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, SERVER, type Topology } from './support/topology.ts';

const DIST = new URL('../../dist/', import.meta.url).href;

natgateOnly('the control socket', () => {
  let topology: Topology;
  let folder: string;
  let file: string;
  let natgate: Natgate;
  const undo: (() => Promise<unknown>)[] = [];
  const FILE = 'private: g0 # inside\npublic: g1\ncontrol: {group: "4711"}\nmetrics: 127.0.0.1:9469\n';

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-ctl-'));
    chmodSync(folder, 0o755);
    file = join(folder, 'natgate.yaml');
    writeFileSync(file, FILE);
    natgate = Natgate.launch(topology.gateway, ['--config', file]);
    undo.push(() => natgate.stop());
    await natgate.process.shows(READY, 15_000);
  });
  /** In place of the one that runs; the test stops it. */
  const start = async (...args: string[]) => {
    for (const step of undo.splice(0).reverse()) await step();
    const other = Natgate.launch(topology.gateway, args);
    undo.push(() => other.cleanUp());
    await other.process.shows(READY, 15_000);
    return other;
  };
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
    await topology.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  const socket = () => join(topology.gateway.stateRoot, natgate.name, 'control.sock');
  const curl = async (path: string, ...words: string[]) =>
    JSON.parse(
      (
        await topology.gateway.exec([
          'curl',
          '-sS',
          '--retry',
          '5',
          '--retry-all-errors',
          '--retry-delay',
          '1',
          '--unix-socket',
          socket(),
          ...words,
          `http://natgate${path}`,
        ])
      ).stdout,
    );
  const cli = (...words: string[]) => {
    const which = ['--name', natgate.name, '--state-root', topology.gateway.stateRoot];
    return natgate.cli(words[0]!, [...words.slice(1), ...which], { check: false });
  };
  const reaches = async () =>
    (
      await topology.client.exec(['curl', '-sS', '--max-time', '2', `http://${SERVER}:8000/ends`], {
        check: false,
      })
    ).code;

  it('answers curl, and shows metrics on the loopback address', async () => {
    expect(await curl('/v1/health')).toMatchObject({ ok: true, name: natgate.name });
    expect(await curl('/v1/status')).toMatchObject({ private: ['g0'], public: 'g1' });
    expect(await curl('/v1/config')).toMatchObject({ file, config: { ports: '32768-65535' } });
    const { stdout } = await topology.gateway.exec(['curl', '-sS', 'http://127.0.0.1:9469/metrics']);
    expect(stdout).toContain('natgate_flows{proto="tcp"} 0');
  });

  it('adds a rule that works at once, saves it, and takes it back', async () => {
    const server = await Agent.start(topology.server);
    undo.push(() => server.stop());
    await server.http(8000);
    await curl('/v1/health');
    expect(await reaches()).toBe(0);
    const rule = '{name: no-web, action: reject, reject-with: tcp-reset, protocol: tcp, ports: 8000}';
    const added = await cli('rule', 'add', rule, '--save');
    expect(added).toMatchObject({ code: 0 });
    expect(added.stdout).toContain(`saved in ${file}`);
    expect(readFileSync(file, 'utf8')).toBe(
      `${FILE}firewall:\n  rules:\n    - name: no-web\n      action: reject\n      reject-with: tcp-reset\n      protocol: tcp\n      ports: 8000\n`,
    );
    expect(await reaches()).not.toBe(0);
    expect(JSON.parse((await cli('rule', 'list', '--json')).stdout)).toMatchObject({
      rules: [{ name: 'no-web', flows: 1 }],
    });
    expect(await cli('rule', 'remove', 'no-web')).toMatchObject({ code: 0, stderr: '' });
    expect(await reaches()).toBe(0);
    // The file still has it.
    const refused = await cli('rule', 'add', '{name: y, action: drop}', '--save');
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain('says something else than what the gateway runs');
    expect(await cli('rule', 'add', '{name: y, action: drop}', '--save', '--force')).toMatchObject({
      code: 0,
    });
    expect(readFileSync(file, 'utf8')).toMatch(/- name: no-web(.|\n)*- name: y\n {6}action: drop\n$/);
  });

  it('forwards a port from one moment to the next, and no longer; the file keeps its comments', async () => {
    const inside = await Agent.start(topology.client);
    undo.push(() => inside.stop());
    await inside.http(8000);
    await curl('/v1/health');
    const answers = async () =>
      (
        await topology.server.exec(['curl', '-sS', '--max-time', '2', `http://${GATEWAY_PUBLIC}:8080/ends`], {
          check: false,
        })
      ).code === 0;
    expect(await answers()).toBe(false);
    const added = await cli('forward', 'add', `tcp:8080=${CLIENT}:8000`, '--save');
    expect(added).toMatchObject({ code: 0, stderr: '' });
    expect(await answers()).toBe(true);
    expect(readFileSync(file, 'utf8')).toBe(`${FILE}forwards:\n  - tcp:8080=${CLIENT}:8000\n`);
    expect(JSON.parse((await cli('forward', 'list', '--json')).stdout)).toMatchObject({
      forwards: [{ name: `tcp:8080=${CLIENT}:8000` }],
    });
    const removed = await cli('forward', 'remove', 'tcp:8080', '--save');
    expect(removed).toMatchObject({ code: 0, stderr: '' });
    expect(removed.stdout).toMatch(/1 flows ended/);
    expect(await answers()).toBe(false);
    expect(readFileSync(file, 'utf8')).toContain('private: g0 # inside');
    // What was saved is what runs: a reload changes nothing.
    expect((await cli('reload')).stdout).toContain('nothing is different');
  });

  it('keeps every comment where a change is saved, and does nothing where a flag would undo it', async () => {
    const text = `# The office.
private: g0 # inside
public: g1   # outside

control: {group: "4711"} # who may
forwards: # to the inside
  # The web server.
  - {name: web, protocol: tcp, port: 8080, to: ${CLIENT}} # port 8080 too

  # Mail.
  - tcp:25=${CLIENT} # no spam
# The end.
`;
    writeFileSync(file, text);
    const flags = ['--forward', `tcp:9000=${CLIENT}`];
    const strong = await start('--config', file, ...flags);
    const forwards = async (of: Natgate) =>
      JSON.parse((await of.cli('forward', ['list', '--json'])).stdout).forwards.map(
        ({ name }: { name: string }) => name,
      );
    const add = [`udp:53=${CLIENT}`, '--save'];
    const refused = await strong.cli('forward', ['add', ...add], { check: false });
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      /^natgate: a flag of `natgate run` says this part[^\n]*\n {2}leave --save out/,
    );
    expect(await forwards(strong)).toEqual([`tcp:9000=${CLIENT}`]);
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect((await strong.cli('forward', ['add', `udp:53=${CLIENT}`])).stdout).toContain(
      'until the next reload',
    );
    expect(await forwards(strong)).toEqual([`tcp:9000=${CLIENT}`, `udp:53=${CLIENT}`]);
    // The firewall is the file's.
    const rule = '{name: no-ssh, action: drop, protocol: tcp, ports: 22}';
    expect(await strong.cli('rule', ['add', rule], { check: false })).toMatchObject({ code: 0, stderr: '' });
    await strong.stop();

    const plain = await start('--config', file);
    await plain.cli('forward', ['add', ...add]);
    const mail = `  - tcp:25=${CLIENT} # no spam\n`;
    expect(readFileSync(file, 'utf8')).toBe(text.replace(mail, `${mail}  - udp:53=${CLIENT}\n`));
    await plain.cli('forward', ['remove', 'web', '--save']);
    expect(readFileSync(file, 'utf8')).toBe(
      text.replace(mail, `${mail}  - udp:53=${CLIENT}\n`).replace(/ {2}- \{name: web.*\n/, ''),
    );
    expect(await forwards(plain)).toEqual([`tcp:25=${CLIENT}`, `udp:53=${CLIENT}`]);
    await plain.stop();
  });

  it('a gateway without a socket is said to be one, and still reloads', async () => {
    writeFileSync(file, 'private: g0\npublic: g1\ncontrol: {socket: "off"}\n');
    const silent = await start('--config', file);
    const said = await silent.cli('forward', ['list'], { check: false });
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toBe(
      `natgate: the gateway ${silent.name} has no control socket\n  its configuration says \`control: {socket: off}\`\n`,
    );
    writeFileSync(file, `private: g0\npublic: g1\ncontrol: {socket: "off"}\nforwards: ["tcp:1=${CLIENT}"]\n`);
    expect((await silent.cli('reload')).stdout).toMatch(/^forwards added: tcp:1=/m);
    await silent.stop();
    const gone = await silent.cli('forward', ['list'], { check: false });
    expect(gone).toMatchObject({ code: 3, stdout: '' });
  });

  it('has the mode and the group that the file says, and tells others whose it is', async () => {
    const { mode, gid, uid } = statSync(socket());
    expect([mode & 0o7777, uid, gid]).toEqual([0o660, 0, 4711]);
    const as = (gid: string, ...words: string[]) => {
      const which = ['--name', natgate.name, '--state-root', topology.gateway.stateRoot];
      const who = ['setpriv', '--reuid', '65534', '--regid', gid, '--clear-groups'];
      return topology.gateway.exec([...who, process.execPath, MAIN, ...words, ...which], { check: false });
    };
    const denied = await as('65534', 'forward', 'list');
    expect(denied).toMatchObject({ code: 1, stdout: '' });
    expect(denied.stderr).toBe(
      `natgate: you may not use ${socket()}\n  be in the group 4711, or try with sudo\n`,
    );
    expect(await as('4711', 'forward', 'list')).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse((await as('4711', 'status', '--json')).stdout)).toMatchObject({ public: 'g1' });
    // The file is root's: nothing happens.
    const add = ['forward', 'add', `tcp:25=${CLIENT}`, '--save'];
    const unsaved = await as('4711', ...add);
    expect(unsaved).toMatchObject({ code: 1, stdout: '' });
    expect(unsaved.stderr).toContain(`you may not write ${file}: nothing was changed`);
    expect((await as('4711', 'forward', 'list')).stdout).toBe('');
    // It is the group's.
    chownSync(file, 0, 4711);
    chmodSync(file, 0o664);
    chownSync(folder, 0, 4711);
    chmodSync(folder, 0o775);
    expect(await as('4711', ...add)).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(file, 'utf8')).toBe(`${FILE}forwards:\n  - tcp:25=${CLIENT}\n`);
    expect(statSync(file)).toMatchObject({ gid: 4711 });
    expect(statSync(file).mode & 0o7777).toBe(0o664);
  });

  it('reloads and plans as SIGHUP does', async () => {
    await curl('/v1/health');
    writeFileSync(file, `${FILE}forwards: ['tcp:8080=${CLIENT}:8000']\n`);
    const json = ['-H', 'content-type: application/json', '-d', '{}'];
    const changes = { forwards: { added: [expect.stringContaining('8080')], removed: [], changed: [] } };
    expect(await curl('/v1/plan', ...json)).toMatchObject({
      usable: true,
      foreseen: { changes, refused: null },
    });
    expect(await curl('/v1/reload', ...json)).toMatchObject({ applied: true, changes });
    expect(await curl('/v1/plan', ...json)).toMatchObject({
      foreseen: { changes: { forwards: { added: [], removed: [] } } },
    });
    writeFileSync(file, `${FILE}evict: sometimes\n`);
    expect(await curl('/v1/reload', ...json)).toMatchObject({ error: { code: 'config_invalid' } });
    expect((await curl('/v1/forwards')).forwards).toHaveLength(1);
  });

  it('leaves nothing in the run directory, at whatever moment it was killed', async () => {
    await curl('/v1/health');
    await natgate.process.stop('SIGKILL');
    // As between the making of the socket and its move to its place.
    const unready = join(topology.gateway.stateRoot, natgate.name, `${UNREADY_PREFIX}x1y2z3`);
    mkdirSync(unready);
    writeFileSync(join(unready, 's'), '');
    expect(await cli('down')).toMatchObject({ code: 0 });
    expect(existsSync(join(topology.gateway.stateRoot, natgate.name))).toBe(false);
    undo.pop();
  });

  it('lets its group in, and nobody else', async () => {
    await curl('/v1/health');
    const as = (gid: string) =>
      topology.gateway.exec(
        [
          'setpriv',
          '--reuid',
          '65534',
          '--regid',
          gid,
          '--clear-groups',
          'curl',
          '-sS',
          '--unix-socket',
          socket(),
          'http://natgate/v1/health',
        ],
        { check: false },
      );
    expect(JSON.parse((await as('4711')).stdout)).toMatchObject({ ok: true });
    expect(await as('65534')).toMatchObject({ stdout: '' });
    expect((await as('65534')).code).not.toBe(0);
  });

  it('tells its group the status, whose files are root’s', async () => {
    await curl('/v1/health');
    const modules = ['cli/status', 'cli/client', 'gateway/status', 'core/errors'];
    const status = (gid: number) =>
      topology.gateway.exec(
        [
          process.execPath,
          '--input-type=module',
          '-e',
          // The checkout may be readable for root only: all is loaded before.
          `const [verb] = await Promise.all(${JSON.stringify(modules)}.map((name) => import(${JSON.stringify(DIST)} + name + '.js')));
           process.setgroups([]); process.setgid(${gid}); process.setuid(65534);
           await verb.handler({ name: ${JSON.stringify(natgate.name)}, stateRoot: ${JSON.stringify(topology.gateway.stateRoot)}, json: true, flows: false });`,
        ],
        { check: false },
      );
    expect(JSON.parse((await status(4711)).stdout)).toMatchObject({ name: natgate.name, public: 'g1' });
    const refused = await status(65534);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('be in the group 4711');
  });
});
