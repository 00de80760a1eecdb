import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { formatState, type Origin, stateBytes } from '../../../src/engine/state.ts';
import { bootNumber } from '../../../src/gateway/run/boot.ts';
import {
  emptyStateFile,
  openStateFiles,
  removeStateFiles,
  statePath,
} from '../../../src/gateway/run/state-file.ts';
import { addon } from '../../../src/link/addon.ts';

const BYTES = stateBytes(1024);
let folder: string;
let path: string;
let fds: number[];

beforeEach(() => {
  folder = mkdtempSync('/dev/shm/natgate-test-');
  path = join(folder, 'state');
  fds = [];
});
afterEach(() => {
  for (const fd of fds) closeSync(fd);
  rmSync(folder, { recursive: true });
});

function open(adopt: boolean, bytes = BYTES): number {
  const { fd } = openStateFiles(path, bytes, 1, adopt).files[0]!;
  fds.push(fd);
  return fd;
}

function origin(): Origin {
  return { boot: bootNumber(), created: 1_700_000_000 };
}

/** A state that an engine has formatted, and that is known again by its seed. */
function makeState(seed = 77): void {
  const fd = open(false);
  formatState(addon().mmap(fd, BYTES, true), 1024, [seed, 1], undefined, origin());
}

/** Word 3 of the header: the seed; 0 in a new file. */
function seedOf(fd: number): number {
  const word = Buffer.alloc(4);
  readSync(fd, word, 0, 4, 12);
  return word.readInt32LE(0);
}

test('a new file is empty, preallocated and private', () => {
  const fd = open(true);
  const { mode, size, blocks } = statSync(path);
  expect(mode & 0o777).toBe(0o600);
  expect(size).toBe(BYTES);
  expect(blocks * 512).toBeGreaterThanOrEqual(BYTES);
  expect(seedOf(fd)).toBe(0);
});

test('the state of an earlier run is adopted when asked for, else replaced', () => {
  makeState();
  expect(seedOf(open(true))).toBe(77);
  expect(seedOf(open(false))).toBe(0);
});

describe('is not adopted but replaced:', () => {
  test.each([
    ['a state of another size', () => open(true, stateBytes(2048)), stateBytes(2048)],
    ['one that others may read', () => chmodSync(path, 0o644), BYTES],
    ['one with a second name', () => linkSync(path, join(folder, 'other')), BYTES],
    ['one of another version', () => writeAt(4, 999), BYTES],
    ['one that was never formatted', () => writeAt(0, 0), BYTES],
  ])('%s', (_, spoil, bytes) => {
    makeState();
    spoil();
    const fd = open(true, bytes);
    expect(seedOf(fd)).toBe(0);
    expect(statSync(path)).toMatchObject({ size: bytes, nlink: 1 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('a symbolic link, whose target stays as it is', () => {
    const target = join(folder, 'target');
    writeFileSync(target, 'precious');
    symlinkSync(target, path);
    open(true);
    expect(lstatSync(path).isFile()).toBe(true);
    expect(statSync(target).size).toBe('precious'.length);
  });
});

test.each([
  ['was never begun', () => writeAt(0, 0), /is empty: no engine/],
  ['is another program’s', () => writeAt(0, 77), /not one of natgate's/],
  ['is of another version', () => writeAt(4, 4), /of version 4, this natgate reads version 7/],
  ['has a flipped bit in its header', () => writeAt(12, 79), /damaged: the checksum of its header/],
  ['is shorter than it says', () => truncateSync(path, BYTES - 4096), /truncated: \d+ bytes for 1024 flows/],
  ['has its beginning only', () => truncateSync(path, 100), /truncated: 100 bytes/],
  ['is an empty file', () => truncateSync(path, 0), /truncated: it is an empty file/],
  ['is longer than it says', () => truncateSync(path, BYTES + 4096), /has \d+ bytes, not \d+/],
  ['may be read by others', () => chmodSync(path, 0o644), /not a plain file of our own/],
])('one that %s is refused, and that is said', (_, spoil, said) => {
  makeState();
  spoil();
  const { files, isNew, refused } = openStateFiles(path, BYTES, 1, true);
  fds.push(files[0]!.fd);
  expect(isNew).toBe(true);
  expect(refused).toMatch(said);
});

test('one of another boot, or from another machine, is refused', () => {
  const fd = open(false);
  formatState(addon().mmap(fd, BYTES, true), 1024, [77, 1], undefined, {
    boot: bootNumber() ^ 1,
    created: 9,
  });
  const { files, isNew, refused } = openStateFiles(path, BYTES, 1, true);
  fds.push(files[0]!.fd);
  expect(isNew).toBe(true);
  expect(refused).toBe(
    'the state is of another machine or of an earlier boot: it was begun at 1970-01-01T00:00:09.000Z',
  );
});

test('emptied in place it is zero and preallocated again', () => {
  makeState();
  const fd = open(true);
  emptyStateFile(fd, BYTES);
  expect(seedOf(fd)).toBe(0);
  expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(BYTES);
});

test('a table for which there is no memory is refused, and no file is left', () => {
  expect(() => openStateFiles(path, 2 ** 46, 1, false)).toThrow(/no room for a flow table/);
  expect(existsSync(path)).toBe(false);
});

test('the path: in the folder where that is a tmpfs, else in /dev/shm and one per folder', () => {
  expect(statePath(folder, 'x')).toBe(path);
  const [a, b] = [statePath('/proc', 'x'), statePath('/sys', 'x')];
  expect(a).toMatch(/^\/dev\/shm\/natgate-x-[0-9a-f]{8}\.state$/);
  expect(a).not.toBe(b);
  expect(statePath('/proc', 'x')).toBe(a);
});

function writeAt(offset: number, word: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(word);
  writeSync(fds[0] as number, bytes, 0, 4, offset);
}

test('several workers: a state for each, adopted together or not at all', () => {
  const seed = [5, 6] as const;
  const openAll = (workers: number, adopt: boolean) => {
    const { files, isNew } = openStateFiles(path, BYTES, workers, adopt);
    fds.push(...files.map((file) => file.fd));
    return { files, isNew };
  };
  const { files } = openAll(4, false);
  expect(files.map((file) => file.path)).toEqual([path, `${path}.1`, `${path}.2`, `${path}.3`]);
  for (const [number, { fd }] of files.entries()) {
    formatState(addon().mmap(fd, BYTES, true), 1024, seed, { workers: 4, number }, origin());
  }
  const again = openAll(4, true);
  expect([again.isNew, ...again.files.map(({ fd }) => seedOf(fd))]).toEqual([false, 5, 5, 5, 5]);
  // The states of another number of workers are not theirs, and do not stay.
  const fewer = openAll(2, true);
  expect([fewer.isNew, ...fewer.files.map(({ fd }) => seedOf(fd))]).toEqual([true, 0, 0]);
  expect([existsSync(`${path}.1`), existsSync(`${path}.2`)]).toEqual([true, false]);
  for (const [number, { fd }] of fewer.files.entries()) {
    formatState(addon().mmap(fd, BYTES, true), 1024, seed, { workers: 2, number }, origin());
  }
  expect(openAll(1, true).isNew).toBe(true);
  openAll(2, false);
  removeStateFiles(path);
  expect([existsSync(path), existsSync(`${path}.1`)]).toEqual([false, false]);
});
