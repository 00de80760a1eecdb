import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FlowTable, HOT } from '../../src/conntrack/flow-table.ts';
import { invertPorts } from '../../src/conntrack/tuple.ts';
import { OK } from '../../src/core/reasons.ts';
import { setDeltas, translateHeader, translatePacket } from '../../src/nat/translate.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { Bytes, swap16 } from '../../src/wire/bytes.ts';
import { M_DESTINATION, M_L4, M_PORTS, M_SOURCE, META, parsePacket } from '../../src/wire/parse.ts';
import { decode, onesSum, pseudoHeader } from '../wire/decode.ts';
import { hex } from '../wire/hex.ts';

const OFFSET = 12;
const SEED = [1, 2] as const;

/** One flow, and a place to translate packets in. `external`: address as text, port or id. */
class Bed {
  readonly bytes = new Bytes(new ArrayBuffer(OFFSET + 70_000));
  readonly meta = new Int32Array(META);
  readonly table = new FlowTable(new ArrayBuffer(FlowTable.bytes(16)), 0, 16, SEED);

  load(packet: Uint8Array, vnet: Uint8Array = new Uint8Array(10)): void {
    this.bytes.u8.set(vnet, OFFSET - 10);
    this.bytes.u8.set(packet, OFFSET);
    expect(parsePacket(this.bytes, OFFSET, packet.length, true, this.meta, 0)).toBe(OK);
  }

  /** Makes the flow that `packet` begins. */
  begin(packet: Uint8Array, external: string, port: number): void {
    this.load(packet);
    const protocol = packet[9]!;
    const ports = this.meta[M_PORTS]!;
    const inverse = invertPorts(protocol, ports);
    const wire = swap16(port);
    const reply =
      protocol === 1
        ? (inverse & ~0xffff) | wire
        : protocol === 6 || protocol === 17
          ? (inverse & 0xffff) | (wire << 16)
          : 0;
    const { table, meta } = this;
    const flow = table.create(
      protocol,
      meta[M_SOURCE]!,
      meta[M_DESTINATION]!,
      ports,
      meta[M_DESTINATION]!,
      parseAddress(external)!,
      reply,
      0,
      0,
    );
    expect(flow).toBe(0);
    setDeltas(table.hot, flow, protocol);
  }

  /** The packet as direction `direction` of the flow sends it on. */
  through(packet: Uint8Array, direction: 0 | 1, vnet = new Uint8Array(10)): Uint8Array {
    this.load(packet, vnet);
    translatePacket(this.bytes, OFFSET, this.meta[M_L4]!, this.table.hot, direction);
    return this.bytes.u8.slice(OFFSET, OFFSET + packet.length);
  }
}

interface Made {
  packet: Uint8Array;
  protocol: number;
}

const address = fc
  .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255))
  .map((bytes) => bytes.join('.'));
const port = fc.nat(65535);
const options = fc.constantFrom('', '01010100', '0707040000000000', '440c0500000000000000000000000000');

/** Packets put together here, with checksums of this file's own making. */
const made: fc.Arbitrary<Made> = fc
  .record({
    protocol: fc.constantFrom(6, 17, 1, 47),
    src: address,
    dst: address,
    sport: port,
    dport: port,
    options,
    payload: fc.uint8Array({ maxLength: 64 }),
    noChecksum: fc.boolean(),
    ttl: fc.integer({ min: 2, max: 255 }),
  })
  .map(({ protocol, src, dst, sport, dport, options, payload, noChecksum, ttl }) => {
    const header = { 6: 20, 17: 8, 1: 8, 47: 0 }[protocol]!;
    const l4 = 20 + options.length / 2;
    const packet = new Uint8Array(l4 + header + payload.length);
    const view = new DataView(packet.buffer);
    packet[0] = 0x40 | (l4 / 4);
    view.setUint16(2, packet.length);
    packet[8] = ttl;
    packet[9] = protocol;
    packet.set(src.split('.').map(Number), 12);
    packet.set(dst.split('.').map(Number), 16);
    packet.set(hex(options), 20);
    packet.set(payload, l4 + header);
    if (protocol === 6 || protocol === 17) {
      view.setUint16(l4, sport);
      view.setUint16(l4 + 2, dport);
    }
    if (protocol === 6) {
      packet[l4 + 12] = 0x50;
      packet[l4 + 13] = 0x10;
    }
    if (protocol === 17) view.setUint16(l4 + 4, 8 + payload.length);
    if (protocol === 1) {
      packet[l4] = 8;
      view.setUint16(l4 + 4, sport);
      view.setUint16(l4 + 6, dport);
    }
    fillChecksums(packet, protocol === 17 && noChecksum);
    return { packet, protocol };
  });

function fillChecksums(packet: Uint8Array, noTransport = false): void {
  const view = new DataView(packet.buffer);
  const l4 = (packet[0]! & 15) * 4;
  view.setUint16(10, 0);
  view.setUint16(10, 0xffff - onesSum(packet.subarray(0, l4)));
  const field = { 6: 16, 17: 6, 1: 2 }[packet[9]!];
  if (field === undefined) return;
  view.setUint16(l4 + field, 0);
  if (noTransport) return;
  const body = packet.subarray(l4);
  const start = packet[9] === 1 ? 0 : onesSum(pseudoHeader(packet, body.length));
  const sum = 0xffff - onesSum(body, start);
  view.setUint16(l4 + field, sum === 0 && packet[9] === 17 ? 0xffff : sum);
}

/** The answer to a packet that leaves all checksums right: endpoints change places. */
function answer(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  const l4 = (copy[0]! & 15) * 4;
  copy.set(packet.subarray(16, 20), 12);
  copy.set(packet.subarray(12, 16), 16);
  if (copy[9] === 6 || copy[9] === 17) {
    copy.set(packet.subarray(l4 + 2, l4 + 4), l4);
    copy.set(packet.subarray(l4, l4 + 2), l4 + 2);
  }
  if (copy[9] === 1) {
    copy[l4] = 0;
    fillChecksums(copy);
  }
  return copy;
}

/** With TTL and header checksum blanked. */
function blank(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  copy[8] = 0;
  copy.fill(0, 10, 12);
  return copy;
}

test('a literal query leaves with the external endpoint', () => {
  const bed = new Bed();
  // 10.77.0.2:5000 > 198.18.0.2:53, "hi"; expected bytes from a calculation by hand.
  const query = hex(
    '45 00 00 1e 00 01 40 00 40 11 6a 6b 0a 4d 00 02 c6 12 00 02 13 88 00 35 00 0a b3 50 68 69',
  );
  bed.begin(query, '198.18.0.1', 40000);
  expect(bed.through(query, 0)).toEqual(
    hex('45 00 00 1e 00 01 40 00 3f 11 af a6 c6 12 00 01 c6 12 00 02 9c 40 00 35 00 0a 6e d3 68 69'),
  );
});

test('out and back restores every bit but TTL and header checksum; all checksums are right on both sides', () => {
  fc.assert(
    fc.property(made, address, port, ({ packet, protocol }, external, externalPort) => {
      const bed = new Bed();
      bed.begin(packet, external, externalPort);
      const sent = bed.through(packet, 0);
      const seen = decode(sent);
      const before = decode(packet);
      expect(seen).toMatchObject({
        src: external,
        dst: before.dst,
        ttl: before.ttl - 1,
        headerChecksumOk: true,
        checksumOk: true,
      });
      if (protocol === 6 || protocol === 17)
        expect([seen.sport, seen.dport]).toEqual([externalPort, before.dport]);
      if (protocol === 1) expect(seen.icmpId).toBe(externalPort);
      expect(seen.payload).toEqual(before.payload);
      expect(seen.options).toEqual(before.options);
      if (seen.ttl < 2) return;

      const received = bed.through(answer(sent), 1);
      expect(blank(received)).toEqual(blank(answer(packet)));
      expect(decode(received)).toMatchObject({
        src: before.dst,
        dst: before.src,
        ttl: before.ttl - 2,
        headerChecksumOk: true,
        checksumOk: true,
      });
    }),
    { numRuns: 500 },
  );
});

test('a UDP checksum of 0 stays 0; a computed 0 is sent as ffff', () => {
  fc.assert(
    fc.property(
      made,
      address,
      port,
      fc.nat(65535),
      ({ packet, protocol }, external, externalPort, filler) => {
        fc.pre(protocol === 17);
        const bed = new Bed();
        const view = new DataView(packet.buffer);
        const field = (packet[0]! & 15) * 4 + 6;
        bed.begin(packet, external, externalPort);
        view.setUint16(field, 0);
        expect(decode(bed.through(packet, 0)).body.subarray(6, 8)).toEqual(Uint8Array.of(0, 0));
        view.setUint16(field, filler);
        const sum = decode(bed.through(packet, 0)).body;
        if (filler !== 0) expect(sum[6]! * 256 + sum[7]!).not.toBe(0);
      },
    ),
  );
});

test('whatever the checksum, it never becomes 0, which would mean none', () => {
  const query = hex(
    '45 00 00 1e 00 01 40 00 40 11 6a 6b 0a 4d 00 02 c6 12 00 02 13 88 00 35 00 0a b3 50 68 69',
  );
  const bed = new Bed();
  bed.begin(query, '198.18.0.1', 40000);
  const view = new DataView(query.buffer);
  const results = new Set<number>();
  for (let sum = 1; sum < 65536; sum++) {
    view.setUint16(26, sum);
    const sent = bed.through(query, 0);
    results.add(sent[26]! * 256 + sent[27]!);
  }
  expect(results.has(0)).toBe(false);
  expect(results.size).toBe(65535);
});

test('a partial checksum takes the addresses only: completed afterwards, it is right', () => {
  fc.assert(
    fc.property(made, address, port, ({ packet, protocol }, external, externalPort) => {
      fc.pre(protocol === 6 || protocol === 17);
      const bed = new Bed();
      const l4 = (packet[0]! & 15) * 4;
      const field = l4 + (protocol === 6 ? 16 : 6);
      const body = packet.length - l4;
      const view = new DataView(packet.buffer);
      view.setUint16(field, onesSum(pseudoHeader(packet, body)));
      const vnet = new Uint8Array(10);
      new DataView(vnet.buffer).setUint16(6, l4, true);
      new DataView(vnet.buffer).setUint16(8, field - l4, true);
      vnet[0] = 1;
      bed.begin(packet, external, externalPort);
      const sent = bed.through(packet, 0, vnet);
      const partial = new DataView(sent.buffer).getUint16(field);
      expect(partial % 0xffff).toBe(onesSum(pseudoHeader(sent, body)) % 0xffff);
      new DataView(sent.buffer).setUint16(field, 0xffff - onesSum(sent.subarray(l4)));
      // The field held the sum of the pseudo-header, so it is in the sum.
      const seen = decode(sent);
      expect(seen).toMatchObject({
        src: external,
        sport: externalPort,
        headerChecksumOk: true,
        checksumOk: true,
      });
    }),
  );
});

test('fragments: the first takes the deltas, the rest the addresses; the datagram’s checksum is right', () => {
  fc.assert(
    fc.property(
      made,
      address,
      port,
      fc.integer({ min: 3, max: 6 }),
      ({ packet, protocol }, external, externalPort, eighths) => {
        const l4 = (packet[0]! & 15) * 4;
        const cut = eighths * 8;
        fc.pre(packet.length - l4 > cut && packet.length - l4 - cut > 0);
        const bed = new Bed();
        bed.begin(packet, external, externalPort);
        const whole = bed.through(packet, 0);

        const piece = (from: number, to: number, flags: number) => {
          const part = new Uint8Array(l4 + to - from);
          part.set(packet.subarray(0, l4));
          part.set(packet.subarray(l4 + from, l4 + to), l4);
          const view = new DataView(part.buffer);
          view.setUint16(2, part.length);
          view.setUint16(6, flags | (from / 8));
          view.setUint16(10, 0);
          view.setUint16(10, 0xffff - onesSum(part.subarray(0, l4)));
          return part;
        };
        const first = bed.through(piece(0, cut, 0x2000), 0);
        const rest = piece(cut, packet.length - l4, 0);
        bed.load(rest);
        translateHeader(bed.bytes, OFFSET, bed.table.hot, 0);
        const last = bed.bytes.u8.slice(OFFSET, OFFSET + rest.length);
        expect(decode(first).headerChecksumOk && decode(last).headerChecksumOk).toBe(true);
        expect(decode(last)).toMatchObject({ src: external, ttl: packet[8]! - 1 });
        expect([...first.subarray(l4), ...last.subarray(l4)]).toEqual([...whole.subarray(l4)]);
        expect(protocol === 47 || decode(whole).checksumOk).toBe(true);
      },
    ),
  );
});

describe('setDeltas', () => {
  test('nothing to change is a delta of nothing', () => {
    const bed = new Bed();
    const query = hex(
      '45 00 00 1e 00 01 40 00 40 11 6a 6b 0a 4d 00 02 c6 12 00 02 13 88 00 35 00 0a b3 50 68 69',
    );
    bed.begin(query, '10.77.0.2', 5000);
    const sent = bed.through(query, 0);
    expect(sent.subarray(12)).toEqual(query.subarray(12));
    expect(bed.table.hot).toHaveLength(16 * HOT);
  });
});
