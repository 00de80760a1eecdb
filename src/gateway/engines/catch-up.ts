/**
 * When flows may expire. A process that was stopped (SIGSTOP, a machine that slept, a debugger) finds packets of all that time in its queues,
 * and a clock that has moved on: flows whose packets wait there are not silent. So after a pause what waits is handled first.
 *
 * Bound: as many turns as bring the longest queues in, so that a busy line does not put expiry off for ever. Time is CLOCK_MONOTONIC's: it stands
 * still while the machine is suspended, and flows do not age then.
 */

/** Longer than a turn of the loop that waits for packets. */
const PAUSE_MS = 1500;
/** Of 64 packets at least: more than a TUN's queue holds by default, several times. */
const MOST_TURNS = 64;

export class CatchUp {
  #at = 0;
  #isFirst = true;
  /** Turns that expiry is put off yet. */
  #left = 0;

  /** Whether time may end flows after this turn, which brought `count` packets. `now`: ms, wrapping. */
  mayExpire(now: number, count: number): boolean {
    if (!this.#isFirst && ((now - this.#at) | 0) > PAUSE_MS) this.#left = MOST_TURNS;
    this.#isFirst = false;
    this.#at = now;
    if (count === 0) this.#left = 0;
    if (this.#left === 0) return true;
    this.#left--;
    return false;
  }
}
