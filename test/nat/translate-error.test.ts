/**
 * ICMP errors through the NAT, against packets put together by hand for either side: what the error must quote
 * on the other side is the quoted packet as that side knows it.
 */
import { describe, expect, test } from 'vitest';
import { FlowTable, REPLY_SIDE } from '../../src/conntrack/flow-table.ts';
import { OK } from '../../src/core/reasons.ts';
import { setDeltas } from '../../src/nat/translate.ts';
import { translateError } from '../../src/nat/translate-error.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { Bytes, swap16 } from '../../src/wire/bytes.ts';
import { M_L4, M_LENGTH, META, parsePacket, parseQuote } from '../../src/wire/parse.ts';
import { decode, onesSum, pseudoHeader } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';

const CLIENT = '10.77.0.2';
const REMOTE = '203.0.113.5';
const EXTERNAL = '198.18.0.1';
const ROUTER = '192.0.2.254';
const INTERNAL_PORT = 5000;
const EXTERNAL_PORT = 40001;
const REMOTE_PORT = 53;

interface Shape {
  protocol: number;
  options?: string;
  noChecksum?: boolean;
}

/** A packet of the flow, as it looks with `client` on `port` at the near end. `inbound`: from the remote. */
function flowPacket(shape: Shape, client: string, port: number, inbound: boolean): Uint8Array {
  const options = hex(shape.options ?? '');
  const header = { 6: 20, 17: 8, 1: 8, 47: 4 }[shape.protocol]!;
  const l4 = 20 + options.length;
  const packet = new Uint8Array(l4 + header + 33);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (l4 / 4);
  view.setUint16(2, packet.length);
  view.setUint16(4, 0x7777);
  packet[8] = 57;
  packet[9] = shape.protocol;
  const [src, dst] = inbound ? [REMOTE, client] : [client, REMOTE];
  packet.set(src.split('.').map(Number), 12);
  packet.set(dst.split('.').map(Number), 16);
  packet.set(options, 20);
  for (let i = 0; i < 33; i++) packet[l4 + header + i] = i * 7;
  if (shape.protocol === 6 || shape.protocol === 17) {
    view.setUint16(l4, inbound ? REMOTE_PORT : port);
    view.setUint16(l4 + 2, inbound ? port : REMOTE_PORT);
  }
  if (shape.protocol === 6) packet.set([1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18], l4 + 4);
  if (shape.protocol === 17) view.setUint16(l4 + 4, 41);
  if (shape.protocol === 1) {
    packet[l4] = inbound ? 0 : 8;
    view.setUint16(l4 + 4, port);
  }
  view.setUint16(10, 0xffff - onesSum(packet.subarray(0, l4)));
  const field = { 6: 16, 17: 6, 1: 2 }[shape.protocol];
  if (field !== undefined && shape.noChecksum !== true) {
    const start = shape.protocol === 1 ? 0 : onesSum(pseudoHeader(packet, packet.length - l4));
    view.setUint16(l4 + field, 0xffff - onesSum(packet.subarray(l4), start));
  }
  return packet;
}

/** An ICMP error from `src` to `dst` with this body behind the checksum. */
function error(src: string, dst: string, type: number, code: number, body: Uint8Array): Uint8Array {
  const packet = new Uint8Array(24 + body.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  packet[1] = 0xc0;
  view.setUint16(2, packet.length);
  packet[8] = 61;
  packet[9] = 1;
  packet.set(src.split('.').map(Number), 12);
  packet.set(dst.split('.').map(Number), 16);
  view.setUint16(10, 0xffff - onesSum(packet.subarray(0, 20)));
  packet[20] = type;
  packet[21] = code;
  packet.set(body, 24);
  view.setUint16(22, 0xffff - onesSum(packet.subarray(20)));
  return packet;
}

function newFlow(protocol: number): Int32Array {
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(4)), 0, 4, [1, 2]);
  const [inside, outside, remote] = [INTERNAL_PORT, EXTERNAL_PORT, REMOTE_PORT].map(swap16) as [
    number,
    number,
    number,
  ];
  let original = inside | (remote << 16);
  let reply = remote | (outside << 16);
  if (protocol === 1) [original, reply] = [inside | (8 << 16), outside];
  if (protocol === 47) [original, reply] = [0, 0];
  const [client, server, external] = [CLIENT, REMOTE, EXTERNAL].map((text) => parseAddress(text)!) as [
    number,
    number,
    number,
  ];
  table.create(protocol, client, server, original, server, external, reply, REPLY_SIDE, 0);
  setDeltas(table.hot, 0, protocol);
  return table.hot;
}

/** The error on the other side. `direction`: that of the error in the flow. */
function translate(protocol: number, packet: Uint8Array, direction: 0 | 1): Uint8Array {
  const OFFSET = 12;
  const bytes = new Bytes(new ArrayBuffer(2048));
  bytes.u8.set(packet, OFFSET);
  const meta = new Int32Array(2 * META);
  expect(parsePacket(bytes, OFFSET, packet.length, true, meta, 0)).toBe(OK);
  const l4 = meta[M_L4]!;
  const length = meta[M_LENGTH]! - (l4 - OFFSET);
  expect(parseQuote(bytes, l4, length, meta, META)).toBe(OK);
  translateError(bytes, meta, 0, META, newFlow(protocol), direction);
  return bytes.u8.slice(OFFSET, OFFSET + packet.length);
}

const shapes: [string, Shape][] = [
  ['UDP', { protocol: 17 }],
  ['UDP without checksum', { protocol: 17, noChecksum: true }],
  ['UDP with options', { protocol: 17, options: '4408050000000000' }],
  ['TCP', { protocol: 6 }],
  ['TCP with the longest options', { protocol: 6, options: `07270400${'00'.repeat(36)}` }],
  ['echo', { protocol: 1 }],
  ['echo with options', { protocol: 1, options: '01010100' }],
  ['GRE', { protocol: 47 }],
];

describe.each(shapes)('%s', (_, shape) => {
  const inside = (inbound: boolean) => flowPacket(shape, CLIENT, INTERNAL_PORT, inbound);
  const outside = (inbound: boolean) => flowPacket(shape, EXTERNAL, EXTERNAL_PORT, inbound);
  const header = 20 + (shape.options ?? '').length / 2;
  /** The packet cut to `length`. Of half a TCP checksum nothing can be made: it stays as the other side had it. */
  const cut = (packet: Uint8Array, length: number, other: Uint8Array) => {
    const quote = packet.slice(0, length);
    if (shape.protocol === 6 && length === header + 17) quote[length - 1] = other[length - 1]!;
    return quote;
  };

  test('from outside, about what the client sent: at every length of the quote', () => {
    const [known, quoted] = [inside(false), outside(false)];
    for (let length = header + 8; length <= quoted.length; length++) {
      for (const [type, code, rest] of [
        [3, 3, '00000000'],
        [3, 4, '00000578'],
        [11, 0, '00000000'],
        [12, 0, '14000000'],
        [4, 0, '00000000'],
      ] as const) {
        const body = (packet: Uint8Array) => Uint8Array.from([...hex(rest), ...cut(packet, length, quoted)]);
        const sent = translate(shape.protocol, error(ROUTER, EXTERNAL, type, code, body(quoted)), 1);
        const expected = error(ROUTER, CLIENT, type, code, body(known));
        expect(decode(sent)).toMatchObject({ ttl: 60, headerChecksumOk: true, checksumOk: true });
        expect(withoutTtl(sent)).toEqual(withoutTtl(expected));
      }
    }
  });

  test('from the client, about what the remote sent: nothing of the private side goes out', () => {
    const [known, quoted] = [outside(true), inside(true)];
    for (let length = header + 8; length <= quoted.length; length++) {
      const body = (packet: Uint8Array) => Uint8Array.from([0, 0, 0, 0, ...cut(packet, length, quoted)]);
      const sent = translate(shape.protocol, error(CLIENT, REMOTE, 3, 3, body(quoted)), 0);
      expect(decode(sent)).toMatchObject({
        src: EXTERNAL,
        dst: REMOTE,
        headerChecksumOk: true,
        checksumOk: true,
      });
      expect(withoutTtl(sent)).toEqual(withoutTtl(error(EXTERNAL, REMOTE, 3, 3, body(known))));
    }
  });

  test('from a router inside: it leaves with the external address, not its own', () => {
    const body = Uint8Array.from([0, 0, 0, 0, ...inside(true)]);
    const sent = translate(shape.protocol, error('10.77.9.9', REMOTE, 11, 0, body), 0);
    expect(decode(sent)).toMatchObject({ src: EXTERNAL, dst: REMOTE, checksumOk: true });
  });

  test('from the remote itself it keeps its address', () => {
    const body = Uint8Array.from([0, 0, 0, 0, ...outside(false)]);
    const sent = translate(shape.protocol, error(REMOTE, EXTERNAL, 3, 3, body), 1);
    expect(decode(sent)).toMatchObject({ src: REMOTE, dst: CLIENT, checksumOk: true });
  });

  test('RFC 4884 extensions behind the quote stay as they are', () => {
    // Quote padded to 128 bytes, its length in words in the 6th byte; then an extension with an MPLS label.
    const extension = hex('2000a3f8 00080101 00bff101');
    const body = (packet: Uint8Array) => {
      const bytes = new Uint8Array(4 + 128 + extension.length);
      bytes[1] = 32;
      bytes.set(packet.subarray(0, 128), 4);
      bytes.set(extension, 4 + 128);
      return bytes;
    };
    const sent = translate(shape.protocol, error(ROUTER, EXTERNAL, 11, 0, body(outside(false))), 1);
    expect(sent.subarray(-extension.length)).toEqual(extension);
    expect(withoutTtl(sent)).toEqual(withoutTtl(error(ROUTER, CLIENT, 11, 0, body(inside(false)))));
    expect(decode(sent).checksumOk).toBe(true);
  });
});

/** TTL and header checksum blanked. ICMP checksums 0000 and ffff are one number. */
function withoutTtl(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  copy[8] = 0;
  copy.fill(0, 10, 12);
  if (copy[22] === 0xff && copy[23] === 0xff) copy.fill(0, 22, 24);
  return copy;
}
