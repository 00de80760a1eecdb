/** A full disk, a state directory that somebody removes, processes that are stopped for seconds, a default route that goes: under flows. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readRunRecord } from '../../src/gateway/run/run-record.ts';
import { journalled, makePrivate, repaired, useFaultBed } from './support/fault-bed.ts';
import { natgateOnly } from './support/gateway.ts';
import { sleep, until } from './support/process.ts';
import { ip } from './support/topology.ts';

natgateOnly('under a gateway that runs', () => {
  const bed = useFaultBed();

  it('the disk of the state directory is full: it goes on, says so, and writes what it could not when there is room', async () => {
    const root = bed.topology.gateway.stateRoot;
    mkdirSync(root, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', root]);
    const gateway = await bed.start('limits: {flows: 4096}\n');
    const directory = join(root, gateway.name);
    const talk = await bed.talk();
    const fill = join(root, '.fill');
    await bed.topology.gateway.shell(
      `dd if=/dev/zero of=${fill} bs=64k 2>/dev/null; dd if=/dev/zero of=${fill}2 bs=1 count=1 2>/dev/null; true`,
    );
    await ip(bed.topology.gateway, 'link del g0');
    await gateway.process.shows(/cannot be written \(.*(ENOSPC|no space).*\): the gateway goes on/im);
    await makePrivate(bed.topology);
    await gateway.process.shows(/g0 is back$/m);
    await talk.goesOn();
    expect(readdirSync(directory).filter((name) => name.endsWith('.new'))).toEqual([]);
    rmSync(fill);
    await repaired(gateway, 'file');
    await until('the record is up to date', () => readRunRecord(directory)?.waiting?.length === 0);
    expect(journalled(gateway)).toHaveLength(2);
    expect(gateway.process.stderr.match(/cannot be written/g)).toHaveLength(1);
  });

  it('the disk is full at the start: an error that says so', async () => {
    const root = bed.topology.gateway.stateRoot;
    mkdirSync(root, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', root]);
    await bed.topology.gateway.shell(`dd if=/dev/zero of=${root}/.fill bs=4k 2>/dev/null; true`);
    await expect(bed.start()).rejects.toThrow(/cannot be written: .*no space[\s\S]*make room/i);
  });

  it('the state directory is removed: all is written again, status and the control socket answer, and stopping undoes all', async () => {
    const gateway = await bed.start(`control: {socket: ${bed.topology.gateway.stateRoot}/control.sock}\n`);
    const talk = await bed.talk();
    rmSync(bed.topology.gateway.stateRoot, { recursive: true });
    await repaired(gateway, 'file');
    await talk.goesOn();
    expect((await gateway.cli('status')).stdout).toMatch(/4 ESTABLISHED/);
    await until(
      'the socket is there',
      () => existsSync(join(bed.topology.gateway.stateRoot, 'control.sock')),
      15_000,
    );
    expect((await gateway.cli('flows', ['count'])).stdout.trim()).not.toBe('');
    process.kill(await gateway.enginePid(), 'SIGKILL');
    await gateway.process.shows(/the packet engine forwards again$/m);
    await talk.goesOn();
    expect(await gateway.process.stop()).toBe(0);
    const { stdout } = await bed.topology.gateway.shell(
      'ip -br link; tc qdisc; sysctl net.ipv4.ip_local_port_range',
    );
    expect(stdout).not.toMatch(/natgate|clsact|16384/);
  });

  it('engine and supervisor are stopped for seconds: no flow ends', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    for (const pid of [await gateway.enginePid(), gateway.process.pid!]) {
      process.kill(pid, 'SIGSTOP');
      await sleep(5000);
      process.kill(pid, 'SIGCONT');
      await talk.goesOn();
    }
    const { counters } = (await gateway.status()) as unknown as { counters: Record<string, number> };
    expect(counters['flows_ended'] ?? 0).toBe(0);
  });

  it('the default route goes and comes back, by another gateway: flows go on', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    await ip(bed.topology.gateway, 'route del default');
    await ip(bed.topology.gateway, 'route add default via 198.18.0.2');
    await talk.goesOn();
    await ip(bed.topology.gateway, 'route replace default via 198.18.0.3');
    await talk.goesOn();
    expect(gateway.process.running).toBe(true);
  });
});
