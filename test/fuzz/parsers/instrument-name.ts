/** What instrumented code calls its counters: an array of bytes that the bundle's head makes. */
export const COUNTERS = '__taken';
