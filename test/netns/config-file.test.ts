/** A gateway that is run from a file: it forwards, its flags are stronger, and `check` knows the host. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import {
  CLIENT,
  createTopology,
  GATEWAY_PUBLIC,
  type Namespace,
  SERVER,
  type Topology,
} from './support/topology.ts';

natgateOnly('a gateway run from a file', () => {
  let topology: Topology;
  let folder: string;
  const undo: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-file-'));
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
    await topology.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  const file = (text: string) => {
    const path = join(folder, 'natgate.yaml');
    writeFileSync(path, text);
    return path;
  };
  const run = async (text: string, args: readonly string[] = []) => {
    const natgate = Natgate.launch(topology.gateway, ['--config', file(text), ...args]);
    undo.push(() => natgate.stop());
    await natgate.process.shows(READY, 15_000);
    return natgate;
  };

  it('forwards as two lines say, and lets in what a forward says', async () => {
    const natgate = await run(`
private: g0
public: g1
forwards:
  - {name: web, protocol: tcp, port: 8080, to: "${CLIENT}:8000"}
timeouts: {udp: 20}
`);
    const client = await Agent.start(topology.client);
    const server = await Agent.start(topology.server);
    undo.push(
      () => client.stop(),
      () => server.stop(),
    );
    await client.http(8000);
    await server.http(8000);
    const curl = async (from: Namespace, address: string) =>
      (await from.exec(['curl', '-sS', '--max-time', '5', `http://${address}/ends`])).stdout;
    expect(await curl(topology.client, `${SERVER}:8000`)).toContain(GATEWAY_PUBLIC);
    expect(await curl(topology.server, `${GATEWAY_PUBLIC}:8080`)).toBe(`${SERVER} ${CLIENT}`);
    expect(await natgate.status()).toMatchObject({ private: ['g0'], public: 'g1' });
  });

  it('takes a flag instead of what the file says', async () => {
    const natgate = await run('private: g0\npublic: nowhere0\nports: 40000-49999\n', ['--public', 'g1']);
    expect(await natgate.status()).toMatchObject({ public: 'g1', ports: { first: 40_000, last: 49_999 } });
  });

  it('says in JSON what it has to say, if the file wants that', async () => {
    const natgate = Natgate.launch(topology.gateway, [
      '--config',
      file('private: g0\npublic: g1\nlog: {format: json}\n'),
    ]);
    undo.push(() => natgate.stop());
    await natgate.process.shows(/"message":"ready private=g0 public=g1/, 15_000);
    for (const line of natgate.process.stderr.split('\n').filter(Boolean)) {
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), message: expect.any(String) });
    }
  });

  it('check finds what this host cannot do, where the file says it', async () => {
    const check = async (text: string) => {
      const path = file(text);
      const { stdout, code } = await topology.gateway.exec([process.execPath, MAIN, 'check', path], {
        check: false,
      });
      return {
        code,
        lines: stdout
          .trim()
          .split('\n')
          .map((line) => line.replace(path, 'FILE')),
      };
    };
    expect(await check('private: g0\npublic: g1\n')).toEqual({ code: 0, lines: ['FILE: good'] });
    const overlap = await check(`private: g0\npublic: g1\nexternal:\n  - 198.18.0.77\n  - ${CLIENT}\n`);
    expect(overlap.code).toBe(1);
    expect(overlap.lines[0]).toBe(
      `FILE:5:5: external[1]: ${CLIENT}: it overlaps 10.77.0.0/24, a private network behind g0; give addresses that the world routes to this gateway`,
    );
    const few = await check(
      'private: {interface: g0, networks: 10.0.0.0/16}\npublic: g1\nports: 40000-49999\n',
    );
    expect(few).toMatchObject({ code: 0 });
    expect(few.lines.join('\n')).toContain('FILE:3:8: warning: ports: 10000 ports of each protocol for 65');
    const stray = await check(
      'private: g0\npublic: g1\nforwards:\n  - tcp+udp:53=10.99.0.1\n  - tcp:80=10.99.0.2\n',
    );
    expect(stray.code).toBe(0);
    expect(
      stray.lines.filter((line) => line.startsWith('FILE:5:5: warning: forwards[1]: 10.99.0.2 is on no')),
    ).toHaveLength(1);
    expect(
      stray.lines.filter((line) => line.startsWith('FILE:4:5: warning: forwards[0]: 10.99.0.1 is on no')),
    ).toHaveLength(2);
  });

  it('a bad file changes nothing', async () => {
    const natgate = Natgate.launch(topology.gateway, [
      '--config',
      file('private: g0\npublic: g1\nport: 1-2\n'),
    ]);
    expect(await natgate.process.ended).toBe(1);
    expect(natgate.process.stderr).toContain('nothing was changed');
    expect(natgate.process.stderr).toContain(':3:1: port: there is no key "port" here; did you mean ports?');
    expect((await topology.gateway.exec('ip -br link')).stdout).not.toContain('natgate');
  });
});
