/**
 * IPv4 addresses: text and int32.
 *
 * Above the wire an address is a signed int32 in *wire order*: the four bytes as they stand in the packet, loaded
 * as one little-endian word (10.0.0.1 is 0x0100000a). Equality, hashing, masking and checksum arithmetic need no
 * byte swap in that form; ordering does (`hostOrder`). Masks are in wire order too.
 */

/** Parses dotted-quad text, four decimal numbers without leading zeros. Returns null for anything else. */
export function parseAddress(text: string): number | null {
  const match = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (match === null) return null;
  let address = 0;
  for (let i = 0; i < 4; i++) {
    const byte = Number(match[i + 1]);
    if (byte > 255) return null;
    address |= byte << (8 * i);
  }
  return address;
}

/** An address as text, `10.0.0.1`. */
export function formatAddress(address: number): string {
  return `${address & 0xff}.${(address >>> 8) & 0xff}.${(address >>> 16) & 0xff}.${address >>> 24}`;
}

/** A network: an address and how many of its bits count. */
export interface Prefix {
  /** Wire order, host bits zero. */
  address: number;
  /** 0-32 */
  length: number;
}

/** Parses `a.b.c.d/n`; host bits are cleared. Returns null when it is no prefix. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const digits = slash < 0 ? '32' : text.slice(slash + 1);
  if (address === null || !/^(0|[1-9]\d?)$/.test(digits) || Number(digits) > 32) return null;
  const length = Number(digits);
  return { address: address & prefixMask(length), length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** The mask of a prefix length (0-32), in wire order. */
export function prefixMask(length: number): number {
  return length === 0 ? 0 : hostOrder(-1 << (32 - length));
}

/** Swaps wire order and host order: the address as a number that orders as addresses do (use `>>> 0`). */
export function hostOrder(address: number): number {
  return (address << 24) | ((address & 0xff00) << 8) | ((address >>> 8) & 0xff00) | (address >>> 24) | 0;
}
