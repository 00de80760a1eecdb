/** CPU time and kinship of processes, from /proc. Times are in seconds; the kernel counts it in ticks of 10 ms (USER_HZ), so short runs are coarse. */
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Time all CPUs were not idle. Counts everything on the machine: sender and receiver too. */
export function machineSeconds(stat = readFileSync('/proc/stat', 'utf8')): number {
  // cpu user nice system idle iowait irq softirq steal guest guest_nice; guest is part of user already.
  const [user, nice, system, , , irq, softirq] = stat
    .split('\n', 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user! + nice! + system! + irq! + softirq!) / TICKS_PER_SECOND;
}

/** Time spent by these processes and their living descendants, all threads, user and system. */
export function processSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const stat of family(pids).values()) ticks += stat.ticks;
  return ticks / TICKS_PER_SECOND;
}

/**
 * The same for living threads only, in nanoseconds of the scheduler instead of ticks: for processes that do little. Short
 * threads that ended in between are not counted.
 */
export function threadSeconds(pids: readonly number[]): number {
  let nanoseconds = 0;
  for (const pid of family(pids).keys()) {
    for (const thread of list(`/proc/${pid}/task`)) {
      // Time on a processor, time waiting for one, and turns.
      nanoseconds += Number(readText(`/proc/${pid}/task/${thread}/schedstat`).split(' ', 1)[0]);
    }
  }
  return nanoseconds / 1e9;
}

/** These processes and their descendants, as far as they live, by pid. */
export function family(pids: readonly number[]): Map<number, Stat> {
  const all = new Map<number, Stat>();
  for (const entry of readdirSync('/proc')) {
    const stat = /^\d+$/.test(entry) ? readStat(`/proc/${entry}/stat`) : undefined;
    if (stat?.alive) all.set(Number(entry), stat);
  }
  const members = new Map<number, Stat>();
  for (let previous = -1; members.size > previous; ) {
    previous = members.size;
    for (const [pid, stat] of all) {
      if (pids.includes(pid) || members.has(stat.parent)) members.set(pid, stat);
    }
  }
  return members;
}

export interface Stat {
  /** False for a zombie, which waits for nothing but its parent. */
  alive: boolean;
  parent: number;
  ticks: number;
}

/** Fields 3 (state), 4 (ppid), 14 (utime) and 15 (stime) of proc_pid_stat(5); the name before them may hold anything. */
export function parseStat(text: string): Stat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    alive: fields[0] !== 'Z',
    parent: Number(fields[1]),
    ticks: Number(fields[11]) + Number(fields[12]),
  };
}

function readStat(file: string): Stat | undefined {
  const text = readText(file);
  return text === '' ? undefined : parseStat(text);
}

/** Empty when the process ended meanwhile. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
