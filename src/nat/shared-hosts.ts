/**
 * Hosts over several workers: quotas are per internal host, and a host's flows are at all workers.
 *
 * Each worker counts for itself and shows its counts in a section of shared memory that only it writes; who asks adds up all
 * sections. Where nobody would ask (`isShown`) nothing is shown. A section is 1024 sets of 16 rows: address and the four counts.
 *
 * Limits: 16384 hosts at once per worker; one that finds its set full is counted for its own worker only. Two workers that
 * admit a flow of one host in the same instant may exceed its quota by one.
 */
import { hashTuple } from '../conntrack/tuple.ts';
import { Hosts } from './hosts.ts';

const SETS = 1024;
const WAYS = 16;
const FIELDS = 4;
const ROW = 1 + FIELDS;
const SECTION = SETS * WAYS * ROW;
const NONE = -1;

/** Bytes of shared memory for so many workers. */
export function sharedHostsBytes(workers: number): number {
  return workers * SECTION * 4;
}

export class SharedHosts extends Hosts {
  private readonly rows: Int32Array;
  private readonly workers: number;
  private readonly own: number;

  /** `rows`: sharedHostsBytes() of zeros, which all workers have; `own`: number of this worker. */
  constructor(isCounting: boolean, rows: Int32Array, workers: number, own: number) {
    super(isCounting);
    this.rows = rows;
    this.workers = workers;
    this.own = own;
  }

  override count(address: number, what: number): number {
    let count = super.count(address, what);
    for (let worker = 0; worker < this.workers; worker++) {
      if (worker === this.own) continue;
      const row = this.find(worker, address);
      if (row !== NONE) count += Atomics.load(this.rows, row + 1 + what);
    }
    return count;
  }

  override add(address: number, what: number): void {
    super.add(address, what);
    this.show(address);
  }

  override remove(address: number, what: number): void {
    super.remove(address, what);
    this.show(address);
  }

  override countFlow(address: number, isOutside: boolean, step: number): void {
    super.countFlow(address, isOutside, step);
    this.show(address);
  }

  protected override forget(address: number): void {
    super.forget(address);
    this.show(address);
  }

  private show(address: number): void {
    if (!this.isCounting || !this.isShown) return;
    const { rows } = this;
    let row = this.find(this.own, address);
    let isUsed = false;
    for (let what = 0; what < FIELDS; what++) isUsed ||= super.count(address, what) !== 0;
    if (!isUsed) {
      if (row !== NONE) Atomics.store(rows, row, 0);
      return;
    }
    const isNew = row === NONE;
    if (isNew) row = this.find(this.own, 0, address);
    if (row === NONE) return;
    for (let what = 0; what < FIELDS; what++) Atomics.store(rows, row + 1 + what, super.count(address, what));
    // The address last: a row that is found has its counts.
    if (isNew) Atomics.store(rows, row, address);
  }

  /** The row of `address` (0: a free one) in a worker's section, in the set of `host`. */
  private find(worker: number, address: number, host = address): number {
    const { rows } = this;
    const first = worker * SECTION + (hashTuple(host, 0, 0, 0, 0, 0) & (SETS - 1)) * WAYS * ROW;
    for (let row = first; row < first + WAYS * ROW; row += ROW) {
      if (Atomics.load(rows, row) === address) return row;
    }
    return NONE;
  }
}
