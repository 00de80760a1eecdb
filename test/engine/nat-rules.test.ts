/** Rules, 1:1 NAT and forwards on packets. */
import { describe, expect, test } from 'vitest';
import { masqueradeAll, matchAll, type PrefixPair } from '../../src/nat/config.ts';
import { echoPacket, tcpPacket } from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC } from './bed.ts';
import { A, B, only, PORTS, portOf, udp, X, Y } from './nat-bed.ts';
import { forward, GATEWAY, nat, rule } from './nat-rule-bed.ts';

describe('rules', () => {
  test('the first that matches decides: an exemption goes untranslated and comes back', () => {
    const exempt = rule({
      name: 'vpn',
      action: 'none',
      match: { ...matchAll, destinations: [parsePrefix('203.0.113.10/32')!] },
    });
    const bed = new Bed({ nat: nat({ rules: [exempt, ...masqueradeAll(PORTS).rules] }) });
    expect(only(PUBLIC, bed.out(udp(`${X}:5`, `${B}:1`)))).toMatchObject({ src: X, sport: 5 });
    expect(only(PRIVATE, bed.in(udp(`${B}:1`, `${X}:5`)))).toMatchObject({ dst: X, dport: 5 });
    expect(only(PUBLIC, bed.out(udp(`${X}:5`, `${A}:1`)))).toMatchObject({ src: EXTERNAL });
    expect(bed.in(udp(`${B}:2`, `${X}:5`))).toEqual([]);
    bed.checkInvariants();
  });

  test('by protocol and port', () => {
    const random = rule(
      { match: { ...matchAll, protocols: [17], destinationPorts: [{ first: 53, last: 53 }] } },
      { mapping: 'address-and-port-dependent', ports: 'random' },
    );
    const bed = new Bed({ nat: nat({ rules: [random, ...masqueradeAll(PORTS).rules] }) });
    expect(portOf(bed, `${X}:40000`, `${A}:53`)).not.toBe(40000);
    expect(portOf(bed, `${X}:40000`, `${A}:54`)).toBe(40000);
  });
});

describe('1:1 and netmap', () => {
  const pair: PrefixPair = {
    name: 'lab',
    internal: parsePrefix('10.77.0.0/28')!,
    external: parsePrefix('198.18.1.16/28')!,
  };
  const bed = () => new Bed({ nat: nat({ prefixes: [pair] }) });

  test('both sides may begin; ports, ids and protocols stay', () => {
    const b = bed();
    expect(only(PUBLIC, b.out(udp(`${X}:5`, `${A}:1`)))).toMatchObject({ src: '198.18.1.18', sport: 5 });
    expect(only(PRIVATE, b.in(udp(`${A}:1`, '198.18.1.18:5')))).toMatchObject({ dst: X, dport: 5 });
    expect(only(PRIVATE, b.in(udp(`${B}:9`, '198.18.1.19:77')))).toMatchObject({ dst: Y, dport: 77 });
    expect(only(PUBLIC, b.out(udp(`${Y}:77`, `${B}:9`)))).toMatchObject({ src: '198.18.1.19', sport: 77 });
    expect(only(PRIVATE, b.in(echoPacket({ from: B, to: '198.18.1.19', identifier: 3 })))).toMatchObject({
      dst: Y,
    });
    b.checkInvariants();
  });

  test('hairpin by the external addresses, with ICMP queries (RFC 5508 REQ-7)', () => {
    const b = bed();
    const there = only(PRIVATE, b.out(echoPacket({ from: X, to: '198.18.1.19', identifier: 3 })));
    expect([there.src, there.dst]).toEqual(['198.18.1.18', Y]);
    const back = only(PRIVATE, b.out(echoPacket({ from: Y, to: '198.18.1.18', identifier: 3, reply: true })));
    expect([back.src, back.dst]).toEqual(['198.18.1.19', X]);
  });

  test('who is outside the prefix is masqueraded', () => {
    expect(only(PUBLIC, bed().out(udp('10.77.0.200:5', `${A}:1`))).src).toBe(EXTERNAL);
  });
});

describe('forwards', () => {
  const syn = (from: string, dst: string) => tcpPacket({ from, to: dst, flags: 'S' });

  test('in, answered, and listed as owned outside the range', () => {
    const bed = new Bed({ nat: nat({ forwards: [forward({})] }) });
    expect(bed.isOwned('tcp', 80)).toBe(true);
    const there = only(PRIVATE, bed.in(syn(`${A}:5`, `${EXTERNAL}:80`)));
    expect([there.src, there.sport, there.dst, there.dport]).toEqual([A, 5, X, 8080]);
    const back = only(
      PUBLIC,
      bed.out(tcpPacket({ from: `${X}:8080`, to: `${A}:5`, flags: 'SA', seq: 1, ack: 1 })),
    );
    expect([back.src, back.sport, back.dst, back.dport]).toEqual([EXTERNAL, 80, A, 5]);
  });

  test('a range goes to a range; a port in the pool’s range is not given to mappings', () => {
    const bed = new Bed({
      nat: nat({
        forwards: [
          forward({
            ports: { first: 40000, last: 40009 },
            targets: [{ address: parseAddress(X)!, port: 7000 }],
          }),
        ],
      }),
    });
    expect(only(PRIVATE, bed.in(syn(`${A}:5`, `${EXTERNAL}:40003`)))).toMatchObject({ dst: X, dport: 7003 });
    const out = only(PUBLIC, bed.out(tcpPacket({ from: `${Y}:40003`, to: `${A}:1`, flags: 'S' })));
    expect(out.sport! < 40000 || out.sport! > 40009).toBe(true);
  });

  test('only for its sources', () => {
    const bed = new Bed({ nat: nat({ forwards: [forward({ sources: [parsePrefix('203.0.113.9/32')!] })] }) });
    expect(bed.in(syn(`${B}:5`, `${EXTERNAL}:80`))).toEqual([]);
    expect(bed.in(syn(`${A}:5`, `${EXTERNAL}:80`))).toHaveLength(1);
    expect(bed.drops).toEqual({ no_flow: 1 });
  });

  test('several targets take turns; with affinity a remote host stays with its own', () => {
    const targets = [X, Y].map((text) => ({ address: parseAddress(text)!, port: 80 }));
    const turns = new Bed({ nat: nat({ forwards: [forward({ targets })] }) });
    const dst = (bed: Bed, port: number, from = A) =>
      only(PRIVATE, bed.in(syn(`${from}:${port}`, `${EXTERNAL}:80`))).dst;
    expect([1, 2, 3, 4].map((port) => dst(turns, port))).toEqual([X, Y, X, Y]);
    const sticky = new Bed({ nat: nat({ forwards: [forward({ targets, affinitySeconds: 60 })] }) });
    expect([1, 2, 3].map((port) => dst(sticky, port))).toEqual([X, X, X]);
    expect([1, 2].map((port) => dst(sticky, port, B))).toEqual([Y, Y]);
  });

  test('hairpin: a private host uses the forward by the external address', () => {
    const bed = new Bed({ nat: nat({ forwards: [forward({})] }) });
    const there = only(PRIVATE, bed.out(syn(`${Y}:40000`, `${EXTERNAL}:80`)));
    expect([there.src, there.sport, there.dst, there.dport]).toEqual([EXTERNAL, 40000, X, 8080]);
    bed.checkInvariants();
  });

  test('twice NAT: the target sees the gateway', () => {
    const bed = new Bed({ nat: nat({ forwards: [forward({ twice: true })] }) });
    const there = only(PRIVATE, bed.in(syn(`${A}:40000`, `${EXTERNAL}:80`)));
    expect([there.src, there.sport, there.dst, there.dport]).toEqual([GATEWAY, 40000, X, 8080]);
    const back = only(
      PUBLIC,
      bed.out(tcpPacket({ from: `${X}:8080`, to: `${GATEWAY}:40000`, flags: 'SA', seq: 1, ack: 1 })),
    );
    expect([back.src, back.sport, back.dst, back.dport]).toEqual([EXTERNAL, 80, A, 40000]);
    const after = new Bed({ nat: nat({ forwards: [forward({ twice: true })] }), after: bed });
    expect(after.flows()).toEqual(bed.flows());
  });

  test('after a restart without the forward its flows are gone', () => {
    const before = new Bed({ nat: nat({ forwards: [forward({})] }) });
    before.in(syn(`${A}:5`, `${EXTERNAL}:80`));
    expect(new Bed({ nat: nat({ forwards: [forward({})] }), after: before }).flows()).toHaveLength(1);
    expect(new Bed({ nat: nat({}), after: before }).flows()).toEqual([]);
  });
});
