/**
 * Live flows per group over several workers. Each worker shows its own counts in a section of shared memory that only it writes; who
 * asks adds up the others'.
 *
 *     section   1024 sets of 16 rows: count, limit, a, b
 *
 * Limits: 16384 groups at once per worker; one that finds its set full is counted for its own worker only. Two workers that
 * admit a flow in the same instant may exceed a limit by one.
 */
import { hashTuple } from '../../conntrack/tuple.ts';

const SETS = 1024;
const WAYS = 16;
const ROW = 4;
const SECTION = SETS * WAYS * ROW;
const NONE = -1;

/** Bytes of shared memory for so many workers. */
export function sharedCountsBytes(workers: number): number {
  return workers * SECTION * 4;
}

export class SharedCounts {
  private readonly rows: Int32Array;
  private readonly workers: number;
  private readonly own: number;

  /** `rows`: sharedCountsBytes() of zeros, which all workers have; `own`: number of this worker. */
  constructor(rows: Int32Array, workers: number, own: number) {
    this.rows = rows;
    this.workers = workers;
    this.own = own;
    // What an earlier firewall of this worker's showed.
    for (let at = own * SECTION; at < (own + 1) * SECTION; at += ROW) Atomics.store(rows, at, 0);
  }

  /** Over the other workers. */
  elsewhere(limit: number, a: number, b: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.workers; worker++) {
      if (worker === this.own) continue;
      const row = this.find(worker, limit, a, b);
      if (row !== NONE) sum += Atomics.load(this.rows, row);
    }
    return sum;
  }

  /** This worker has so many now. */
  show(limit: number, a: number, b: number, count: number): void {
    const { rows, own } = this;
    let row = this.find(own, limit, a, b);
    if (row === NONE && count > 0) {
      row = this.freeRow(limit, a, b);
      if (row === NONE) return;
      Atomics.store(rows, row + 1, limit);
      Atomics.store(rows, row + 2, a);
      Atomics.store(rows, row + 3, b);
    }
    if (row !== NONE) Atomics.store(rows, row, count);
  }

  private find(worker: number, limit: number, a: number, b: number): number {
    const { rows } = this;
    const first = firstRow(worker, limit, a, b);
    for (let row = first; row < first + WAYS * ROW; row += ROW) {
      if (Atomics.load(rows, row) === 0) continue;
      const isIt =
        Atomics.load(rows, row + 1) === limit &&
        Atomics.load(rows, row + 2) === a &&
        Atomics.load(rows, row + 3) === b;
      if (isIt) return row;
    }
    return NONE;
  }

  private freeRow(limit: number, a: number, b: number): number {
    const first = firstRow(this.own, limit, a, b);
    for (let row = first; row < first + WAYS * ROW; row += ROW) {
      if (Atomics.load(this.rows, row) === 0) return row;
    }
    return NONE;
  }
}

function firstRow(worker: number, limit: number, a: number, b: number): number {
  return worker * SECTION + (hashTuple(a, b, limit, 0, 0, 0) & (SETS - 1)) * WAYS * ROW;
}
