/**
 * The same traffic through one worker and through several: what leaves is the same, packet by packet. Hosts use different ports,
 * so that every port can be preserved; what else is chosen (identifications of what may be fragmented) is left out.
 */
import { expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import type { SentPacket } from '../../src/link/memory.ts';
import { masqueradeAll, type NatConfig } from '../../src/nat/config.ts';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { address, Bed, EXTERNAL, PRIVATE } from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { cut, filler } from './packets.ts';

const STEPS = 3000;
const FLOWS = 1024;
const SERVICE = '10.77.0.9';
const REMOTES = ['203.0.113.9', '203.0.113.10'];

const nat: NatConfig = {
  ...masqueradeAll({ first: 32768, last: 65535 }, { filtering: 'address-dependent' }),
  forwards: [17, 6].map((protocol) => ({
    name: 'shifted',
    protocol,
    address: 0,
    ports: { first: 8080, last: 8087 },
    sources: [],
    targets: [{ address: address(SERVICE), port: 40_900 }],
    affinitySeconds: 0,
    twice: false,
  })),
};

/** Without what each engine chooses by itself: identification and header checksum. */
function comparable(sent: SentPacket[]): string[] {
  return sent.map(({ device, packet }) => {
    const copy = Buffer.from(packet);
    const mayBeFragmented = (copy[6]! & 0x40) === 0;
    if (mayBeFragmented) {
      copy.fill(0, 4, 6);
      copy.fill(0, 10, 12);
    }
    return `${device} ${copy.toString('hex')}`;
  });
}

test.each([2, 4, 16])('%i workers', (workers) => {
  const seed = Date.now() | 0;
  const random = new Random(seed);
  const below = (n: number) => (random.next() >>> 1) % n;
  const one = new Bed({ nat, flows: FLOWS });
  const crew = new Crew({ nat, flows: FLOWS, workers });
  let last: SentPacket[] = [];
  let steps = 0;
  const both = (device: number, packet: Uint8Array) => {
    const single = device === PRIVATE ? one.out(packet) : one.in(packet);
    // Now and then the steering is wrong, but for fragments, which must meet.
    const isWhole = (packet[6]! & 0x3f) === 0 && packet[7] === 0;
    const isLost = isWhole && below(20) === 0;
    const worker = isLost ? below(workers) : queueOf(packet, device, workers);
    const several = crew.arrive(device, packet, worker);
    const [expected, found] = [comparable(single), comparable(several)];
    expect(found.sort(), `seed ${seed}, ${workers} workers, step ${steps}`).toEqual(expected.sort());
    if (single.length > 0) last = single;
  };
  const host = () => 2 + below(6);
  const port = (of: number) => 40_000 + of * 64 + below(16);
  const remote = () => REMOTES[below(REMOTES.length)]!;

  for (; steps < STEPS; steps++) {
    const h = host();
    const inside = `10.77.0.${h}`;
    const fields = { from: `${inside}:${port(h)}`, to: `${remote()}:${1000 + below(4)}` };
    const known = port(host());
    const outside = { from: `${remote()}:${1000 + below(4)}`, to: `${EXTERNAL}:${known}` };
    const hairpin = { from: fields.from, to: `${EXTERNAL}:${known}` };
    const forward = `${EXTERNAL}:${8080 + below(8)}`;
    const id = 1 + below(60_000);
    switch (below(12)) {
      case 0:
      case 1:
        both(PRIVATE, udpPacket({ ...fields, payload: 'out' }));
        break;
      case 2:
        both(1, udpPacket({ ...outside, payload: 'in' }));
        break;
      case 3:
        both(PRIVATE, udpPacket({ ...hairpin, payload: 'hairpin' }));
        break;
      case 4:
        both(1, udpPacket({ from: outside.from, to: forward, payload: 'forward' }));
        break;
      case 5:
        both(PRIVATE, udpPacket({ from: fields.from, to: forward, payload: 'forward' }));
        break;
      case 6: {
        // The service only answers: its own flows to who uses it are another matter (docs/architecture.md).
        const used = one
          .flows()
          .filter(({ protocol, reply }) => protocol === 17 && reply.src === address(SERVICE));
        if (used.length === 0) break;
        const { reply } = used[below(used.length)]!;
        both(
          PRIVATE,
          udpPacket({ from: `${SERVICE}:${reply.sport}`, to: `${formatAddress(reply.dst)}:${reply.dport}` }),
        );
        break;
      }
      case 7: {
        const [packet, device] =
          below(2) === 0
            ? [
                udpPacket({ ...[fields, hairpin][below(2)]!, payload: filler(3000), fragment: 0, id }),
                PRIVATE,
              ]
            : [udpPacket({ ...outside, payload: filler(3000), fragment: 0, id }), 1];
        const [first, ...rest] = cut(packet, 1000);
        for (const piece of below(2) === 0 ? [first!, ...rest] : [...rest, first!]) both(device, piece);
        break;
      }
      case 8: {
        // About what was sent last, by whom it was sent to.
        const about = last.at(-1);
        if (about === undefined || (about.packet[6]! & 0x3f) !== 0 || about.packet[7] !== 0) break;
        const to = Array.from(about.packet.subarray(12, 16)).join('.');
        const from = Array.from(about.packet.subarray(16, 20)).join('.');
        both(about.device, icmpError({ from, to, type: 3, code: 3, packet: about.packet }));
        break;
      }
      case 9:
        both(PRIVATE, echoPacket({ from: inside, to: remote(), identifier: port(h) }));
        break;
      case 10: {
        const flags = ['S', 'SA', 'A', 'FA', 'R'][below(5)]!;
        const ends = [fields, hairpin, { ...fields, to: forward }][below(3)]!;
        both(PRIVATE, tcpPacket({ ...ends, flags, seq: below(3) }));
        both(1, tcpPacket({ ...outside, flags: ['S', 'SA', 'A'][below(3)]!, seq: below(3), ack: below(3) }));
        break;
      }
      default: {
        const ms = 1000 * below(below(10) === 0 ? 200 : 10);
        one.pass(ms);
        crew.pass(ms);
      }
    }
  }
  expect(crew.counts.reduce((sum, count) => sum + count)).toBe(one.flows().length);
  // Everybody is silent: nothing is left of it.
  one.pass(10_000_000);
  crew.pass(10_000_000);
  expect(crew.counts.every((count) => count === 0)).toBe(true);
  expect([crew.totals['ports_udp'], crew.totals['ports_tcp'], crew.totals['fragments_held']]).toEqual([
    0, 0, 0,
  ]);
  expect(crew.engines.every((engine) => engine.sessions.ownership!.isBare)).toBe(true);
});
