import { NatgateError } from '../../core/errors.ts';
import { addon } from '../../link/addon.ts';
import { PROG_TYPE_SCHED_CLS } from './kernel.ts';

/** Lines of the verifier's log that are worth showing: its verdict is at the end. */
const LOG_LINES = 8;

/**
 * Loads a program (cls_bpf, if not said otherwise) and returns its descriptor, which the caller closes.
 * `name` is what `bpftool prog` shows: at most 15 letters, digits, `_` and `.`.
 * Throws NatgateError `bpf_refused` with the end of the verifier's log.
 */
export function loadProgram(name: string, bytes: Uint8Array, type = PROG_TYPE_SCHED_CLS): number {
  try {
    return addon().bpfProgLoad(type, bytes, name);
  } catch (cause) {
    if (cause instanceof NatgateError) throw cause;
    const { message, log } = cause as Error & { log?: string };
    const verdict = lastLines(log ?? '');
    throw new NatgateError(
      'bpf_refused',
      `the kernel refused the eBPF program ${name}: ${message}${verdict && `\n${verdict}`}`,
      'natgate needs Linux 5.10 or later and root, or CAP_BPF and CAP_NET_ADMIN; `natgate doctor` checks both',
      { cause },
    );
  }
}

function lastLines(log: string): string {
  return log
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('processed '))
    .slice(-LOG_LINES)
    .join('\n');
}
