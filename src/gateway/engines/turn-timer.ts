/**
 * How long a turn of the hot loop takes, from the packets read to all decided: two looks at the clock in one turn of TURN_SAMPLE,
 * counted in the state (engine/counters.ts). Turns without a packet are not timed.
 */
import { TURN_BOUNDS, TURN_SAMPLE, TURN_TIME, TURNS } from '../../engine/counters.ts';

export class TurnTimer {
  private readonly counters: Float64Array;
  private readonly clock: () => number;
  private turns = 0;
  private from = 0;
  private isTimed = false;

  /** `clock`: ms, with fractions. */
  constructor(counters: Float64Array, clock: () => number) {
    this.counters = counters;
    this.clock = clock;
  }

  /** `count` packets have been read. */
  begin(count: number): void {
    if (count === 0) return;
    this.turns = (this.turns + 1) & (TURN_SAMPLE - 1);
    if (this.turns !== 0) return;
    this.isTimed = true;
    this.from = this.clock();
  }

  /** They are done with. */
  end(): void {
    if (!this.isTimed) return;
    this.isTimed = false;
    const us = Math.max(0, (this.clock() - this.from) * 1000);
    let bucket = 0;
    while (bucket < TURN_BOUNDS.length && us > TURN_BOUNDS[bucket]!) bucket++;
    this.counters[TURNS + bucket]!++;
    this.counters[TURN_TIME]! += us;
  }
}
