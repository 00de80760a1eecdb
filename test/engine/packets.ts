/** Packets of any make-up for the engine's tests; sums by the tests' own arithmetic (test/wire/decode.ts). */
import { onesSum, pseudoHeader } from '../wire/decode.ts';

export interface RawFields {
  src: string;
  dst: string;
  protocol: number;
  /** All behind the IPv4 header, as it is. */
  body: Uint8Array;
  tos?: number;
  id?: number;
  /** Flags and offset / 8, as the field holds them. */
  flags?: number;
  ttl?: number;
  options?: Uint8Array;
}

export function rawPacket(fields: RawFields): Uint8Array {
  const options = fields.options ?? new Uint8Array(0);
  const header = 20 + options.length;
  const packet = new Uint8Array(header + fields.body.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (header / 4);
  packet[1] = fields.tos ?? 0;
  view.setUint16(2, packet.length);
  view.setUint16(4, fields.id ?? 1);
  view.setUint16(6, fields.flags ?? 0);
  packet[8] = fields.ttl ?? 64;
  packet[9] = fields.protocol;
  packet.set(fields.src.split('.').map(Number), 12);
  packet.set(fields.dst.split('.').map(Number), 16);
  packet.set(options, 20);
  view.setUint16(10, 0xffff - onesSum(packet.subarray(0, header)));
  packet.set(fields.body, header);
  return packet;
}

/** `length` bytes that differ from their neighbours and never look like an address of the tests. */
export function filler(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 128 + ((i * 37 + seed + (i >> 7)) % 128));
}

/** A packet cut into fragments of `piece` bytes (a multiple of 8) each. */
export function cut(packet: Uint8Array, piece: number): Uint8Array[] {
  const header = (packet[0]! & 15) * 4;
  const body = packet.subarray(header);
  const fragments: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += piece) {
    const part = body.subarray(at, at + piece);
    const fragment = new Uint8Array(header + part.length);
    fragment.set(packet.subarray(0, header));
    fragment.set(part, header);
    const view = new DataView(fragment.buffer);
    view.setUint16(2, fragment.length);
    view.setUint16(6, (at + part.length < body.length ? 0x2000 : 0) | (at / 8));
    view.setUint16(10, 0);
    view.setUint16(10, 0xffff - onesSum(fragment.subarray(0, header)));
    fragments.push(fragment);
  }
  return fragments;
}

/** The packet with its TCP or UDP checksum as NEEDS_CSUM has it: the folded sum of the pseudo-header. */
export function partial(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  const header = (copy[0]! & 15) * 4;
  const field = header + (copy[9] === 6 ? 16 : 6);
  new DataView(copy.buffer).setUint16(field, onesSum(pseudoHeader(copy, copy.length - header)));
  return copy;
}

/** What a device does with NEEDS_CSUM. */
export function complete(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  const header = (copy[0]! & 15) * 4;
  const field = header + (copy[9] === 6 ? 16 : 6);
  const sum = 0xffff - onesSum(copy.subarray(header));
  new DataView(copy.buffer).setUint16(field, sum === 0 && copy[9] === 17 ? 0xffff : sum);
  return copy;
}

/** What a device does with GSO_TCPV4 or GSO_UDP_L4: the segments, with whole checksums. */
export function segment(packet: Uint8Array, vnet: Uint8Array): Uint8Array[] {
  const view = new DataView(vnet.buffer, vnet.byteOffset);
  const size = view.getUint16(4, true);
  const header = (packet[0]! & 15) * 4;
  const transport = packet[9] === 6 ? (packet[header + 12]! >> 4) * 4 : 8;
  const headers = header + transport;
  const segments: Uint8Array[] = [];
  for (let at = headers, n = 0; at < packet.length; at += size, n++) {
    const data = packet.subarray(at, at + size);
    const one = new Uint8Array(headers + data.length);
    one.set(packet.subarray(0, headers));
    one.set(data, headers);
    const out = new DataView(one.buffer);
    out.setUint16(2, one.length);
    out.setUint16(4, (out.getUint16(4) + n) & 0xffff);
    out.setUint16(10, 0);
    out.setUint16(10, 0xffff - onesSum(one.subarray(0, header)));
    if (packet[9] === 17) out.setUint16(header + 4, 8 + data.length);
    else out.setUint32(header + 4, (out.getUint32(header + 4) + at - headers) >>> 0);
    segments.push(complete(partial(one)));
  }
  return segments;
}
