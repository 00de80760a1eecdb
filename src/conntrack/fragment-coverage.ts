/**
 * Which bytes of a fragmented datagram have come, in units of 8 bytes: exact, so that an overlap is an overlap.
 *
 * Two bit sets of 8192 bits for each datagram: the units that came, and the units at which a fragment began. Fragments in the set are
 * disjoint, so one that covers known units is an exact duplicate if and only if it begins where one began, ends where one ended,
 * and no other began between. Everything else that touches a known unit overlaps (RFC 5722 3, RFC 3128).
 */

/** relation(): none of these bytes have come. */
export const FRESH = 0;
/** relation(): exactly this fragment has come. */
export const DUPLICATE = 1;
/** relation(): some of these bytes have come, in another cut. */
export const OVERLAP = 2;

/** Words of a bit set: 65536 bytes / 8 / 32. */
const WORDS = 256;

export class Coverage {
  private readonly came: Int32Array;
  private readonly begun: Int32Array;

  constructor(datagrams: number) {
    this.came = new Int32Array(datagrams * WORDS);
    this.begun = new Int32Array(datagrams * WORDS);
  }

  /** How units [first, end) of a datagram relate to what has come of it. */
  relation(datagram: number, first: number, end: number): number {
    const { came, begun } = this;
    const base = datagram * WORDS;
    const last = end - 1;
    let touched = false;
    let missing = false;
    let inner = false;
    for (let word = first >> 5; word <= last >> 5; word++) {
      const mask = maskOf(word, first, last);
      const known = came[base + word]! & mask;
      touched ||= known !== 0;
      missing ||= known !== mask;
      const beginnings = begun[base + word]! & mask;
      inner ||= (word === first >> 5 ? beginnings & ~(1 << (first & 31)) : beginnings) !== 0;
    }
    if (!touched) return FRESH;
    const ends = !isSet(came, base, end) || isSet(begun, base, end);
    return !missing && !inner && ends && isSet(begun, base, first) ? DUPLICATE : OVERLAP;
  }

  /** Adds units [first, end), which are FRESH. */
  add(datagram: number, first: number, end: number): void {
    const { came } = this;
    const base = datagram * WORDS;
    const last = end - 1;
    for (let word = first >> 5; word <= last >> 5; word++) came[base + word]! |= maskOf(word, first, last);
    this.begun[base + (first >> 5)]! |= 1 << (first & 31);
  }

  /** Forgets a datagram of which nothing came behind unit `end`. */
  clear(datagram: number, end: number): void {
    const base = datagram * WORDS;
    const words = Math.min((end >> 5) + 1, WORDS);
    this.came.fill(0, base, base + words);
    this.begun.fill(0, base, base + words);
  }
}

/** The bits of units first..last that are in a word. */
function maskOf(word: number, first: number, last: number): number {
  const from = word === first >> 5 ? -1 << (first & 31) : -1;
  const to = word === last >> 5 ? -1 >>> (31 - (last & 31)) : -1;
  return from & to;
}

function isSet(bits: Int32Array, base: number, unit: number): boolean {
  return ((bits[base + (unit >> 5)]! >>> (unit & 31)) & 1) !== 0;
}
