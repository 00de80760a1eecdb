/**
 * The supervisor's side of taps: who captures or traces, and what the engine is told of it.
 *
 *     subscribe() ─▶ memory is there ─▶ readers at the present place ─▶ the engine writes ─▶ … ─▶ close() ─▶ the engine stops
 *
 * A subscription reads the rings by itself; one that is slow misses records, which it is told exactly, and nobody waits for it.
 * Limits: MAX_TAPS at a time.
 */
import { NatgateError } from '../../core/errors.ts';
import { MAX_TAPS } from '../../engine/tap.ts';
import type { TapFilter } from '../../engine/tap-filter.ts';
import type { TapRecord } from '../../engine/tap-record.ts';
import { descriptorSource, TapReader } from '../observe/tap-reader.ts';
import { reserveTap, type TapFile } from '../run/tap-files.ts';

export interface Polled {
  records: TapRecord[];
  missed: number;
  /** Some ring has more already. */
  more: boolean;
}

export class Taps {
  readonly #files: readonly TapFile[];
  readonly #tell: (filters: readonly TapFilter[]) => Promise<void>;
  readonly #subscriptions = new Set<Subscription>();
  #isReserved = false;
  #isClosed = false;

  /** `tell`: tells the engine; resolves when it writes. */
  constructor(files: readonly TapFile[], tell: (filters: readonly TapFilter[]) => Promise<void>) {
    this.#files = files;
    this.#tell = tell;
  }

  /** Of all subscriptions: what an engine that begins is to write. */
  get filters(): TapFilter[] {
    return [...this.#subscriptions].map(({ filter }) => filter);
  }

  /** Resolves when what the filter wants is being written. Rejects with NatgateError `too_many_taps`, `tap_no_memory`, `not_ready`. */
  async subscribe(filter: TapFilter): Promise<Subscription> {
    if (this.#isClosed) throw new NatgateError('not_ready', 'the gateway ends', '');
    if (this.#subscriptions.size >= MAX_TAPS) {
      throw new NatgateError(
        'too_many_taps',
        `${MAX_TAPS} captures and traces run already`,
        'end one of them',
      );
    }
    if (!this.#isReserved) {
      for (const file of this.#files) reserveTap(file);
      this.#isReserved = true;
    }
    const readers = this.#files.map(
      ({ fd }, worker) => new TapReader(descriptorSource(fd), 'tap', 'now', worker),
    );
    const subscription = new Subscription(filter, readers, () => {
      if (this.#subscriptions.delete(subscription)) void this.#tell(this.filters);
    });
    this.#subscriptions.add(subscription);
    await this.#tell(this.filters);
    return subscription;
  }

  /** The gateway ends: subscriptions give nothing more. */
  close(): void {
    this.#isClosed = true;
    for (const subscription of this.#subscriptions) subscription.close();
  }
}

export class Subscription {
  readonly filter: TapFilter;
  isClosed = false;
  readonly #readers: readonly TapReader[];
  readonly #onClose: () => void;

  constructor(filter: TapFilter, readers: readonly TapReader[], onClose: () => void) {
    this.filter = filter;
    this.#readers = readers;
    this.#onClose = onClose;
  }

  /** What has come since the last call, of all workers, in the order of time; bounded. */
  poll(): Polled {
    const result: Polled = { records: [], missed: 0, more: false };
    if (this.isClosed) return result;
    for (const reader of this.#readers) {
      const { records, missed, more } = reader.read();
      result.records.push(...records);
      result.missed += missed;
      result.more ||= more;
    }
    // Those of one worker are in order; sorting is stable.
    if (this.#readers.length > 1) result.records.sort((a, b) => a.time - b.time);
    return result;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#onClose();
  }
}
