/** What holds for every packet and every sequence of packets, by fast-check: a failure prints its seed and a small case. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode, onesSum } from '../wire/decode.ts';
import { Bed, EXTERNAL, PUBLIC, to, vnetHeader } from './bed.ts';
import { complete, filler, partial, rawPacket } from './packets.ts';

const PORTS = { first: 33000, last: 33015 };

interface Case {
  protocol: 'tcp' | 'udp' | 'echo' | 'gre';
  client: number;
  server: number;
  port: number;
  size: number;
  checksum: 'right' | 'wrong' | 'none' | 'partial';
  options: boolean;
}

const cases: fc.Arbitrary<Case> = fc.record({
  protocol: fc.constantFrom('tcp', 'udp', 'echo', 'gre'),
  client: fc.integer({ min: 2, max: 5 }),
  server: fc.integer({ min: 1, max: 3 }),
  port: fc.oneof(fc.integer({ min: 0, max: 65_535 }), fc.integer({ min: 32_998, max: 33_020 })),
  // Odd lengths too, and some that reach into a slot's overflow.
  size: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1400, max: 2500 })),
  checksum: fc.constantFrom('right', 'right', 'wrong', 'none', 'partial'),
  options: fc.boolean(),
});

const OFFLOADED = { tcp: 16, udp: 6, echo: 0, gre: 0 };

/** The packet that a client sends, and the vnet header it comes with. */
function make(it: Case): { packet: Uint8Array; vnet: Uint8Array | undefined } {
  const [from, server] = [`10.77.0.${it.client}`, `203.0.113.${it.server}`];
  const ends = { from: `${from}:${it.port}`, to: `${server}:80`, payload: filler(it.size, it.port), ttl: 40 };
  let packet = {
    // Sequence and acknowledgement alike, so that the answer, with the same two, is in its window.
    tcp: () => tcpPacket({ ...ends, flags: 'A', seq: 5000, ack: 5000 }),
    udp: () => udpPacket(ends),
    echo: () => echoPacket({ from, to: server, identifier: it.port, payload: ends.payload, ttl: 40 }),
    gre: () =>
      rawPacket({ src: from, dst: server, protocol: 47, body: filler(it.size + 4), ttl: 40, flags: 0x4000 }),
  }[it.protocol]();
  if (it.options) packet = withOptions(packet);
  const header = (packet[0]! & 15) * 4;
  const field = { tcp: 16, udp: 6, echo: 2, gre: 0 }[it.protocol];
  if (it.checksum === 'wrong' && it.protocol !== 'gre') packet[header + field]! ^= 0x5a;
  if (it.checksum === 'none' && it.protocol === 'udp') packet.fill(0, header + 6, header + 8);
  if (it.checksum !== 'partial' || OFFLOADED[it.protocol] === 0) return { packet, vnet: undefined };
  const vnet = vnetHeader({ flags: 1, csumStart: header, csumOffset: OFFLOADED[it.protocol] });
  return { packet: partial(packet), vnet };
}

/** Record route with room for one address, and an end of options. */
function withOptions(packet: Uint8Array): Uint8Array {
  const longer = Uint8Array.from([...packet.subarray(0, 20), 7, 7, 4, 0, 0, 0, 0, 0, ...packet.subarray(20)]);
  longer[0] = 0x47;
  new DataView(longer.buffer).setUint16(2, longer.length);
  return mend(longer);
}

function mend(packet: Uint8Array): Uint8Array {
  const view = new DataView(packet.buffer);
  view.setUint16(10, 0);
  view.setUint16(10, 0xffff - onesSum(packet.subarray(0, (packet[0]! & 15) * 4)));
  return packet;
}

/** Endpoints exchanged, as in an answer of the same words. No checksum over them changes by that, but an echo's. */
function turned(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  copy.set(packet.subarray(12, 16), 16);
  copy.set(packet.subarray(16, 20), 12);
  const l4 = (copy[0]! & 15) * 4;
  if (copy[9] === 6 || copy[9] === 17) {
    copy.set(packet.subarray(l4, l4 + 2), l4 + 2);
    copy.set(packet.subarray(l4 + 2, l4 + 4), l4);
  }
  if (copy[9] === 1) {
    const view = new DataView(copy.buffer);
    const type = copy[l4]!;
    copy[l4] = 8 - type;
    // RFC 1624 eq. 3, for the word that holds the type.
    const sum = [0xffff - view.getUint16(l4 + 2), 0xffff - (type << 8), (8 - type) << 8];
    view.setUint16(l4 + 2, 0xffff - onesSum(Uint8Array.from(sum.flatMap((word) => [word >> 8, word & 255]))));
  }
  return copy;
}

describe('translation', () => {
  test('out, answered in the same words, and back: the packet bit for bit, TTL aside', () => {
    fc.assert(
      fc.property(cases, (it) => {
        const bed = new Bed({ mtu: [9000, 9000] });
        const { packet, vnet } = make(it);
        const [sent] = bed.out(packet, vnet);
        expect(decode(sent!.packet)).toMatchObject({ src: EXTERNAL, ttl: 39, headerChecksumOk: true });
        const [received] = bed.in(mend(turned(sent!.packet)), sent!.vnet);
        const back = turned(received!.packet);
        back[8] = packet[8]!;
        expect(Buffer.from(mend(back)).toString('hex')).toBe(Buffer.from(packet).toString('hex'));
        expect(received!.vnet.subarray(0, 2)).toEqual((vnet ?? new Uint8Array(10)).subarray(0, 2));
        bed.checkInvariants();
      }),
      { numRuns: 200 },
    );
  });

  test('checksums verify after any sequence of translations', () => {
    const whole = fc.record({
      it: cases.filter(({ checksum }) => checksum !== 'wrong'),
      answered: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(whole, { minLength: 1, maxLength: 30 }), (sequence) => {
        const bed = new Bed({ mtu: [9000, 9000], ports: PORTS });
        for (const { it, answered } of sequence) {
          const { packet, vnet } = make(it);
          for (const sent of bed.out(packet, vnet)) {
            // One without a port, or whose tuple another has, is answered with an error.
            expect(isRight(sent.packet, sent.vnet)).toBe(true);
            if (sent.device !== PUBLIC || !answered) continue;
            for (const back of bed.in(mend(turned(sent.packet)), sent.vnet)) {
              expect(isRight(back.packet, back.vnet)).toBe(true);
            }
          }
        }
        bed.checkInvariants(PORTS);
      }),
      { numRuns: 100 },
    );
  });
});

function isRight(packet: Uint8Array, vnet: Uint8Array): boolean {
  const seen = decode((vnet[0]! & 1) === 1 ? complete(packet) : packet);
  return seen.headerChecksumOk && seen.checksumOk;
}

describe('flows', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: cases.map((it) => ({ ...it, pass: 0 })) },
    { weight: 1, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 400_000 }) }) },
  );

  test('are reachable by both tuples, share no external endpoint, and end as often as they began', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const bed = new Bed({ flows: 20, ports: PORTS, mtu: [9000, 9000] });
        for (const one of steps) {
          if ('protocol' in one) to(PUBLIC, bed.out(make(one).packet));
          else bed.pass(one.pass);
          bed.checkInvariants(PORTS);
          const external = bed.flows().map(({ protocol, reply }) => `${protocol} ${JSON.stringify(reply)}`);
          expect(new Set(external).size).toBe(external.length);
        }
        // Longer than the longest timeout (tcpEstablished, five days).
        bed.now += 433_000_000;
        bed.engine.tick(bed.now);
        expect(bed.flows()).toEqual([]);
        expect(bed.totals['flows_ended']).toBe(bed.totals['flows_started']);
        expect(bed.totals).toMatchObject({ ports_tcp: 0, ports_udp: 0, ids_icmp: 0 });
        bed.checkInvariants(PORTS);
      }),
      { numRuns: 25 },
    );
  });
});
