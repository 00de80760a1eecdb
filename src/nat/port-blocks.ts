/**
 * Ports by the block: each internal host has whole blocks of an external address's ports, so that a log of blocks is as
 * good as a log of ports (RFC 6888 REQ-14). A block serves TCP, UDP and ICMP ids alike.
 *
 *     dynamic         a host gets a block with its first mapping, another when its blocks are full, and gives one back
 *                     when the last mapping in it ends
 *     deterministic   which block follows from the host's place in the internal prefixes (RFC 7422): no state, no log
 */

import type { Prefix } from './config.ts';
import { hostsOf, placeIn } from './prefixes.ts';

export interface BlockPlace {
  /** Which of the rule's external addresses. */
  externalIndex: number;
  first: number;
  last: number;
}

/** The block of the `place`-th host when addresses give `first`-`last` in blocks of `size`; null beyond the last. */
export function blockAt(
  place: number,
  addresses: number,
  first: number,
  last: number,
  size: number,
): BlockPlace | null {
  const perAddress = Math.floor((last - first + 1) / size);
  const externalIndex = Math.floor(place / perAddress);
  if (perAddress === 0 || externalIndex >= addresses) return null;
  const begin = first + (place % perAddress) * size;
  return { externalIndex, first: begin, last: begin + size - 1 };
}

/** The place of a host, counted through the internal prefixes in their order; -1 when it is in none. */
export function placeOf(address: number, internal: readonly Prefix[]): number {
  let before = 0;
  for (const prefix of internal) {
    const place = placeIn(prefix, address);
    if (place >= 0) return before + place;
    before += hostsOf(prefix);
  }
  return -1;
}

/** Blocks of one external address that are given on demand. */
export class PortBlocks {
  private readonly first: number;
  /** Ports of a block. */
  readonly size: number;
  /** By block: mappings in it. */
  private readonly uses: Int32Array;
  private readonly owners: Int32Array;
  private readonly blocksOf = new Map<number, number[]>();
  private next = 0;

  constructor(first: number, last: number, size: number) {
    this.first = first;
    this.size = size;
    const count = Math.floor((last - first + 1) / size);
    this.uses = new Int32Array(count);
    this.owners = new Int32Array(count);
  }

  /** First ports of the host's blocks. */
  of(host: number): readonly number[] {
    return (this.blocksOf.get(host) ?? []).map((block) => this.first + block * this.size);
  }

  /** A block more for the host, by its first port; -1 when all are given. It counts as unused until use(). */
  allocate(host: number): number {
    for (let looks = 0; looks < this.uses.length; looks++) {
      const block = (this.next + looks) % this.uses.length;
      if (this.uses[block] !== 0) continue;
      this.next = block + 1;
      this.owners[block] = host;
      const blocks = this.blocksOf.get(host);
      if (blocks === undefined) this.blocksOf.set(host, [block]);
      else if (!blocks.includes(block)) blocks.push(block);
      return this.first + block * this.size;
    }
    return -1;
  }

  /** A mapping of `host` on this port begins. False when the block is another host's. */
  use(port: number, host: number): boolean {
    const block = this.blockOf(port);
    if (block < 0) return true;
    if (this.uses[block] !== 0 && this.owners[block] !== host) return false;
    if (this.uses[block] === 0) {
      this.owners[block] = host;
      const blocks = this.blocksOf.get(host) ?? [];
      if (!blocks.includes(block)) blocks.push(block);
      this.blocksOf.set(host, blocks);
    }
    this.uses[block]!++;
    return true;
  }

  /** A mapping on this port ends. */
  release(port: number): void {
    const block = this.blockOf(port);
    if (block < 0 || --this.uses[block]! > 0) return;
    const host = this.owners[block]!;
    const left = (this.blocksOf.get(host) ?? []).filter((other) => other !== block);
    if (left.length === 0) this.blocksOf.delete(host);
    else this.blocksOf.set(host, left);
  }

  /** The blocks that hosts have, by their first port. */
  each(visit: (first: number, host: number) => void): void {
    for (const [block, uses] of this.uses.entries()) {
      if (uses > 0) visit(this.first + block * this.size, this.owners[block]!);
    }
  }

  /** Mappings in the block of a port; -1 where it is in none. */
  usesOf(port: number): number {
    const block = this.blockOf(port);
    return block < 0 ? -1 : this.uses[block]!;
  }

  /** The first port of the block that a port is in. */
  firstOf(port: number): number {
    return this.first + this.blockOf(port) * this.size;
  }

  private blockOf(port: number): number {
    const block = Math.floor((port - this.first) / this.size);
    return block >= 0 && block < this.uses.length ? block : -1;
  }
}
