/**
 * TCP sequence numbers of flows whose payload a helper has made longer or shorter (nf_conntrack_seqadj.c).
 *
 * Each direction has a numbering *as sent* and one *as received*. Per direction there are the number (as sent) of the
 * last change, and what is added before and after it:
 *
 *     as received = as sent + (number > position ? after : before)
 *
 * acknowledge() turns the acknowledgement of a packet, and its SACK blocks, into the numbering of whom they are meant
 * for; it comes before the tracker, which therefore sees every number as its sender sent it. renumber() turns the
 * sequence number into what the receiver expects; it comes after tracker and helper. A segment that comes again is
 * before or at the position, so it is changed and numbered as the first time.
 *
 * State: eight words a flow (conntrack/flow-slots.ts): flow, life, then per direction position, before, after. What outlives the process
 * is a copy of them (engine/helper-journal.ts).
 * Limits: 4096 such flows. One position is remembered: of two changes that are in flight at once, numbers before the
 * first get the offset between the two.
 */
import { FlowSlots, S_WORDS } from '../conntrack/flow-slots.ts';
import { hostOrder } from '../wire/address.ts';
import type { Bytes } from '../wire/bytes.ts';
import { adjust, delta32, fold, sumBytes } from '../wire/checksum.ts';
import {
  ACK,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_HEADER,
  TCP_SEQUENCE,
  tcpHeaderLength,
} from '../wire/tcp.ts';

export const ADJUSTED_FLOWS = 4096;
const STRIDE = 8;
/** Words of a flow, of both directions: what copy() and restore() are about. */
export const NUMBER_WORDS = 6;
/** Words of a direction. */
const POSITION = 0;
const BEFORE = 1;
const AFTER = 2;
const DIRECTION = 3;

const OPTION_NOP = 1;
const OPTION_SACK = 5;
const SACK_BLOCK = 8;

export class SequenceAdjust {
  private readonly slots: FlowSlots;
  private readonly words: Int32Array;

  static words(): number {
    return ADJUSTED_FLOWS * STRIDE;
  }

  /** `hot`: the flow table's. */
  constructor(words: Int32Array, hot: Int32Array) {
    this.words = words;
    this.slots = new FlowSlots(words, STRIDE, ADJUSTED_FLOWS, hot);
  }

  /**
   * The payload of `direction` got `delta` bytes longer at `sequence` (as sent). A repetition changes nothing. False when
   * there is no room, or when it is a repetition with another delta: then the change must not be made.
   */
  change(flow: number, direction: number, sequence: number, delta: number): boolean {
    const slot = this.slots.take(flow);
    if (slot < 0) return false;
    const { words } = this;
    const at = slot + S_WORDS + direction * DIRECTION;
    const first = words[at + BEFORE] === words[at + AFTER];
    const distance = (sequence - words[at + POSITION]!) | 0;
    // The receiver may have it as it was the first time; bytes behind it would not be where they belong.
    if (!first && distance === 0) return words[at + AFTER]! - words[at + BEFORE]! === delta;
    if (!first && distance < 0) return true;
    words[at + POSITION] = sequence;
    words[at + BEFORE] = words[at + AFTER]!;
    words[at + AFTER] = words[at + AFTER]! + delta;
    return true;
  }

  /** Copies a live flow's NUMBER_WORDS words to `into`; zeros when it has none. */
  copy(flow: number, into: Int32Array, to: number): void {
    const slot = this.slots.find(flow);
    for (let i = 0; i < NUMBER_WORDS; i++) into[to + i] = slot < 0 ? 0 : this.words[slot + S_WORDS + i]!;
  }

  /** Gives a live flow back what copy() has copied. False: there is no room. */
  restore(flow: number, from: Int32Array, at: number): boolean {
    if (!from.subarray(at, at + NUMBER_WORDS).some((word) => word !== 0)) return true;
    const slot = this.slots.take(flow);
    if (slot < 0) return false;
    for (let i = 0; i < NUMBER_WORDS; i++) this.words[slot + S_WORDS + i] = from[at + i]!;
    return true;
  }

  /** What is to be added to `sequence` (as sent) of `direction`. */
  offsetOf(flow: number, direction: number, sequence: number): number {
    const slot = this.slots.find(flow);
    if (slot < 0) return 0;
    const at = slot + S_WORDS + direction * DIRECTION;
    const { words } = this;
    return ((sequence - words[at + POSITION]!) | 0) > 0 ? words[at + AFTER]! : words[at + BEFORE]!;
  }

  /** Adjusts the sequence number of the TCP packet of `direction` at `l4`. `partial`: its checksum is not made yet. */
  renumber(bytes: Bytes, l4: number, flow: number, direction: number, partial: boolean): void {
    const word = (l4 + TCP_SEQUENCE) >> 2;
    const before = bytes.i32[word]!;
    const sequence = hostOrder(before);
    const offset = this.offsetOf(flow, direction, sequence);
    if (offset === 0) return;
    const after = hostOrder((sequence + offset) | 0);
    bytes.i32[word] = after;
    if (!partial) correct(bytes, l4, delta32(before, after));
  }

  /** Adjusts the acknowledgement and the SACK blocks of the TCP packet of `direction` at `l4`. */
  acknowledge(bytes: Bytes, l4: number, flow: number, direction: number, partial: boolean): void {
    const slot = this.slots.find(flow);
    if (slot < 0 || (bytes.u8[l4 + TCP_FLAGS]! & ACK) === 0) return;
    const at = slot + S_WORDS + (direction ^ 1) * DIRECTION;
    if (this.words[at + BEFORE] === 0 && this.words[at + AFTER] === 0) return;
    const word = (l4 + TCP_ACK) >> 2;
    const before = bytes.i32[word]!;
    const after = hostOrder(this.asSent(at, hostOrder(before)));
    bytes.i32[word] = after;
    if (!partial) correct(bytes, l4, delta32(before, after));
    if (tcpHeaderLength(bytes.u8, l4) > TCP_HEADER) this.selective(bytes, l4, at, partial);
  }

  private asSent(at: number, number: number): number {
    const { words } = this;
    const unchanged = (number - words[at + BEFORE]!) | 0;
    const isAfter = ((unchanged - words[at + POSITION]!) | 0) > 0;
    return isAfter ? (number - words[at + AFTER]!) | 0 : unchanged;
  }

  private selective(bytes: Bytes, l4: number, at: number, partial: boolean): void {
    const { u8, u16 } = bytes;
    const start = l4 + TCP_HEADER;
    const end = l4 + tcpHeaderLength(u8, l4);
    const before = sumBytes(u8, u16, start, end - start);
    for (let option = start; option < end && u8[option] !== 0; ) {
      const length = u8[option] === OPTION_NOP ? 1 : option + 1 < end ? u8[option + 1]! : 0;
      if (length === 0 || option + length > end) break;
      if (u8[option] === OPTION_SACK) {
        const last = option + length - SACK_BLOCK;
        for (let block = option + 2; block <= last; block += SACK_BLOCK) {
          this.edge(u8, block, at);
          this.edge(u8, block + 4, at);
        }
      }
      option += length;
    }
    const after = sumBytes(u8, u16, start, end - start);
    if (!partial) correct(bytes, l4, fold((fold(before) ^ 0xffff) + after));
  }

  /** One edge of a block; at any byte, since options are not aligned. */
  private edge(u8: Uint8Array, at: number, direction: number): void {
    const number = (u8[at]! << 24) | (u8[at + 1]! << 16) | (u8[at + 2]! << 8) | u8[at + 3]!;
    const sent = this.asSent(direction, number);
    u8[at] = sent >>> 24;
    u8[at + 1] = sent >>> 16;
    u8[at + 2] = sent >>> 8;
    u8[at + 3] = sent;
  }
}

function correct(bytes: Bytes, l4: number, delta: number): void {
  const at = (l4 + TCP_CHECKSUM) >> 1;
  bytes.u16[at] = adjust(bytes.u16[at]!, delta);
}
