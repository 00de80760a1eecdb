/** What the sender of a flow that the firewall rejects is told, by bytes: resets and ICMP errors, and where there are none. */
import { describe, expect, it } from 'vitest';
import type { RejectWith } from '../../src/policy/firewall-config.ts';
import { describePacket, tcpPacket, udpPacket, verifyChecksums } from '../../src/testing/index.ts';
import { config, DROP_ALL, rule } from '../policy/firewall/rules.ts';
import { EXTERNAL, PRIVATE, vnetHeader } from './bed.ts';
import { bedOf, CLIENT, lines, query, SERVER, syn, WEB } from './firewall-bed.ts';
import { cut, filler, partial } from './packets.ts';

const reject = (way: RejectWith) => ({ kind: 'reject' as const, with: way });

describe('reject with tcp-reset', () => {
  const refusing = () => bedOf(config([rule(reject('tcp-reset'))]));
  const reset = (packet: Uint8Array) => {
    const sent = refusing().out(packet);
    expect(sent).toHaveLength(1);
    expect(sent[0]!.device).toBe(PRIVATE);
    expect(verifyChecksums(sent[0]!.packet)).toBe(true);
    return sent[0]!.packet;
  };

  it('a SYN: byte for byte', () => {
    const packet = reset(syn(443, { seq: 0xfffffffe }));
    const [head, sum] = [Buffer.from(packet).toString('hex').match(/../g)!, [10, 11, 36, 37]];
    expect(head.map((byte, i) => (sum.includes(i) ? '..' : byte)).join(' ')).toBe(
      // no TOS, 40 bytes, no id, DF, TTL 64, TCP; from the server to the client
      `45 00 00 28 00 00 40 00 40 06 .. .. cb 00 71 09 0a 4d 00 02 ${[
        // 443 → 40000; sequence 0; acknowledges the SYN
        '01 bb 9c 40 00 00 00 00 ff ff ff ff',
        // RST ACK, no window
        '50 14 00 00 .. .. 00 00',
      ].join(' ')}`,
    );
  });

  it.each([
    ['a SYN with data', syn(443, { payload: 'hello' }), { seq: 0, ack: 1006, flags: 'RA' }],
    [
      'an ACK from the middle: at what it acknowledges, without one',
      tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:443`, flags: 'A', seq: 5, ack: 777, payload: 'x' }),
      { seq: 777, ack: 0, flags: 'R' },
    ],
    [
      'data from the middle',
      tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:443`, flags: 'PA', seq: 5, ack: 0xfffffff0 }),
      { seq: 0xfffffff0, ack: 0, flags: 'R' },
    ],
  ])('%s', (_, packet, expected) => {
    const view = new DataView(reset(packet).buffer);
    const flags = describePacket(reset(packet)).split(' ')[1];
    expect({ seq: view.getUint32(24), ack: view.getUint32(28), flags }).toEqual(expected);
  });

  it('comes from the address that was asked for, on the side that asked', () => {
    const bed = bedOf(config([rule(reject('tcp-reset'))]), { nat: WEB });
    const sent = bed.in(tcpPacket({ from: `${SERVER}:1234`, to: `${EXTERNAL}:8080`, flags: 'S', seq: 9 }));
    expect(lines(sent)).toEqual([`out tcp RA ${EXTERNAL}:8080 > ${SERVER}:1234 ttl 64 length 40`]);
    expect(bed.totals).toMatchObject({ resets_sent: 1, icmp_errors_sent: 0 });
  });

  it('not for a wrong checksum; a partial one is right', () => {
    const wrong = syn();
    wrong[36]! ^= 1;
    expect(refusing().out(wrong)).toEqual([]);
    const vnet = vnetHeader({ flags: 1, csumStart: 20, csumOffset: 16 });
    expect(refusing().out(partial(syn()), vnet)).toHaveLength(1);
    expect(refusing().out(partial(syn()))).toEqual([]);
  });

  it('not for a fragment, nor for a RST', () => {
    const bed = refusing();
    const large = syn(443, { payload: filler(2000), fragment: 0 });
    for (const piece of cut(large, 1480)) expect(bed.out(piece)).toEqual([]);
    expect(bed.out(tcpPacket({ from: `${CLIENT}:1`, to: `${SERVER}:2`, flags: 'R' }))).toEqual([]);
    expect(bed.drops).toMatchObject({ firewall_reject: 1, invalid_tcp: 1 });
  });

  it('what is not TCP is told port unreachable', () => {
    expect(lines(refusing().out(query()))[0]).toContain('icmp 3/3');
  });

  it('at most 200 at once, 1000 a second, to a hundred senders', () => {
    const bed = bedOf(config([rule(reject('tcp-reset'))]), { now: 0 });
    let n = 0;
    const ask = () => bed.out(syn(443, { from: `10.77.0.${2 + (n++ % 100)}:40000` })).length;
    let sent = 0;
    for (let i = 0; i < 250; i++) sent += ask();
    expect(sent).toBe(200);
    bed.now = 10;
    sent = 0;
    for (let i = 0; i < 50; i++) sent += ask();
    expect(sent).toBe(10);
    expect(bed.totals).toMatchObject({ resets_sent: 210, icmp_errors_suppressed: 90 });
  });
});

describe('reject with ICMP', () => {
  it.each([
    ['net-unreachable', 0],
    ['host-unreachable', 1],
    ['protocol-unreachable', 2],
    ['port-unreachable', 3],
    ['net-prohibited', 9],
    ['host-prohibited', 10],
    ['admin-prohibited', 13],
  ] as const)('%s is 3/%s, about the packet as it came', (way, code) => {
    for (const packet of [query(), syn()]) {
      const bed = bedOf(config([rule(reject(way))]));
      const [sent] = bed.out(packet);
      expect(verifyChecksums(sent!.packet)).toBe(true);
      expect(describePacket(sent!.packet)).toMatch(
        new RegExp(`^icmp 3/${code} 10\\.77\\.0\\.1 > ${CLIENT} \\[${describePacket(packet)}\\]`),
      );
    }
  });

  it('to the outside from the external address, quoting it', () => {
    const bed = bedOf(config([], { policies: { ...DROP_ALL, inbound: reject('host-prohibited') } }), {
      nat: WEB,
    });
    const packet = tcpPacket({ from: `${SERVER}:1234`, to: `${EXTERNAL}:8080`, flags: 'S' });
    expect(lines(bed.in(packet))[0]).toMatch(
      new RegExp(`^out icmp 3/10 ${EXTERNAL} > ${SERVER} \\[tcp S ${SERVER}:1234 > ${EXTERNAL}:8080`),
    );
  });

  it('not about a later fragment, which came before its first one', () => {
    const bed = bedOf(config([rule(reject('port-unreachable'))]));
    const large = udpPacket({
      from: `${CLIENT}:40000`,
      to: `${SERVER}:53`,
      payload: filler(4000),
      fragment: 0,
    });
    const [first, ...later] = cut(large, 1480);
    for (const piece of later) expect(bed.out(piece)).toEqual([]);
    expect(bed.out(first!)).toHaveLength(1);
  });
});
