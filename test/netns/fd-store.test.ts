/** The supervisor is killed under a service manager that keeps its queues: what comes meanwhile waits. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { natgateOnly } from './support/gateway.ts';
import { RecoveryTraffic } from './support/recovery.ts';
import { hostState } from './support/snapshot.ts';
import { createTopology, SERVER, type Topology } from './support/topology.ts';

const MANAGER = fileURLToPath(new URL('./support/fd-store.py', import.meta.url));

natgateOnly('queues in the keeping of the service manager', () => {
  let topology: Topology;
  let folder: string;

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-store-'));
  });
  afterEach(async () => {
    await topology.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(['1', '2'])(
    'lose nothing when the supervisor is killed (workers: %s)',
    { timeout: 120_000 },
    async (workers) => {
      const { gateway } = topology;
      await gateway.exec(`ping -c 1 -W 2 ${SERVER}`);
      const before = await hostState(gateway);
      const which = ['--name', 'kept', '--state-root', gateway.stateRoot, '--workers', workers];
      const run = [process.execPath, MAIN, 'run', '--private', 'g0', '--public', 'g1', ...which];
      // As many as come while a busy machine starts a process.
      run.push('--txqueuelen', '50000');
      const manager = gateway.spawn(['python3', MANAGER, join(folder, 'notify'), ...run]);
      await manager.shows(/READY=1/, 60_000);
      const kept = [0, 1]
        .slice(0, Number(workers))
        .flatMap((worker) => ['natgate-g0', 'natgate-g1'].map((device) => `natgate.${worker}.${device}`));
      for (const name of kept) await manager.shows(new RegExp(`FDSTORE=1\\\\nFDNAME=${name}' 1`));
      const traffic = await RecoveryTraffic.start(topology, { rate: 1000, transfers: 100, seconds: 15 });
      manager.child.stdin!.write('kill\n');
      await manager.shows(/READY=1(?:.|\n)*READY=1/, 60_000);
      const report = await traffic.report();
      expect(report).toMatchObject({ twice: 0, failed: 0, wrong: 0, resets: 0 });
      // What the engine had read when it died with the supervisor; all that came later waited.
      expect(report.lost).toBeLessThanOrEqual(2 * 64);
      manager.child.stdin!.write('stop\n');
      expect(await manager.ended).toBe(0);
      expect(manager.stdout).toMatch(/store \[\]/);
      expect(await hostState(gateway)).toEqual(before);
    },
  );
});
