/** `natgate run --takeover`: a new process takes the place of one that runs, and nobody notices. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { until } from './support/process.ts';
import { RecoveryTraffic } from './support/recovery.ts';
import { hostState } from './support/snapshot.ts';
import { createTopology, SERVER, type Topology } from './support/topology.ts';

const SIDES = ['--private', 'g0', '--public', 'g1'];

natgateOnly('takeover', () => {
  let topology: Topology;
  const running: Natgate[] = [];

  beforeEach(async () => {
    topology = await createTopology();
  });
  afterEach(async () => {
    for (const gateway of running.splice(0)) await gateway.cleanUp();
    await topology.destroy();
  });

  const start = async (args: readonly string[] = []) => {
    const gateway = Natgate.launch(topology.gateway, [...SIDES, ...args]);
    running.push(gateway);
    await gateway.process.shows(READY, 60_000);
    return gateway;
  };
  const launch = (name: string, args: readonly string[]) => {
    const gateway = Natgate.launch(topology.gateway, [...args, '--takeover'], name);
    running.push(gateway);
    return gateway;
  };
  const recordOf = (gateway: Natgate) =>
    JSON.parse(readFileSync(join(topology.gateway.stateRoot, gateway.name, 'run.json'), 'utf8'));

  it('loses no datagram of 10 000 a second, no connection, and leaves no trace', {
    timeout: 180_000,
  }, async () => {
    await topology.gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
    const before = await hostState(topology.gateway);
    // However long others keep this machine busy.
    const args = [...SIDES, '--txqueuelen', '20000'];
    const first = await start(args.slice(SIDES.length));
    const traffic = await RecoveryTraffic.start(topology, { rate: 10_000, transfers: 100, seconds: 15 });
    const second = launch(first.name, args);
    await second.process.shows(READY, 60_000);
    expect(await first.process.ended).toBe(0);
    const third = launch(first.name, args);
    await third.process.shows(READY, 60_000);
    expect(await second.process.ended).toBe(0);
    expect(first.process.stderr).toMatch(
      new RegExp(`another natgate \\(pid ${second.process.pid}\\) takes over`),
    );
    const report = await traffic.report();
    expect(report).toMatchObject({
      lost: 0,
      twice: 0,
      received: report.sent,
      failed: 0,
      wrong: 0,
      resets: 0,
    });
    const { drops } = await third.status();
    expect(Object.values(drops).every((count) => count === 0)).toBe(true);
    expect(recordOf(third).process.pid).toBe(third.process.pid);
    expect(await third.process.stop()).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });

  it('may come with another configuration; mappings and control socket go on', {
    timeout: 120_000,
  }, async () => {
    const [client, server] = await Promise.all([Agent.start(topology.client), Agent.start(topology.server)]);
    await server.tcpEcho(7);
    const first = await start();
    const connection = await client.connect([SERVER, 7]);
    expect(await connection.echo('before')).toBe('before');
    const next = launch(first.name, [...SIDES, '--forward', 'tcp:8080=10.77.0.2:80']);
    await next.process.shows(READY, 60_000);
    expect(await first.process.ended).toBe(0);
    expect(await connection.echo('after')).toBe('after');
    const http = await client.listen(['0.0.0.0', 80]);
    await server.connect(['198.18.0.1', 8080]);
    await http.accept();
    expect(existsSync(join(topology.gateway.stateRoot, next.name, 'control.sock'))).toBe(true);
    expect(await next.process.stop()).toBe(0);
  });

  it('is refused with a reason before anything stops', { timeout: 120_000 }, async () => {
    const nobody = launch('nobody', SIDES);
    expect(await nobody.process.ended).not.toBe(0);
    expect(nobody.process.stderr).toMatch(/no gateway nobody runs here/);
    const first = await start();
    for (const [args, reason] of [
      [[...SIDES, '--workers', first.process.argv.includes('2') ? '1' : '2'], /it has --workers \d/],
      [[...SIDES, '--flows', '2000'], /it has --flows 262144/],
      [['--private', 'g1', '--public', 'g0'], /it serves g0 and g1/],
    ] as const) {
      const other = launch(first.name, args);
      expect(await other.process.ended).toBeGreaterThan(0);
      expect(other.process.stderr).toMatch(reason);
    }
    expect(first.process.running).toBe(true);
    await topology.client.exec(`ping -c 1 -W 2 ${SERVER}`);
    expect(await first.process.stop()).toBe(0);
  });

  it('goes back to the one that ran where the new one dies before it is up', {
    timeout: 120_000,
  }, async () => {
    await topology.gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
    const before = await hostState(topology.gateway);
    const first = await start();
    const next = launch(first.name, SIDES);
    // At whatever it is by then: before the offer, after it, or after the other has stopped.
    const path = join(topology.gateway.stateRoot, first.name, 'journal');
    await until(
      'the journal is the new one’s',
      () => readFileSync(path, 'utf8').includes(`"pid":${next.process.pid}`),
      60_000,
    );
    await next.process.stop('SIGKILL');
    await topology.client.exec(`ping -c 1 -W 5 ${SERVER}`);
    const last = launch(first.name, SIDES);
    await last.process.shows(READY, 60_000);
    expect(await first.process.ended).toBe(0);
    await topology.client.exec(`ping -c 1 -W 2 ${SERVER}`);
    expect(await last.process.stop()).toBe(0);
    expect(await hostState(topology.gateway)).toEqual(before);
  });
});
