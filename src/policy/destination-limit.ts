/**
 * How many answers (ICMP errors, resets) one destination may get: so that whoever provokes them, or forges another's address to have
 * them sent there (reflection), uses up his part of the rate limit that all share, and not the others' (RFC 1812 4.3.2.8).
 *
 * A fixed table of token buckets, found by a keyed hash of the address: 4096 buckets of two words, tokens in thousandths and the time
 * of the last look (ms). Limits: addresses that meet in a bucket share it; who forges ever other addresses meets the limit of all.
 */
const BUCKETS = 4096;
const TOKEN = 1000;

export class DestinationLimit {
  private readonly perSecond: number;
  private readonly burst: number;
  private readonly tokens = new Int32Array(BUCKETS);
  private readonly last = new Int32Array(BUCKETS);
  private readonly key: number;

  /** `perSecond`, `burst`: for each destination, whole numbers, at most 1000; `key`: any number. */
  constructor(perSecond: number, burst: number, key: number, now: number) {
    this.perSecond = perSecond;
    this.burst = burst * TOKEN;
    this.key = key;
    this.tokens.fill(this.burst);
    this.last.fill(now);
  }

  /** Whether `address` may get an answer at `now` (ms); it has not got it until take(). */
  mayTake(address: number, now: number): boolean {
    const bucket = this.bucket(address);
    // Milliseconds times tokens per second are thousandths. Unsigned, as in TokenBucket.
    const elapsed = Math.min((now - this.last[bucket]!) >>> 0, this.burst);
    this.last[bucket] = now;
    this.tokens[bucket] = Math.min(this.burst, this.tokens[bucket]! + elapsed * this.perSecond);
    return this.tokens[bucket]! >= TOKEN;
  }

  /** It gets one; mayTake() has just said that it may. */
  take(address: number): void {
    this.tokens[this.bucket(address)]! -= TOKEN;
  }

  private bucket(address: number): number {
    let hash = Math.imul(address ^ this.key, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35 | 0);
    return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
  }
}
