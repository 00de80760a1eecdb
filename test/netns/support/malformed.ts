/** Packets that are broken in one way each, with the reason a gateway has to drop them. */
import { ACK, checksum, ICMP, icmp, ipv4, SYN, TCP, tcp, UDP, udp } from './packets.ts';

export interface Malformed {
  what: string;
  packet: Buffer;
  /** Names of core/reasons.ts that may be counted for it. */
  reasons: string[];
}

/** Sets bytes and, unless the checksum is what is wrong, mends the header checksum. */
function patch(packet: Buffer, at: number, bytes: number[], mend = true): Buffer {
  const copy = Buffer.from(packet);
  copy.set(bytes, at);
  if (mend) {
    const length = Math.min(copy.length, (copy[0]! & 15) * 4);
    if (length >= 20) {
      copy.writeUInt16BE(0, 10);
      copy.writeUInt16BE(checksum(copy.subarray(0, length)), 10);
    }
  }
  return copy;
}

/** Between these two endpoints, as if for the flow `sport` to `dport`. */
export function malformedPackets(src: string, dst: string, sport: number, dport: number): Malformed[] {
  const address = { src, dst };
  const whole = udp({ ...address, sport, dport }, Buffer.alloc(64, 'malformed '));
  const segment = tcp({ ...address, sport, dport, flags: SYN }, Buffer.alloc(20));
  const withOptions = (options: number[], protocol = UDP) =>
    ipv4({ ...address, protocol, options: Buffer.from(options) }, whole.subarray(20));
  const cut = (protocol: number, length: number) =>
    ipv4({ ...address, protocol }, (protocol === TCP ? segment : whole).subarray(20, 20 + length));
  const error = (quote: Buffer, type = 3) => icmp({ ...address, type, code: 1 }, quote);
  const badIcmpSum = error(udp({ src: dst, dst: src, sport: dport, dport: sport }));
  badIcmpSum[22]! ^= 0x55;

  return [
    { what: 'the version 6', packet: patch(whole, 0, [0x65]), reasons: ['not_ipv4'] },
    { what: 'the version 0', packet: patch(whole, 0, [0x05]), reasons: ['not_ipv4'] },
    ...[0, 1, 4].map((ihl) => ({
      what: `a header length of ${ihl} words`,
      packet: patch(whole, 0, [0x40 | ihl]),
      reasons: ['bad_header_length'],
    })),
    {
      what: 'a header beyond the packet',
      packet: patch(whole.subarray(0, 28), 0, [0x4f]),
      reasons: ['bad_header_length'],
    },
    ...[0, 19].map((length) => ({
      what: `a total length of ${length}`,
      packet: patch(whole, 2, [length >> 8, length & 0xff]),
      reasons: ['bad_total_length'],
    })),
    {
      what: 'a total length beyond the packet',
      packet: patch(whole, 2, [0x10, 0x00]),
      reasons: ['bad_total_length'],
    },
    {
      what: 'a wrong header checksum',
      packet: patch(whole, 10, [0xde, 0xad], false),
      reasons: ['bad_header_checksum'],
    },
    { what: 'an option of length 0', packet: withOptions([7, 0, 4, 0]), reasons: ['bad_options'] },
    { what: 'an option beyond the header', packet: withOptions([7, 40, 4, 0]), reasons: ['bad_options'] },
    {
      what: 'a loose source route',
      packet: withOptions([131, 7, 4, 10, 0, 0, 1, 0]),
      reasons: ['source_route'],
    },
    {
      what: 'a strict source route',
      packet: withOptions([137, 7, 4, 10, 0, 0, 1, 0]),
      reasons: ['source_route'],
    },
    {
      what: 'a fragment that ends beyond 65535 bytes',
      packet: ipv4({ ...address, protocol: UDP, offset: 65_528, id: 77 }, Buffer.alloc(64)),
      reasons: ['bad_fragment'],
    },
    {
      what: 'a fragment in the middle whose length is no multiple of 8',
      packet: ipv4({ ...address, protocol: UDP, mf: true, offset: 80, id: 78 }, Buffer.alloc(61)),
      reasons: ['bad_fragment', 'fragment_first_missing'],
    },
    {
      what: 'a first fragment without a whole TCP header',
      packet: ipv4({ ...address, protocol: TCP, mf: true, id: 79 }, segment.subarray(20, 36)),
      reasons: ['bad_fragment', 'bad_tcp'],
    },
    {
      what: 'a fragment that would overwrite the TCP flags',
      packet: ipv4({ ...address, protocol: TCP, offset: 8, id: 80 }, Buffer.alloc(32)),
      reasons: ['bad_fragment'],
    },
    { what: 'a TCP header cut short', packet: cut(TCP, 19), reasons: ['bad_tcp'] },
    {
      what: 'a TCP data offset of 4 words',
      packet: patch(segment, 32, [0x40]),
      reasons: ['bad_tcp'],
    },
    {
      what: 'a TCP data offset beyond the segment',
      packet: patch(segment.subarray(0, 40), 32, [0xf0], true),
      reasons: ['bad_tcp', 'bad_total_length'],
    },
    {
      what: 'SYN and FIN at once',
      packet: tcp({ ...address, sport, dport: dport + 1, flags: 0x03 }),
      reasons: ['invalid_tcp'],
    },
    {
      what: 'no TCP flag at all',
      packet: tcp({ ...address, sport, dport: dport + 1, flags: 0 }),
      reasons: ['invalid_tcp'],
    },
    {
      what: 'all TCP flags',
      packet: tcp({ ...address, sport, dport: dport + 1, flags: 0x3f }),
      reasons: ['invalid_tcp'],
    },
    { what: 'a UDP header cut short', packet: cut(UDP, 7), reasons: ['bad_udp'] },
    { what: 'a UDP length of 7', packet: patch(whole, 24, [0, 7]), reasons: ['bad_udp'] },
    { what: 'a UDP length beyond the packet', packet: patch(whole, 24, [4, 0]), reasons: ['bad_udp'] },
    {
      what: 'an ICMP message cut short',
      packet: ipv4({ ...address, protocol: ICMP }, Buffer.from([8, 0, 0xf7, 0xff])),
      reasons: ['bad_icmp'],
    },
    { what: 'an ICMP error with a wrong checksum', packet: badIcmpSum, reasons: ['bad_icmp_checksum'] },
    {
      what: 'an ICMP error about nothing',
      packet: error(Buffer.alloc(0)),
      reasons: ['bad_quote', 'bad_icmp'],
    },
    {
      what: 'an ICMP error about half an IP header',
      packet: error(whole.subarray(0, 12)),
      reasons: ['bad_quote', 'bad_icmp'],
    },
    {
      what: 'an ICMP error about a packet without ports',
      packet: error(udp({ src: dst, dst: src, sport: dport, dport: sport }).subarray(0, 22)),
      reasons: ['bad_quote'],
    },
    {
      what: 'an ICMP error about an ICMP error',
      packet: error(icmp({ src: dst, dst: src, type: 3, code: 1 }, whole.subarray(0, 28))),
      reasons: ['bad_quote', 'no_related'],
    },
    {
      what: 'an ICMP error about a packet with a broken header checksum',
      packet: error(patch(udp({ src: dst, dst: src, sport: dport, dport: sport }), 10, [1, 2], false)),
      reasons: ['bad_quote'],
    },
    {
      what: 'an ACK of no connection',
      packet: tcp({ ...address, sport, dport: dport + 2, flags: ACK | SYN, ack: 1 }),
      reasons: ['invalid_tcp', 'no_flow'],
    },
  ];
}
