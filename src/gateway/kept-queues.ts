/**
 * TUN queues in the service manager's keeping (man 3 sd_notify, FDSTORE; man 3 sd_listen_fds). Should the supervisor itself be killed, its
 * engine dies with it, but the queues stay open: what comes meanwhile waits in them, and the next run reads on.
 *
 * Each queue has a name, since the manager does not keep their order: `natgate.WORKER.DEVICE`.
 */
import { closeSync } from 'node:fs';
import { addon } from '../link/addon.ts';

const FIRST_FD = 3;
const NAME = /^natgate\.(\d+)\.(.+)$/;

export interface NamedQueue {
  device: string;
  fd: number;
}

/** `queues`: of each device in the order of the workers. */
export function queueNames(queues: readonly NamedQueue[]): { name: string; fd: number }[] {
  const seen = new Map<string, number>();
  return queues.map(({ device, fd }) => {
    const worker = seen.get(device) ?? 0;
    seen.set(device, worker + 1);
    return { name: `natgate.${worker}.${device}`, fd };
  });
}

export interface KeptQueues {
  /** By device, in the order of the workers; null where there are none, or not `workers` of each device: those are closed. */
  queues: ReadonlyMap<string, readonly number[]> | null;
  /** Of all that the manager has: while it keeps a queue that nobody reads, packets are lost in it. */
  names: readonly string[];
}

/** The queues that the manager gave back. Takes them out of the environment. */
export function takeKeptQueues(
  environment: NodeJS.ProcessEnv,
  workers: number,
  pid = process.pid,
): KeptQueues {
  const count = Number(environment['LISTEN_FDS'] ?? 0);
  const isMeant = Number(environment['LISTEN_PID']) === pid;
  const names = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  for (const key of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete environment[key];
  if (!isMeant || !(count > 0)) return { queues: null, names: [] };
  const found = new Map<string, number[]>();
  const all: number[] = [];
  for (let i = 0; i < count; i++) {
    const fd = FIRST_FD + i;
    all.push(fd);
    const [, worker, device] = NAME.exec(names[i] ?? '') ?? [];
    if (device === undefined || addon().tunName(fd) !== device) continue;
    const queues = found.get(device) ?? [];
    queues[Number(worker)] = fd;
    found.set(device, queues);
  }
  const isWhole = [...found.values()].every(
    (fds) => Object.keys(fds).length === workers && fds.length === workers,
  );
  if (found.size === 0 || !isWhole) found.clear();
  const kept = new Set([...found.values()].flat());
  for (const fd of all) if (!kept.has(fd)) closeIfOpen(fd);
  return { queues: found.size === 0 ? null : found, names: names.filter((name) => NAME.test(name)) };
}

/** The number is the manager's word for it. */
function closeIfOpen(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // There was none.
  }
}
