/**
 * The privileges of the processes of a gateway, as the kernel tells them, thread by thread; that an engine has everything it needs in its
 * sandbox, to the last word; and that it is ended there by what it may not do. Which system calls those are: test/link/seccomp.test.ts.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHILD_CAPABILITIES, capabilitySet, SUPERVISOR_CAPABILITIES } from '../../src/gateway/privileges.ts';
import { Agent } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { createTopology, SERVER, type Topology } from './support/topology.ts';

const BOXED = fileURLToPath(new URL('support/boxed.mjs', import.meta.url));
const WORKERS = 2;
const SIZE = 20_000_000;

type Status = Record<string, string>;

/** /proc/PID/task/…/status of every thread. */
function threadsOf(pid: number): Status[] {
  return readdirSync(`/proc/${pid}/task`).map((tid) => {
    const lines = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8').split('\n');
    return Object.fromEntries(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
  });
}

const hex = (set: number) => set.toString(16).padStart(16, '0');
const NONE = hex(0);
const OWN = hex(capabilitySet(SUPERVISOR_CAPABILITIES));
const ALL = hex(capabilitySet([...SUPERVISOR_CAPABILITIES, ...CHILD_CAPABILITIES]));

natgateOnly('the privileges of a running gateway', () => {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-sandbox-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'natgate.yaml');
  writeFileSync(file, 'private: g0\npublic: g1\n');
  let topology: Topology;
  let server: Agent;
  let started: Natgate;
  const natgate = () => started;

  beforeAll(async () => {
    topology = await createTopology();
    server = await Agent.start(topology.server);
    started = Natgate.launch(topology.gateway, ['--config', file, '--workers', String(WORKERS)]);
    await started.process.shows(READY, 60_000);
  }, 90_000);
  afterAll(async () => {
    await started?.stop();
    await server?.stop();
    await topology?.destroy();
  }, 60_000);

  it('the engine has none, in any thread', async () => {
    const threads = threadsOf(await natgate().enginePid());
    // Main thread, workers, and what Node has besides.
    expect(threads.length).toBeGreaterThan(1 + WORKERS);
    for (const thread of threads) {
      expect(thread).toMatchObject({ CapInh: NONE, CapPrm: NONE, CapEff: NONE, CapBnd: NONE, CapAmb: NONE });
      expect(thread).toMatchObject({ NoNewPrivs: '1', Seccomp: '2' });
      expect(thread['Uid']!.split('\t')).not.toContain('0');
      expect(thread['Gid']!.split('\t')).not.toContain('0');
      expect(thread['Groups']!.trim()).toBe('');
    }
  });

  it('the engine has the descriptors that it was given, those of its threads, and no other', async () => {
    const pid = await natgate().enginePid();
    const open = new Map(
      readdirSync(`/proc/${pid}/fd`).map((fd) => [Number(fd), readlinkSync(`/proc/${pid}/fd/${fd}`)]),
    );
    const of = (from: number, count: number) => Array.from({ length: count }, (_, i) => open.get(from + i));
    let next = 4;
    for (const what of ['/dev/net/tun', '/dev/net/tun', 'state', 'tap', 'events']) {
      for (const target of of(next, WORKERS)) expect(target).toContain(what);
      next += WORKERS;
    }
    expect(open.get(next)).toBe('anon_inode:bpf-map');
    // Event loops: an epoll, pipes and eventfds that lead nowhere else; and the /dev/null that Node holds.
    const loops = /^(anon_inode:\[(eventpoll|eventfd)\]|pipe:\[\d+\]|\/dev\/null)$/;
    for (const [fd, target] of open)
      if (fd > next) expect([fd, target]).toEqual([fd, expect.stringMatching(loops)]);
    expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max core file size +0 +0 /m);
    expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max processes +0 +0 /m);
  });

  it('the supervisor has those of its list, and keeps some for its child', () => {
    for (const thread of threadsOf(natgate().process.pid!)) {
      expect(thread).toMatchObject({ CapInh: NONE, CapPrm: ALL, CapEff: OWN, CapBnd: ALL, CapAmb: NONE });
    }
  });

  it('the engine lives through traffic, reloads, captures and deletions of flows', {
    timeout: 120_000,
  }, async () => {
    const pid = await natgate().enginePid();
    await server.http(8000);
    const which = ['--name', natgate().name, '--state-root', natgate().ns.stateRoot];
    const capturing = natgate().ns.spawn([
      process.execPath,
      MAIN,
      'capture',
      ...which,
      '-w',
      join(folder, 'all.pcapng'),
    ]);
    await capturing.shows(/capturing/, 60_000);
    const download = () =>
      topology.client.exec([
        ...['curl', '-sS', '--max-time', '60', '-o', '/dev/null', '-w', '%{size_download}'],
        `http://${SERVER}:8000/${SIZE}`,
      ]);
    const downloads = Promise.all([download(), download()]);
    writeFileSync(file, 'private: g0\npublic: g1\nforwards: ["tcp:8080=10.77.0.2:80"]\n');
    await natgate().cli('reload');
    for (const { stdout } of await downloads) expect(stdout).toBe(String(SIZE));
    await natgate().cli('flows', ['delete', '--protocol', 'tcp'], { check: false });
    expect(await capturing.stop('SIGINT')).toBe(0);
    expect(await natgate().enginePid()).toBe(pid);
    expect(natgate().process.stderr).not.toMatch(/warning: the packet engine|sandbox|died/);
  });
});

describe('a process in the sandbox', () => {
  function boxed(action: string): Promise<{ end: number | string; output: string }> {
    const child = spawn(process.execPath, ['--max-old-space-size=48', BOXED, action], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: {},
    });
    let output = '';
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (bytes: Buffer) => {
        output += bytes.toString();
      });
    }
    return new Promise((resolve) => {
      child.on('close', (code, signal) => resolve({ end: signal ?? code!, output }));
    });
  }

  it.each([
    ['nothing', 0, ''],
    ['compute', 0, ''],
    ['workerExit', 0, ''],
    ['workerTerminate', 0, ''],
    ['throws', 1, 'Error: of the main thread'],
    ['rejects', 1, 'Error: of a promise'],
    ['overflow', 1, 'Maximum call stack size exceeded'],
    ['workerThrows', 3, 'worker: Error: of a worker'],
    ['abort', 'SIGABRT', 'JavaScript stack trace'],
    ['memory', 'SIGABRT', 'JavaScript heap out of memory'],
  ])('%s: ends with %s and says why', { timeout: 60_000 }, async (action, end, says) => {
    const done = await boxed(action);
    expect(done.output).not.toContain('sandbox');
    expect(done.output).toContain('in\n');
    expect(done.output).toContain(says);
    expect(done.end).toBe(end);
  });

  it.each(['open', 'spawn', 'eventfd'])(
    '%s ends it, and the number of the call is said',
    { timeout: 60_000 },
    async (action) => {
      const done = await boxed(action);
      expect(done.end).toBe('SIGSYS');
      expect(done.output).toMatch(
        /^in\nnatgate: the packet engine made system call \d+, which its sandbox forbids\n$/,
      );
    },
  );

  it('a thread ends it', async () => {
    expect(await boxed('thread')).toMatchObject({ end: 'SIGSYS' });
  });

  it('Landlock alone keeps every thread from files', async () => {
    expect(await boxed('landlock')).toEqual({ end: 0, output: 'EACCES EACCES\n' });
  });
});
