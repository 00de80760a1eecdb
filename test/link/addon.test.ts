import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { isSystemError } from '../../src/core/errors.ts';
import { addon } from '../../src/link/addon.ts';
import type * as scenarios from './addon.scenarios.ts';
import { namespaceRunner } from './namespace.ts';
import { sliceHere } from './scheduling.ts';

const inNamespace = namespaceRunner<typeof scenarios>(new URL('./addon.scenarios.ts', import.meta.url));
const RTM_NEWLINK = 16;

function failure(call: () => unknown): unknown {
  try {
    return { returned: call() };
  } catch (error) {
    return error;
  }
}

describe('errors', () => {
  test('a failed system call says code, call, errno and what was being done', () => {
    const error = failure(() => addon().eventfdWake(100_000));
    expect(isSystemError(error, 'EBADF')).toBe(true);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      code: 'EBADF',
      errno: -9,
      syscall: 'write',
      message: 'cannot wake eventfd 100000: write: Bad file descriptor (EBADF)',
    });
  });

  test('no arguments of any kind crash it', async () => {
    const { calls, returned, wrong } = await inNamespace('wrongArguments');
    expect(wrong).toEqual([]);
    expect(returned).toBeLessThan(calls / 10);
  });

  test('an empty or detached array is refused like a wrong one', () => {
    const detached = new Uint8Array(16);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    for (const bytes of [new Uint8Array(0), detached]) {
      expect(() => addon().netlinkRequest(0, bytes)).toThrow('netlinkRequest: message must not be empty');
      expect(() => addon().bpfProgLoad(3, bytes, 'x')).toThrow('bpfProgLoad: insns must not be empty');
    }
  });
});

describe('mapped files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('fallocate makes the pages, and what is written to the mapping is in the file', () => {
    const path = join(folder, 'state');
    const fd = openSync(path, 'w+');
    addon().fallocate(fd, 1 << 20);
    expect(statSync(path)).toMatchObject({ size: 1 << 20 });
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(1 << 20);
    const buffer = addon().mmap(fd, 1 << 20, true);
    closeSync(fd);
    expect(buffer).toBeInstanceOf(ArrayBuffer);
    expect(buffer.byteLength).toBe(1 << 20);
    new Uint8Array(buffer).set([1, 2, 3], 4096);
    expect([...readFileSync(path).subarray(4095, 4100)]).toEqual([0, 1, 2, 3, 0]);
    const readOnly = openSync(path, 'r');
    expect(new Uint8Array(addon().mmap(readOnly, 1 << 20, false))[4098]).toBe(3);
    expect(failure(() => addon().mmap(readOnly, 1 << 20, true))).toMatchObject({
      code: 'EACCES',
      syscall: 'mmap',
    });
    closeSync(readOnly);
  });

  test('a mapping that would reach past the end of the file is refused: touching it would be SIGBUS', () => {
    const fd = openSync(join(folder, 'short'), 'w+');
    ftruncateSync(fd, 5000);
    expect(() => addon().mmap(fd, 5001, true)).toThrow(
      'mmap: the file has 5000 bytes, fewer than the 5001 to map',
    );
    expect(addon().mmap(fd, 5000, true).byteLength).toBe(5000);
    closeSync(fd);
  });

  test('an allocation that does not fit says so', () => {
    const fd = openSync('/dev/null', 'r+');
    expect(failure(() => addon().fallocate(fd, 4096))).toMatchObject({ syscall: 'fallocate' });
    closeSync(fd);
  });
});

describe('netlink', () => {
  test('a dump in several datagrams is put together', async () => {
    const { bytes, types, sequences, names, expected } = await inNamespace('dumpOfLinks');
    expect(bytes).toBeGreaterThan(65536);
    expect(types).toEqual([RTM_NEWLINK]);
    expect(sequences).toEqual([5]);
    expect(names).toEqual(expected);
  });

  test('single answers, acknowledged answers, and refusals with the words of the kernel', async () => {
    const lo = { type: RTM_NEWLINK, name: 'lo' };
    const { single, acknowledged, missing, explained, afterwards } =
      await inNamespace('singleAnswersAndRefusals');
    expect(single).toEqual([{ ...lo, sequence: 1 }]);
    expect(acknowledged).toEqual([{ ...lo, sequence: 2 }]);
    expect(missing).toMatchObject({ code: 'ENODEV', syscall: 'netlink' });
    expect(explained).toMatchObject({
      code: 'EINVAL',
      syscall: 'netlink',
      message:
        'cannot get netlink request of type 24 done (Invalid prefix for given prefix length): netlink: Invalid argument (EINVAL)',
    });
    expect(afterwards).toEqual([{ ...lo, sequence: 6 }]);
  });

  test('one question at a time; answers to other questions are passed over', async () => {
    const { notOne, answers } = await inNamespace('strayAnswers');
    expect(notOne!.message).toBe(
      'netlinkRequest: message must be one netlink message, header and length included',
    );
    expect(answers).toEqual([{ type: RTM_NEWLINK, sequence: 13, name: 'lo' }]);
  });

  test('events arrive through a watch', async () => {
    expect(await inNamespace('events')).toEqual({ nothing: null, created: true });
  });

  test('lost events are thrown, and the watch goes on', async () => {
    expect(await inNamespace('lostEvents')).toEqual({ lost: 1, some: true, mark: true });
  });
});

test('what the callback of a watch throws is an uncaught exception', async () => {
  expect(await inNamespace('throwingCallback')).toEqual({ calls: 2, caught: ['thrown 1', 'thrown 2'] });
});

test('threads that hold memory and watches end in every way without a crash', async () => {
  expect(await inNamespace('workers')).toEqual({
    return: 0,
    exit: 7,
    throw: 1,
    terminate: 1,
    'terminate while waiting': 1,
  });
});

describe('system calls that Node lacks', () => {
  test('offload flags of an interface', async () => {
    const { unchanged, unknown, unknownSet } = await inNamespace('ethtool');
    expect(unchanged).toBe(true);
    expect(unknown).toMatchObject({ code: 'ENODEV', syscall: 'ioctl(ETHTOOL_GFLAGS)' });
    expect(unknownSet).toMatchObject({ code: 'ENODEV', syscall: 'ioctl(ETHTOOL_SFLAGS)' });
  });

  test('datagrams to unix sockets, by path and abstract', async () => {
    const { received, nobody, abstract } = await inNamespace('unixDatagrams');
    expect(received).toEqual(['READY=1\nSTATUS=ü', 'READY=1\nSTATUS=ü']);
    expect(nobody).toMatchObject({ code: 'ENOENT', syscall: 'sendmsg' });
    expect(nobody!.message).toContain('/nonexistent/socket');
    expect(abstract).toMatchObject({ code: 'ECONNREFUSED' });
    expect(abstract!.message).toContain('@natgate-nobody');
  });

  test('a frame through an interface', async () => {
    const { bytes, packets, tooLong, unknown, down } = await inNamespace('frames');
    expect({ bytes, packets }).toEqual({ bytes: 777, packets: 1 });
    expect(tooLong).toMatchObject({ code: 'EMSGSIZE', syscall: 'sendto' });
    expect(unknown).toMatchObject({ code: 'ENXIO', syscall: 'sendto' });
    expect(unknown!.message).toContain('interface 424242');
    expect(down).toMatchObject({ code: 'ENETDOWN', syscall: 'sendto' });
  });

  test('no new privileges', async () => {
    expect(await inNamespace('noNewPrivileges')).toEqual({ before: '0', after: '1' });
  });

  test('a time slice, which later threads inherit', async () => {
    const { before, after, started, tooShort } = await inNamespace('timeSlice');
    expect(after).toEqual({ ...before, slice: sliceHere(100_000) });
    expect(started).toEqual(after);
    expect(tooShort!.message).toContain('ns');
  });

  test('the signal of a dying parent', async () => {
    expect(await inNamespace('parentDeath')).toMatchObject({ before: true, after: false });
  });
});
