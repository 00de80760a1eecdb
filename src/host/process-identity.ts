/** Which process wrote something down, and whether it still runs: a pid alone may be another's by now. */
import { readdirSync, readFileSync, statSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Start in clock ticks since boot (field 22 of /proc/PID/stat). */
  processStart: string;
  /** The boot that clock counts from. */
  boot: string;
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, processStart: startOf(process.pid) ?? '', boot: bootId() };
}

/** Whether that very process still runs. A zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identity.boot === bootId() && startOf(identity.pid) === identity.processStart;
}

export function isThisProcess(identity: ProcessIdentity): boolean {
  return identity.pid === process.pid && isAlive(identity);
}

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Null when there is no such process, or only its zombie. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Inode of this process's network namespace. The kernel gives it to another namespace once this one is gone. */
export function networkNamespace(): number {
  return statSync('/proc/self/ns/net').ino;
}

/** Whether any process is in that network namespace, or `ip netns` has a name for it. */
export function namespaceExists(inode: number): boolean {
  const inodeOf = (path: string): number | null => {
    try {
      return statSync(path).ino;
    } catch {
      return null;
    }
  };
  const names = (folder: string): string[] => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  return (
    names('/run/netns').some((name) => inodeOf(`/run/netns/${name}`) === inode) ||
    names('/proc').some((pid) => /^\d+$/.test(pid) && inodeOf(`/proc/${pid}/ns/net`) === inode)
  );
}
