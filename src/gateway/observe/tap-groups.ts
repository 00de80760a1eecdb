/** Puts what left to what came: records of a tap's ring in order, a packet that came in and all that it caused together. */
import { KIND_IN, KIND_OUT, type TapRecord } from '../../engine/tap-record.ts';

export interface TapGroup {
  came: TapRecord;
  left: TapRecord[];
}

export class TapGroups {
  private readonly open = new Map<number, TapGroup>();

  /** Groups that are whole, in order. What belongs to the last packet of each worker may still follow: see end(). */
  take(records: readonly TapRecord[]): TapGroup[] {
    const done: TapGroup[] = [];
    for (const record of records) {
      const group = this.open.get(record.worker);
      if (record.kind === KIND_IN) {
        if (group !== undefined) done.push(group);
        this.open.set(record.worker, { came: record, left: [] });
      } else if (
        record.kind === KIND_OUT &&
        group !== undefined &&
        (group.came.sequence | 0) === record.cause
      ) {
        group.left.push(record);
      }
    }
    return done;
  }

  /** Nothing more was written for now: batches are published whole. */
  end(): TapGroup[] {
    const done = [...this.open.values()];
    this.open.clear();
    return done;
  }
}
