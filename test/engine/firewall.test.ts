/** The firewall in the engine: what is asked about, what a refusal leaves and what its sender is told, and what lives on. */
import { describe, expect, it } from 'vitest';
import { masqueradeAll, type NatConfig } from '../../src/nat/config.ts';
import type { FirewallConfig, RejectWith } from '../../src/policy/firewall-config.ts';
import {
  describePacket,
  echoPacket,
  tcpPacket,
  udpPacket,
  verifyChecksums,
} from '../../src/testing/index.ts';
import { config, DROP_ALL, is, not, range, rule, TCP, UDP } from '../policy/firewall/rules.ts';
import { decode } from '../wire/decode.ts';
import { address, Bed, type BedOptions, EXTERNAL, PRIVATE, PUBLIC, to, vnetHeader } from './bed.ts';
import { Crew } from './crew.ts';
import { PAIR } from './nat-bed.ts';
import { cut, filler, partial, rawPacket } from './packets.ts';

const SERVER = '203.0.113.9';
const CLIENT = '10.77.0.2';
const PORTS = { first: 32768, last: 65535 };
const syn = (port = 443, fields = {}) =>
  tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:${port}`, flags: 'S', seq: 1000, ...fields });
const query = (port = 53, from = `${CLIENT}:40000`) =>
  udpPacket({ from, to: `${SERVER}:${port}`, payload: 'x' });
const reject = (way: RejectWith) => ({ kind: 'reject' as const, with: way });
const perSource = { by: 'source' as const, prefixLength: 32 };
const WEB: NatConfig = {
  ...masqueradeAll(PORTS),
  forwards: [
    {
      name: 'web',
      protocol: TCP,
      address: 0,
      ports: { first: 8080, last: 8080 },
      targets: [{ address: address('10.77.0.9'), port: 80 }],
      sources: [],
      affinitySeconds: 0,
      twice: false,
    },
  ],
};
const bedOf = (firewall: FirewallConfig, options: BedOptions = {}) => new Bed({ firewall, ...options });
const lines = (sent: ReturnType<Bed['run']>) =>
  sent.map(({ device, packet }) => `${device === PRIVATE ? 'in' : 'out'} ${describePacket(packet)}`);

describe('a flow that is refused', () => {
  it('leaves no flow, no mapping, no port; nobody is told of a drop', () => {
    const bed = bedOf(config([rule('drop')]));
    for (const packet of [
      syn(),
      query(),
      echoPacket({ from: CLIENT, to: SERVER, identifier: 40000 }),
      rawPacket({ src: CLIENT, dst: SERVER, protocol: 50, body: filler(8) }),
    ]) {
      expect(bed.out(packet)).toEqual([]);
    }
    expect(bed.drops).toEqual({ firewall_drop: 4 });
    expect(bed.flows()).toEqual([]);
    expect(bed.totals).toMatchObject({ flows_started: 0, ports_tcp: 0, ports_udp: 0, ids_icmp: 0 });
    expect([bed.isOwned('icmp', 40000), bed.isOwned('protocol', 50)]).toEqual([false, false]);
    bed.checkInvariants();
  });

  it('in fragments is dropped whole', () => {
    const bed = bedOf(config([rule('drop', { protocols: is(UDP) })]));
    const large = udpPacket({
      from: `${CLIENT}:40000`,
      to: `${SERVER}:53`,
      payload: filler(4000),
      fragment: 0,
    });
    for (const piece of cut(large, 1480)) expect(bed.out(piece)).toEqual([]);
    expect(bed.drops).toEqual({ firewall_drop: 1, fragment_first_missing: 2 });
  });

  it('is asked about with each packet, as long as there is no flow; what lives is not', () => {
    const bed = bedOf(
      config([
        rule('accept', { protocols: is(TCP), destinationPorts: [is({ first: 443, last: 443 })] }),
        rule('drop'),
      ]),
    );
    bed.out(syn());
    bed.in(tcpPacket({ from: `${SERVER}:443`, to: `${EXTERNAL}:40000`, flags: 'SA', seq: 1, ack: 1001 }));
    for (let i = 0; i < 5; i++) {
      bed.out(tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:443`, flags: 'A', seq: 1001, ack: 2 }));
    }
    bed.out(query());
    bed.out(query());
    expect(bed.engine.gate.ruleCounts().map(({ flows, bytes }) => [flows, bytes])).toEqual([
      [1, 40],
      [2, 58],
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
  });

  it('TTL and route come first: their answers stay', () => {
    const bed = bedOf(config([rule('drop')]));
    expect(lines(bed.out(query(53, `${CLIENT}:1`).with(8, 1)))).toHaveLength(0);
    expect(lines(bed.out(udpPacket({ from: `${CLIENT}:1`, to: `${SERVER}:53`, ttl: 1 })))).toHaveLength(1);
    expect(bed.drops).toMatchObject({ ttl_exceeded: 1 });
  });
});

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

  it('at most 200 at once, 1000 a second', () => {
    const bed = bedOf(config([rule(reject('tcp-reset'))]), { now: 0 });
    const ask = () => bed.out(syn()).length;
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

describe('what rules name is private', () => {
  const toWeb = (port = 8080) => tcpPacket({ from: `${SERVER}:1234`, to: `${EXTERNAL}:${port}`, flags: 'S' });
  it('a forward: the host behind it, and its port', () => {
    const only = (match: object) =>
      bedOf(config([rule('accept', match)], { policies: DROP_ALL }), { nat: WEB });
    const destinations = [is(range('10.77.0.9'))];
    const destinationPorts = [is({ first: 80, last: 80 })];
    const open = only({ directions: ['inbound'], destinations, destinationPorts, states: is('dnat') });
    expect(open.in(toWeb())).toHaveLength(1);
    const external = only({ destinations: [is(range(EXTERNAL))] });
    expect(external.in(toWeb())).toEqual([]);
    expect(external.drops).toEqual({ firewall_drop: 1 });
    expect(external.flows()).toEqual([]);
    const outer = only({ destinationPorts: [is({ first: 8080, last: 8080 })] });
    expect(outer.in(toWeb())).toEqual([]);
  });

  it('from inside by the external address: between', () => {
    const inner = tcpPacket({ from: `${CLIENT}:5000`, to: `${EXTERNAL}:8080`, flags: 'S' });
    const drop = (direction: 'outbound' | 'inbound' | 'between', match = {}) =>
      bedOf(config([rule('drop', { directions: [direction], ...match })]), { nat: WEB }).out(inner);
    expect(
      drop('between', { sources: [is(range(CLIENT))], states: is('dnat'), outInterfaces: is('inside') }),
    ).toEqual([]);
    expect(drop('between', { states: is('snat') })).toEqual([]);
    expect(drop('outbound')).toHaveLength(1);
    expect(drop('inbound')).toHaveLength(1);
  });

  it('a mapping that its owner opened', () => {
    const nat = masqueradeAll(PORTS, { filtering: 'endpoint-independent' });
    const stranger = udpPacket({ from: '203.0.113.77:9', to: `${EXTERNAL}:40000` });
    const bed = bedOf(
      config([rule('drop', { directions: ['inbound'], destinations: [is(range(CLIENT))] })]),
      { nat },
    );
    bed.out(query());
    expect(bed.in(stranger)).toEqual([]);
    expect(bed.drops).toEqual({ firewall_drop: 1 });
    const open = bedOf(
      config([rule('accept', { states: is('dnat') })], {
        policies: { ...DROP_ALL, outbound: { kind: 'accept' } },
      }),
      { nat },
    );
    open.out(query());
    expect(to(PRIVATE, open.in(stranger))).toHaveLength(1);
  });

  it('a 1:1 address', () => {
    const nat = { ...masqueradeAll(PORTS), prefixes: [PAIR] };
    const packet = udpPacket({ from: `${SERVER}:9`, to: '198.18.1.18:7' });
    const bed = bedOf(
      config([
        rule('drop', { destinations: [is(range(CLIENT))], destinationPorts: [is({ first: 7, last: 7 })] }),
      ]),
      { nat },
    );
    expect(bed.in(packet)).toEqual([]);
    expect(bed.in(udpPacket({ from: `${SERVER}:9`, to: '198.18.1.18:8' }))).toHaveLength(1);
  });

  it('whether the source will be translated', () => {
    const exempt = { ...masqueradeAll(PORTS) };
    const first = exempt.rules[0]!;
    const none = {
      ...first,
      name: 'exempt',
      action: 'none' as const,
      match: { ...first.match, destinations: [{ address: address(SERVER), length: 32 }] },
    };
    const nat: NatConfig = { ...exempt, rules: [none, first] };
    const bed = bedOf(config([rule('drop', { states: not('snat') })]), { nat });
    expect(bed.out(query())).toEqual([]);
    expect(bed.out(udpPacket({ from: `${CLIENT}:40000`, to: '203.0.113.10:53' }))).toHaveLength(1);
  });

  it('interfaces have names', () => {
    const bed = bedOf(config([rule('drop', { inInterfaces: is('inside'), outInterfaces: is('outside') })]));
    expect(bed.out(query())).toEqual([]);
    expect(bedOf(config([rule('drop', { inInterfaces: is('outside') })])).out(query())).toHaveLength(1);
  });
});

describe('what is established', () => {
  it('answers and ICMP errors pass, whatever the default', () => {
    const bed = bedOf(config([rule('accept', { directions: ['outbound'] })], { policies: DROP_ALL }));
    const [sent] = bed.out(query());
    expect(bed.in(udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000` }))).toHaveLength(1);
    expect(decode(sent!.packet).src).toBe(EXTERNAL);
    expect(bed.drops).toEqual({});
  });

  it('is not judged by new rules; wouldAdmit() says what they would say', () => {
    const bed = bedOf(config([rule('count', {}, { name: 'all' })]));
    bed.out(query());
    bed.out(query(54));
    const block = rule('drop', { destinationPorts: [is({ first: 53, last: 53 })] }, { name: 'no dns' });
    bed.engine.gate.setFirewall(config([block, rule('count', {}, { name: 'all' })]), bed.now);
    expect(bed.out(query())).toHaveLength(1);
    expect([0, 1].map((flow) => bed.engine.gate.wouldAdmit(flow, bed.now))).toEqual([false, true]);
    expect(bed.out(query(53, '10.77.0.3:1'))).toEqual([]);
    // What a rule of the same name has counted goes on.
    expect(bed.engine.gate.ruleCounts().map(({ name, flows }) => [name, flows])).toEqual([
      ['no dns', 1],
      ['all', 2],
      ['default/outbound', 2],
      ['default/inbound', 0],
      ['default/between', 0],
    ]);
  });
});

describe('connection limits', () => {
  const limit = { count: 2, grouping: perSource, above: true };
  const limited = config([rule('drop', { connections: limit }, { name: 'two' })]);
  const from = (host: string, port: number) => query(53, `${host}:${port}`);

  it('flows that end make room', () => {
    const bed = bedOf(limited, { timeouts: { udp: 30 } });
    expect([1, 2, 3].map((port) => bed.out(from(CLIENT, port)).length)).toEqual([1, 1, 0]);
    expect(bed.out(from('10.77.0.3', 1))).toHaveLength(1);
    bed.pass(31_000);
    expect([4, 5, 6].map((port) => bed.out(from(CLIENT, port)).length)).toEqual([1, 1, 0]);
  });

  it('flows that lived on count', () => {
    const before = bedOf(limited);
    before.out(from(CLIENT, 1));
    before.out(from(CLIENT, 2));
    before.out(from(CLIENT, 3));
    const bed = bedOf(limited, { after: before });
    expect(bed.out(from(CLIENT, 4))).toEqual([]);
    expect(bed.out(from('10.77.0.3', 4))).toHaveLength(1);
    bed.engine.tracker.close(0, 0);
    expect([5, 6].map((port) => bed.out(from(CLIENT, port)).length)).toEqual([1, 0]);
    // And so do the counters of rules, as long as they are the same rules.
    expect(bed.engine.gate.ruleCounts()[0]).toMatchObject({ name: 'two', flows: 3 });
    const other = bedOf(config([rule('count', {}, { name: 'other' })]), { after: bed });
    expect(other.engine.gate.ruleCounts()[0]).toEqual({ name: 'other', flows: 0, bytes: 0 });
  });

  it('are one over all workers', () => {
    const crew = new Crew({ firewall: limited, workers: 2 });
    const ports = [40000, 40002, 40004, 40006];
    const sent = ports.map((port) => to(PUBLIC, crew.out(from(CLIENT, port))).length);
    expect(crew.counts.every((count) => count > 0)).toBe(true);
    expect(sent).toEqual([1, 1, 0, 0]);
    expect(crew.drops).toEqual({ firewall_drop: 2 });
  });
});

describe('a packet limit', () => {
  const ten = { perSecond: 10, burst: 10, grouping: { by: 'rule' as const, prefixLength: 32 }, above: false };
  const answer = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:40000` });

  it('drops what is above it, both ways; other flows have their fast path', () => {
    const limited = rule('accept', { destinationPorts: [is({ first: 53, last: 53 })] }, { packetLimit: ten });
    const bed = bedOf(config([limited]), { now: 0 });
    let sent = 0;
    for (let i = 0; i < 10; i++) sent += bed.out(query()).length + bed.in(answer).length;
    expect(sent).toBe(10);
    expect(bed.drops).toEqual({ packet_rate: 10 });
    for (let i = 0; i < 30; i++) expect(bed.out(query(54))).toHaveLength(1);
    bed.now = 300;
    sent = 0;
    for (let i = 0; i < 10; i++) sent += bed.in(answer).length;
    expect(sent).toBe(3);
    // Counted as packets of the flow are those that passed.
    expect(bed.flows()[0]).toMatchObject({ originalPackets: 5, replyPackets: 8 });
  });

  it('a flow that begins above it is not made', () => {
    const bed = bedOf(config([rule('accept', {}, { packetLimit: { ...ten, burst: 1 } })]), { now: 0 });
    bed.out(query());
    expect(bed.out(query(54))).toEqual([]);
    expect(bed.flows()).toHaveLength(1);
    expect(bed.drops).toEqual({ packet_rate: 1 });
  });

  it('per source, by the private host, in either direction', () => {
    const each = { ...ten, perSecond: 1, burst: 2, grouping: perSource };
    const bed = bedOf(config([rule('accept', {}, { packetLimit: each })]), { now: 0 });
    expect(bed.out(query())).toHaveLength(1);
    expect(bed.in(answer)).toHaveLength(1);
    expect(bed.in(answer)).toEqual([]);
    expect(bed.out(query(53, '10.77.0.3:5'))).toHaveLength(1);
  });

  it('holds for TCP, and for a connection that lived on', () => {
    const limited = config([rule('accept', {}, { packetLimit: { ...ten, burst: 4 } })]);
    const before = bedOf(limited, { now: 0 });
    before.out(syn());
    before.in(tcpPacket({ from: `${SERVER}:443`, to: `${EXTERNAL}:40000`, flags: 'SA', seq: 1, ack: 1001 }));
    const ack = () =>
      tcpPacket({ from: `${CLIENT}:40000`, to: `${SERVER}:443`, flags: 'A', seq: 1001, ack: 2 });
    expect([ack(), ack(), ack()].map((packet) => before.out(packet).length)).toEqual([1, 1, 0]);
    const bed = bedOf(limited, { after: before });
    expect([1, 2, 3, 4, 5].map(() => bed.out(ack()).length)).toEqual([1, 1, 1, 1, 0]);
    bed.checkInvariants();
  });
});

describe('logged lines', () => {
  const logging = (packet: Uint8Array, side: 'in' | 'out', options: BedOptions = {}) => {
    const seen: string[] = [];
    const bed = bedOf(config([rule('log', {}, { log: 'fw: ' })]), {
      log: (line) => seen.push(line),
      ...options,
    });
    bed[side](packet);
    return seen;
  };

  it('TCP', () => {
    expect(logging(syn(443, { id: 7, window: 64240 }), 'out')).toEqual([
      `fw: IN=inside OUT=outside SRC=${CLIENT} DST=${SERVER} LEN=40 TOS=0x00 TTL=64 ID=7 DF PROTO=TCP SPT=40000 DPT=443 WINDOW=64240 SYN`,
    ]);
  });

  it('by a forward, as FORWARD sees it', () => {
    const packet = tcpPacket({
      from: `${SERVER}:1234`,
      to: `${EXTERNAL}:8080`,
      flags: 'S',
      id: 1,
      window: 1,
    });
    expect(logging(packet, 'in', { nat: WEB })).toEqual([
      `fw: IN=outside OUT=inside SRC=${SERVER} DST=10.77.0.9 LEN=40 TOS=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=1234 DPT=80 WINDOW=1 SYN`,
    ]);
  });

  it('ICMP, UDP and others', () => {
    expect(logging(echoPacket({ from: CLIENT, to: SERVER, identifier: 5 }), 'out')[0]).toMatch(
      /PROTO=ICMP TYPE=8 CODE=0 ID=5$/,
    );
    expect(logging(query(), 'out')[0]).toMatch(/PROTO=UDP SPT=40000 DPT=53$/);
    const esp = rawPacket({ src: CLIENT, dst: SERVER, protocol: 50, body: filler(8) });
    expect(logging(esp, 'out')[0]).toMatch(/PROTO=50$/);
  });

  it('what was left out is said', () => {
    const seen: string[] = [];
    const bed = bedOf(config([rule('log', {}, { log: 'x ' })]), { log: (line) => seen.push(line), now: 0 });
    for (let port = 1; port <= 14; port++) bed.out(query(port));
    bed.now = 1000;
    bed.out(query(15));
    expect(seen).toHaveLength(12);
    expect(seen[10]).toBe('x (4 lines left out)');
    expect(seen[11]).toMatch(/DPT=15$/);
  });
});

it('without rules everything passes, and is counted by direction', () => {
  const bed = new Bed({ nat: WEB });
  bed.out(query());
  bed.in(tcpPacket({ from: `${SERVER}:1234`, to: `${EXTERNAL}:8080`, flags: 'S' }));
  expect(bed.engine.gate.ruleCounts()).toEqual([
    { name: 'default/outbound', flows: 1, bytes: 29 },
    { name: 'default/inbound', flows: 1, bytes: 40 },
    { name: 'default/between', flows: 0, bytes: 0 },
  ]);
});
