/**
 * Virtual reassembly: what is known of each fragmented datagram in flight. Later fragments carry no ports (RFC 3022 4.3), so
 * they share the verdict of their first one; and what a receiver would put together must be unambiguous, so
 * fragments that overlap or contradict each other condemn their datagram (RFC 5722 in spirit, RFC 3128).
 *
 * A set-associative table keyed by (source, destination, protocol, identification, side of the gateway): 1024 sets of 4 entries.
 * An entry has the verdict, the bytes that came (fragment-coverage.ts), and the length once the last fragment told it. It
 * lives for 30 s (net.ipv4.ipfrag_time), or until the datagram is complete: then its identification may come again.
 *
 * A new datagram takes a free or expired entry of its set, else one of its own source, else the oldest. So a source that
 * floods a full set displaces itself, and nobody else's datagrams but where it had none before.
 *
 * They keep the key that the state began with for good, also when the flow table gets another (rekey.ts): whoever makes datagrams collide
 * fills a set, and a lookup is at four entries all the same.
 *
 * Verdicts name a flow by handle and SEQUENCE, so one that outlived its flow is not mistaken for another.
 *
 * The entries may lie in memory that outlives the process. An entry with a verdict has a check word over what it is about (both addresses,
 * key, verdict, identification it leaves with, lifetime); without a verdict, or while one of these is written, the word is 0. The
 * next process adopts whole entries. It does not know which bytes had come: fragments from before and after are not compared, and
 * such a datagram's identification is busy until its time is up.
 *
 * Limits: 4096 datagrams in flight; a lost fragment keeps its datagram's identification busy for up to 30 s, as in any receiver
 * (RFC 4963).
 */
import { Coverage, DUPLICATE, FRESH, OVERLAP } from './fragment-coverage.ts';
import { hashTuple } from './tuple.ts';

export { DUPLICATE, FRESH, OVERLAP };

/** find(): nothing is known of the datagram. verdict(): its first fragment has not come. */
export const UNKNOWN = -1;
/** verdict(): the datagram is the host's own. */
export const FOR_HOST = -2;
/** verdict(): the datagram is dropped, and sequence() is the reason. */
export const DROPPED = -3;
/** verdict(): this and below: the datagram is that of worker HANDED - verdict (engine/hand-off.ts). */
export const HANDED = -16;

const SETS = 1024;
const WAYS = 4;
/** Entries; a datagram is a number below it. */
export const DATAGRAMS = SETS * WAYS;

const ENTRY = 16;
const E_SOURCE = 0;
const E_DESTINATION = 1;
const E_KEY = 2;
const E_VERDICT = 3;
const E_SEQUENCE = 4;
const E_EXPIRES = 5;
const E_USED = 6;
/** Payload bytes of the whole datagram; 0 until its last fragment came. */
const E_TOTAL = 7;
/** Where the farthest fragment so far ends, bytes. */
const E_FARTHEST = 8;
/** Units of 8 bytes that came. */
const E_UNITS = 9;
/** Header bytes of the first fragment: those of the whole datagram. */
const E_HEADER = 10;
/** Identification it leaves with, wire order; NO_ID: its own. */
const E_ID = 11;
/** checkOf() the entry while it has a verdict, else 0. */
const E_CHECK = 12;
/** Words that the entries need. */
export const FRAGMENT_WORDS: number = DATAGRAMS * ENTRY;

const LIFETIME_MS = 30_000;
const MAX_DATAGRAM = 65_535;
const MIN_HEADER = 20;
/** idOf(): the datagram keeps its identification. */
export const NO_ID = -1;

/** `id`: identification in any byte order; `side` of the gateway, 0 or 1: one side cannot speak for a datagram of the other. */
export function fragmentKey(protocol: number, id: number, side: number): number {
  return id | (protocol << 16) | (side << 24);
}

export class Fragments {
  /** An entry is about to be used for another datagram, or has expired (`expired`). What is kept elsewhere for it must go. */
  onForget: ((datagram: number, expired: boolean) => void) | null = null;
  private readonly entries: Int32Array;
  private readonly coverage = new Coverage(DATAGRAMS);
  private readonly key0: number;
  private readonly key1: number;

  /** `entries`: FRAGMENT_WORDS words, all zero, or an earlier process's: then call adopt() with the same seed. */
  constructor(seed: readonly [number, number], entries: Int32Array = new Int32Array(FRAGMENT_WORDS)) {
    this.key0 = seed[0];
    this.key1 = seed[1];
    this.entries = entries;
  }

  /**
   * Takes over the entries that have a verdict and are whole; `isRight` is asked of each. Returns the number of datagrams lost: those
   * that had a verdict.
   */
  adopt(now: number, isRight: (datagram: number) => boolean): number {
    const e = this.entries;
    let lost = 0;
    for (let datagram = 0; datagram < DATAGRAMS; datagram++) {
      const at = datagram * ENTRY;
      const check = e[at + E_CHECK]!;
      const left = (e[at + E_EXPIRES]! - now) | 0;
      const isWhole = check !== 0 && e[at + E_USED] === 1 && check === this.checkOf(datagram);
      if (isWhole && left > 0 && left <= LIFETIME_MS && isRight(datagram)) {
        e[at + E_TOTAL] = 0;
        e[at + E_FARTHEST] = 0;
        e[at + E_UNITS] = 0;
        e[at + E_HEADER] = MIN_HEADER;
        continue;
      }
      // One whose time is up has been lost by nobody.
      if (check !== 0 && !(isWhole && left <= 0)) lost++;
      if (check !== 0 || e[at + E_USED] !== 0) e.fill(0, at, at + ENTRY);
    }
    return lost;
  }

  /** The datagram of a fragment, or UNKNOWN. */
  find(source: number, destination: number, key: number, now: number): number {
    const e = this.entries;
    const first = this.set(source, destination, key);
    for (let datagram = first; datagram < first + WAYS; datagram++) {
      const at = datagram * ENTRY;
      if (e[at + E_USED] === 0 || e[at + E_SOURCE] !== source) continue;
      if (e[at + E_DESTINATION] !== destination || e[at + E_KEY] !== key) continue;
      if (((e[at + E_EXPIRES]! - now) | 0) > 0) return datagram;
      this.forget(datagram, true);
      return UNKNOWN;
    }
    return UNKNOWN;
  }

  /** The datagram of a fragment; a new one, without a verdict, when it is the first that comes of it. */
  open(source: number, destination: number, key: number, now: number): number {
    const known = this.find(source, destination, key, now);
    if (known !== UNKNOWN) return known;
    const e = this.entries;
    const datagram = this.victim(source, destination, key, now);
    const at = datagram * ENTRY;
    if (e[at + E_USED] !== 0) this.forget(datagram, ((e[at + E_EXPIRES]! - now) | 0) <= 0);
    e[at + E_SOURCE] = source;
    e[at + E_DESTINATION] = destination;
    e[at + E_KEY] = key;
    e[at + E_USED] = 1;
    this.restart(datagram, now);
    return datagram;
  }

  /** Begins a datagram anew. */
  restart(datagram: number, now: number): void {
    const e = this.entries;
    const at = datagram * ENTRY;
    this.coverage.clear(datagram, e[at + E_FARTHEST]! >> 3);
    e[at + E_CHECK] = 0;
    e[at + E_EXPIRES] = now + LIFETIME_MS;
    e[at + E_VERDICT] = UNKNOWN;
    e[at + E_SEQUENCE] = 0;
    e[at + E_TOTAL] = 0;
    e[at + E_FARTHEST] = 0;
    e[at + E_UNITS] = 0;
    e[at + E_HEADER] = MIN_HEADER;
    e[at + E_ID] = NO_ID;
  }

  /** The datagram is complete or of no interest: its identification is free. */
  free(datagram: number): void {
    this.entries[datagram * ENTRY + E_CHECK] = 0;
    this.entries[datagram * ENTRY + E_USED] = 0;
  }

  /**
   * FRESH, DUPLICATE, or OVERLAP for what overlaps or contradicts what has come, of payload bytes [start, end) of the
   * datagram; `more`: the MF bit; `header`: bytes of this fragment's header. Changes nothing.
   */
  examine(datagram: number, start: number, end: number, more: boolean, header: number): number {
    const e = this.entries;
    const at = datagram * ENTRY;
    const total = e[at + E_TOTAL]!;
    const farthest = e[at + E_FARTHEST]!;
    if (total === 0) {
      if (!more && end <= farthest) return OVERLAP;
    } else if (more ? end >= total : end !== total) {
      return OVERLAP;
    }
    const whole = (start === 0 ? header : e[at + E_HEADER]!) + Math.max(end, farthest);
    if (whole > MAX_DATAGRAM) return OVERLAP;
    return this.coverage.relation(datagram, start >> 3, (end + 7) >> 3);
  }

  /** Notes a fragment that examine() found FRESH. Returns whether the datagram is complete. */
  cover(datagram: number, start: number, end: number, more: boolean, header: number): boolean {
    const e = this.entries;
    const at = datagram * ENTRY;
    const first = start >> 3;
    const last = (end + 7) >> 3;
    this.coverage.add(datagram, first, last);
    if (start === 0) e[at + E_HEADER] = header;
    if (!more) e[at + E_TOTAL] = end;
    if (end > e[at + E_FARTHEST]!) e[at + E_FARTHEST] = end;
    e[at + E_UNITS]! += last - first;
    return e[at + E_TOTAL] !== 0 && e[at + E_UNITS] === (e[at + E_TOTAL]! + 7) >> 3;
  }

  /** A handle, FOR_HOST, DROPPED, or UNKNOWN. */
  verdict(datagram: number): number {
    return this.entries[datagram * ENTRY + E_VERDICT]!;
  }

  /** The SEQUENCE of the verdict's flow; of DROPPED, the drop reason. */
  sequence(datagram: number): number {
    return this.entries[datagram * ENTRY + E_SEQUENCE]!;
  }

  /** `verdict`: a handle (with its flow's SEQUENCE), FOR_HOST, or DROPPED (with the reason). */
  decide(datagram: number, verdict: number, sequence: number): void {
    const e = this.entries;
    const at = datagram * ENTRY;
    e[at + E_CHECK] = 0;
    e[at + E_VERDICT] = verdict;
    e[at + E_SEQUENCE] = sequence;
    e[at + E_CHECK] = this.checkOf(datagram);
  }

  sourceOf(datagram: number): number {
    return this.entries[datagram * ENTRY + E_SOURCE]!;
  }

  destinationOf(datagram: number): number {
    return this.entries[datagram * ENTRY + E_DESTINATION]!;
  }

  /** fragmentKey() */
  keyOf(datagram: number): number {
    return this.entries[datagram * ENTRY + E_KEY]!;
  }

  expires(datagram: number): number {
    return this.entries[datagram * ENTRY + E_EXPIRES]!;
  }

  /** Identification that the datagram's fragments leave with, wire order; NO_ID: the one they came with. */
  idOf(datagram: number): number {
    return this.entries[datagram * ENTRY + E_ID]!;
  }

  setId(datagram: number, id: number): void {
    const e = this.entries;
    const at = datagram * ENTRY;
    const hasVerdict = e[at + E_CHECK] !== 0;
    e[at + E_CHECK] = 0;
    e[at + E_ID] = id;
    if (hasVerdict) e[at + E_CHECK] = this.checkOf(datagram);
  }

  private forget(datagram: number, expired: boolean): void {
    this.onForget?.(datagram, expired);
    this.free(datagram);
  }

  private victim(source: number, destination: number, key: number, now: number): number {
    const e = this.entries;
    const first = this.set(source, destination, key);
    let oldest = first;
    let least = 0x7fffffff;
    let own = UNKNOWN;
    let leastOwn = 0x7fffffff;
    for (let datagram = first; datagram < first + WAYS; datagram++) {
      const at = datagram * ENTRY;
      const left = (e[at + E_EXPIRES]! - now) | 0;
      if (e[at + E_USED] === 0 || left <= 0) return datagram;
      if (left < least) {
        least = left;
        oldest = datagram;
      }
      if (e[at + E_SOURCE] === source && left < leastOwn) {
        leastOwn = left;
        own = datagram;
      }
    }
    return own === UNKNOWN ? oldest : own;
  }

  /** A word that changes with each word of what an entry is about; never 0. */
  private checkOf(datagram: number): number {
    const { entries: e, key0, key1 } = this;
    const at = datagram * ENTRY;
    const about = hashTuple(e[at + E_SOURCE]!, e[at + E_DESTINATION]!, e[at + E_KEY]!, 0, key1, key0);
    const verdict = e[at + E_VERDICT]! ^ Math.imul(e[at + E_ID]!, 0x9e3779b1);
    const b = hashTuple(verdict, e[at + E_SEQUENCE]!, e[at + E_EXPIRES]!, 0, key0, key1);
    const check = Math.imul(about, 0x85ebca6b) ^ b ^ datagram;
    return check === 0 ? 1 : check;
  }

  private set(source: number, destination: number, key: number): number {
    return (hashTuple(source, destination, key, 0, this.key0, this.key1) & (SETS - 1)) * WAYS;
  }
}
