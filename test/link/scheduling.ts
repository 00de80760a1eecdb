/** How the kernel schedules a thread, asked with python: Node has no sched_getattr. */
import { execFileSync } from 'node:child_process';
import { release } from 'node:os';

export interface Scheduling {
  policy: number;
  nice: number;
  /** ns; 0 where the kernel has no such thing (before Linux 6.12). */
  slice: number;
}

const ASK = `
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
attr = ctypes.create_string_buffer(48)
if libc.syscall(int(sys.argv[2]), int(sys.argv[1]), attr, 48, 0) != 0: sys.exit(str(ctypes.get_errno()))
size, policy, flags, nice, priority, runtime = struct.unpack_from('=IIQiIQ', attr.raw)
print(policy, nice, runtime)`;

export function scheduling(thread: number): Scheduling {
  const call = process.arch === 'x64' ? '315' : '275';
  const output = execFileSync('python3', ['-c', ASK, `${thread}`, call], { encoding: 'utf8' });
  const [policy, nice, slice] = output.trim().split(' ').map(Number);
  return { policy: policy!, nice: nice!, slice: slice! };
}

/** What `scheduling` tells of a slice of so many ns on this kernel. */
export function sliceHere(ns: number): number {
  const [major, minor] = release().split('.').map(Number);
  return major! > 6 || (major === 6 && minor! >= 12) ? ns : 0;
}
