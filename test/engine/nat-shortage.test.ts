/** When ports or flows run out: overloading, quarantine, limits for a host, pools and blocks. */
import { describe, expect, test } from 'vitest';
import { readPortGauges } from '../../src/engine/port-gauges.ts';
import { openState } from '../../src/engine/state.ts';
import { matchAll, type NatBehaviour } from '../../src/nat/config.ts';
import { tcpPacket } from '../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith as natBed, only, portOf, udp, X, Y } from './nat-bed.ts';
import { nat, rule } from './nat-rule-bed.ts';

// Nobody gives way here: test/engine/hostile-shares.test.ts.
const bedWith: typeof natBed = (behaviour, options) => natBed(behaviour, { evict: 'never', ...options });

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
    bed.pass(700);
    expect(readPortGauges([openState(bed.state)])).toEqual([
      {
        address: parseAddress(EXTERNAL),
        tcp: 0,
        udp: 4,
        icmp: 0,
        exhausted: { tcp: 0, udp: 1, icmp: 0 },
      },
    ]);
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
