/** CRC-32 as in Ethernet and zip (ITU-T V.42): finds every damage of up to 32 neighbouring bits, and others all but once in 2^32. */

/** The remainder of each byte; 0xedb88320 is the polynomial, bits reversed. */
const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  return remainder;
});

/** CRC-32 of the bytes [from, to), unsigned. */
export function crc32(bytes: Uint8Array, from = 0, to = bytes.length): number {
  let crc = -1;
  for (let i = from; i < to; i++) crc = table[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
