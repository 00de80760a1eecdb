import { closeSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { addon } from '../../src/link/addon.ts';

const HASH = 1;
const ARRAY = 2;
const PERCPU_ARRAY = 6;
const LPM_TRIE = 11;
const SCHED_CLS = 3;
const BPF_F_NO_PREALLOC = 1;
const BPF_F_MMAPABLE = 1 << 10;

const opened: number[] = [];
const open = (fd: number) => {
  opened.push(fd);
  return fd;
};
afterEach(() => {
  for (const fd of opened.splice(0)) closeSync(fd);
});

const u32 = (value: number) => new Uint8Array(new Uint32Array([value]).buffer);

/** One instruction (linux/bpf.h): opcode, registers, offset, immediate. */
function insn(opcode: number, registers: number, offset: number, immediate: number): number[] {
  const bytes = Buffer.alloc(8);
  bytes[0] = opcode;
  bytes[1] = registers;
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(immediate, 4);
  return [...bytes];
}

const RETURN = insn(0x95, 0, 0, 0);
const setR0 = (value: number) => insn(0xb7, 0, 0, value);

if (process.geteuid?.() !== 0)
  throw new Error('these tests load BPF programs, which needs root: run `sudo npm test`');

describe('maps', () => {
  test('hash: update, look up, list, delete', () => {
    const fd = open(addon().bpfMapCreate(HASH, 4, 8, 16, 0, 'hash'));
    const value = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(addon().bpfMapLookup(fd, u32(1), 8)).toBeNull();
    expect(addon().bpfMapNextKey(fd, null, 4)).toBeNull();
    for (const key of [1, 2, 3])
      addon().bpfMapUpdate(
        fd,
        u32(key),
        value.map((byte) => byte * key),
      );
    expect(addon().bpfMapLookup(fd, u32(2), 8)).toEqual(value.map((byte) => byte * 2));
    addon().bpfMapUpdate(fd, u32(2), value);
    expect(addon().bpfMapLookup(fd, u32(2), 8)).toEqual(value);

    const keys: number[] = [];
    for (let key = addon().bpfMapNextKey(fd, null, 4); key !== null; key = addon().bpfMapNextKey(fd, key, 4))
      keys.push(key[0]!);
    expect(keys.sort()).toEqual([1, 2, 3]);

    expect(addon().bpfMapDelete(fd, u32(2))).toBe(true);
    expect(addon().bpfMapDelete(fd, u32(2))).toBe(false);
    expect(addon().bpfMapLookup(fd, u32(2), 8)).toBeNull();
  });

  test('a full map refuses with E2BIG', () => {
    const fd = open(addon().bpfMapCreate(HASH, 4, 4, 1, 0, 'small'));
    addon().bpfMapUpdate(fd, u32(1), u32(1));
    expect(() => addon().bpfMapUpdate(fd, u32(2), u32(2))).toThrow(
      expect.objectContaining({
        code: 'E2BIG',
        syscall: 'bpf(BPF_MAP_UPDATE_ELEM)',
        message: expect.stringContaining('cannot write to BPF map small'),
      }),
    );
  });

  test('LPM trie: the longest prefix wins', () => {
    const fd = open(addon().bpfMapCreate(LPM_TRIE, 8, 4, 16, BPF_F_NO_PREALLOC, 'routes'));
    const key = (bits: number, ...address: number[]) => new Uint8Array([...u32(bits), ...address]);
    addon().bpfMapUpdate(fd, key(0, 0, 0, 0, 0), u32(100));
    addon().bpfMapUpdate(fd, key(8, 10, 0, 0, 0), u32(8));
    addon().bpfMapUpdate(fd, key(24, 10, 1, 2, 0), u32(24));
    expect(addon().bpfMapLookup(fd, key(32, 10, 1, 2, 3), 4)).toEqual(u32(24));
    expect(addon().bpfMapLookup(fd, key(32, 10, 1, 3, 3), 4)).toEqual(u32(8));
    expect(addon().bpfMapLookup(fd, key(32, 192, 0, 2, 1), 4)).toEqual(u32(100));
    addon().bpfMapDelete(fd, key(24, 10, 1, 2, 0));
    expect(addon().bpfMapLookup(fd, key(32, 10, 1, 2, 3), 4)).toEqual(u32(8));
  });

  test('a mapped array is the same memory as the map', () => {
    const fd = open(addon().bpfMapCreate(ARRAY, 4, 24608, 1, BPF_F_MMAPABLE, 'owned'));
    const memory = new Uint8Array(addon().mmap(fd, 28672, true));
    memory[5] = 0xa5;
    expect(addon().bpfMapLookup(fd, u32(0), 24608)![5]).toBe(0xa5);
    addon().bpfMapUpdate(fd, u32(0), new Uint8Array(24608).fill(0x11));
    expect(memory[24607]).toBe(0x11);
    expect(() => addon().mmap(fd, 1 << 20, true)).toThrow(expect.objectContaining({ syscall: 'mmap' }));
  });

  test('keys and values may be views with an offset', () => {
    const fd = open(addon().bpfMapCreate(ARRAY, 4, 4, 2, 0, 'views'));
    const bytes = new Uint8Array([9, 9, 9, 1, 0, 0, 0, 7, 8, 9, 10, 9]);
    addon().bpfMapUpdate(fd, bytes.subarray(3, 7), bytes.subarray(7, 11));
    expect(addon().bpfMapLookup(fd, u32(1), 4)).toEqual(new Uint8Array([7, 8, 9, 10]));
  });

  test('sizes other than the map has are refused: the kernel would read or write past the end', () => {
    const fd = open(addon().bpfMapCreate(ARRAY, 4, 4096, 1, 0, 'sizes'));
    expect(() => addon().bpfMapUpdate(fd, new Uint8Array(3), new Uint8Array(4096))).toThrow(
      'bpfMapUpdate: key must have 4 bytes, not 3',
    );
    expect(() => addon().bpfMapUpdate(fd, u32(0), new Uint8Array(4095))).toThrow(
      'bpfMapUpdate: value must have 4096 bytes, not 4095',
    );
    expect(() => addon().bpfMapLookup(fd, u32(0), 8)).toThrow('bpfMapLookup: valueSize must be');
    expect(() => addon().bpfMapNextKey(fd, null, 8)).toThrow('bpfMapNextKey: keySize must be');
    const perCpu = open(addon().bpfMapCreate(PERCPU_ARRAY, 4, 8, 1, 0, 'percpu'));
    expect(() => addon().bpfMapLookup(perCpu, u32(0), 8)).toThrow('bpfMapLookup: per-CPU maps');
  });

  test('a descriptor that is no map is the kernel’s refusal', () => {
    const fd = open(addon().eventfd());
    expect(() => addon().bpfMapLookup(fd, u32(0), 4)).toThrow(
      expect.objectContaining({ code: 'EINVAL', syscall: 'bpf(BPF_OBJ_GET_INFO_BY_FD)' }),
    );
    expect(() => addon().bpfMapCreate(ARRAY, 3, 4, 1, 0, 'bad')).toThrow(
      expect.objectContaining({ code: 'EINVAL', syscall: 'bpf(BPF_MAP_CREATE)' }),
    );
  });
});

describe('programs', () => {
  test('a program runs on a frame; its verdict and the frame come back', () => {
    const fd = open(addon().bpfProgLoad(SCHED_CLS, new Uint8Array([...setR0(2), ...RETURN]), 'two'));
    const frame = Uint8Array.from({ length: 60 }, (_, i) => i);
    expect(addon().bpfProgRun(fd, frame, 2048)).toEqual({ returnValue: 2, output: frame });
    expect(addon().bpfProgRun(fd, frame, 0)).toEqual({ returnValue: 2, output: new Uint8Array(0) });
    expect(() => addon().bpfProgRun(fd, frame, 20)).toThrow(
      expect.objectContaining({ code: 'ENOSPC', syscall: 'bpf(BPF_PROG_TEST_RUN)' }),
    );
    expect(() => addon().bpfProgRun(fd, frame.subarray(0, 5), 64)).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });

  test('a negative verdict is negative', () => {
    const fd = open(addon().bpfProgLoad(SCHED_CLS, new Uint8Array([...setR0(-1), ...RETURN]), 'unspec'));
    expect(addon().bpfProgRun(fd, new Uint8Array(60), 64).returnValue).toBe(-1);
  });

  test('what the verifier has against a program is the log of the error', () => {
    expect(() => addon().bpfProgLoad(SCHED_CLS, new Uint8Array(RETURN), 'broken')).toThrow(
      expect.objectContaining({
        code: 'EACCES',
        syscall: 'bpf(BPF_PROG_LOAD)',
        message: 'cannot load BPF program broken: bpf(BPF_PROG_LOAD): Permission denied (EACCES)',
        log: expect.stringContaining('R0 !read_ok'),
      }),
    );
  });

  test('a log longer than the first buffer is whole', () => {
    // 4000 instructions of about 20 characters of log each, then the mistake.
    const program = [
      ...Array.from({ length: 4000 }, (_, i) => setR0(i)).flat(),
      ...insn(0xbf, 0x51, 0, 0),
      ...RETURN,
    ];
    expect(() => addon().bpfProgLoad(SCHED_CLS, new Uint8Array(program), 'long')).toThrow(
      expect.objectContaining({ log: expect.stringMatching(/^[\s\S]{70000,}R5 !read_ok/) }),
    );
  });

  test('half an instruction is refused', () => {
    expect(() => addon().bpfProgLoad(SCHED_CLS, new Uint8Array(12), 'half')).toThrow(
      'bpfProgLoad: insns must be whole instructions of 8 bytes',
    );
  });
});
