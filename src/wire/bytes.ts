/**
 * Memory that holds packets, and how fields are read from it.
 *
 * All packet functions take (bytes: Bytes, offset: number), where `offset` is a byte offset that is 4-aligned for
 * an IPv4 header. IHL counts 4-byte words, so every header behind it is aligned too, and 16- and 32-bit fields
 * are single loads. Such loads are little-endian: values come in *wire order*. That is what equality, hashing and
 * one's complement arithmetic want (RFC 1071: the sum does not depend on byte order); where a field's value
 * matters it is swapped (`be16`).
 */
export class Bytes {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;

  /** `buffer`: byteLength a multiple of 4. */
  constructor(buffer: ArrayBuffer) {
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
  }
}

/** The 16-bit field at `offset`, as a value. */
export function be16(u8: Uint8Array, offset: number): number {
  return (u8[offset]! << 8) | u8[offset + 1]!;
}

export function putBe16(u8: Uint8Array, offset: number, value: number): void {
  u8[offset] = value >>> 8;
  u8[offset + 1] = value;
}

/** Wire order of a 32-bit value, and back, as int32. */
export function swap32(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}

/** Wire order of a 16-bit value, and back. */
export function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}
