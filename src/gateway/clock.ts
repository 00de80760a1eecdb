/** Clocks: the engine's, and the wall's in ms since 1970 with fractions, for time stamps of packets. */

/** Beyond this the wall clock was set. */
const SET_MS = 2;

/** It follows the wall clock when that is set, and never goes back by its fractions otherwise. */
export function wallClock(): () => number {
  let offset = Date.now() - performance.now();
  return () => {
    const coarse = Date.now();
    const fine = performance.now() + offset;
    // Date.now() is cut to whole milliseconds.
    if (Math.abs(fine - coarse) <= SET_MS) return fine;
    offset = coarse - performance.now();
    return coarse;
  };
}

/** The engine's clock: CLOCK_MONOTONIC in milliseconds (int32, wraps), as the exchange writes it. */
export function monotonicMs(): number {
  return Number(BigInt.asIntN(32, process.hrtime.bigint() / 1_000_000n));
}
