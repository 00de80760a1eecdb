/** SCTP packets for tests. The CRC32c is a fixed pattern: nobody on the way looks at it, or may change it. */
import { ipPacket } from '../../src/testing/packets.ts';
import { parseAddress } from '../../src/wire/address.ts';

export function sctpPacket(fields: {
  from: string;
  to: string;
  tag: number;
  chunks: Uint8Array[];
}): Uint8Array {
  const [from, sport] = fields.from.split(':') as [string, string];
  const [to, dport] = fields.to.split(':') as [string, string];
  const length = fields.chunks.reduce((sum, chunk) => sum + ((chunk.length + 3) & ~3), 12);
  const body = new Uint8Array(length);
  const view = new DataView(body.buffer);
  view.setUint16(0, Number(sport));
  view.setUint16(2, Number(dport));
  view.setUint32(4, fields.tag);
  view.setUint32(8, 0xc3c2c1c0);
  let at = 12;
  for (const chunk of fields.chunks) {
    body.set(chunk, at);
    at += (chunk.length + 3) & ~3;
  }
  return ipPacket({ from: parseAddress(from)!, to: parseAddress(to)!, protocol: 132, payload: body });
}

/** A chunk of `type` with `bytes` bytes of value. */
export function chunk(type: number, flags = 0, bytes = 0): Uint8Array {
  const data = new Uint8Array(4 + bytes);
  data[0] = type;
  data[1] = flags;
  new DataView(data.buffer).setUint16(2, data.length);
  return data;
}

/** INIT (1) or INIT ACK (2) that asks for `tag`. */
export function initChunk(tag: number, type = 1): Uint8Array {
  const data = chunk(type, 0, 16);
  new DataView(data.buffer).setUint32(4, tag);
  return data;
}
