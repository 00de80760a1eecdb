/** Seeded choices, cheap enough for several per packet: xorshift32. */
export class Dice {
  private state: number;

  constructor(seed: number) {
    // Neighbouring seeds begin far apart; zero would stay zero.
    this.state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0 || 1;
    for (let i = 0; i < 4; i++) this.next();
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x;
  }

  /** 0 ≤ result < limit ≤ 65536. */
  below(limit: number): number {
    return ((this.next() >>> 16) * limit) >>> 16;
  }

  /** True with a chance of `of` in 256. */
  chance(of: number): boolean {
    return this.next() >>> 24 < of;
  }

  one<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}
