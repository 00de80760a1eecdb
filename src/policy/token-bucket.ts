/** A token bucket: `perSecond` tokens a second, at most `burst` saved up. Time is handed in. */
export class TokenBucket {
  private readonly perSecond: number;
  private readonly burst: number;
  private tokens: number;
  private last: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.perSecond = perSecond;
    this.burst = burst;
    this.tokens = burst;
    this.last = now;
  }

  /** Takes a token if there is one. `now` in ms. */
  take(now: number): boolean {
    // Unsigned: a bucket that nobody asked for 25 days or more is full, not in the future.
    const elapsed = (now - this.last) >>> 0;
    this.last = now;
    this.tokens = Math.min(this.burst, this.tokens + (elapsed * this.perSecond) / 1000);
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
