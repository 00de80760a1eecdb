/** The processes of a gateway, as /proc has them. */
import { readdirSync, readFileSync } from 'node:fs';
import { sleep, until } from '../netns/support/process.ts';

const WATCHED_MS = 200;
const MIB_OF_PAGES = 4096 / 2 ** 20;

/** Living children of a process. */
export function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' '))
      .map(Number)
      .filter((child) => child > 0 && ticks(child) >= 0);
  } catch {
    return []; // it has ended
  }
}

/**
 * The engine process that forwards: of several (one may stand by) that which works, while there is traffic. Waits until there is one.
 */
export async function activeEngine(supervisor: number): Promise<number> {
  const engines = await until('an engine process', () => {
    const found = children(supervisor);
    return found.length > 0 ? found : null;
  });
  if (engines.length === 1) return engines[0]!;
  const before = new Map(engines.map((pid) => [pid, ticks(pid)]));
  await sleep(WATCHED_MS);
  const busy = (pid: number) => ticks(pid) - before.get(pid)!;
  return engines.reduce((best, pid) => (busy(pid) > busy(best) ? pid : best));
}

/** Resident memory, MiB; 0 when it has ended. */
export function residentMiB(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * MIB_OF_PAGES;
  } catch {
    return 0;
  }
}

/** Open descriptors; 0 when it has ended. */
export function descriptors(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

/** Time on processors, in ticks; -1 for what has ended, a zombie too. */
function ticks(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? -1 : Number(fields[11]) + Number(fields[12]);
  } catch {
    return -1;
  }
}
