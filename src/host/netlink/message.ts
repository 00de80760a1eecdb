/**
 * Netlink messages (linux/netlink.h): a header of 16 bytes, a fixed part per message type, then attributes of
 * {length, type, payload}, each padded to 4 bytes and possibly nested.
 *
 * Integers are little-endian, the byte order of every machine natgate runs on; the few fields that are in network
 * order say so where they are used. Readers trust no length: what does not fit its container ends the walk.
 */

/** nlmsg_flags (linux/netlink.h). */
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const HEADER = 16;
const ATTRIBUTE_HEADER = 4;
/** The upper two bits of an attribute type are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER). */
const TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;

const align = (length: number): number => (length + 3) & ~3;

/** Builds one attribute; `payload` may be other attributes, joined. */
export function attribute(type: number, payload: Uint8Array): Buffer {
  const length = ATTRIBUTE_HEADER + payload.length;
  const bytes = Buffer.alloc(align(length));
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(payload, ATTRIBUTE_HEADER);
  return bytes;
}

export function u8(type: number, value: number): Buffer {
  return attribute(type, Buffer.of(value));
}

export function u32(type: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(value >>> 0, 0);
  return attribute(type, payload);
}

/** A zero-terminated string. */
export function text(type: number, value: string): Buffer {
  return attribute(type, Buffer.from(`${value}\0`, 'utf8'));
}

export function nest(type: number, attributes: readonly Uint8Array[]): Buffer {
  return attribute(type | NLA_F_NESTED, Buffer.concat(attributes));
}

/** Builds a whole message. NLM_F_REQUEST is added; sequence number and port id stay 0: one request per socket. */
export function message(
  type: number,
  flags: number,
  fixed: Uint8Array,
  attributes: readonly Uint8Array[] = [],
): Buffer {
  const head = Buffer.alloc(HEADER + align(fixed.length));
  head.writeUInt16LE(type, 4);
  head.writeUInt16LE(flags | NLM_F_REQUEST, 6);
  head.set(fixed, HEADER);
  const bytes = Buffer.concat([head, ...attributes]);
  bytes.writeUInt32LE(bytes.length, 0);
  return bytes;
}

export interface Message {
  type: number;
  flags: number;
  /** What follows the header: the fixed part and the attributes. */
  body: Buffer;
}

/** Splits received bytes into messages. */
export function readMessages(received: Uint8Array): Message[] {
  const bytes = asBuffer(received);
  const found: Message[] = [];
  let at = 0;
  while (at + HEADER <= bytes.length) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER || at + length > bytes.length) break;
    found.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      body: bytes.subarray(at + HEADER, at + length),
    });
    at += align(length);
  }
  return found;
}

/** The attributes of a message body behind its fixed part of `from` bytes, or of a nest (`from` 0). */
export class Attributes {
  readonly #values = new Map<number, Buffer>();

  constructor(body: Uint8Array | undefined, from = 0) {
    if (body === undefined) return;
    const bytes = asBuffer(body);
    let at = align(from);
    while (at + ATTRIBUTE_HEADER <= bytes.length) {
      const length = bytes.readUInt16LE(at);
      if (length < ATTRIBUTE_HEADER || at + length > bytes.length) break;
      this.#values.set(
        bytes.readUInt16LE(at + 2) & TYPE_MASK,
        bytes.subarray(at + ATTRIBUTE_HEADER, at + length),
      );
      at += align(length);
    }
  }

  bytes(type: number): Buffer | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#atLeast(type, 1)?.readUInt8(0);
  }

  u32(type: number): number | undefined {
    return this.#atLeast(type, 4)?.readUInt32LE(0);
  }

  /** An IPv4 address, in wire order (wire/address.ts). */
  address(type: number): number | undefined {
    return this.#atLeast(type, 4)?.readInt32LE(0);
  }

  text(type: number): string | undefined {
    const value = this.#values.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return value.toString('utf8', 0, end < 0 ? value.length : end);
  }

  nest(type: number): Attributes {
    return new Attributes(this.#values.get(type));
  }

  #atLeast(type: number, length: number): Buffer | undefined {
    const value = this.#values.get(type);
    return value !== undefined && value.length >= length ? value : undefined;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
