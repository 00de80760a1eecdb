import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reasonNames } from '../../src/core/reasons.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { Bytes, swap16 } from '../../src/wire/bytes.ts';
import {
  KIND_ERROR,
  KIND_FLOW,
  KIND_FRAGMENT,
  M_DESTINATION,
  M_FRAGMENT,
  M_KIND,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
  META,
  parseAny,
  parsePacket,
} from '../../src/wire/parse.ts';
import { corpus } from '../corpus/load.ts';
import { decode } from './decode.ts';
import { hex } from './hex.ts';

/** Where the packet lies: as in a slot of the arena, 12 bytes in, behind a vnet header. */
const OFFSET = 12;

function parse(packet: Uint8Array, vnet?: Uint8Array, by = parsePacket) {
  const bytes = new Bytes(new ArrayBuffer(OFFSET + ((packet.length + 3) & ~3) + 128));
  bytes.u8.fill(0xa5);
  bytes.u8.set(vnet ?? new Uint8Array(10), OFFSET - 10);
  bytes.u8.set(packet, OFFSET);
  // The second row of two, so that a row number that is ignored shows.
  const meta = new Int32Array(2 * META).fill(-1);
  const reason = by(bytes, OFFSET, packet.length, true, meta, META);
  return { reason: reasonNames[reason]!, row: meta.subarray(META), before: meta.subarray(0, META), bytes };
}

/** Reasons that parsePacket finds; the other folders of the corpus hold packets that it must let pass. */
const PARSED = new Set([
  'short_packet',
  'not_ipv4',
  'bad_header_length',
  'bad_total_length',
  'bad_header_checksum',
  'bad_options',
  'source_route',
  'bad_fragment',
  'bad_tcp',
  'bad_udp',
  'bad_sctp',
  'bad_icmp',
  'bad_offload',
  'icmp_type',
]);
/** The quote is read by parseQuote (quote.test.ts), but that there is none is seen here. */
const NO_QUOTE = new Set(['nothing', 'nineteen']);

describe('corpus', () => {
  test.each(corpus)('$reason/$name', ({ reason, name, packet, vnet }) => {
    const expected = PARSED.has(reason) || (reason === 'bad_quote' && NO_QUOTE.has(name)) ? reason : 'ok';
    expect(parse(packet, vnet).reason).toBe(expected);
  });

  test('of every packet that passes, the row says what a second reader sees', () => {
    for (const { name, packet } of corpus.filter(({ reason }) => reason === 'ok')) {
      const { row, before, bytes } = parse(packet);
      const seen = decode(packet);
      expect([...before], name).toEqual(new Array(META).fill(-1));
      expect(row[M_OFFSET], name).toBe(OFFSET);
      expect(row[M_LENGTH], name).toBe(seen.length);
      expect(row[M_PROTOCOL], name).toBe(seen.protocol);
      expect(row[M_L4], name).toBe(OFFSET + seen.length - seen.body.length);
      expect(formatAddress(row[M_SOURCE]!), name).toBe(seen.src);
      expect(formatAddress(row[M_DESTINATION]!), name).toBe(seen.dst);
      expect(row[M_KIND], name).toBe(KIND_FLOW);
      expect(row[M_FRAGMENT], name).toBe(seen.mf ? 0x2000 : 0);
      const ports = row[M_PORTS]!;
      if (seen.protocol === 6 || seen.protocol === 17) {
        expect([swap16(ports & 0xffff), swap16(ports >>> 16)], name).toEqual([seen.sport, seen.dport]);
      } else if (seen.protocol === 1) {
        expect([swap16(ports & 0xffff), (ports >>> 16) & 255, ports >>> 24], name).toEqual([
          seen.icmpId,
          seen.type,
          seen.code,
        ]);
      } else {
        expect(ports, name).toBe(0);
      }
      // Nothing is written.
      expect(bytes.u8.subarray(OFFSET, OFFSET + packet.length), name).toEqual(packet);
    }
  });
});

test('a later fragment has no ports', () => {
  // UDP, offset 64, last.
  const { reason, row } = parse(
    hex('45 00 00 1c 00 07 00 08 40 11 aa 5f 0a 4d 00 02 c6 12 00 02  01 02 03 04 05 06 07 08'),
  );
  expect(reason).toBe('ok');
  expect([row[M_KIND], row[M_FRAGMENT], row[M_PORTS]]).toEqual([KIND_FRAGMENT, 8, 0]);
});

test('a first fragment has ports, though its UDP length is that of the whole datagram', () => {
  const { row } = parse(corpus.find(({ name }) => name === 'first-fragment')!.packet);
  expect([row[M_KIND], row[M_FRAGMENT], row[M_PORTS]]).toEqual([KIND_FLOW, 0x2000, 0x35008813]);
});

test('an ICMP error has no tuple of its own', () => {
  const { packet } = corpus.find(({ reason }) => reason === 'bad_icmp_checksum')!;
  const { row } = parse(packet);
  expect([row[M_KIND], row[M_PORTS]]).toEqual([KIND_ERROR, 0]);
});

test('any bytes at all: an outcome with a name, rows within bounds, no write behind the packet', () => {
  const good = fc.constantFrom(...corpus.map(({ packet }) => packet));
  const edits = fc.array(fc.tuple(fc.nat(79), fc.nat(255)), { maxLength: 4 });
  const mutated = fc.tuple(good, edits, fc.nat(80)).map(([packet, changes, cut]) => {
    const copy = packet.slice(0, Math.max(packet.length - Math.max(cut - 60, 0), 0));
    for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
    return copy;
  });
  const vnet = fc.oneof(fc.constant(new Uint8Array(10)), fc.uint8Array({ minLength: 10, maxLength: 10 }));
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), vnet, (packet, offload) => {
      const { reason, row, bytes } = parse(packet, offload);
      expect(reason).toBeDefined();
      expect(bytes.u8.subarray(OFFSET, OFFSET + packet.length)).toEqual(packet);
      if (reason !== 'ok') return;
      const l4 = row[M_L4]! - OFFSET;
      expect(l4).toBeGreaterThanOrEqual(20);
      expect(l4).toBeLessThanOrEqual(row[M_LENGTH]!);
      expect(row[M_LENGTH]).toBeLessThanOrEqual(packet.length);
      const transport = { 6: 20, 17: 8, 1: 8 }[row[M_PROTOCOL]!] ?? 0;
      if (row[M_KIND] === KIND_FLOW) expect(l4 + transport).toBeLessThanOrEqual(row[M_LENGTH]!);
    }),
    { numRuns: 2000 },
  );
});

test('by words and field by field the same is read', () => {
  const good = corpus.filter(({ reason }) => reason === 'ok').map(({ packet }) => packet);
  const base = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...corpus.map(({ packet }) => packet)) },
  );
  const change = fc.tuple(fc.nat(63), fc.nat(255));
  const vnet = fc.constantFrom(
    new Uint8Array(10),
    new Uint8Array(10),
    Uint8Array.of(1, 0, 0, 0, 0, 0, 20, 0, 16, 0),
    Uint8Array.of(1, 0, 0, 0, 0, 0, 20, 0, 6, 0),
    Uint8Array.of(1, 1, 0, 0, 100, 0, 20, 0, 16, 0),
    Uint8Array.of(2, 5, 0, 0, 100, 0, 20, 0, 6, 0),
  );
  const counts = { ok: 0, refused: 0 };
  fc.assert(
    fc.property(
      base,
      fc.array(change, { maxLength: 2 }),
      fc.nat(3),
      vnet,
      (original, changes, cut, offload) => {
        const packet = original.slice(0, original.length - cut);
        for (const [at, value] of changes) if (at < packet.length) packet[at] = value;
        if (packet.length >= 20) repair(packet);
        const words = parse(packet, offload);
        const fields = parse(packet, offload, parseAny);
        expect(words.reason).toBe(fields.reason);
        expect(words.bytes.u8).toEqual(fields.bytes.u8);
        if (words.reason === 'ok') expect([...words.row]).toEqual([...fields.row]);
        counts[words.reason === 'ok' ? 'ok' : 'refused']++;
      },
    ),
    { numRuns: 6000 },
  );
  expect(Math.min(counts.ok, counts.refused)).toBeGreaterThan(400);
});

/** The header checksum that a changed packet should have. */
function repair(packet: Uint8Array): void {
  const header = Math.min((packet[0]! & 15) * 4, packet.length & ~1);
  packet.fill(0, 10, 12);
  let sum = 0;
  for (let i = 0; i < header; i += 2) sum += (packet[i]! << 8) | packet[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  packet[10] = (sum ^ 0xffff) >>> 8;
  packet[11] = sum ^ 0xffff;
}
