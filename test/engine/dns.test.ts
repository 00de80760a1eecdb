/**
 * DNS by the gateway's private address: where queries go, as whom, what comes back, and what happens when the resolver changes.
 *
 *     10.77.0.0/24 ── .1 device 0 │        │ device 1 198.18.0.1 ── the rest, two resolvers among it
 *     10.88.0.0/24 ── .1 device 2 │ engine │
 */
import { describe, expect, test } from 'vitest';
import { endReasonNames } from '../../src/conntrack/end-reasons.ts';
import { TO_HOST } from '../../src/engine/routes.ts';
import { masqueradeAll, matchAll } from '../../src/nat/config.ts';
import type { DnsState } from '../../src/nat/dns.ts';
import { icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parsePrefix } from '../../src/wire/address.ts';
import { decode } from '../wire/decode.ts';
import {
  address,
  Bed,
  type BedOptions,
  EXTERNAL,
  GATEWAY,
  PRIVATE,
  PUBLIC,
  ROUTES,
  route,
  to,
} from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { A, ends, only, PORTS, tcp, udp, X, Y } from './nat-bed.ts';
import { cut, filler } from './packets.ts';

const OTHER = 2;
const OTHER_GATEWAY = '10.88.0.1';
const Z = '10.88.0.2';
const FIRST = '203.0.113.53';
const SECOND = '203.0.113.54';
/** A resolver in the network of the client, and one in the other private network. */
const NEAR = '10.77.0.53';
const FAR = '10.88.0.53';

function state(resolver: string, ...usable: string[]): DnsState {
  return { resolver: address(resolver), usable: [resolver, ...usable].map(address) };
}

function dnsBed(options: BedOptions = {}): Bed {
  return new Bed({
    further: [{ address: OTHER_GATEWAY }],
    routes: [...ROUTES, route('10.88.0.0/24', OTHER), route(`${OTHER_GATEWAY}/32`, TO_HOST)],
    dns: state(FIRST, SECOND),
    ...options,
  });
}
const from = (bed: Bed, device: number, packet: Uint8Array) => bed.run([{ device, packet }]);
const reasons = (bed: Bed) => {
  const seen: string[] = [];
  bed.engine.sessions.tracker.onClose = chained(bed, (why) => seen.push(endReasonNames[why]!));
  return seen;
};
function chained(bed: Bed, note: (why: number) => void) {
  const before = bed.engine.sessions.tracker.onClose;
  return (flow: number, why: number) => {
    note(why);
    before(flow, why);
  };
}

describe('a query to the gateway', () => {
  test('goes to the resolver as any flow of the client, and the answer comes from the gateway', () => {
    const bed = dnsBed();
    const there = only(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    expect([there.src, there.dst, there.dport, there.ttl]).toEqual([EXTERNAL, FIRST, 53, 63]);
    expect(there.sport).toBeGreaterThanOrEqual(PORTS.first);
    const back = only(PRIVATE, bed.in(udp(`${FIRST}:53`, `${EXTERNAL}:${there.sport}`)));
    expect(ends(back)).toBe(`${GATEWAY}:53 > ${X}:4000`);
    // And once more, by the flow.
    expect(ends(only(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`))))).toBe(ends(there));
    expect(bed.flows()).toHaveLength(1);
    expect(bed.drops).toEqual({});
    bed.checkInvariants();
  });

  test('by TCP, from the handshake to the data', () => {
    const bed = dnsBed();
    const syn = only(PUBLIC, bed.out(tcp(`${X}:4000`, `${GATEWAY}:53`, 'S', { seq: 100 })));
    expect(syn.dst).toBe(FIRST);
    const external = `${EXTERNAL}:${syn.sport}`;
    const answer = only(PRIVATE, bed.in(tcp(`${FIRST}:53`, external, 'SA', { seq: 500, ack: 101 })));
    expect(ends(answer)).toBe(`${GATEWAY}:53 > ${X}:4000`);
    bed.out(tcp(`${X}:4000`, `${GATEWAY}:53`, 'A', { seq: 101, ack: 501 }));
    const data = only(
      PUBLIC,
      bed.out(tcp(`${X}:4000`, `${GATEWAY}:53`, 'PA', { seq: 101, ack: 501, payload: 'q' })),
    );
    expect(ends(data)).toBe(`${external} > ${FIRST}:53`);
    bed.checkInvariants();
  });

  test('a fragmented answer arrives whole, as the gateway’s', () => {
    const bed = dnsBed();
    const there = only(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    const large = udpPacket({
      from: `${FIRST}:53`,
      to: `${EXTERNAL}:${there.sport}`,
      payload: filler(3000),
    });
    const sent = bed.run(cut(large, 1400).map((packet) => ({ device: PUBLIC, packet })));
    const pieces = to(PRIVATE, sent).map(decode);
    expect(pieces.length).toBeGreaterThan(2);
    for (const piece of pieces) expect([piece.src, piece.dst]).toEqual([GATEWAY, X]);
    expect(bed.drops).toEqual({});
  });

  test('rules see the resolver as the destination', () => {
    const exempt = {
      ...masqueradeAll(PORTS).rules[0]!,
      name: 'exempt',
      match: { ...matchAll, destinations: [parsePrefix(`${FIRST}/32`)!] },
      action: 'none' as const,
    };
    const nat = { ...masqueradeAll(PORTS), rules: [exempt, ...masqueradeAll(PORTS).rules] };
    const bed = dnsBed({ nat });
    expect(ends(only(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`))))).toBe(`${X}:4000 > ${FIRST}:53`);
  });

  test('an error of the way to the resolver quotes what the client sent', () => {
    const bed = dnsBed();
    const query = udp(`${X}:4000`, `${GATEWAY}:53`);
    const sent = to(PUBLIC, bed.out(query))[0]!;
    const error = only(
      PRIVATE,
      bed.in(icmpError({ from: FIRST, to: EXTERNAL, type: 3, code: 3, packet: sent })),
    );
    expect(error.src).toBe(GATEWAY);
    expect(error.dst).toBe(X);
  });

  test('of the gateway’s other ports nothing is taken, nor of the other interface’s address', () => {
    const bed = dnsBed();
    for (const packet of [udp(`${X}:4000`, `${GATEWAY}:54`), tcp(`${X}:4000`, `${GATEWAY}:22`, 'S')]) {
      // As it came, to the device where it came: the host's.
      expect(to(PRIVATE, bed.out(packet))).toEqual([packet]);
    }
    expect(bed.flows()).toEqual([]);
    expect(bed.totals['handed_back']).toBe(2);
  });

  test('from outside there is no resolver', () => {
    const bed = dnsBed();
    expect(to(PRIVATE, bed.in(udp(`${A}:4000`, `${EXTERNAL}:53`)))).toEqual([]);
    expect(bed.flows()).toEqual([]);
  });

  test('without a resolver the host answers for itself', () => {
    const bed = dnsBed({ dns: { resolver: 0, usable: [] } });
    const query = udp(`${X}:4000`, `${GATEWAY}:53`);
    expect(to(PRIVATE, bed.out(query))).toEqual([query]);
  });

  test('to the address of each private interface', () => {
    const bed = dnsBed();
    const there = only(PUBLIC, from(bed, OTHER, udp(`${Z}:4000`, `${OTHER_GATEWAY}:53`)));
    expect(there.dst).toBe(FIRST);
    const back = only(OTHER, bed.in(udp(`${FIRST}:53`, `${EXTERNAL}:${there.sport}`)));
    expect(ends(back)).toBe(`${OTHER_GATEWAY}:53 > ${Z}:4000`);
  });
});

describe('a resolver on the private side', () => {
  test('in the client’s own network is asked by the gateway, so that its answer comes back there', () => {
    const bed = dnsBed({ dns: state(NEAR) });
    const there = only(PRIVATE, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    expect([there.src, there.dst, there.dport]).toEqual([GATEWAY, NEAR, 53]);
    const back = only(PRIVATE, bed.out(udp(`${NEAR}:53`, `${GATEWAY}:${there.sport}`)));
    expect(ends(back)).toBe(`${GATEWAY}:53 > ${X}:4000`);
    bed.checkInvariants();
  });

  test('in another private network sees who asks', () => {
    const bed = dnsBed({ dns: state(FAR) });
    const there = only(OTHER, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    expect(ends(there)).toBe(`${X}:4000 > ${FAR}:53`);
    const back = only(PRIVATE, from(bed, OTHER, udp(`${FAR}:53`, `${X}:4000`)));
    expect(ends(back)).toBe(`${GATEWAY}:53 > ${X}:4000`);
    bed.checkInvariants();
  });

  test.each([NEAR, FAR])('%s: flows live on in the next engine', (resolver) => {
    const before = dnsBed({ dns: state(resolver) });
    const device = resolver === NEAR ? PRIVATE : OTHER;
    const there = only(device, before.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    const bed = dnsBed({ dns: state(resolver), after: before });
    expect(bed.flows()).toHaveLength(1);
    const back = only(PRIVATE, from(bed, device, udp(`${resolver}:53`, `${there.src}:${there.sport}`)));
    expect(ends(back)).toBe(`${GATEWAY}:53 > ${X}:4000`);
    bed.checkInvariants();
  });
});

describe('another resolver', () => {
  test('flows to one that is down end, and the next query of the same port goes to the one in force', () => {
    const bed = dnsBed();
    const ended = reasons(bed);
    bed.out(udp(`${X}:4000`, `${GATEWAY}:53`));
    bed.out(udp(`${Y}:4000`, `${A}:53`));
    bed.engine.setDns(state(SECOND));
    expect(ended).toEqual(['resolver_down']);
    const there = only(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    expect(there.dst).toBe(SECOND);
    const back = only(PRIVATE, bed.in(udp(`${SECOND}:53`, `${EXTERNAL}:${there.sport}`)));
    expect(ends(back)).toBe(`${GATEWAY}:53 > ${X}:4000`);
    // The late answer of the first one has no flow any more.
    expect(to(PRIVATE, bed.in(udp(`${FIRST}:53`, `${EXTERNAL}:${there.sport}`)))).toEqual([]);
    bed.checkInvariants();
  });

  test('a flow to one that is well goes on while others begin elsewhere', () => {
    const bed = dnsBed({ dns: state(SECOND) });
    bed.out(udp(`${X}:4000`, `${GATEWAY}:53`));
    bed.engine.setDns(state(FIRST, SECOND));
    expect(only(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`))).dst).toBe(SECOND);
    expect(only(PUBLIC, bed.out(udp(`${X}:4001`, `${GATEWAY}:53`))).dst).toBe(FIRST);
  });

  test('a TCP connection to one that is down is told so by the next: its segments go there', () => {
    const bed = dnsBed();
    bed.out(tcp(`${X}:4000`, `${GATEWAY}:53`, 'S', { seq: 100 }));
    bed.engine.setDns(state(SECOND));
    const segment = tcpPacket({
      from: `${X}:4000`,
      to: `${GATEWAY}:53`,
      flags: 'PA',
      seq: 101,
      ack: 501,
      payload: 'q',
    });
    const there = only(PUBLIC, bed.out(segment));
    expect(there.dst).toBe(SECOND);
    const reset = only(PRIVATE, bed.in(tcp(`${SECOND}:53`, `${EXTERNAL}:${there.sport}`, 'R', { seq: 501 })));
    expect(ends(reset)).toBe(`${GATEWAY}:53 > ${X}:4000`);
  });

  test('switched off, flows end and the host has its port again', () => {
    const bed = dnsBed();
    bed.out(udp(`${X}:4000`, `${GATEWAY}:53`));
    bed.engine.setDns(null);
    expect(bed.flows()).toEqual([]);
    expect(to(PUBLIC, bed.out(udp(`${X}:4000`, `${GATEWAY}:53`)))).toEqual([]);
    bed.checkInvariants();
  });

  test('the next engine adopts flows to what is usable, and no others', () => {
    const before = dnsBed({ dns: state(SECOND) });
    const there = only(PUBLIC, before.out(udp(`${X}:4000`, `${GATEWAY}:53`)));
    const same = dnsBed({ dns: state(FIRST, SECOND), after: before });
    expect(ends(only(PUBLIC, same.out(udp(`${X}:4000`, `${GATEWAY}:53`))))).toBe(ends(there));
    same.checkInvariants();
    const other = dnsBed({ dns: state(FIRST), after: same });
    expect(other.flows()).toEqual([]);
    expect(other.totals['flows_lost_at_restart']).toBe(1);
    other.checkInvariants();
  });
});

describe('with several workers', () => {
  test.each([FIRST, NEAR])('queries of all ports to %s are answered', (resolver) => {
    const crew = new Crew({ workers: 4, dns: state(resolver) });
    const device = resolver === NEAR ? PRIVATE : PUBLIC;
    for (let port = 4000; port < 4016; port++) {
      const query = udp(`${X}:${port}`, `${GATEWAY}:53`);
      const there = only(device, crew.out(query));
      const answer = udp(`${resolver}:53`, `${there.src}:${there.sport}`);
      const back = only(PRIVATE, crew.arrive(device, answer, queueOf(answer, device, 4)));
      expect(ends(back)).toBe(`${GATEWAY}:53 > ${X}:${port}`);
    }
    expect(crew.drops).toEqual({});
  });
});
