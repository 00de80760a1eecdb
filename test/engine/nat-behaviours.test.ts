/** RFC 4787's words on packets: mapping × filtering, hairpin, port choice, pools, limits, and what is let in. */
import { describe, expect, test } from 'vitest';
import {
  defaultBehaviour,
  type Forward,
  masqueradeAll,
  matchAll,
  type NatBehaviour,
  type NatConfig,
  type NatRule,
  type PrefixPair,
} from '../../src/nat/config.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { type Decoded, decode } from '../wire/decode.ts';
import { Bed, type BedOptions, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';

const PORTS = { first: 32768, last: 65535 };
const A = '203.0.113.9';
const B = '203.0.113.10';
const X = '10.77.0.2';
const Y = '10.77.0.3';
const GATEWAY = '10.77.0.1';

const DEPENDENCES = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const;

function bedWith(behaviour: Partial<NatBehaviour>, options: BedOptions = {}): Bed {
  return new Bed({ nat: masqueradeAll(options.ports ?? PORTS, behaviour), ...options });
}

function rule(fields: Partial<NatRule>, behaviour: Partial<NatBehaviour> = {}): NatRule {
  return {
    name: 'rule',
    match: matchAll,
    action: 'masquerade',
    addresses: [],
    ports: PORTS,
    ...fields,
    behaviour: { ...defaultBehaviour, ...behaviour },
  };
}

function nat(fields: Partial<NatConfig>): NatConfig {
  return { ...masqueradeAll(PORTS), ...fields };
}

function forward(fields: Partial<Forward>): Forward {
  return {
    name: 'web',
    protocol: 6,
    address: 0,
    ports: { first: 80, last: 80 },
    sources: [],
    targets: [{ address: parseAddress(X)!, port: 8080 }],
    affinitySeconds: 0,
    twice: false,
    ...fields,
  };
}

/** The one packet that left on `device`, decoded. */
function only(device: number, sent: ReturnType<Bed['run']>): Decoded {
  const packets = to(device, sent);
  expect(packets).toHaveLength(1);
  const seen = decode(packets[0]!);
  expect([seen.checksumOk, seen.headerChecksumOk]).toEqual([true, true]);
  return seen;
}

const udp = (from: string, dst: string) => udpPacket({ from, to: dst, payload: 'x' });
/** External port of a datagram from inside. */
const portOf = (bed: Bed, from: string, dst: string) => only(PUBLIC, bed.out(udp(from, dst))).sport!;

describe('mapping (RFC 4787 4.1)', () => {
  test.each(DEPENDENCES)('%s', (mapping) => {
    const bed = bedWith({ mapping });
    const ports = [`${A}:1`, `${A}:2`, `${B}:1`].map((remote) => portOf(bed, `${X}:40000`, remote));
    expect(ports[0]).toBe(40000);
    expect(ports[1] === ports[0]).toBe(mapping !== 'address-and-port-dependent');
    expect(ports[2] === ports[0]).toBe(mapping === 'endpoint-independent');
    // Answers come back to the one who asked, whichever port it was.
    for (const [i, remote] of [`${A}:1`, `${A}:2`, `${B}:1`].entries()) {
      const back = only(PRIVATE, bed.in(udp(remote, `${EXTERNAL}:${ports[i]}`)));
      expect([back.dst, back.dport]).toEqual([X, 40000]);
    }
    bed.checkInvariants();
  });
});

describe('filtering (RFC 4787 5)', () => {
  test.each(DEPENDENCES)('%s', (filtering) => {
    const bed = bedWith({ filtering });
    const port = portOf(bed, `${X}:40000`, `${A}:1`);
    const passes = (remote: string) => to(PRIVATE, bed.in(udp(remote, `${EXTERNAL}:${port}`))).length === 1;
    expect(passes(`${A}:1`)).toBe(true);
    expect(passes(`${A}:2`)).toBe(filtering !== 'address-and-port-dependent');
    expect(passes(`${B}:1`)).toBe(filtering === 'endpoint-independent');
    bed.checkInvariants();
  });

  test('what came in uninvited is answered from the mapped port', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    portOf(bed, `${X}:40000`, `${A}:1`);
    const seen = only(PRIVATE, bed.in(udp(`${B}:7`, `${EXTERNAL}:40000`)));
    expect([seen.src, seen.sport, seen.dst, seen.dport]).toEqual([B, 7, X, 40000]);
    const answer = only(PUBLIC, bed.out(udp(`${X}:40000`, `${B}:7`)));
    expect([answer.src, answer.sport]).toEqual([EXTERNAL, 40000]);
    bed.checkInvariants();
  });

  test('address-dependent: forgotten with the last flow to that address', () => {
    const bed = bedWith({ filtering: 'address-dependent' });
    portOf(bed, `${X}:40000`, `${A}:1`);
    bed.pass(200_000);
    portOf(bed, `${X}:40000`, `${B}:1`);
    bed.pass(150_000);
    expect(bed.flows()).toHaveLength(1);
    expect(bed.in(udp(`${A}:2`, `${EXTERNAL}:40000`))).toEqual([]);
    expect(bed.in(udp(`${B}:2`, `${EXTERNAL}:40000`))).toHaveLength(1);
    bed.checkInvariants();
  });

  test('nobody keeps a mapping alive from outside that is not answered (RFC 7857, EIF mapping refresh)', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    portOf(bed, `${X}:40000`, `${A}:1`);
    for (let i = 0; i < 8; i++) {
      bed.in(udp(`${B}:7`, `${EXTERNAL}:40000`));
      bed.pass(100_000);
    }
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('TCP from outside begins with a SYN', () => {
    const bed = bedWith({ filtering: 'endpoint-independent' });
    bed.out(tcpPacket({ from: `${X}:40000`, to: `${A}:1`, flags: 'S' }));
    const tcp = (flags: string) => bed.in(tcpPacket({ from: `${B}:7`, to: `${EXTERNAL}:40000`, flags }));
    expect(tcp('A')).toEqual([]);
    expect(tcp('S')).toHaveLength(1);
    expect(bed.drops).toEqual({ invalid_tcp: 1 });
  });
});

describe('hairpin (RFC 4787 REQ-9, RFC 5382 REQ-8)', () => {
  test('UDP: the other host sees the external source, answers come back', () => {
    const bed = bedWith({});
    portOf(bed, `${Y}:5000`, `${A}:1`);
    const there = only(
      PRIVATE,
      bed.out(udp(`${X}:40000`, `${EXTERNAL}:${portOf(bed, `${Y}:5000`, `${A}:1`)}`)),
    );
    expect([there.src, there.sport, there.dst, there.dport]).toEqual([EXTERNAL, 40000, Y, 5000]);
    const back = only(PRIVATE, bed.out(udp(`${Y}:5000`, `${EXTERNAL}:40000`)));
    expect(back.src).toBe(EXTERNAL);
    expect([back.dst, back.dport]).toEqual([X, 40000]);
    expect(to(PUBLIC, bed.out(udp(`${X}:40000`, `${A}:1`)))).toHaveLength(1);
    bed.checkInvariants();
  });

  test('TCP, and an ICMP error about it', () => {
    const bed = bedWith({});
    bed.out(tcpPacket({ from: `${Y}:40001`, to: `${A}:1`, flags: 'S' }));
    const syn = to(
      PRIVATE,
      bed.out(tcpPacket({ from: `${X}:40000`, to: `${EXTERNAL}:40001`, flags: 'S' })),
    )[0]!;
    expect(decode(syn)).toMatchObject({
      src: EXTERNAL,
      sport: 40000,
      dst: Y,
      dport: 40001,
      checksumOk: true,
    });
    const ack = only(
      PRIVATE,
      bed.out(tcpPacket({ from: `${Y}:40001`, to: `${EXTERNAL}:40000`, flags: 'SA' })),
    );
    expect([ack.src, ack.sport, ack.dst, ack.dport]).toEqual([EXTERNAL, 40001, X, 40000]);
    bed.checkInvariants();
  });

  test('a host reaches itself', () => {
    const bed = bedWith({});
    portOf(bed, `${X}:40000`, `${A}:1`);
    const seen = only(PRIVATE, bed.out(udp(`${X}:40001`, `${EXTERNAL}:40000`)));
    expect([seen.src, seen.sport, seen.dst, seen.dport]).toEqual([EXTERNAL, 40001, X, 40000]);
  });

  test('a query to an id that another host has', () => {
    const bed = bedWith({});
    bed.out(echoPacket({ from: Y, to: A, identifier: 7 }));
    const there = only(PRIVATE, bed.out(echoPacket({ from: X, to: EXTERNAL, identifier: 7 })));
    expect([there.src, there.dst, there.type]).toEqual([EXTERNAL, Y, 8]);
    const back = only(PRIVATE, bed.out(echoPacket({ from: Y, to: EXTERNAL, identifier: 7, reply: true })));
    expect([back.src, back.dst, back.type]).toEqual([EXTERNAL, X, 0]);
    bed.checkInvariants();
  });

  test('is taken over by a new engine, both mappings with it', () => {
    const before = bedWith({});
    portOf(before, `${Y}:5000`, `${A}:1`);
    const port = portOf(before, `${Y}:5000`, `${A}:1`);
    before.out(udp(`${X}:40000`, `${EXTERNAL}:${port}`));
    const bed = bedWith({}, { after: before });
    expect(bed.flows()).toEqual(before.flows());
    expect(only(PRIVATE, bed.out(udp(`${Y}:5000`, `${EXTERNAL}:40000`))).dst).toBe(X);
    bed.checkInvariants();
  });
});

describe('ports (RFC 4787 4.2)', () => {
  test('parity and class are kept when the port cannot be', () => {
    const ports = { first: 512, last: 65535 };
    const bed = bedWith({}, { ports });
    for (const port of [600, 601, 40000, 40001]) {
      expect(portOf(bed, `${X}:${port}`, `${A}:1`)).toBe(port);
      const other = portOf(bed, `${Y}:${port}`, `${A}:1`);
      expect(other).not.toBe(port);
      expect(other & 1).toBe(port & 1);
      expect(other < 1024).toBe(port < 1024);
    }
    bed.checkInvariants(ports);
  });

  test('random: not the internal port; sequential: one after the other', () => {
    const random = bedWith({ ports: 'random' }, { flows: 512 });
    const kept = Array.from(
      { length: 200 },
      (_, i) => portOf(random, `${X}:${40000 + i}`, `${A}:1`) === 40000 + i,
    );
    expect(kept.filter(Boolean).length).toBeLessThan(5);
    const sequential = bedWith({ ports: 'sequential', parity: false });
    expect([0, 1, 2].map((i) => portOf(sequential, `${X}:${50000 + i}`, `${A}:1`))).toEqual([
      32768, 32769, 32770,
    ]);
  });
});

describe('when ports run out', () => {
  const ports = { first: 40000, last: 40003 };
  const fill = (bed: Bed, remote = `${A}:1`) => {
    for (let i = 0; i < 4; i++) portOf(bed, `${X}:${1000 + i}`, remote);
  };

  test('an external port serves several hosts towards different remotes, each gets its own answers', () => {
    const bed = bedWith({}, { ports });
    fill(bed);
    const port = portOf(bed, `${Y}:1000`, `${B}:1`);
    expect(bed.totals).toMatchObject({ ports_overloaded: 1, ports_udp: 4 });
    expect(only(PRIVATE, bed.in(udp(`${B}:1`, `${EXTERNAL}:${port}`))).dst).toBe(Y);
    expect(only(PRIVATE, bed.in(udp(`${A}:1`, `${EXTERNAL}:${port}`))).dst).toBe(X);
    bed.checkInvariants(ports);
    // Towards the remote that the others talk to there is no way.
    expect(only(PRIVATE, bed.out(udp(`${Y}:2000`, `${A}:1`)))).toMatchObject({ type: 3, code: 13 });
    expect(bed.drops).toEqual({ no_free_port: 1 });
    bed.pass(700_000);
    expect(bed.totals).toMatchObject({ ports_udp: 0 });
    bed.checkInvariants(ports);
  });

  test('an overloaded mapping that meets its other half takes another port for that remote', () => {
    const bed = bedWith({}, { ports });
    fill(bed);
    const port = portOf(bed, `${Y}:1000`, `${B}:1`);
    const owner = bed.flows().find((flow) => flow.reply.dport === port)!.original.sport;
    portOf(bed, `${X}:${owner}`, `${B}:2`);
    const other = portOf(bed, `${X}:${owner}`, `${B}:1`);
    expect(other).not.toBe(port);
    bed.checkInvariants(ports);
  });

  test('always: the kernel’s way, as soon as the preferred port is another’s', () => {
    const bed = bedWith({ overload: 'always' });
    expect(portOf(bed, `${X}:40000`, `${A}:1`)).toBe(40000);
    expect(portOf(bed, `${Y}:40000`, `${B}:1`)).toBe(40000);
    expect(portOf(bed, `${Y}:40000`, `${A}:1`)).not.toBe(40000);
    bed.checkInvariants();
  });

  test('the port that was in quarantine longest goes first', () => {
    const bed = bedWith({}, { ports, timeouts: { udp: 10 } });
    fill(bed);
    bed.pass(12_000);
    expect(bed.flows()).toEqual([]);
    expect(portOf(bed, `${Y}:1000`, `${A}:1`)).toBeGreaterThanOrEqual(40000);
    expect(bed.totals).toMatchObject({ ports_quarantine_cut: 1, ports_overloaded: 0 });
    bed.checkInvariants(ports);
  });

  test('a connection in TIME_WAIT gives its port to a new one elsewhere', () => {
    const bed = bedWith({}, { ports });
    const tcp = (from: string, dst: string, flags: string, fields = {}) =>
      tcpPacket({ from, to: dst, flags, ...fields });
    for (let i = 0; i < 4; i++) {
      const inside = `${X}:${1000 + i}`;
      const port = only(PUBLIC, bed.out(tcp(inside, `${A}:1`, 'S', { seq: 1 }))).sport;
      bed.in(tcp(`${A}:1`, `${EXTERNAL}:${port}`, 'SA', { seq: 1, ack: 2 }));
      bed.out(tcp(inside, `${A}:1`, 'A', { seq: 2, ack: 2 }));
      bed.out(tcp(inside, `${A}:1`, 'FA', { seq: 2, ack: 2 }));
      bed.in(tcp(`${A}:1`, `${EXTERNAL}:${port}`, 'FA', { seq: 2, ack: 3 }));
      bed.out(tcp(inside, `${A}:1`, 'A', { seq: 3, ack: 3 }));
    }
    expect(bed.flows().map(({ state }) => state)).toEqual(Array(4).fill('TIME_WAIT'));
    expect(to(PUBLIC, bed.out(tcp(`${Y}:1000`, `${B}:1`, 'S', { seq: 9 })))).toHaveLength(1);
    expect(bed.totals).toMatchObject({ ports_recycled: 1, ports_overloaded: 0 });
    bed.checkInvariants(ports);
  });
});

describe('limits for a host (RFC 6888 REQ-4, REQ-5)', () => {
  test('ports: its own, not its neighbours’; who was refused is noted', () => {
    const bed = bedWith({ portsPerHost: 2 });
    portOf(bed, `${X}:1`, `${A}:1`);
    portOf(bed, `${X}:2`, `${A}:1`);
    portOf(bed, `${X}:2`, `${B}:1`);
    expect(only(PRIVATE, bed.out(udp(`${X}:3`, `${A}:1`)))).toMatchObject({ type: 3, code: 13, dst: X });
    portOf(bed, `${Y}:3`, `${A}:1`);
    bed.pass(302_000);
    portOf(bed, `${X}:3`, `${A}:1`);
    expect(bed.shortages).toEqual([{ host: X, rule: 0, reason: 'host_port_limit', count: 1 }]);
    bed.checkInvariants();
  });

  test('a full table: with evict, a flow that is not ASSURED goes, of the host that has most', () => {
    const bed = bedWith({}, { flows: 8, evict: 'unassured' });
    portOf(bed, `${Y}:1`, `${A}:1`);
    for (let i = 0; i < 7; i++) portOf(bed, `${X}:${1000 + i}`, `${A}:1`);
    portOf(bed, `${Y}:2`, `${A}:1`);
    expect(bed.flows().filter((flow) => flow.original.src === parseAddress(Y)!)).toHaveLength(2);
    expect(bed.totals).toMatchObject({ flows_evicted: 1 });
    bed.checkInvariants();
  });
});

describe('pools', () => {
  const addresses = ['198.18.0.20', '198.18.0.21', '198.18.0.22'].map((text) => parseAddress(text)!);
  const pooled = (behaviour: Partial<NatBehaviour> = {}) =>
    new Bed({
      flows: 512,
      nat: nat({
        rules: [rule({ action: 'pool', addresses, ports: { first: 1024, last: 65535 } }, behaviour)],
      }),
    });

  test('paired: a host has one address, hosts are spread', () => {
    const bed = pooled();
    const used = new Set<string>();
    for (let host = 2; host < 40; host++) {
      const seen = [1, 2, 3, 4].map(
        (port) => only(PUBLIC, bed.out(udp(`10.77.0.${host}:${port}`, `${A}:1`))).src,
      );
      expect(new Set(seen).size).toBe(1);
      used.add(seen[0]!);
    }
    expect(used.size).toBe(3);
    const out = only(PUBLIC, bed.out(udp(`${X}:9`, `${A}:1`)));
    const back = only(PRIVATE, bed.in(udp(`${A}:1`, `${out.src}:${out.sport}`)));
    expect([back.dst, back.dport]).toEqual([X, 9]);
  });

  test.each([2, 4, 16, 64])('paired: the hosts of a /24 are spread over a pool of %i', (size) => {
    const pool = Array.from({ length: size }, (_, i) => parseAddress(`198.18.0.${i + 20}`)!);
    const ports = { first: 1024, last: 65535 };
    const bed = new Bed({
      flows: 512,
      nat: nat({ rules: [rule({ action: 'pool', addresses: pool, ports }, {})] }),
    });
    const hosts = new Map<string, number>();
    for (let host = 2; host < 250; host++) {
      const { src } = only(PUBLIC, bed.out(udp(`10.77.0.${host}:1`, `${A}:1`)));
      hosts.set(src, (hosts.get(src) ?? 0) + 1);
    }
    expect(hosts.size).toBeGreaterThan(0.75 * size);
    expect(Math.max(...hosts.values())).toBeLessThan((4 * 248) / size);
  });

  test('arbitrary: a host may have several', () => {
    const bed = pooled({ pairedPooling: false });
    const seen = Array.from(
      { length: 30 },
      (_, i) => only(PUBLIC, bed.out(udp(`${X}:${i + 1}`, `${A}:1`))).src,
    );
    expect(new Set(seen).size).toBe(3);
  });

  test('blocks: a host’s ports are together, nobody else’s among them, and given back', () => {
    const bed = pooled({ blockSize: 8, pairedPooling: true, quarantineSeconds: 0, parity: false });
    const blockOf = (port: number) => Math.floor((port - 1024) / 8);
    const blocks = new Map<string, Set<string>>();
    for (const host of ['10.77.0.2', '10.77.0.3', '10.77.0.4', '10.77.0.5']) {
      for (let i = 0; i < 12; i++) {
        const seen = only(PUBLIC, bed.out(udp(`${host}:${20000 + i}`, `${A}:1`)));
        const key = `${seen.src} ${blockOf(seen.sport!)}`;
        blocks.set(key, (blocks.get(key) ?? new Set()).add(host));
      }
    }
    expect([...blocks.values()].every((hosts) => hosts.size === 1)).toBe(true);
    expect(blocks.size).toBe(8);
  });

  test('deterministic: the block follows from the address, and is all there is (RFC 7422)', () => {
    const match = { ...matchAll, sources: [parsePrefix('10.77.0.0/24')!] };
    const rules = [
      rule(
        { action: 'pool', addresses: addresses.slice(0, 1), ports: { first: 1024, last: 65535 }, match },
        { blockSize: 64, deterministic: true, parity: false, ports: 'random' },
      ),
    ];
    const bed = new Bed({ flows: 512, nat: nat({ rules }) });
    for (const [host, place] of [
      ['10.77.0.2', 2],
      ['10.77.0.200', 200],
    ] as const) {
      const seen = Array.from({ length: 64 }, (_, i) => portOf(bed, `${host}:${3000 + i}`, `${A}:1`));
      const first = 1024 + place * 64;
      expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => first + i));
      expect(only(PRIVATE, bed.out(udp(`${host}:9`, `${A}:1`)))).toMatchObject({ type: 3, code: 13 });
    }
  });
});

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

describe('a SYN that nothing expects (RFC 5382 REQ-4)', () => {
  const syn = tcpPacket({ from: `${A}:5`, to: `${EXTERNAL}:40000`, flags: 'S' });
  /** What ticks send, second by second. */
  const answers = (bed: Bed, seconds: number) => {
    const sent: number[] = [];
    for (let second = 1; second <= seconds; second++) {
      bed.now += 1000;
      bed.engine.tick(bed.now);
      for (const packet of bed.link.sent(bed.engine.outCount)) {
        expect(decode(packet.packet)).toMatchObject({ src: EXTERNAL, dst: A, type: 3, code: 3 });
        sent.push(second);
      }
      bed.engine.clearOut();
    }
    return sent;
  };

  test('silent: never answered', () => {
    const bed = new Bed();
    expect(bed.in(syn)).toEqual([]);
    expect(answers(bed, 10)).toEqual([]);
  });

  test('unreachable: 3/3 after six seconds', () => {
    const bed = new Bed({ unsolicited: 'unreachable' });
    expect(bed.in(syn)).toEqual([]);
    expect(answers(bed, 10)).toEqual([6]);
  });

  test('unreachable: not when the other half of a simultaneous open comes in time', () => {
    const bed = new Bed({ unsolicited: 'unreachable' });
    bed.in(syn);
    expect(answers(bed, 5)).toEqual([]);
    bed.out(tcpPacket({ from: `${X}:40000`, to: `${A}:5`, flags: 'S' }));
    expect(answers(bed, 5)).toEqual([]);
    expect(bed.in(syn)).toHaveLength(1);
  });
});
