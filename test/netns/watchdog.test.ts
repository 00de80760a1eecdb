/** An engine that throws, hangs, or is stopped: it is back soon on the same flows, and does not die of the same packet again. */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { readCapture } from '../../src/gateway/capture/capture-file.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import { poisonedBuild } from './poison/build.ts';
import { HANG, THROW } from './poison/words.ts';
import { Agent, type Socket } from './support/agent.ts';
import { Natgate, natgateOnly } from './support/gateway.ts';
import { sleep, until } from './support/process.ts';
import { CLIENT, createTopology, GATEWAY_PRIVATE, SERVER, type Topology } from './support/topology.ts';

natgateOnly('an engine that is not well', () => {
  let poisoned: { folder: string; main: string };
  let topology: Topology;
  let client: Agent;
  let server: Agent;
  let natgate: Natgate;
  let connection: Socket;

  const status = async () => (await natgate.status()) as unknown as GatewayStatus;
  const folder = () => join(topology.gateway.stateRoot, natgate.name, 'quarantine');
  const lines = (pattern: RegExp) => natgate.process.stderr.split('\n').filter((line) => pattern.test(line));

  beforeAll(async () => {
    poisoned = await poisonedBuild();
  });
  afterAll(() => rmSync(poisoned.folder, { recursive: true, force: true }));
  beforeEach(async () => {
    topology = await createTopology();
    [client, server] = await Promise.all([Agent.start(topology.client), Agent.start(topology.server)]);
    await server.tcpEcho(7);
    natgate = await Natgate.start(topology.gateway, [], undefined, poisoned.main);
    connection = await client.connect([SERVER, 7]);
    expect(await connection.echo('before')).toBe('before');
  });
  afterEach(async () => {
    await natgate.cleanUp();
    await topology.destroy();
  });

  it('throws at a packet: a transfer goes on, the packet is kept, and its like is dropped', async () => {
    await server.http(80);
    const size = 12_000_000;
    const transfer = topology.client.shell(`curl -s --limit-rate 4M http://${SERVER}/${size} | sha256sum`);
    const poison = await client.udp([CLIENT, 4242]);
    await sleep(500);
    const payload = Buffer.from(`${THROW} and more`);
    await poison.sendTo(payload, [SERVER, 9]);
    // What comes in the same batch behind it goes with the engine.
    await natgate.process.shows(/the packet engine died/);
    for (let i = 0; i < 99; i++) await poison.sendTo(payload, [SERVER, 9]);
    expect((await transfer).stdout.split(' ')[0]).toBe(await server.patternSha256(size));
    await until('all of them are dropped', async () => (await status()).drops['quarantined'] === 99);
    // Later, and after something else.
    expect(await connection.echo('after')).toBe('after');
    await poison.sendTo(payload, [SERVER, 9]);
    await until('and one more', async () => (await status()).drops['quarantined'] === 100);
    expect((await status()).engine).toMatchObject({ deaths: 1, failingSince: null, quarantined: 1 });

    const files = readdirSync(folder());
    expect(files).toHaveLength(1);
    const path = join(folder(), files[0]!);
    expect([statSync(path).mode & 0o777, statSync(folder()).mode & 0o777]).toEqual([0o600, 0o700]);
    const { packets } = readCapture(readFileSync(path));
    expect(packets).toHaveLength(1);
    const { packet, interface: from, direction } = packets[0]!;
    expect([from, direction]).toEqual(['g0', 'in']);
    expect([...packet.subarray(12, 20)]).toEqual([10, 77, 0, 2, 198, 18, 0, 2]);
    expect(Buffer.from(packet.subarray(28)).equals(payload)).toBe(true);
    expect(readFileSync(path, 'latin1')).toContain('RangeError: a bug for the test');
    expect(lines(/stumbled over a packet/)).toEqual([expect.stringContaining(`saved in ${path}`)]);
    // It stays for whoever looks for the bug, when all else is undone.
    expect(await natgate.process.stop()).toBe(0);
    expect(readdirSync(join(folder(), '..'))).toEqual(['quarantine']);
    await topology.gateway.exec(['tcpdump', '-r', path]);
    rmSync(join(folder(), '..'), { recursive: true });
  });

  it('hangs in a packet: that is noticed, and the next one drops it', async () => {
    const poison = await client.udp();
    const begun = performance.now();
    await poison.sendTo(Buffer.from(HANG), [SERVER, 9]);
    await natgate.process.shows(/the packet engine died/);
    const noticed = performance.now() - begun;
    await natgate.process.shows(/forwards again/);
    const back = performance.now() - begun;
    console.log(`a hang: noticed after ${noticed.toFixed(0)} ms, forwards again after ${back.toFixed(0)} ms`);
    expect(noticed).toBeLessThan(5000);
    expect(natgate.process.stderr).toMatch(/worker \d+ has been at one packet for \d+ ms/);
    expect(await connection.echo('after')).toBe('after');
    await poison.sendTo(Buffer.from(HANG), [SERVER, 9]);
    await until('it is dropped', async () => (await status()).drops['quarantined'] === 1);
    expect((await status()).engine.deaths).toBe(1);
  });

  it('is stopped by a signal: it is left alone, and goes on', async () => {
    const pid = await natgate.enginePid();
    process.kill(pid, 'SIGSTOP');
    await natgate.process.shows(/the packet engine has been stopped: nothing is forwarded/);
    await sleep(3000);
    process.kill(pid, 'SIGCONT');
    await natgate.process.shows(/the packet engine goes on/);
    expect(await connection.echo('after')).toBe('after');
    expect(await natgate.enginePid()).toBe(pid);
    expect((await status()).engine.deaths).toBe(0);
    expect(lines(/has been stopped/)).toHaveLength(1);
  });

  it('dies again and again: the host stays reachable, the log short, and it recovers', async () => {
    const host = await Agent.start(topology.gateway);
    await host.tcpEcho(22, GATEWAY_PRIVATE);
    const toHost = await client.connect([GATEWAY_PRIVATE, 22]);
    const end = performance.now() + 5000;
    // Each another packet of another flow, so that none is known.
    for (let i = 0; performance.now() < end; i++) {
      const poison = await client.udp();
      await poison.sendTo(Buffer.from(`${THROW} ${i}`), [SERVER, 9]);
      await poison.close();
      expect(await toHost.echo(`line ${i}`)).toBe(`line ${i}`);
      const fresh = await client.connect([GATEWAY_PRIVATE, 22]);
      expect(await fresh.echo('new')).toBe('new');
      await fresh.close();
      await sleep(50);
    }
    const { engine } = await status();
    expect(engine.deaths).toBeGreaterThan(1);
    expect(engine.failingSince).not.toBeNull();
    expect((await natgate.cli('status')).stdout).toContain('failing since');
    // Pauses grow: so many deaths fit into the time, and each is told once.
    expect(lines(/the packet engine died/).length).toBeLessThan(12);
    expect(lines(/flows are forgotten/)).toEqual([]);
    expect(readdirSync(folder()).length).toBeGreaterThanOrEqual(engine.deaths);
    await connection.send(Buffer.from('on'));
    expect((await connection.receiveExactly(2, 30)).toString()).toBe('on');
  });
});
