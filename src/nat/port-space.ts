/**
 * The ports of one external address and protocol (or its ICMP query ids): which are free, and who waits for which.
 *
 * A port is a number in host order. `taken` has a bit per port that cannot be given away: mapped, held by a socket of the
 * host or by a forward, in quarantine, another worker's, or outside the range. Searching is by words of the bitmap, 32 ports a look, so it
 * fails only when nothing is free.
 *
 * Quarantine (RFC 6888 REQ-8): a port that came free is given to nobody but its last owner for a while, because packets
 * of the old flow may still be on their way. Ports wait in a ring, in the order in which they came free; who is short of
 * ports takes the oldest before its time. A port that its owner took back leaves a stale entry in the ring, known by its
 * time.
 *
 * Invariant: head[port] is a mapping exactly when the port is mapped; then its bit is set.
 */
const PORTS = 65536;
const RING = 65536;

/** Parity masks for search(). */
export const ANY_PORT = -1;
export const EVEN_PORTS = 0x55555555;
export const ODD_PORTS = 0xaaaaaaaa | 0;

/** Who holds a port that is not for mappings. */
export const HELD_BY_HOST = 1;
export const HELD_BY_FORWARD = 2;

export class PortSpace {
  readonly first: number;
  readonly last: number;
  /** First of the mappings on a port (nat/mappings.ts links the others); -1 for none. */
  readonly head = new Int32Array(PORTS).fill(-1);
  /** Mapped ports. */
  inUse = 0;
  /** How often a flow asked for a port here and got none. */
  exhausted = 0;
  /** Where a sequential choice goes on. */
  next: number;
  private readonly taken = new Int32Array(PORTS / 32).fill(-1);
  private readonly held = new Uint8Array(PORTS);
  private readonly waiting = new Uint8Array(PORTS);
  /** Of a waiting port: its last owner, and when it is everybody's (ms). */
  private readonly owner = new Int32Array(PORTS);
  private readonly until = new Int32Array(PORTS);
  private readonly ring = new Int32Array(RING * 2);
  private ringStart = 0;
  private ringCount = 0;
  private readonly mask: number;

  /** `mask`: which of each 32 ports are given here (port-class.ts); the others are another worker's. */
  constructor(first: number, last: number, mask = -1) {
    this.first = first;
    this.last = last;
    this.next = first;
    this.mask = mask;
    for (let port = first; port <= last; port++) {
      if ((port & 31) === 0 && port + 31 <= last) {
        this.taken[port >> 5] = ~mask;
        port += 31;
      } else if (this.isOwn(port)) {
        this.setTaken(port, false);
      }
    }
  }

  private isOwn(port: number): boolean {
    return (this.mask & (1 << (port & 31))) !== 0;
  }

  isFree(port: number): boolean {
    return (this.taken[port >> 5]! & (1 << (port & 31))) === 0;
  }

  isHeld(port: number): boolean {
    return this.held[port] !== 0;
  }

  /** HELD_BY_HOST and HELD_BY_FORWARD, as bits. */
  holders(port: number): number {
    return this.held[port]!;
  }

  isMapped(port: number): boolean {
    return this.head[port]! >= 0;
  }

  /** Whether `address` may have the port: it is free, or waits for that very address. */
  isFreeFor(port: number, address: number): boolean {
    return this.isFree(port) || (this.waiting[port] !== 0 && this.owner[port] === address);
  }

  /**
   * A free port of [first, last] (within the range) whose bit is in `parity`, searched from `start`, round the end; -1
   * when there is none.
   */
  search(first: number, last: number, start: number, parity: number): number {
    const words = this.taken;
    const low = first >> 5;
    const high = last >> 5;
    let word = start >> 5;
    // The first look starts inside a word, the last one takes in what that left out.
    let free = ~words[word]! & parity & (-1 << (start & 31));
    for (let looks = 0; looks <= high - low + 1; looks++) {
      if (word === low) free &= -1 << (first & 31);
      if (word === high) free &= -1 >>> (31 - (last & 31));
      if (free !== 0) return (word << 5) + (31 - Math.clz32(free & -free));
      word = word === high ? low : word + 1;
      free = ~words[word]! & parity;
    }
    return -1;
  }

  /** A mapping takes the port; it is the first there. */
  take(port: number, mapping: number): void {
    if (this.ringCount > 0) this.waiting[port] = 0;
    this.setTaken(port, true);
    this.head[port] = mapping;
    this.inUse++;
  }

  /** The last mapping has left. With `quarantineMs` the port waits for `owner`, its last user. */
  release(port: number, owner: number, now: number, quarantineMs: number): void {
    this.head[port] = -1;
    this.inUse--;
    if (this.held[port] !== 0) return;
    if (quarantineMs === 0 || this.ringCount === RING) {
      this.setTaken(port, false);
      return;
    }
    const until = (now + quarantineMs) | 0;
    this.waiting[port] = 1;
    this.owner[port] = owner;
    this.until[port] = until;
    const at = ((this.ringStart + this.ringCount) & (RING - 1)) * 2;
    this.ring[at] = port;
    this.ring[at + 1] = until;
    this.ringCount++;
  }

  /** Gives the ports back whose quarantine is over, at most `budget`. */
  expire(now: number, budget: number): void {
    for (let left = budget; left > 0 && this.ringCount > 0; left--) {
      const until = this.ring[this.ringStart * 2 + 1]!;
      if (((until - now) | 0) > 0) return;
      this.shift();
    }
  }

  /** Ends the quarantine of the port of [first, last] that has waited longest, and returns it; -1 when none waits. */
  takeOldest(first: number, last: number): number {
    // Those of other ranges come free early; they are as old.
    while (this.ringCount > 0) {
      const port = this.shift();
      if (port >= first && port <= last) return port;
    }
    return -1;
  }

  /** Ends all quarantines: what the ports stood for is gone. */
  endQuarantines(): void {
    while (this.ringCount > 0) this.shift();
  }

  /** Says whether `holder` (HELD_BY_*) has the port. A mapped port stays mapped until its flows end. */
  hold(port: number, holder: number, isHolding: boolean): void {
    const before = this.held[port]!;
    this.held[port] = isHolding ? before | holder : before & ~holder;
    if (port < this.first || port > this.last || this.head[port]! >= 0 || !this.isOwn(port)) return;
    this.waiting[port] = 0;
    this.setTaken(port, this.held[port] !== 0);
  }

  /** Takes the oldest entry off the ring; its port, which is free now, or -1 when the entry was stale. */
  private shift(): number {
    const at = this.ringStart * 2;
    const port = this.ring[at]!;
    const until = this.ring[at + 1]!;
    this.ringStart = (this.ringStart + 1) & (RING - 1);
    this.ringCount--;
    if (this.waiting[port] === 0 || this.until[port] !== until) return -1;
    this.waiting[port] = 0;
    this.setTaken(port, false);
    return port;
  }

  private setTaken(port: number, taken: boolean): void {
    const bit = 1 << (port & 31);
    const word = this.taken[port >> 5]!;
    this.taken[port >> 5] = taken ? word | bit : word & ~bit;
  }
}
