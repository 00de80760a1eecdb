/**
 * The filter of the packet engine on real calls: a small C program puts itself under it and makes them, each in a process of its own. What
 * is forbidden ends the process by SIGSYS and has no effect; what is allowed returns.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addon } from '../../src/link/addon.ts';

const { SIGSYS } = constants.signals;
const { EBADF, EFAULT } = constants.errno;
/** uretprobe and uprobe of x86_64, for the kernel's own tracing: it shows them to no filter, and refuses them from anywhere else. */
const PAST_FILTERS = process.arch === 'x64' ? [335, 336] : [];
/** Beyond the last that any kernel has. */
const LAST_CALL = 520;

const FORBIDDEN = [
  'openat read',
  'openat write',
  'unlinkat',
  'fchmodat',
  'fchownat',
  'fchmod',
  'socket',
  'socket netlink',
  'socketpair',
  'connect',
  'sendto',
  'bind',
  'execve',
  'execveat',
  'clone process',
  'clone thread',
  'ptrace',
  'process_vm_readv',
  'mount',
  'bpf',
  'kill init',
  'kill itself',
  'tgkill another',
  'unshare',
  'setns',
  'setuid',
  'setresuid',
  'capset',
  'chroot',
  'io_uring_setup',
  'pidfd_open',
  'memfd_create',
  'dup',
  'prlimit64',
  'seccomp',
  'mmap of a file',
  'ioctl TUNSETIFF',
  'ioctl TIOCSTI',
  'fcntl F_DUPFD',
  'fcntl F_SETOWN',
  'prctl PR_SET_DUMPABLE',
  'prctl PR_SET_PDEATHSIG',
  'rt_sigaction SIGSYS',
];
const FORBIDDEN_OF_X86 = ['open', 'chmod', 'fork', 'vfork', 'getpid of x32', 'getpid of i386'];
const ALLOWED: Record<string, (result: number) => boolean> = {
  'mmap without a file': (result) => result > 0,
  'ioctl FIONBIO': (result) => result === -EBADF,
  'fcntl F_GETFL': (result) => result === -EBADF,
  'prctl PR_SET_NAME': (result) => result === 0,
  'rt_sigaction SIGSYS query': (result) => result === 0,
  'rt_sigaction SIGUSR1': (result) => result === 0,
  // Refused, not forbidden: as on a descriptor that is closed.
  newfstatat: (result) => result === -EBADF,
  fstat: (result) => result === -EBADF,
  readv: (result) => result === -EBADF,
  'write nowhere': (result) => result === -EBADF,
  'futex wake': (result) => result === 0,
  getrandom: (result) => result === 8,
  'munmap nothing': (result) => result < 0 && result !== -EFAULT,
};

describe('the seccomp filter', () => {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-seccomp-'));
  const program = join(folder, 'seccomp-child');
  const file = join(folder, 'file');
  beforeAll(() => {
    const source = fileURLToPath(new URL('seccomp-child.c', import.meta.url));
    execFileSync('gcc', ['-Wall', '-Wextra', '-o', program, source]);
    writeFileSync(file, 'as it was', { mode: 0o640 });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** How each call ended: a signal, or what it returned. */
  function attempt(...args: (string | number)[]): Map<string, string> {
    const output = execFileSync(program, [file, ...args.map(String)], {
      input: addon().seccompFilter(process.pid),
      encoding: 'utf8',
    });
    const lines = output.trim().split('\n');
    return new Map(
      lines.map((line) => {
        const [, name, how] = /^(.*) (\w+ -?\d+)$/.exec(line)!;
        return [name!, how!];
      }),
    );
  }

  test('what is forbidden ends the process, and what it would have changed is as it was', () => {
    const before = statSync(file);
    const ends = attempt();
    const forbidden = process.arch === 'x64' ? [...FORBIDDEN, ...FORBIDDEN_OF_X86] : FORBIDDEN;
    expect(Object.fromEntries(forbidden.map((name) => [name, ends.get(name)]))).toEqual(
      Object.fromEntries(forbidden.map((name) => [name, `signal ${SIGSYS}`])),
    );
    for (const [name, isRight] of Object.entries(ALLOWED)) {
      const [how, result] = ends.get(name)!.split(' ');
      expect([name, how, isRight(Number(result))]).toEqual([name, 'returned', true]);
    }
    expect(new Set(ends.keys())).toEqual(new Set([...forbidden, ...Object.keys(ALLOWED)]));
    expect(readFileSync(file, 'utf8')).toBe('as it was');
    expect(statSync(file)).toMatchObject({ mode: before.mode, uid: before.uid, gid: before.gid });
  });

  test('every call that is not in the table is forbidden', () => {
    const calls = addon().seccompCalls();
    const known = new Map(calls.map(({ name, number }) => [number, name]));
    for (const name of ['tgkill', 'rt_sigaction', 'newfstatat']) {
      // Not in the table, since they depend on more than it says.
      known.set(numberOf(name), name);
    }
    const ends = attempt(0, LAST_CALL);
    expect(ends.size).toBe(LAST_CALL + 1);
    const alive = [...ends].filter(([, how]) => how !== `signal ${SIGSYS}`).map(([number]) => Number(number));
    expect(alive.filter((number) => !known.has(number) && !PAST_FILTERS.includes(number))).toEqual([]);
    // With arguments of 0 these are not what is allowed.
    const conditional = new Set(['mmap', 'ioctl', 'fcntl', 'prctl', 'tgkill']);
    // What comes back from no signal goes on wherever the stack says, to a forbidden call perhaps.
    known.delete(numberOf('rt_sigreturn'));
    const dead = [...known].filter(([number]) => !alive.includes(number)).map(([, name]) => name);
    expect(new Set(dead)).toEqual(conditional);
  });

  test('each call of the table has a reason', () => {
    const calls = addon().seccompCalls();
    expect(calls.length).toBeGreaterThan(40);
    for (const { name, why } of calls) expect([name, why.length > 5]).toEqual([name, true]);
  });
});

/** By the C library's headers. */
function numberOf(name: string): number {
  const output = execFileSync('gcc', ['-E', '-P', '-include', 'sys/syscall.h', '-'], {
    input: `SYS_${name}`,
    encoding: 'utf8',
  });
  return Number(output.trim().split('\n').at(-1));
}
