/**
 * The internet checksum (RFC 1071) and its incremental update (RFC 1624), on 16-bit words in wire order.
 *
 * A *delta* is a folded 16-bit one's complement difference: delta(m → m') = ~m + m'. Deltas add, the delta of the
 * way back is the complement (`~delta & 0xffff`), and applying one to a checksum costs no look at the data.
 */

/** Folds a sum of 16-bit words (below 2^31) to 16 bits. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Delta of a changed 32-bit word. */
export function delta32(before: number, after: number): number {
  return fold((~before & 0xffff) + (~before >>> 16) + (after & 0xffff) + (after >>> 16));
}

/** Delta of a changed 16-bit word. */
export function delta16(before: number, after: number): number {
  return fold((~before & 0xffff) + (after & 0xffff));
}

/** RFC 1624 eq. 3: a full checksum, with the words it covers changed by `delta`. */
export function adjust(checksum: number, delta: number): number {
  return fold((checksum ^ 0xffff) + delta) ^ 0xffff;
}

/**
 * Sum (not folded, not inverted) of `length` bytes at `offset`, which is even. Keeps below 2^31 for lengths to
 * 64 KiB. An odd last byte counts as if padded with zero.
 */
export function sumBytes(u8: Uint8Array, u16: Uint16Array, offset: number, length: number): number {
  let sum = 0;
  const end = offset + (length & ~1);
  for (let i = offset; i < end; i += 2) sum += u16[i >> 1]!;
  return (length & 1) === 0 ? sum : sum + u8[end]!;
}

/** Checksum, in wire order, of bytes whose checksum field is zero. */
export function checksum(u8: Uint8Array, u16: Uint16Array, offset: number, length: number): number {
  return fold(sumBytes(u8, u16, offset, length)) ^ 0xffff;
}

/** Sum of the TCP/UDP pseudo-header; `length` is that of transport header and payload. */
export function pseudoHeaderSum(
  source: number,
  destination: number,
  protocol: number,
  length: number,
): number {
  return (
    (source & 0xffff) +
    (source >>> 16) +
    (destination & 0xffff) +
    (destination >>> 16) +
    (protocol << 8) +
    (((length & 0xff) << 8) | (length >>> 8))
  );
}
