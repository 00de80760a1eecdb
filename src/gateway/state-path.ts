/** Where the state of each worker lies: the first one's at `path`. */
export function workerStatePath(path: string, worker: number): string {
  return worker === 0 ? path : `${path}.${worker}`;
}
