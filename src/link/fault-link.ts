/**
 * A bad wire: loses, doubles, delays, reorders, corrupts and cuts packets, one way, as seeded chance has it. Two links with the same
 * faults and the same seed do the same to the same packets.
 *
 * Loss comes singly, or in bursts by the model of Gilbert and Elliott: a wire that is good or bad, and changes between the two with
 * given chances at each packet. A packet is corrupted in at most 15 bits next to each other: what the Internet checksum always finds
 * (RFC 1071 sums words, so errors far apart may cancel each other; these cannot), so that who verifies checksums never takes damaged
 * bytes for good ones. Packets go in and come out whole, so what they are is none of its business: IPv4 packets or frames.
 */
import { NatgateError } from '../core/errors.ts';
import { Random } from '../core/random.ts';

/** What a wire does to packets. Chances are from 0 (the default) to 1, each asked for by itself. */
export interface Faults {
  /** Chance that a packet is lost. */
  loss?: number;
  /** Loss in bursts (Gilbert-Elliott), besides `loss`. */
  burst?: {
    /** Chance, at each packet, that a good wire goes bad. */
    enter: number;
    /** Chance, at each packet, that a bad one is good again. */
    leave: number;
    /** Chance that a packet is lost while it is bad; default 1. */
    loss?: number;
  };
  /** Chance that it arrives twice. */
  duplicate?: number;
  /** Chance that it is held back until others have overtaken it. */
  reorder?: number;
  /** Chance that some bits, next to each other, are others. */
  corrupt?: number;
  /** Chance that it is cut off somewhere. */
  truncate?: number;
  /** ms that every packet takes longer. */
  delay?: number;
  /** ms at most that chance adds to that. */
  jitter?: number;
}

/** A packet that gets through, in whatever shape. */
export interface Arrival {
  packet: Uint8Array;
  /** ms that it takes longer than on a good wire. */
  delay: number;
}

/** What has been done so far. */
export interface FaultCounts {
  passed: number;
  lost: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  truncated: number;
}

/** What holds a packet back that is to be overtaken, ms. */
export const REORDER_MS = 25;
const MOST_BITS = 15;
const CHANCES = ['loss', 'duplicate', 'reorder', 'corrupt', 'truncate'] as const;

/** One direction of a bad wire. */
export class FaultLink {
  readonly counts: FaultCounts = {
    passed: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
    truncated: 0,
  };
  private readonly faults: Faults;
  private readonly random: Random;
  private bad = false;

  /** Throws NatgateError `bad_faults` when a chance is none, or a delay negative. */
  constructor(faults: Faults, seed: number) {
    check(faults);
    this.faults = faults;
    // Seeds next to each other begin alike in xorshift: spread them (Knuth's multiplicative hash).
    this.random = new Random(Math.imul(seed + 1, 0x9e3779b1));
  }

  /** What becomes of a packet: none when it is lost, two when it is doubled. The packet given is never written to. */
  pass(packet: Uint8Array): Arrival[] {
    const { faults, counts } = this;
    if (this.isLost()) {
      counts.lost++;
      return [];
    }
    counts.passed++;
    const arrivals = [this.arrival(packet)];
    if (this.happens(faults.duplicate)) {
      counts.duplicated++;
      arrivals.push(this.arrival(packet));
    }
    return arrivals;
  }

  private isLost(): boolean {
    const { burst, loss } = this.faults;
    if (burst !== undefined) {
      this.bad = this.bad ? !this.happens(burst.leave) : this.happens(burst.enter);
      if (this.bad && this.happens(burst.loss ?? 1)) return true;
    }
    return this.happens(loss);
  }

  private arrival(packet: Uint8Array): Arrival {
    const { faults, counts } = this;
    let delay = (faults.delay ?? 0) + this.chance() * (faults.jitter ?? 0);
    let shape = packet;
    if (this.happens(faults.reorder)) {
      counts.reordered++;
      delay += REORDER_MS;
    }
    if (this.happens(faults.corrupt) && packet.length > 1) {
      counts.corrupted++;
      shape = this.corrupted(packet);
    }
    if (this.happens(faults.truncate)) {
      counts.truncated++;
      shape = shape.slice(0, this.below(shape.length));
    }
    return { packet: shape, delay };
  }

  private corrupted(packet: Uint8Array): Uint8Array {
    const shape = packet.slice();
    const length = 1 + this.below(MOST_BITS);
    const first = this.below(shape.length * 8 - length + 1);
    for (let bit = first; bit < first + length; bit++) {
      // The first one always, so that something is another.
      if (bit === first || this.below(2) === 1) shape[bit >> 3]! ^= 0x80 >> (bit & 7);
    }
    return shape;
  }

  private happens(chance: number | undefined): boolean {
    return chance !== undefined && this.chance() < chance;
  }

  /** From 0 to just below 1. */
  private chance(): number {
    return (this.random.next() >>> 0) / 2 ** 32;
  }

  private below(limit: number): number {
    return Math.floor(this.chance() * limit);
  }
}

function check(faults: Faults): void {
  const { burst } = faults;
  const named: [string, number | undefined][] = CHANCES.map((name) => [name, faults[name]]);
  if (burst !== undefined) {
    named.push(['burst.enter', burst.enter], ['burst.leave', burst.leave], ['burst.loss', burst.loss]);
  }
  for (const [name, value] of named) {
    if (value === undefined || (value >= 0 && value <= 1)) continue;
    throw new NatgateError('bad_faults', `${name} ${value} is no chance`, 'from 0 (never) to 1 (always)');
  }
  for (const name of ['delay', 'jitter'] as const) {
    const value = faults[name] ?? 0;
    if (value >= 0 && value < Number.POSITIVE_INFINITY) continue;
    throw new NatgateError('bad_faults', `${name} ${value} is no time`, 'in ms, 0 or more');
  }
}
