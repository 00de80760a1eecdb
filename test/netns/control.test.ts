/** The control socket of a real gateway: by curl, by the command line, by other users; what changes there does to flows. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, SERVER, type Topology } from './support/topology.ts';

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
});
