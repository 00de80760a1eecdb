/** RFC 6888 on packets, where no other test has it: pools, limits, exhaustion. */
import { describe, expect, test } from 'vitest';
import { masqueradeAll } from '../../src/nat/config.ts';
import { echoPacket } from '../../src/testing/index.ts';
import { Bed, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, B, bedWith, only, PORTS, poolOf, portOf, tcp, udp, X, Y } from './nat-bed.ts';

describe('REQ-2: paired pooling is the default', () => {
  test('a host has one address for TCP, UDP and ICMP, towards everybody', () => {
    const bed = new Bed({ flows: 512, nat: poolOf(['198.18.0.20', '198.18.0.21', '198.18.0.22']) });
    const used = new Set<string>();
    for (let host = 2; host < 30; host++) {
      const from = `10.77.0.${host}`;
      const seen = [
        udp(`${from}:1`, `${A}:1`),
        udp(`${from}:2`, `${B}:9`),
        tcp(`${from}:1`, `${B}:80`, 'S'),
        echoPacket({ from, to: A, identifier: 9 }),
      ].map((packet) => only(PUBLIC, bed.out(packet)).src);
      expect(new Set(seen).size).toBe(1);
      used.add(seen[0]!);
    }
    expect(used.size).toBe(3);
  });
});

describe('REQ-3: the pool', () => {
  test('many addresses in no order and no prefix, all of them used', () => {
    const addresses = Array.from(
      { length: 60 },
      (_, i) => `198.${51 + (i % 3)}.${(i * 37) % 256}.${(i * 91) % 256}`,
    );
    const bed = new Bed({ flows: 4096, nat: poolOf(addresses, { pairedPooling: false }) });
    const seen = new Set<string>();
    for (let i = 0; i < 1500; i++) seen.add(only(PUBLIC, bed.out(udp(`${X}:${1024 + i}`, `${A}:1`))).src);
    expect(seen).toEqual(new Set(addresses));
  });
});

describe('REQ-4: limit of ports', () => {
  test('each protocol by itself: TCP, UDP and ICMP ids; what is mapped goes on', () => {
    const bed = bedWith({ portsPerHost: 2 });
    const packets = (host: string, n: number) => [
      udp(`${host}:${n}`, `${A}:1`),
      tcp(`${host}:${n}`, `${A}:1`, 'S'),
      echoPacket({ from: host, to: A, identifier: n }),
    ];
    for (const n of [1, 2])
      for (const packet of packets(X, n)) expect(to(PUBLIC, bed.out(packet))).toHaveLength(1);
    for (const packet of packets(X, 3)) {
      expect(only(PRIVATE, bed.out(packet))).toMatchObject({ type: 3, code: 13, dst: X });
    }
    expect(portOf(bed, `${X}:1`, `${B}:1`)).toBe(portOf(bed, `${X}:1`, `${A}:1`));
    for (const packet of packets(Y, 3)) expect(to(PUBLIC, bed.out(packet))).toHaveLength(1);
    expect(bed.drops).toEqual({ host_port_limit: 3 });
    expect(bed.shortages).toEqual([{ host: X, rule: 0, reason: 'host_port_limit', count: 3 }]);
    bed.checkInvariants();
  });
});

describe('REQ-5: limit of state', () => {
  test('flows of a host: the next is refused, its neighbours go on, room comes with an end', () => {
    const bed = bedWith({ flowsPerHost: 3 });
    for (const remote of [1, 2, 3]) portOf(bed, `${X}:40000`, `${A}:${remote}`);
    expect(only(PRIVATE, bed.out(udp(`${X}:40000`, `${A}:4`)))).toMatchObject({ type: 3, code: 13, dst: X });
    portOf(bed, `${Y}:40000`, `${A}:4`);
    expect(bed.drops).toEqual({ host_flow_limit: 1 });
    expect(bed.shortages).toEqual([{ host: X, rule: 0, reason: 'host_flow_limit', count: 1 }]);
    bed.pass(302_000);
    portOf(bed, `${X}:40000`, `${A}:4`);
    bed.checkInvariants();
  });
});

describe('REQ-8: quarantine', () => {
  test('a freed UDP port is nobody else’s for 120 s', () => {
    const bed = bedWith({}, { timeouts: { udp: 10 } });
    portOf(bed, `${X}:40000`, `${A}:1`);
    bed.pass(11_000);
    expect(bed.flows()).toEqual([]);
    const others = () => portOf(bed, `${Y}:40000`, `${A}:1`);
    for (let i = 0; i < 10; i++) {
      expect(others()).not.toBe(40000);
      bed.pass(11_000);
    }
    bed.pass(12_000);
    expect(others()).toBe(40000);
  });
});

describe('REQ-11: no mapping can be made', () => {
  test('the packet is dropped, its sender told 3/13, the shortage noted, and no mapping gives way', () => {
    const ports = { first: 40000, last: 40003 };
    const bed = bedWith({ overload: 'never' }, { ports });
    const external = connectAll(bed);
    const before = bed.flows();
    for (let i = 0; i < 20; i++) {
      expect(only(PRIVATE, bed.out(tcp(`${Y}:${i + 1}`, `${B}:80`, 'S')))).toMatchObject({
        type: 3,
        code: 13,
      });
    }
    expect(bed.flows()).toEqual(before);
    expect(bed.shortages).toEqual([{ host: Y, rule: 0, reason: 'no_free_port', count: 20 }]);
    for (const port of external) {
      expect(
        to(PRIVATE, bed.in(tcp(`${A}:80`, `198.18.0.1:${port}`, 'A', { seq: 501, ack: 101 }))),
      ).toHaveLength(1);
    }
    bed.checkInvariants(ports);
  });

  test('a connection that both sides open at once is not over: its port stays', () => {
    const ports = { first: 40000, last: 40000 };
    const bed = bedWith({ overload: 'never' }, { ports });
    bed.out(tcp(`${X}:1`, `${A}:80`, 'S', { seq: 100 }));
    bed.in(tcp(`${A}:80`, '198.18.0.1:40000', 'S', { seq: 500 }));
    expect(bed.flows().map(({ state }) => state)).toEqual(['SYN_SENT2']);
    expect(only(PRIVATE, bed.out(tcp(`${Y}:1`, `${B}:80`, 'S')))).toMatchObject({ type: 3, code: 13 });
    expect(bed.flows().map(({ state }) => state)).toEqual(['SYN_SENT2']);
    expect(bed.totals).toMatchObject({ ports_recycled: 0 });
  });

  function connectAll(bed: Bed): number[] {
    return [1, 2, 3, 4].map((n) => {
      const port = only(PUBLIC, bed.out(tcp(`${X}:${n}`, `${A}:80`, 'S', { seq: 100 }))).sport;
      bed.in(tcp(`${A}:80`, `198.18.0.1:${port}`, 'SA', { seq: 500, ack: 101 }));
      bed.out(tcp(`${X}:${n}`, `${A}:80`, 'A', { seq: 101, ack: 501 }));
      return port;
    });
  }
});

describe('REQ-13: utilisation', () => {
  test('every port of the range is used before anything is refused', () => {
    const ports = { first: 40000, last: 40999 };
    const bed = new Bed({ nat: masqueradeAll(ports, { overload: 'never' }), ports, flows: 2048 });
    const given = new Set<number>();
    for (let i = 0; i < 1000; i++) given.add(portOf(bed, `10.77.0.${2 + (i % 200)}:${1024 + i}`, `${A}:1`));
    expect(given.size).toBe(1000);
    expect(only(PRIVATE, bed.out(udp(`${X}:9`, `${A}:1`)))).toMatchObject({ type: 3, code: 13 });
    bed.checkInvariants(ports);
  });
});

describe('REQ-15: ports hard to guess', () => {
  test('random: two engines of other seeds give other ports, and neighbours are not neighbours', () => {
    const portsOf = (seed: number) => {
      const bed = new Bed({ nat: masqueradeAll(PORTS, { ports: 'random' }), flows: 256, seed });
      return Array.from({ length: 100 }, (_, i) => portOf(bed, `${X}:${40000 + i}`, `${A}:1`));
    };
    const [one, other] = [portsOf(1), portsOf(2)];
    expect(one).not.toEqual(other);
    const steps = one.slice(1).filter((port, i) => Math.abs(port - one[i]!) <= 2);
    expect(steps.length).toBeLessThan(5);
  });
});
