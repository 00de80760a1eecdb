/**
 * Randomness is injected: tests pass a seed, the gateway seeds from the kernel. xorshift32 (Marsaglia) is good
 * enough for choosing where a port search starts; the keys of hashes come from `randomSeed` whole.
 */
import { randomBytes } from 'node:crypto';

export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 0x9e3779b9 | 0;
  }

  /** The next signed int32. */
  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x;
  }
}

/** Two int32 from the kernel's random source, to key hashes with. */
export function randomSeed(): [number, number] {
  const bytes = randomBytes(8);
  return [bytes.readInt32LE(0), bytes.readInt32LE(4)];
}
