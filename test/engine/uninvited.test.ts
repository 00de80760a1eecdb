/** From outside, uninvited: whatever it is, nothing reaches the private side, and nobody is told. */
import { describe, expect, test } from 'vitest';
import { echoPacket, icmpError, icmpPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { hex } from '../wire/hex.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const CLIENT = '10.77.0.2';
const OUTSIDE = '203.0.113.66';
const INSIDE_QUERY = udpPacket({ from: `${CLIENT}:40000`, to: '203.0.113.9:53' });

/** A gateway with flows of every kind, so that there is something to break into. */
function busyBed(): Bed {
  const bed = new Bed();
  bed.out(INSIDE_QUERY);
  bed.out(tcpPacket({ from: `${CLIENT}:40000`, to: '203.0.113.9:80', flags: 'S' }));
  bed.in(tcpPacket({ from: '203.0.113.9:80', to: `${EXTERNAL}:40000`, flags: 'SA' }));
  bed.out(echoPacket({ from: CLIENT, to: '203.0.113.9', identifier: 40000 }));
  bed.out(rawPacket({ src: CLIENT, dst: '203.0.113.9', protocol: 47, body: hex('00000800') }));
  return bed;
}

const everyFlagsByte = Array.from({ length: 256 }, (_, flags) => {
  const packet = tcpPacket({ from: `${OUTSIDE}:80`, to: `${EXTERNAL}:40000`, flags: '' });
  packet[33] = flags;
  return packet;
});

const kinds: Record<string, Uint8Array[]> = {
  'TCP with any flags, to the port of a flow': everyFlagsByte,
  'TCP from the right host, wrong port': [
    tcpPacket({ from: '203.0.113.9:81', to: `${EXTERNAL}:40000`, flags: 'A' }),
  ],
  'TCP from the right port, wrong host': [
    tcpPacket({ from: `${OUTSIDE}:80`, to: `${EXTERNAL}:40000`, flags: 'A' }),
  ],
  'UDP to the port of a flow': [udpPacket({ from: `${OUTSIDE}:53`, to: `${EXTERNAL}:40000` })],
  'UDP to a private address': [udpPacket({ from: '203.0.113.9:53', to: `${CLIENT}:40000` })],
  'UDP to a private address, to the gateway’s own': [
    udpPacket({ from: `${OUTSIDE}:53`, to: '10.77.0.1:53' }),
  ],
  'echo to a private address': [echoPacket({ from: OUTSIDE, to: CLIENT, identifier: 40000 })],
  'every ICMP type to a private address': Array.from({ length: 256 }, (_, type) =>
    icmpPacket({ from: OUTSIDE, to: CLIENT, type, code: 0, body: hex('9c400001 00000000 00000000') }),
  ),
  'every protocol to a private address': Array.from({ length: 256 }, (_, protocol) =>
    rawPacket({ src: OUTSIDE, dst: CLIENT, protocol, body: filler(40) }),
  ),
  'with the source of a private host': [
    udpPacket({ from: `${CLIENT}:40000`, to: '203.0.113.9:53' }),
    udpPacket({ from: `${CLIENT}:40001`, to: `${EXTERNAL}:40000` }),
    tcpPacket({ from: `${CLIENT}:40000`, to: '203.0.113.9:80', flags: 'A' }),
  ],
  'with the source of the gateway': [
    udpPacket({ from: `${EXTERNAL}:53`, to: `${EXTERNAL}:40000` }),
    udpPacket({ from: '10.77.0.1:53', to: `${EXTERNAL}:40000` }),
  ],
  'errors about flows, to a private address': [
    icmpError({ from: OUTSIDE, to: CLIENT, type: 3, code: 1, packet: INSIDE_QUERY }),
  ],
  'fragments to the port of a flow': cut(
    udpPacket({ from: `${OUTSIDE}:53`, to: `${EXTERNAL}:40000`, payload: filler(3000), fragment: 0 }),
    1480,
  ),
  'fragments to a private address': cut(
    udpPacket({ from: '203.0.113.9:53', to: `${CLIENT}:40000`, payload: filler(3000), fragment: 0 }),
    1480,
  ),
};

describe.each(Object.entries(kinds))('%s', (_, packets) => {
  test('nothing reaches the private side, nothing changes', () => {
    const bed = busyBed();
    const flows = bed.flows();
    for (const packet of packets) {
      const sent = bed.in(packet);
      expect(to(PRIVATE, sent)).toEqual([]);
      // Handed back to the host as it came, or gone.
      for (const back of to(PUBLIC, sent)) expect(back).toEqual(packet);
    }
    expect(bed.flows()).toEqual(flows);
    expect(bed.totals['icmp_errors_sent']).toBe(0);
    bed.checkInvariants();
  });
});

test('an error about a flow must come to the address that the flow has outside', () => {
  const bed = busyBed();
  const quoted = udpPacket({ from: `${EXTERNAL}:40000`, to: '203.0.113.9:53' });
  const error = (dst: string) => icmpError({ from: OUTSIDE, to: dst, type: 3, code: 1, packet: quoted });
  expect(bed.in(error('198.18.0.2'))).toEqual([]);
  expect(bed.drops).toEqual({ no_related: 1 });
  expect(to(PRIVATE, bed.in(error(EXTERNAL)))).toHaveLength(1);
});

test('from inside, in the name of the remote: forged, dropped', () => {
  const bed = busyBed();
  expect(bed.out(udpPacket({ from: '203.0.113.9:53', to: `${EXTERNAL}:40000` }))).toEqual([]);
  const [first, second] = cut(
    udpPacket({ from: '203.0.113.9:53', to: `${EXTERNAL}:40000`, payload: filler(2000), fragment: 0 }),
    1480,
  ) as [Uint8Array, Uint8Array];
  expect(to(PRIVATE, bed.in(first))).toHaveLength(1);
  expect(bed.out(second)).toEqual([]);
  expect(bed.drops).toEqual({ martian_source: 2 });
  expect(to(PRIVATE, bed.in(second))).toHaveLength(1);
  // Nor may an error that belongs to the other side come from this one.
  const error = icmpError({
    from: '203.0.113.9',
    to: EXTERNAL,
    type: 3,
    code: 3,
    packet: udpPacket({ from: `${EXTERNAL}:40000`, to: '203.0.113.9:53' }),
  });
  expect(bed.out(error)).toEqual([]);
});
