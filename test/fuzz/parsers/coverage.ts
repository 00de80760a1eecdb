/** What inputs reach, by the counters of the bundle (instrument.ts). */
import type { CountedFile } from './bundle.ts';
import { COUNTERS } from './instrument-name.ts';

/** How often, roughly: once, twice, 3, 4-7, 8-15, 16-31, 32-127, more. */
const BUCKETS = Uint8Array.from({ length: 256 }, (_, n) => {
  if (n < 4) return [0, 1, 2, 4][n]!;
  if (n < 8) return 8;
  if (n < 16) return 16;
  if (n < 32) return 32;
  return n < 128 ? 64 : 128;
});

const taken = (globalThis as unknown as Record<string, Uint8Array>)[COUNTERS] ?? new Uint8Array(4);
const words = new Int32Array(taken.buffer);

export class Coverage {
  /** Of each counter: the buckets that it has been in. */
  readonly #seen = new Uint8Array(taken.length);
  readonly #used: number;

  constructor(files: Readonly<Record<string, CountedFile>>) {
    const last = Object.values(files).map(({ first, count }) => first + count);
    this.#used = Math.max(...last, 4);
  }

  /** Before an input. */
  begin(): void {
    taken.fill(0, 0, this.#used);
  }

  /** After it: how many counters have been where they had not been before. They are remembered. */
  news(): number {
    return this.#look(false);
  }

  /** Likewise, of counters that had not been reached at all. */
  places(): number {
    return this.#look(true);
  }

  #look(isPlaces: boolean): number {
    let news = 0;
    const seen = this.#seen;
    for (let word = 0; word < (this.#used + 3) >> 2; word++) {
      if (words[word] === 0) continue;
      for (let i = word << 2; i < (word << 2) + 4; i++) {
        const bucket = BUCKETS[taken[i]!]!;
        if ((seen[i]! & bucket) === bucket) continue;
        if (!isPlaces || seen[i] === 0) news++;
        seen[i]! |= bucket;
      }
    }
    return news;
  }

  /** Counters of a file that have been reached. */
  reached({ first, count }: CountedFile): number {
    let reached = 0;
    for (let i = first; i < first + count; i++) if (this.#seen[i] !== 0) reached++;
    return reached;
  }
}
