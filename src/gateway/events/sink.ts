/**
 * A receiver of events. Each has a queue of its own, so that one that is slow, full or gone loses its own events and nobody else's.
 *
 *     write() ─▶ queue (MOST_BYTES) ─▶ deliver(), some at a time, again after RETRY_MS when it fails
 *                 └─ full: counted as lost, until it is half empty; then a gap record says how many, in the place where they are missing
 *
 * Invariant: what has been written is delivered in order, or counted in the next gap record.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayEvent } from './event.ts';
import type { EventClass } from './options.ts';

export interface Sink {
  /** Null: it wants all. */
  readonly only: readonly EventClass[] | null;
  /** `line`: the event as JSON, without a line's end. */
  write(event: GatewayEvent, line: string): void;
  /** Some have been written. */
  flush(): void;
  /** All that was written is delivered, or counted as lost. */
  readonly isIdle: boolean;
  /** So much waits that it is better to wait with the next. */
  readonly isBehind: boolean;
  /** Files are opened again: somebody may have moved them away. */
  reopen(): void;
  /** Resolves when all is delivered, or cannot be in a while. Nothing is written afterwards. */
  close(): Promise<void>;
}

/** What a person should know: a sink fails, or goes on. */
export type SaySink = (text: string, level: 'info' | 'warning') => void;

const MOST_BYTES = 32 * 2 ** 20;
const RETRY_MS = 1000;
const CLOSE_MS = 3000;

interface Queued<T> {
  item: T;
  bytes: number;
}

export abstract class QueuedSink<T> implements Sink {
  readonly only: readonly EventClass[] | null;
  readonly #name: string;
  readonly #say: SaySink;
  readonly #mostBytes: number;
  #queue: Queued<T>[] = [];
  #bytes = 0;
  /** Events lost since the last gap record. */
  #lost = 0;
  /** Since it failed. */
  #lostInAll = 0;
  #isLosing = false;
  #isFailing = false;
  #isClosing = false;
  #pump: Promise<void> | null = null;
  #wake: AbortController | null = null;

  constructor(name: string, only: readonly EventClass[] | null, say: SaySink, mostBytes = MOST_BYTES) {
    this.#name = name;
    this.only = only;
    this.#say = say;
    this.#mostBytes = mostBytes;
  }

  get isIdle(): boolean {
    return this.#pump === null && this.#queue.length === 0;
  }

  get isBehind(): boolean {
    return this.#bytes * 4 > this.#mostBytes;
  }

  abstract write(event: GatewayEvent, line: string): void;

  /** Delivers some of these, from number `from` on, and returns how many: none where it is to be asked again at once. */
  protected abstract deliver(items: readonly T[], from: number): Promise<number>;

  /** The record of a gap, as an item; null where the receiver can tell by itself. */
  protected abstract gap(lost: number): { item: T; bytes: number } | null;

  reopen(): void {}

  /** Closes what it has open. */
  protected end(): void {}

  flush(): void {
    if (this.#pump !== null || this.#queue.length === 0) return;
    this.#pump = this.#run().finally(() => {
      this.#pump = null;
    });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#sayGap();
    this.flush();
    this.#wake?.abort();
    const patience = new AbortController();
    const late = sleep(CLOSE_MS, undefined, { signal: patience.signal }).catch(() => {});
    await Promise.race([this.#pump ?? Promise.resolve(), late]);
    patience.abort();
    this.end();
  }

  /** Queues an item that stands for `events` events. */
  protected enqueue(item: T, bytes: number, events = 1): void {
    if (this.#isLosing && this.#bytes * 2 < this.#mostBytes) this.#sayGap();
    if (this.#isLosing || this.#bytes + bytes > this.#mostBytes) {
      this.#isLosing = true;
      this.#lost += events;
      this.#lostInAll += events;
      return;
    }
    this.#put({ item, bytes });
  }

  /** Ends a time of losing, if it is one. */
  #sayGap(): void {
    if (!this.#isLosing) return;
    const gap = this.gap(this.#lost);
    if (gap !== null) this.#put(gap);
    this.#isLosing = false;
    this.#lost = 0;
  }

  #put(queued: Queued<T>): void {
    this.#queue.push(queued);
    this.#bytes += queued.bytes;
  }

  async #run(): Promise<void> {
    for (;;) {
      // Taken out as a whole, because a queue of many is slow to take from at its front.
      const taken = this.#queue.splice(0);
      if (taken.length === 0) return;
      const items = taken.map(({ item }) => item);
      let done = 0;
      while (done < items.length) {
        try {
          const count = await this.deliver(items, done);
          for (let i = done; i < done + count; i++) this.#bytes -= taken[i]!.bytes;
          done += count;
          this.#recovered();
        } catch (error) {
          this.#failed(error as Error);
          if (this.#isClosing) return;
          this.#wake = new AbortController();
          await sleep(RETRY_MS, undefined, { signal: this.#wake.signal }).catch(() => {});
        }
      }
    }
  }

  #failed(error: Error): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#lostInAll = this.#lost;
    this.#say(`events to ${this.#name} wait: ${error.message}`, 'warning');
  }

  #recovered(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    const lost = this.#lostInAll === 0 ? 'none was lost' : `${this.#lostInAll} were lost`;
    this.#say(`events to ${this.#name} go on; ${lost}`, 'info');
  }
}

/** A sink of lines of JSON. */
export abstract class LineSink extends QueuedSink<string> {
  write(_event: GatewayEvent, line: string): void {
    this.enqueue(`${line}\n`, line.length + 1);
  }

  protected gap(lost: number): { item: string; bytes: number } {
    const line = `${JSON.stringify(gapEvent(lost))}\n`;
    return { item: line, bytes: line.length };
  }
}

/** That `lost` events did not reach a receiver. */
export function gapEvent(lost: number): GatewayEvent {
  return { time: new Date().toISOString(), event: 'gap', missed: lost, where: 'receiver' };
}
