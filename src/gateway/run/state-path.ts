/** Where the event ring of each worker lies. */
export function workerEventsPath(path: string, worker: number): string {
  return `${workerStatePath(path, worker)}.events`;
}

/** Where the state of each worker lies: the first one's at `path`. */
export function workerStatePath(path: string, worker: number): string {
  return worker === 0 ? path : `${path}.${worker}`;
}
