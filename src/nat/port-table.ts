/**
 * The ports of one external address and protocol (or its ICMP query ids), and who has them.
 *
 * A port is a number in host order. `used` has a bit per port that is taken: mapped to an internal endpoint, held
 * by a socket of the host, or outside the range. A mapped port has its owner in the arrays beside it, so a port
 * names its mapping. Searching is by words of the bitmap, 32 ports a look, over the whole range: it fails only when
 * nothing is free.
 *
 * Invariant: refs[port] > 0 exactly when the port is mapped; then its bit is set.
 */
const PORTS = 65536;

export class PortTable {
  readonly first: number;
  readonly last: number;
  readonly internalAddress = new Int32Array(PORTS);
  /** Wire order. */
  readonly internalPort = new Uint16Array(PORTS);
  readonly refs = new Int32Array(PORTS);
  /** Mapped ports. */
  inUse = 0;
  private readonly used = new Int32Array(PORTS / 32).fill(-1);
  private readonly held = new Uint8Array(PORTS);

  constructor(first: number, last: number) {
    this.first = first;
    this.last = last;
    for (let port = first; port <= last; port++) this.setUsed(port, false);
  }

  isFree(port: number): boolean {
    return (this.used[port >> 5]! & (1 << (port & 31))) === 0;
  }

  isHeld(port: number): boolean {
    return this.held[port] !== 0;
  }

  /** A free port, searched from a place that `random` chooses; -1 when there is none. */
  search(random: number): number {
    const words = this.used;
    const start = this.first + ((random >>> 1) % (this.last - this.first + 1));
    let word = start >> 5;
    // The first look starts inside a word, the last one takes in what that left out.
    let free = ~words[word]! & (-1 << (start & 31));
    for (let looks = 0; looks <= words.length; looks++) {
      if (free !== 0) return (word << 5) + (31 - Math.clz32(free & -free));
      word = word === this.last >> 5 ? this.first >> 5 : word + 1;
      free = ~words[word]!;
    }
    return -1;
  }

  take(port: number, address: number, internalPort: number): void {
    this.setUsed(port, true);
    this.internalAddress[port] = address;
    this.internalPort[port] = internalPort;
    this.refs[port] = 1;
    this.inUse++;
  }

  release(port: number): void {
    this.refs[port] = 0;
    this.inUse--;
    if (this.held[port] === 0) this.setUsed(port, false);
  }

  /** Says whether a socket of the host has the port. A mapped port stays mapped until its flows end. */
  hold(port: number, held: boolean): void {
    if (port < this.first || port > this.last) return;
    this.held[port] = held ? 1 : 0;
    if (this.refs[port] === 0) this.setUsed(port, held);
  }

  private setUsed(port: number, used: boolean): void {
    const bit = 1 << (port & 31);
    const word = this.used[port >> 5]!;
    this.used[port >> 5] = used ? word | bit : word & ~bit;
  }
}
