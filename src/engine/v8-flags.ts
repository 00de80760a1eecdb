/**
 * How V8 is to compile the hot loop: with the functions that a packet passes inlined into it. V8's own limits (460 bytes of bytecode a
 * function, 920 a loop) leave parsePacket() and plainStep() calls; see docs/decisions.md for what that costs.
 *
 * For processes that run an engine at packet rate; an engine runs without them, too.
 */
export const V8_FLAGS: readonly string[] = [
  '--max-inlined-bytecode-size=1500',
  '--max-inlined-bytecode-size-cumulative=5000',
];
