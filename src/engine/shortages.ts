/**
 * Who was refused what: a small table in the state, so that exhaustion is never silent. An entry names an internal host,
 * the rule and the drop reason (no_free_port, table_full, host_port_limit, ...), and counts.
 *
 *     512 entries of 4 words: host, rule << 16 | reason, count, time of the last one (ms)
 *
 * Entries are found by hash, 8 places each; the one that was refused longest ago gives way. Written on refusals only.
 */
import { reasonNames } from '../core/reasons.ts';

const ENTRIES = 512;
const WAYS = 8;
const WORDS = 4;
const HOST = 0;
const WHAT = 1;
const COUNT = 2;
const LAST = 3;
export const SHORTAGE_BYTES = ENTRIES * WORDS * 4;

export interface Shortage {
  /** Wire order. */
  host: number;
  /** Number of the NAT rule. */
  rule: number;
  /** A drop reason's name. */
  reason: string;
  count: number;
  /** ms of the gateway's clock. */
  last: number;
}

export class Shortages {
  private readonly words: Int32Array;

  /** `words`: SHORTAGE_BYTES of the state. */
  constructor(words: Int32Array) {
    this.words = words;
  }

  note(host: number, rule: number, reason: number, now: number): void {
    const { words } = this;
    const what = (rule << 16) | reason;
    const set = ((Math.imul(host ^ what, 0x9e3779b1) >>> 16) % (ENTRIES / WAYS)) * WAYS * WORDS;
    let take = set;
    for (let at = set; at < set + WAYS * WORDS; at += WORDS) {
      if (words[at + COUNT] !== 0 && words[at] === host && words[at + WHAT] === what) {
        words[at + COUNT]!++;
        words[at + LAST] = now;
        return;
      }
      if (words[at + COUNT] === 0) {
        if (words[take + COUNT] !== 0) take = at;
      } else if (words[take + COUNT] !== 0 && ((words[at + LAST]! - words[take + LAST]!) | 0) < 0) take = at;
    }
    words[take + HOST] = host;
    words[take + WHAT] = what;
    words[take + COUNT] = 1;
    words[take + LAST] = now;
  }
}

/** Takes away entries that nobody can have written: of a reason from `reasons` on, or of nothing. */
export function cleanShortages(words: Int32Array, reasons: number): void {
  for (let at = 0; at < ENTRIES * WORDS; at += WORDS) {
    const reason = words[at + WHAT]! & 0xffff;
    const isOne = words[at + COUNT] !== 0 && reason > 0 && reason < reasons;
    if (!isOne) words.fill(0, at, at + WORDS);
  }
}

/** The entries, most refusals first. */
export function readShortages(words: Int32Array): Shortage[] {
  const found: Shortage[] = [];
  for (let at = 0; at < ENTRIES * WORDS; at += WORDS) {
    if (words[at + COUNT] === 0) continue;
    found.push({
      host: words[at + HOST]!,
      rule: words[at + WHAT]! >>> 16,
      reason: reasonNames[words[at + WHAT]! & 0xffff] ?? 'unknown',
      count: words[at + COUNT]! >>> 0,
      last: words[at + LAST]!,
    });
  }
  return found.sort((a, b) => b.count - a.count);
}

/** The entries of all workers, each host's of one kind as one. */
export function readAllShortages(states: readonly { shortages: Int32Array }[]): Shortage[] {
  const found = new Map<string, Shortage>();
  for (const entry of states.flatMap(({ shortages }) => readShortages(shortages))) {
    const key = `${entry.host} ${entry.rule} ${entry.reason}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, entry);
    else {
      known.count += entry.count;
      known.last = Math.max(known.last, entry.last);
    }
  }
  return [...found.values()].sort((a, b) => b.count - a.count);
}
