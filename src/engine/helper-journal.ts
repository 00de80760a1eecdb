/**
 * What must be known of a helped flow when its engine is killed, in memory that outlives the process: how its sequence numbers are
 * changed, at which of them lines begin, and the last endpoint that it announced.
 *
 * The engine works on memory of its own (nat/sequence-adjust.ts, helpers.ts) and writes a flow's words down here when they have changed, before
 * the packet that changed them can leave. So whatever somebody outside has seen is here; what is not here, nobody has seen, and the
 * segment that comes again does it anew.
 *
 *     slot: flow | life | first copy, 14 words | second copy, 14 words | check of the second | check of the first
 *     copy: kind + 1 | memory, 6 words | sequence numbers, 6 words | announced
 *
 * The first copy is the one that holds. It is written in these steps, so that after each store one copy is whole:
 *
 *     second := first, its check word      both are the old one
 *     check of the first := 0              the old one is the second
 *     first := new, its check word         the new one is the first
 *     check of the second := 0             nothing that is old can be taken for new
 *
 * Adoption takes the first copy when its check word is right, else the second one, else none: then what was known is lost, and counted. The
 * check word is over place, flow, life and copy; no flip of one bit makes it 0, and none is overlooked.
 *
 * Limits: as many slots as helpers read flows (4096, 512 KiB). A flow without a slot is read as others are, but a change of the length of
 * what it carries is refused, as where the adjuster is full: its numbers could not be written down.
 */
import { FlowSlots, S_WORDS } from '../conntrack/flow-slots.ts';

const SLOTS = 4096;
const STRIDE = 32;
/** Words of a copy, and where they are in it. */
export const NOTE = 14;
/** Place among helperKinds, plus 1; never 0. */
export const N_KIND = 0;
export const N_MEMORY = 1;
/** Words of a helper's memory that are written down. */
export const KEPT_WORDS = 6;
export const N_NUMBERS: number = N_MEMORY + KEPT_WORDS;
/** See HelperSession.announced. */
export const N_ANNOUNCED = 13;

const FIRST = S_WORDS;
const SECOND: number = FIRST + NOTE;
const SECOND_CHECK: number = SECOND + NOTE;
const FIRST_CHECK: number = SECOND_CHECK + 1;

/** Words of the whole. */
export const JOURNAL_WORDS: number = SLOTS * STRIDE;

export class HelperJournal {
  private readonly words: Int32Array;
  private readonly slots: FlowSlots;

  /** `words`: JOURNAL_WORDS, all zero, or an earlier process's: then call adopt(). `hot`: the flow table's. */
  constructor(words: Int32Array, hot: Int32Array) {
    this.words = words;
    this.slots = new FlowSlots(words, STRIDE, SLOTS, hot);
  }

  /** Whether a live flow has a slot, or gets one. */
  hasRoom(flow: number): boolean {
    return this.slots.take(flow) >= 0;
  }

  /** Writes down what is known of a live flow: NOTE words. False: there is no room. */
  write(flow: number, note: Int32Array): boolean {
    const at = this.slots.take(flow);
    if (at < 0) return false;
    const { words } = this;
    let same = words[at + FIRST_CHECK] !== 0;
    for (let i = 0; same && i < NOTE; i++) same = words[at + FIRST + i] === note[i];
    if (same) return true;
    if (words[at + FIRST_CHECK] !== 0) {
      for (let i = 0; i < NOTE; i++) words[at + SECOND + i] = words[at + FIRST + i]!;
      words[at + SECOND_CHECK] = this.checkOf(at, SECOND);
      words[at + FIRST_CHECK] = 0;
    }
    this.seal(at, note, 0);
    return true;
  }

  /** The flow is about to end. */
  forget(flow: number): void {
    const at = this.slots.find(flow);
    if (at >= 0) this.slots.clear(at);
  }

  /**
   * Takes over what an earlier process has written down of flows that live: `found` is called with the flow, and where in `words` its NOTE
   * words are. Returns of how many flows it was lost.
   */
  adopt(isLive: (flow: number, life: number) => boolean, found: Found): number {
    const { words } = this;
    let lost = 0;
    for (let at = 0; at < JOURNAL_WORDS; at += STRIDE) {
      const first = words[at + FIRST_CHECK]!;
      const second = words[at + SECOND_CHECK]!;
      if ((first | second | words[at]! | words[at + 1]!) === 0) continue;
      const isFirst = first !== 0 && first === this.checkOf(at, FIRST);
      const isSecond = !isFirst && second !== 0 && second === this.checkOf(at, SECOND);
      if ((isFirst || isSecond) && isLive(words[at]!, words[at + 1]!)) {
        if (isSecond) {
          words[at + FIRST_CHECK] = 0;
          this.seal(at, words, at + SECOND);
        } else words[at + SECOND_CHECK] = 0;
        found(words[at]!, words, at + FIRST);
        continue;
      }
      // Nothing was sealed yet, or nothing is there but a flipped bit: nobody has lost anything.
      const wasWhole = (first | second) !== 0 && (words[at + 1]! | words[at + FIRST + N_KIND]!) !== 0;
      if (!isFirst && !isSecond && wasWhole) lost++;
      this.slots.clear(at);
    }
    return lost;
  }

  /** Makes the first copy that of the NOTE words from `from`, while its check word is 0. */
  private seal(at: number, note: Int32Array, from: number): void {
    const { words } = this;
    for (let i = 0; i < NOTE; i++) words[at + FIRST + i] = note[from + i]!;
    words[at + FIRST_CHECK] = this.checkOf(at, FIRST);
    words[at + SECOND_CHECK] = 0;
  }

  /** Each step is one to one in its word. Never 0, and not one bit away from it. */
  private checkOf(at: number, copy: number): number {
    const { words } = this;
    let check = Math.imul(at + copy, 0x9e3779b1);
    for (let i = 0; i < S_WORDS; i++) check = mix(check, words[at + i]!);
    for (let i = 0; i < NOTE; i++) check = mix(check, words[at + copy + i]!);
    return (check & (check - 1)) === 0 ? ~check : check;
  }
}

export type Found = (flow: number, words: Int32Array, at: number) => void;

function mix(check: number, word: number): number {
  const mixed = Math.imul(check ^ word, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
