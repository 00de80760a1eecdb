/**
 * The owned bitmap: which ports, query ids and protocols of the external address are natgate's. The steering
 * programs read it (in the gateway it is a BPF array that this process maps), the port tables write it.
 *
 *     0      TCP ports, a bit each: byte port >> 3, bit port & 7
 *     8192   UDP ports
 *     16384  ICMP query ids
 *     24576  IP protocols other than these
 */
export const OWNED_TCP = 0;
export const OWNED_UDP = 8192;
export const OWNED_ICMP = 16384;
export const OWNED_PROTOCOLS = 24576;
export const OWNED_BYTES = 24608;

/** setOwned() for a bitmap that several threads write. */
export function setOwnedAtomic(bitmap: Uint8Array, section: number, number: number, owned: boolean): void {
  const at = section + (number >> 3);
  const bit = 1 << (number & 7);
  if (owned) Atomics.or(bitmap, at, bit);
  else Atomics.and(bitmap, at, ~bit);
}

export function setOwned(bitmap: Uint8Array, section: number, number: number, owned: boolean): void {
  const at = section + (number >> 3);
  const bit = 1 << (number & 7);
  bitmap[at] = owned ? bitmap[at]! | bit : bitmap[at]! & ~bit;
}
