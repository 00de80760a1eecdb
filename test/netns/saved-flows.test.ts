/** `natgate flows save`, `flows restore` and `run --restore`: connections outlive a stop, and a gateway that has forgotten them. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly } from './support/gateway.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, SERVER, type Topology } from './support/topology.ts';

natgateOnly('saved flows', () => {
  let topology: Topology;
  let folder: string;
  let file: string;
  let client: Agent;
  let server: Agent;
  const undo: (() => Promise<unknown>)[] = [];
  const start = async (args: string[] = [], name?: string) => {
    const gateway = await Natgate.start(topology.gateway, args, name);
    undo.push(() => gateway.stop());
    return gateway;
  };
  const runFolder = (gateway: Natgate) => join(topology.gateway.stateRoot, gateway.name);

  beforeEach(async () => {
    topology = await createTopology();
    undo.push(async () => topology.destroy());
    folder = mkdtempSync(join(tmpdir(), 'natgate-saved-'));
    undo.push(async () => rmSync(folder, { recursive: true }));
    file = join(folder, 'office.flows');
    client = await Agent.start(topology.client);
    undo.push(() => client.stop());
    server = await Agent.start(topology.server);
    undo.push(() => server.stop());
    await server.tcpEcho(7);
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  it('a gateway that was stopped and started begins with them', async () => {
    const first = await start();
    const connection = await client.connect([SERVER, 7]);
    const listener = await server.udp([SERVER, 7000]);
    const socket = await client.udp([CLIENT, 40_001]);
    await socket.sendTo(Buffer.from('a'), [SERVER, 7000]);
    const [, outside] = await listener.receiveFrom();
    const saved = await first.cli('flows', ['save', file]);
    expect(saved.stdout).toMatch(/: 2 flows saved\.\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['office.flows']);
    expect(await first.stop()).toBe(undefined);

    const second = await start(['--restore', file]);
    expect(second.process.stderr).toContain('2 flows restored\n');
    // From outside, where only a flow that is known gets in.
    await listener.sendTo(Buffer.from('back'), outside);
    expect((await socket.receive()).toString()).toBe('back');
    await connection.send(Buffer.from('still here'));
    expect((await connection.receive()).toString()).toBe('still here');
    const { stdout } = await second.cli('flows', ['-o', 'conntrack', 'tcp']);
    expect(stdout).toMatch(/ESTABLISHED .*dport=7 .*\[ASSURED\]/);
  });

  it('a gateway that runs takes them over, beside those that it has', async () => {
    const gateway = await start();
    const listener = await server.udp([SERVER, 7000]);
    const socket = await client.udp([CLIENT, 40_001]);
    await socket.sendTo(Buffer.from('a'), [SERVER, 7000]);
    const [, outside] = await listener.receiveFrom();
    const toStdout = await gateway.cli('flows', ['save']);
    expect(toStdout.stderr).toMatch(/: 1 flows saved\.\n$/);
    await gateway.cli('flows', ['save', file]);
    await gateway.cli('flows', ['flush']);
    await listener.sendTo(Buffer.from('lost'), outside);
    const connection = await client.connect([SERVER, 7]);

    const restored = await gateway.cli('flows', ['restore', file, '--json']);
    expect(JSON.parse(restored.stdout)).toMatchObject({ restored: 1, there: 0, lost: 0, damaged: 0 });
    await listener.sendTo(Buffer.from('back'), outside);
    expect((await socket.receive()).toString()).toBe('back');
    await connection.send(Buffer.from('beside'));
    expect((await connection.receive()).toString()).toBe('beside');
    expect(existsSync(join(runFolder(gateway), 'restore.flows'))).toBe(false);
    const again = await gateway.cli('flows', ['restore', file]);
    expect(again.stdout).toMatch(/: 0 flows restored; 1 there already\.\n$/);
    expect((await gateway.cli('flows', ['count'])).stdout).toBe('2\n');
  });

  it('what belongs to another address is lost, and said; a file that is none is refused', async () => {
    const gateway = await start();
    const socket = await client.udp([CLIENT, 40_001]);
    await socket.sendTo(Buffer.from('a'), [SERVER, 7000]);
    await gateway.cli('flows', ['save', file]);
    await gateway.cli('flows', ['flush']);
    const { gateway: host } = topology;
    await host.exec(`ip address del ${GATEWAY_PUBLIC}/24 dev g1`);
    await host.exec(`ip address add ${GATEWAY_PUBLIC.replace(/\d+$/, '77')}/24 dev g1`);
    await gateway.process.shows(/the external address is .*77 now/, 10_000);
    const elsewhere = await gateway.cli('flows', ['restore', file]);
    expect(elsewhere.stdout).toMatch(/: 0 flows restored; 1 whose address, port or forward is not here\.\n$/);

    writeFileSync(file, 'nonsense\n');
    const refused = await gateway.cli('flows', ['restore', file], { check: false });
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('is no file of `natgate flows save`');
    const missing = await gateway.cli('flows', ['restore', join(folder, 'nowhere')], { check: false });
    expect(missing.stderr).toContain('nowhere');
    expect(await gateway.cli('flows', ['save', 'a', 'b'], { check: false })).toMatchObject({ code: 2 });
  });
});
