/**
 * Expiry, lazily: a packet only writes its flow's H_LAST. The wheel looks at a flow when its time might be up,
 * and puts it back when it is not.
 *
 * One circular list of slots, a second each; a slot is the head of a doubly linked list of flows (links in their
 * cold records). A flow hangs in the slot of its deadline, or, when that is further away than the wheel is long,
 * in the last slot, and is looked at again then. So a flow costs one look per (timeout or 68 minutes), whatever
 * its packet rate. Only a deadline that moves *nearer* needs schedule() again.
 *
 * Invariant: a live flow is in exactly one list. A negative C_PREVIOUS is `-2 - slot`: the head that points to it.
 * Limits: one second of resolution, never early; at most `budget` looks per advance(), so a mass expiry cannot
 * hold up packets.
 */
import { C_NEXT, C_PREVIOUS, COLD } from './flow-table.ts';

const SLOTS = 4096;
const TICK_MS = 1000;

export class TimerWheel {
  private readonly heads = new Int32Array(SLOTS).fill(-1);
  private readonly cold: Int32Array;
  private cursor = 0;
  /** Time of the cursor's slot, ms. */
  private time: number;

  constructor(cold: Int32Array, now: number) {
    this.cold = cold;
    this.time = now;
  }

  /** Hangs a flow (in no list) so that it is looked at `delay` ms after `now`, or sooner. */
  schedule(flow: number, now: number, delay: number): void {
    const ahead = Math.ceil((((now - this.time) | 0) + delay) / TICK_MS);
    const slot = (this.cursor + Math.min(Math.max(ahead, 1), SLOTS - 1)) & (SLOTS - 1);
    const cold = this.cold;
    const next = this.heads[slot]!;
    cold[flow * COLD + C_NEXT] = next;
    cold[flow * COLD + C_PREVIOUS] = -2 - slot;
    if (next >= 0) cold[next * COLD + C_PREVIOUS] = flow;
    this.heads[slot] = flow;
  }

  unschedule(flow: number): void {
    const cold = this.cold;
    const next = cold[flow * COLD + C_NEXT]!;
    const previous = cold[flow * COLD + C_PREVIOUS]!;
    if (previous >= 0) cold[previous * COLD + C_NEXT] = next;
    else this.heads[-2 - previous] = next;
    if (next >= 0) cold[next * COLD + C_PREVIOUS] = previous;
  }

  /**
   * Moves on to `now`. Takes at most `budget` due flows off the wheel and hands each to `due`, which must schedule or
   * destroy it. Returns false when the budget ran out before the wheel had caught up.
   */
  advance(now: number, budget: number, due: (flow: number, now: number) => void): boolean {
    let left = budget;
    for (;;) {
      for (let flow = this.heads[this.cursor]!; flow >= 0; flow = this.heads[this.cursor]!) {
        if (left-- === 0) return false;
        this.unschedule(flow);
        due(flow, now);
      }
      if (((now - this.time) | 0) < TICK_MS) return true;
      this.time = (this.time + TICK_MS) | 0;
      this.cursor = (this.cursor + 1) & (SLOTS - 1);
    }
  }
}
