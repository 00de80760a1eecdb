/**
 * What the addon counts in the arena, under the names it has everywhere else (core/reasons.ts). The addon's counters
 * begin at zero with each process, ours last as long as the state.
 */
import * as reasons from '../core/reasons.ts';
import {
  COALESCED,
  CONTROL,
  READ_TRUNCATED,
  SUPER_PACKETS,
  WRITE_DOWN,
  WRITE_NO_BUFFER,
  WRITE_REFUSED,
} from './arena.ts';
import { DROPS, PACKETS_COALESCED, SUPER_PACKETS_MADE } from './counters.ts';

const WORDS = [WRITE_REFUSED, WRITE_NO_BUFFER, WRITE_DOWN, READ_TRUNCATED, SUPER_PACKETS, COALESCED];
const COUNTERS = [
  DROPS + reasons.WRITE_REFUSED,
  DROPS + reasons.WRITE_NO_BUFFER,
  DROPS + reasons.WRITE_DOWN,
  DROPS + reasons.READ_TRUNCATED,
  SUPER_PACKETS_MADE,
  PACKETS_COALESCED,
];

export class LinkCounters {
  private readonly control: Int32Array;
  private readonly counters: Float64Array;
  private readonly counted = new Int32Array(WORDS.length);

  constructor(arena: ArrayBuffer, counters: Float64Array) {
    this.control = new Int32Array(arena, CONTROL, 16);
    this.counters = counters;
  }

  /** Adds what has come since the last call. */
  collect(): void {
    for (let i = 0; i < WORDS.length; i++) {
      const value = this.control[WORDS[i]!]!;
      const before = this.counted[i]!;
      if (value === before) continue;
      this.counters[COUNTERS[i]!]! += (value - before) >>> 0;
      this.counted[i] = value;
    }
  }
}
