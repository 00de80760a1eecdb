/** What a Date can be: 100 million days either way. */
const MOST_MS = 8.64e15;

/** A time that others wrote down, ms since 1970, as ISO 8601; one that is no time is the beginning of 1970. */
export function isoTime(ms: number): string {
  return new Date(Math.abs(ms) <= MOST_MS ? ms : 0).toISOString();
}
