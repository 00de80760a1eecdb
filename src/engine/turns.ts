/**
 * Turns of the data plane, in the counters: how many packets each batch has, and how long the engine takes for it, from its being read to
 * the last decision about it. That is how long a packet waits for those that were read with it, and how long new ones wait in the queue.
 *
 * Two looks at the clock cost as much as a packet or two, so one batch of EVERY is timed. What other workers hand over is not counted.
 */
import { BATCH_SIZES, TURN_TIME_CLASSES, TURN_TIME_SUM, TURN_TIMES } from './counters.ts';

const EVERY = 64;

export class Turns {
  private readonly counters: Float64Array;
  private left = 0;
  /** ms; negative: not timed. */
  private began = -1;

  /** `counters`: of the state. */
  constructor(counters: Float64Array) {
    this.counters = counters;
  }

  /** A batch of so many packets, at most 64, has been read. */
  begin(packets: number): void {
    if (packets === 0) return;
    this.counters[BATCH_SIZES + 32 - Math.clz32(packets - 1)]!++;
    if (--this.left > 0) return;
    this.left = EVERY;
    this.began = performance.now();
  }

  /** It is decided. */
  end(): void {
    if (this.began < 0) return;
    const microseconds = (performance.now() - this.began) * 1000;
    this.began = -1;
    // 2^31 µs are half an hour.
    const size = 32 - Math.clz32(Math.min(microseconds, 0x7fffffff) | 0);
    this.counters[TURN_TIMES + Math.min(size, TURN_TIME_CLASSES - 1)]!++;
    this.counters[TURN_TIME_SUM]! += microseconds;
  }
}
