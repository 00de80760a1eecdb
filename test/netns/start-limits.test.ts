/** A host that has no more descriptors, processes or writable disk for a gateway: said in one clear line with a remedy; nothing is left behind. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MAIN } from './support/contender.ts';
import { useFaultBed } from './support/fault-bed.ts';
import { natgateOnly } from './support/gateway.ts';
import { run, until } from './support/process.ts';
import { hostState } from './support/snapshot.ts';

/** Version 1 of control groups, then version 2. */
const PIDS = ['/sys/fs/cgroup/pids', '/sys/fs/cgroup'].find((path) => existsSync(join(path, 'cgroup.procs')));

natgateOnly('a host that is short of', () => {
  const bed = useFaultBed();

  /** Runs it with `wrapper` in the namespace, `outer` before it; what it says, when the host is as before. */
  const refused = async (wrapper: readonly string[], outer: readonly string[] = []) => {
    const { gateway } = bed.topology;
    mkdirSync(gateway.stateRoot, { recursive: true });
    await gateway.exec('iptables -w -L -n');
    const before = await hostState(gateway);
    const argv = [process.execPath, MAIN, 'run', '--name', 'short', '--private', 'g0', '--public', 'g1'];
    argv.push('--state-root', gateway.stateRoot);
    const { code, stderr } = await run([...outer, ...gateway.argv([...wrapper, ...argv])], { check: false });
    expect(await hostState(gateway)).toEqual(before);
    expect(gateway.pids().filter((pid) => commandOf(pid).includes(MAIN))).toEqual([]);
    const lines = stderr.trimEnd().split('\n');
    return { code, says: lines.at(-2), remedy: lines.at(-1), lines: lines.length };
  };

  it('writable state directories: a read-only one', async () => {
    const root = bed.topology.gateway.stateRoot;
    const readOnly = ['sh', '-c', `mount -t tmpfs -o ro none ${root} && exec "$@"`, 'sh'];
    const { code, says, remedy, lines } = await refused(readOnly);
    expect([code, lines]).toEqual([1, 2]);
    expect(says).toMatch(/^natgate: the state directory .* cannot be written: EROFS/);
    expect(remedy).toMatch(/^ {2}its file system is read-only: `findmnt -T /);
  });

  it.each([40, 80])('descriptors: %i of them', async (descriptors) => {
    const { code, says, remedy, lines } = await refused([
      'sh',
      '-c',
      `ulimit -n ${descriptors}; exec "$@"`,
      'sh',
    ]);
    expect([code, lines]).toEqual([1, 2]);
    expect(says).toMatch(/^natgate: .*EMFILE/);
    expect(remedy).toMatch(/^ {2}raise the limit of open files .*`ulimit -n`/);
  });

  it('processes: none for the engine', async (test) => {
    const group = join(PIDS ?? '', `natgate-test-${process.pid}`);
    try {
      mkdirSync(group);
      // Node has eleven threads.
      writeFileSync(join(group, 'pids.max'), '11');
    } catch (error) {
      test.skip(`no control group of processes can be made here: ${(error as Error).message}`);
    }
    try {
      const { code, says, remedy } = await refused(
        [],
        ['sh', '-c', `echo $$ > ${group}/cgroup.procs && exec "$@"`, 'sh'],
      );
      expect(code).toBe(1);
      expect(says).toMatch(/^natgate: the packet engine did not start: (spawn .* EAGAIN|killed by SIGABRT)$/);
      expect(remedy).toMatch(/^ {2}it may be that no more processes or threads can be made: raise pids\.max/);
    } finally {
      await until('the group is empty', () => readFileSync(join(group, 'cgroup.procs'), 'utf8') === '');
      rmdirSync(group);
    }
  });

  it('descriptors while a gateway runs, when its engines die: one comes back as soon as there are some', async () => {
    const gateway = await bed.start();
    const talk = await bed.talk();
    const { pid } = gateway.process;
    const limit = async (files: string) =>
      void (await run(['prlimit', '--pid', `${pid}`, `--nofile=${files}`]));
    await limit(`${readdirSync(`/proc/${pid}/fd`).length}:`);
    const engine = await gateway.enginePid();
    const standby = await gateway.standbyPid().catch(() => 0);
    for (const each of [standby, engine]) if (each > 0) process.kill(each, 'SIGKILL');
    await gateway.process.shows(/the packet engine died \(.*EMFILE/, 30_000);
    await limit('1024:');
    await gateway.process.shows(/the packet engine forwards again$/m, 30_000);
    await talk.goesOn();
    await (await bed.talk()).goesOn();
  });
});

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}
