/**
 * A few words more for some flows: a bounded table of slots, each named by a flow's number and life.
 *
 *     slot: flow | life (its H_SEQUENCE) | words of the user's
 *
 * A slot whose flow has ended is free, without having been given back: its life is over. It is emptied from its last word on, so that
 * whoever keeps check words there has them gone first. A flow's slot is one of
 * PROBES behind its hash; when these are all alive there is none.
 * Invariant: at most one slot names a (flow, life).
 */
import { H_SEQUENCE, H_STATUS, HOT, LIVE } from './flow-table.ts';

const PROBES = 16;
const S_FLOW = 0;
const S_LIFE = 1;
/** First word of the user's. */
export const S_WORDS = 2;

export class FlowSlots {
  readonly words: Int32Array;
  private readonly stride: number;
  private readonly mask: number;
  private readonly hot: Int32Array;

  /** `slots`: a power of two. `words`: slots × stride, all zero or those of an earlier process. */
  constructor(words: Int32Array, stride: number, slots: number, hot: Int32Array) {
    this.words = words;
    this.stride = stride;
    this.mask = slots - 1;
    this.hot = hot;
  }

  /** Index in `words` of the slot of a live flow, or -1. */
  find(flow: number): number {
    const { words, stride, mask } = this;
    const life = this.hot[flow * HOT + H_SEQUENCE]!;
    let slot = home(flow) & mask;
    for (let i = 0; i < PROBES; i++) {
      const at = slot * stride;
      if (words[at + S_LIFE] === life && words[at] === flow) return at;
      slot = (slot + 1) & mask;
    }
    return -1;
  }

  /** The slot of a live flow, made (with words of zero) if there is none; -1 when there is no room. */
  take(flow: number): number {
    const known = this.find(flow);
    if (known >= 0) return known;
    const { words, stride, mask } = this;
    let slot = home(flow) & mask;
    for (let i = 0; i < PROBES; i++) {
      const at = slot * stride;
      if (!this.isAlive(at)) {
        this.clear(at);
        words[at + S_FLOW] = flow;
        words[at + S_LIFE] = this.hot[flow * HOT + H_SEQUENCE]!;
        return at;
      }
      slot = (slot + 1) & mask;
    }
    return -1;
  }

  /** Empties the slot at index `at` of `words`, the last word first. */
  clear(at: number): void {
    const { words } = this;
    for (let i = at + this.stride - 1; i >= at; i--) words[i] = 0;
  }

  private isAlive(at: number): boolean {
    const h = this.words[at + S_FLOW]! * HOT;
    return this.hot[h + H_SEQUENCE] === this.words[at + S_LIFE] && (this.hot[h + H_STATUS]! & LIVE) !== 0;
  }
}

function home(flow: number): number {
  return Math.imul(flow, 0x9e3779b1) >>> 12;
}
