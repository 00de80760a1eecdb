/**
 * Answers that go on: bytes that come while somebody reads them (events, captures). What makes them never waits for who reads them.
 *
 *     push() ─▶ queue, at most QUEUE_BYTES ─▶ one chunk for each that the connection has room for ─▶ socket
 *                  └─ full: refused, and the maker counts what is missing
 *
 * A reader that takes nothing for a minute is cut off by the server (http-server.ts). Only so many streams are open at a time, so that
 * connections are left for short requests. Limits: a chunk that is larger than the queue is never taken.
 */
import { NatgateError } from '../../core/errors.ts';

/** Of one stream. */
const QUEUE_BYTES = 262_144;
export const MAX_STREAMS = 16;

export interface Sink {
  /** False: the reader is too far behind, or has gone; the chunk is not sent. */
  push(chunk: Uint8Array): boolean;
  /** Bytes that push() would take now. */
  readonly room: number;
  /** Called each time that the queue has become empty. */
  onDrained: () => void;
  /** No more comes: what is queued is sent, then the answer ends. */
  end(): void;
}

export class Streams {
  readonly #open = new Set<symbol>();
  readonly #queueBytes: number;
  readonly #most: number;

  constructor({ queueBytes = QUEUE_BYTES, most = MAX_STREAMS } = {}) {
    this.#queueBytes = queueBytes;
    this.#most = most;
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** One more stream; returns what says that it has ended: true the first time. Throws NatgateError `too_many_streams`. */
  enter(): () => boolean {
    if (this.#open.size >= this.#most) {
      throw new NatgateError(
        'too_many_streams',
        `${this.#most} streams are open already`,
        'end one of them, or try again later',
      );
    }
    const one = Symbol();
    this.#open.add(one);
    return () => this.#open.delete(one);
  }

  /**
   * An answer of this type. `start` is called at once and returns what stops it, which is called once: when the reader has gone, or
   * after end(). Throws NatgateError `too_many_streams`.
   */
  open(type: string, start: (sink: Sink) => () => void): Response {
    const leave = this.enter();
    const queue = new Queue(this.#queueBytes);
    let stop: () => void;
    try {
      stop = start(queue);
    } catch (error) {
      leave();
      throw error;
    }
    const finish = () => {
      if (leave()) stop();
    };
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const chunk = await queue.take();
          if (chunk !== null) {
            controller.enqueue(chunk);
            return;
          }
          finish();
          controller.close();
        },
        cancel() {
          queue.end();
          finish();
        },
      },
      // Nothing is taken before the connection asks.
      { highWaterMark: 0 },
    );
    return new Response(body, { headers: { 'content-type': type, 'cache-control': 'no-store' } });
  }
}

class Queue implements Sink {
  readonly #most: number;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #hasEnded = false;
  #waiting: ((chunk: Uint8Array | null) => void) | null = null;
  onDrained = () => {};

  constructor(most: number) {
    this.#most = most;
  }

  get room(): number {
    return this.#hasEnded ? 0 : this.#most - this.#bytes;
  }

  push(chunk: Uint8Array): boolean {
    if (chunk.length > this.room) return false;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) {
      waiting(chunk);
      return true;
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    return true;
  }

  end(): void {
    this.#hasEnded = true;
    this.#waiting?.(null);
    this.#waiting = null;
  }

  /** The next chunk, when there is one; null: none comes any more. */
  take(): Promise<Uint8Array | null> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#bytes -= chunk.length;
      if (this.#bytes === 0) this.onDrained();
      return Promise.resolve(chunk);
    }
    if (this.#hasEnded) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}
