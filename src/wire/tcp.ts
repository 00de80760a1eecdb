/** TCP header (RFC 9293). Offsets are from its first byte. */
export const TCP_SEQUENCE = 4;
export const TCP_ACK = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;
export const TCP_HEADER = 20;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;

/** Bytes of the header with options. */
export function tcpHeaderLength(u8: Uint8Array, offset: number): number {
  return (u8[offset + TCP_DATA_OFFSET]! >> 4) << 2;
}
