/** kill -9 of the packet engine, again and again, under transfers whose bytes are hashed: nobody notices but by a moment's silence. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Standby } from '../../src/gateway/engines/standby.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { sleep, until } from './support/process.ts';
import { RecoveryTraffic } from './support/recovery.ts';
import { createTopology, ip, SERVER, type Topology } from './support/topology.ts';

const KILLS = 5;
const SEED = Number(process.env['NATGATE_SEED'] ?? Date.now() % 1_000_000);

natgateOnly('the engine is killed', () => {
  let topology: Topology;
  let gateway: Natgate | undefined;

  beforeEach(async () => {
    topology = await createTopology();
  });
  afterEach(async () => {
    await gateway?.cleanUp();
    await topology.destroy();
  });

  const start = async (...args: string[]) => {
    const launched = Natgate.launch(topology.gateway, ['--private', 'g0', '--public', 'g1', ...args]);
    await launched.process.shows(READY, 60_000);
    return launched;
  };

  it('and 1000 transfers arrive whole, without one RST', { timeout: 180_000 }, async () => {
    console.log(`seed ${SEED}`);
    gateway = await start();
    const traffic = await RecoveryTraffic.start(topology, { rate: 1000, transfers: 1000, seconds: 40 });
    let random = SEED;
    for (let kill = 0; kill < KILLS; kill++) {
      random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
      // Before a standby is there, while one loads, and when one is.
      await sleep(100 + (random % 3500));
      if (kill === 2) {
        // An engine that lived so long was well: else the fifth death in a row would empty the state.
        await sleep(10_500);
        await until('one stands by', () => gateway!.standbyPid().catch(() => 0), 30_000);
      }
      const engine = await gateway.enginePid();
      process.kill(engine, 'SIGKILL');
      await until(
        'another engine runs',
        async () => (await gateway!.enginePid().catch(() => engine)) !== engine,
        30_000,
      );
    }
    const report = await traffic.report();
    expect(report).toMatchObject({ failed: 0, wrong: 0, resets: 0, twice: 0 });
    // Those that an engine had read when it was killed are gone: a batch each, at most.
    expect(report.lost).toBeLessThanOrEqual(KILLS * 2 * 64);
    expect(report.ended).toBeGreaterThanOrEqual(1000);
    expect(gateway.process.stderr).not.toMatch(/forgotten/);
    expect(gateway.process.stderr).toMatch(
      /the packet engine died \(killed by SIGKILL\); another takes over at once/,
    );
    expect(await gateway.process.stop()).toBe(0);
  });

  it('and one stands by, loaded, without privileges, reading no queue; without --no-standby only', {
    timeout: 90_000,
  }, async () => {
    gateway = await start();
    const standby = await until('one stands by', () => gateway!.standbyPid().catch(() => 0), 30_000);
    await until(
      'it has no privileges',
      () => /^Uid:\t(?!0\t)/m.test(readFileSync(`/proc/${standby}/status`, 'utf8')),
      30_000,
    );
    await topology.client.exec(`ping -c 3 -i 0.2 -W 2 ${SERVER}`);
    process.kill(await gateway.enginePid(), 'SIGKILL');
    await until('it goes', async () => (await gateway!.enginePid().catch(() => 0)) === standby, 30_000);
    await topology.client.exec(`ping -c 1 -W 5 ${SERVER}`);
    // A standby that is killed is replaced, and nothing else happens.
    const next = await until('another stands by', () => gateway!.standbyPid().catch(() => 0), 30_000);
    const shown = await until('it is loaded', async () => {
      const { standby } = (await gateway!.status()) as unknown as { standby: Standby };
      return standby.state === 'ready' ? standby : null;
    });
    expect((await gateway.cli('status', ['--no-rates'])).stdout).toContain(
      `standby: ready since ${shown.since}`,
    );
    process.kill(next, 'SIGKILL');
    await until(
      'that is said',
      async () => ((await gateway!.status()) as unknown as { standby: Standby }).standby.state === 'failed',
    );
    await until(
      'a third stands by',
      async () => ![0, next].includes(await gateway!.standbyPid().catch(() => 0)),
      30_000,
    );
    expect(await gateway.enginePid()).toBe(standby);
    expect(await gateway.process.stop()).toBe(0);

    gateway = await start('--no-standby');
    expect((await gateway.status())['standby']).toEqual({ state: 'off', since: null, again: null });
    const alone = await gateway.enginePid();
    process.kill(alone, 'SIGKILL');
    await until(
      'another engine runs',
      async () => (await gateway!.enginePid().catch(() => alone)) !== alone,
      30_000,
    );
    await topology.client.exec(`ping -c 1 -W 5 ${SERVER}`);
    expect(await gateway.process.stop()).toBe(0);
  });

  it('and the queues are longer until another one has read them', { timeout: 90_000 }, async () => {
    gateway = await start('--no-standby', '--txqueuelen', '500');
    const length = async () =>
      /qlen (\d+)/.exec((await ip(topology.gateway, 'link show natgate-g0')).stdout)?.[1];
    expect(await length()).toBe('500');
    const engine = await gateway.enginePid();
    process.kill(engine, 'SIGKILL');
    await until('the queue is longer', async () => (await length()) === '16384');
    await until('the queue is as it was', async () => (await length()) === '500', 30_000);
    expect(await gateway.process.stop()).toBe(0);
  });
});
