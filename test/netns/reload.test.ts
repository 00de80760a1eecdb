/** A running gateway and its file: reload, SIGHUP, plan. What goes on loses not one packet; a bad file changes nothing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Plan } from '../../src/gateway/reload/plan.ts';
import type { ReloadResult } from '../../src/gateway/reload/result.ts';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { until } from './support/process.ts';
import {
  CLIENT,
  createTopology,
  GATEWAY_PUBLIC,
  type Namespace,
  SERVER,
  type Topology,
} from './support/topology.ts';

const TRAFFIC = fileURLToPath(new URL('./support/reload-traffic.py', import.meta.url));
const CONNECTIONS = 1000;
const GOING = 100;
const RATE = 10_000;
const SECONDS = 12;

natgateOnly('reload', () => {
  let topology: Topology;
  let folder: string;
  let path: string;
  const undo: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-reload-'));
    path = join(folder, 'natgate.yaml');
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
    await topology.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = async (text: string, args: readonly string[] = []) => {
    writeFileSync(path, text);
    const natgate = Natgate.launch(topology.gateway, ['--config', path, ...args]);
    undo.push(() => natgate.stop());
    await natgate.process.shows(READY, 15_000);
    return natgate;
  };
  const reload = async (natgate: Natgate, text: string): Promise<ReloadResult> => {
    writeFileSync(path, text);
    const { stdout } = await natgate.cli('reload', ['--json'], { check: false });
    return JSON.parse(stdout);
  };
  const agent = async (ns: Namespace) => {
    const started = await Agent.start(ns);
    undo.push(() => started.stop());
    return started;
  };

  /** By the signal, which is faster than a process of the command line. */
  const hangUp = async (natgate: Natgate, text: string): Promise<ReloadResult> => {
    writeFileSync(path, text);
    const said = () => natgate.process.stderr.match(/^natgate: (not )?reloaded/gm)?.length ?? 0;
    const before = said();
    process.kill(natgate.process.pid!, 'SIGHUP');
    await until('the reload to be logged', () => said() > before);
    const result = join(topology.gateway.stateRoot, natgate.name, 'reload.json');
    return JSON.parse(readFileSync(result, 'utf8')).result;
  };

  it(`of ${CONNECTIONS} connections, iperf3 and ${RATE} datagrams a second not a packet is lost`, {
    timeout: 120_000,
  }, async () => {
    const base = 'private: g0\npublic: g1\nports: 20000-65535\nengine: {txqueuelen: 20000}\n';
    const going = '  - {name: going, ports: [7001], protocol: tcp, translate: [198.18.0.76]}\n';
    const versions = [
      `${base}nat-rules:\n  - {name: first, from: 10.77.0.77, translate: [198.18.0.78]}\n`,
      `${base}forwards: ["tcp:8080=${CLIENT}:80"]\nfirewall: {rules: [{name: no smtp, action: drop, protocol: tcp, ports: [25]}]}\n`,
      `${base}timeouts: {udp: 77}\nnat-rules:\n  - {name: other, from: 10.77.0.99, translate: [198.18.0.79]}\nhelpers: [ftp]\n`,
    ];
    const natgate = await run(`${base}nat-rules:\n${going}`);
    const script = (ns: Namespace, ...words: (string | number)[]) =>
      ns.spawn(['python3', TRAFFIC, ...words.map(String)]);
    const servers = [7000, 7001].map((port) => script(topology.server, 'server', port));
    for (const server of servers) await server.shows(/listening/, 10_000);
    const iperfServer = topology.server.spawn(['iperf3', '-s', '-1', '--forceflush']);
    await iperfServer.shows(/listening/i, 10_000);
    const ending = script(topology.client, 'client', SERVER, 7001, GOING, 0, SECONDS);
    await ending.shows(/connected/, 30_000);
    const client = script(topology.client, 'client', SERVER, 7000, CONNECTIONS, RATE, SECONDS);
    await client.shows(/connected/, 30_000);
    const iperf = topology.client.spawn([
      'iperf3',
      '-c',
      SERVER,
      '-t',
      String(SECONDS - 2),
      '-b',
      '200M',
      '-J',
    ]);
    const results: ReloadResult[] = [];
    const begin = performance.now();
    while (performance.now() - begin < (SECONDS - 4) * 1000) {
      results.push(await hangUp(natgate, versions[results.length % versions.length]!));
    }
    expect(await client.ended).toBe(0);
    expect(await ending.ended).toBe(0);
    expect(await iperf.ended).toBe(0);
    for (const server of servers) server.child.stdin!.end();
    for (const server of servers) await server.ended;
    const report = (text: string) => JSON.parse(text.trim().split('\n').at(-1)!);
    const [sent, gone, got] = [client, ending, servers[0]!].map(({ stdout }) => report(stdout));
    const { end } = JSON.parse(iperf.stdout);
    const causes = results.flatMap(({ ended }) => ended);
    process.stdout.write(
      `reloads: ${results.length}; datagrams sent ${sent.sent}, received ${got.datagrams}; exchanges ${sent.exchanges} on ` +
        `${CONNECTIONS} connections, broken ${sent.failed}; of ${GOING} connections of the rule that went, ended: ` +
        `${gone.failed}; iperf3: ${Math.round(end.sum_received.bits_per_second / 1e6)} Mbit/s, ${end.sum_sent.retransmits} retransmits; ` +
        `ended by reloads: ${JSON.stringify(causes)}\n`,
    );
    expect(results.map(({ applied, problems }) => [applied, problems])).toEqual(
      results.map(() => [true, []]),
    );
    expect(results.length).toBeGreaterThan(5);
    expect(causes).toEqual([{ kind: 'rule', name: 'going', count: GOING }]);
    expect(sent.failed).toBe(0);
    expect(gone.failed).toBe(GOING);
    expect(sent.sent).toBeGreaterThan(SECONDS * RATE * 0.5);
    expect(got).toEqual({ datagrams: sent.sent, twice: 0, sources: 1 });
  });

  it('a bad file changes nothing, and is said with its place; so is what needs a restart', async () => {
    const good = `private: g0\npublic: g1\nforwards: ["tcp:8080=${CLIENT}:8000"]\n`;
    const natgate = await run(good);
    const before = await natgate.status();
    writeFileSync(path, 'private: g0\npublic: g1\nforwrads: []\n');
    const bad = await natgate.cli('reload', [], { check: false });
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain(`${path}:3:1: forwrads`);
    expect(bad.stderr).toContain('natgate: nothing has changed');
    await natgate.process.shows(/not reloaded, nothing has changed: .*forwrads/);
    const restart = await reload(natgate, `${good}ports: 40000-50000\nengine: {workers: 2}\n`);
    expect(restart).toMatchObject({
      applied: false,
      problems: ['a running gateway cannot change ports, engine.workers'],
    });
    const overlapping = await reload(natgate, `${good}external: [${CLIENT}]\n`);
    expect(overlapping.applied).toBe(false);
    expect(await natgate.status()).toMatchObject({ ports: before['ports'], workers: before['workers'] });
    const [client] = [await agent(topology.client)];
    await client.http(8000);
    const { stdout } = await topology.server.exec([
      'curl',
      '-sS',
      '--max-time',
      '5',
      `http://${GATEWAY_PUBLIC}:8080/ends`,
    ]);
    expect(stdout).toBe(`${SERVER} ${CLIENT}`);
  });

  it('an external address comes and goes: on the interface, to the world, with its flows', async () => {
    const base = 'private: g0\npublic: g1\n';
    const natgate = await run(base);
    const server = await agent(topology.server);
    const client = await agent(topology.client);
    await server.http(8000);
    await server.udpEcho(9000);
    const ends = async () =>
      (await topology.client.exec(['curl', '-sS', '--max-time', '5', `http://${SERVER}:8000/ends`])).stdout;
    const addresses = async () => (await topology.gateway.exec('ip -br addr show g1')).stdout;
    expect(await ends()).toContain(GATEWAY_PUBLIC);
    const added = await reload(natgate, `${base}external: [198.18.0.77]\n`);
    expect(added.changes?.addresses.added).toEqual(['198.18.0.77']);
    expect(await addresses()).toContain('198.18.0.77/32');
    expect(await ends()).toContain('198.18.0.77');
    const socket = await client.udp();
    await socket.sendTo(Buffer.from('x'), [SERVER, 9000]);
    await socket.receiveFrom();
    writeFileSync(path, base);
    const plan: Plan = JSON.parse((await natgate.cli('plan', ['--json'])).stdout);
    expect(plan.host).toEqual(['- ip address del 198.18.0.77/32 dev g1']);
    expect(plan.ending.map(({ cause }) => cause)).toContainEqual({ kind: 'rule', name: 'pool' });
    const text = (await natgate.cli('plan')).stdout;
    expect(text).toMatch(/^udp {6}17 \d+ src=10\.77\.0\.2 .* \[rule pool\]$/m);
    // SIGHUP does the same.
    process.kill(natgate.process.pid!, 'SIGHUP');
    await natgate.process.shows(
      /reloaded: rules added: masquerade; rules removed: pool; addresses removed: 198\.18\.0\.77; flows ended: \d/,
    );
    expect(await addresses()).not.toContain('198.18.0.77');
    expect(await ends()).toContain(GATEWAY_PUBLIC);
    expect(JSON.parse((await natgate.cli('plan', ['--json'])).stdout)).toMatchObject({
      ending: [],
      host: [],
    });
  });

  it('the flags of run stay stronger, and an engine that starts anew has what was reloaded', async () => {
    const base = 'private: g0\npublic: g1\n';
    const natgate = await run(base, ['--forward', `tcp:8080=${CLIENT}:8000`]);
    const client = await agent(topology.client);
    await client.http(8000);
    const result = await reload(
      natgate,
      `${base}nat-rules: [{name: new, from: 10.77.0.50, translate: masquerade}]\n`,
    );
    expect(result.changes).toMatchObject({
      rules: { added: ['new'], removed: [] },
      forwards: { removed: [] },
    });
    process.kill(await natgate.enginePid(), 'SIGKILL');
    await natgate.process.shows(/the packet engine forwards again/, 15_000);
    const { stdout } = await topology.server.exec([
      'curl',
      '-sS',
      '--max-time',
      '5',
      `http://${GATEWAY_PUBLIC}:8080/ends`,
    ]);
    expect(stdout).toBe(`${SERVER} ${CLIENT}`);
    expect((await reload(natgate, base)).changes?.rules.removed).toEqual(['new']);
  });

  it('without a file there is nothing to reload, and SIGHUP ends the gateway', async () => {
    const natgate = await Natgate.start(topology.gateway);
    const { code, stderr } = await natgate.cli('reload', [], { check: false });
    expect([code, stderr.split('\n')[0]]).toEqual([
      1,
      `natgate: the gateway ${natgate.name} was started without a file: there is nothing to read again`,
    ]);
    expect(await natgate.process.stop('SIGHUP')).toBe(0);
    expect(() => readFileSync(join(topology.gateway.stateRoot, natgate.name, 'run.json'))).toThrow();
  });
});
