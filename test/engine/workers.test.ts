/**
 * Four workers as one gateway: what has its two ends at two workers. A port's worker is its number without the lowest bit,
 * modulo four: 40000 and 40001 are worker 0's, 40002 worker 1's, and so on.
 */
import { describe, expect, test } from 'vitest';
import { defaultBehaviour, masqueradeAll, type NatConfig } from '../../src/nat/config.ts';
import { workerOfPort } from '../../src/nat/port-class.ts';
import { echoPacket, icmpError, udpPacket } from '../../src/testing/index.ts';
import { initChunk, sctpPacket } from '../conntrack/sctp-packets.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { address, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { only, PORTS } from './nat-bed.ts';
import { filler, rawPacket } from './packets.ts';
import { CLIENT, crewWith, loose, OTHER, SERVER, udp, WORKERS, withForward } from './workers-bed.ts';

describe('a flow from inside', () => {
  test('is one worker’s both ways, with its port preserved', () => {
    const crew = new Crew();
    for (let port = 40000; port < 40008; port++) {
      const out = only(PUBLIC, crew.out(udp(`${CLIENT}:${port}`, `${SERVER}:53`)));
      expect(out).toMatchObject({ src: EXTERNAL, sport: port });
      const back = only(PRIVATE, crew.in(udp(`${SERVER}:53`, `${EXTERNAL}:${port}`)));
      expect(back).toMatchObject({ dst: CLIENT, dport: port });
    }
    expect(crew.counts).toEqual([2, 2, 2, 2]);
    expect(crew.totals['handed_off']).toBe(0);
    expect(crew.drops).toEqual({});
  });

  test.each(['preserve', 'random', 'sequential'] as const)(
    '%s: another port is of its worker and parity',
    (ports) => {
      const crew = crewWith({ ports });
      for (let port = 40000; port < 40032; port++) {
        const first = only(PUBLIC, crew.out(udp(`${CLIENT}:${port}`, `${SERVER}:53`)));
        const second = only(PUBLIC, crew.out(udp(`${OTHER}:${port}`, `${SERVER}:53`)));
        expect(second.sport).not.toBe(first.sport);
        for (const { sport } of [first, second]) {
          expect(workerOfPort(sport, WORKERS)).toBe(workerOfPort(port, WORKERS));
          expect(sport & 1).toBe(port & 1);
        }
      }
      expect(crew.totals['handed_off']).toBe(0);
    },
  );

  test('finds every port of its worker, and none of another', () => {
    const ports = { first: 33000, last: 33063 };
    const nat = masqueradeAll(ports, { parity: false, overload: 'never' });
    // That nobody gives way shows that there is none left.
    const crew = new Crew({ ports, nat, evict: 'never' });
    const seen = new Set<number>();
    for (let i = 0; i < 16; i++) {
      seen.add(only(PUBLIC, crew.out(udp(`${CLIENT}:${40002 + 8 * i}`, `${SERVER}:53`))).sport);
    }
    expect(seen.size).toBe(16);
    expect([...seen].every((port) => workerOfPort(port, WORKERS) === 1)).toBe(true);
    crew.out(udp(`${OTHER}:40002`, `${SERVER}:53`));
    expect(crew.drops).toEqual({ no_free_port: 1 });
    expect(only(PUBLIC, crew.out(udp(`${OTHER}:40000`, `${SERVER}:53`))).sport).toBeGreaterThanOrEqual(33000);
  });

  test('that came to the wrong queue is handed to its worker', () => {
    const crew = new Crew();
    expect(only(PUBLIC, crew.out(udp(`${CLIENT}:40002`, `${SERVER}:53`), 3)).sport).toBe(40002);
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    expect(only(PRIVATE, crew.in(udp(`${SERVER}:53`, `${EXTERNAL}:40002`), 2))).toMatchObject({
      dst: CLIENT,
    });
    expect(crew.totals['handed_off']).toBe(2);
    // Each packet counts once.
    expect(crew.device(PRIVATE)).toEqual([1, 29, 1, 29]);
    expect(crew.device(PUBLIC)).toEqual([1, 29, 1, 29]);
  });

  test('of a protocol without ports, and SCTP', () => {
    const crew = new Crew();
    const gre = rawPacket({ src: CLIENT, dst: SERVER, protocol: 47, body: filler(8) });
    expect(decode(to(PUBLIC, crew.out(gre))[0]!)).toMatchObject({ src: EXTERNAL, protocol: 47 });
    const chunks = [initChunk(7)];
    crew.out(sctpPacket({ from: `${CLIENT}:5002`, to: `${SERVER}:36412`, tag: 0, chunks }));
    crew.out(sctpPacket({ from: `${CLIENT}:5004`, to: `${SERVER}:36412`, tag: 0, chunks }));
    expect(crew.counts).toEqual([1, 1, 1, 0]);
    expect([crew.isOwned('protocol', 47), crew.isOwned('protocol', 132)]).toEqual([true, true]);
    crew.pass(700_000);
    expect(crew.counts).toEqual([0, 0, 0, 0]);
    expect([crew.isOwned('protocol', 47), crew.isOwned('protocol', 132)]).toEqual([false, false]);
  });

  test('a large packet crosses a ring whole', () => {
    const crew = new Crew();
    const packet = udpPacket({
      from: `${CLIENT}:40002`,
      to: `${SERVER}:53`,
      payload: filler(5001),
      ...loose,
    });
    const sent = decode(reassemble(to(PUBLIC, crew.out(packet, 0))));
    expect(sent).toMatchObject({ src: EXTERNAL, sport: 40002, checksumOk: true });
    expect(sent.payload).toEqual(filler(5001));
  });
});

test('ICMP errors about flows of any worker, both ways', () => {
  const crew = new Crew();
  for (const port of [40000, 40002, 40004, 40006]) {
    const out = to(PUBLIC, crew.out(udp(`${CLIENT}:${port}`, `${SERVER}:53`)))[0]!;
    const expired = icmpError({ from: '198.18.0.254', to: EXTERNAL, type: 11, code: 0, packet: out });
    expect(queueOf(expired, PUBLIC, WORKERS)).toBe(workerOfPort(port, WORKERS));
    const told = decode(to(PRIVATE, crew.in(expired))[0]!);
    expect(told).toMatchObject({ src: '198.18.0.254', dst: CLIENT, type: 11, checksumOk: true });
    // One in the wrong queue as well.
    expect(to(PRIVATE, crew.in(expired, workerOfPort(port + 2, WORKERS)))).toHaveLength(1);
    const back = to(PRIVATE, crew.in(udp(`${SERVER}:53`, `${EXTERNAL}:${port}`)))[0]!;
    const refused = icmpError({ from: CLIENT, to: SERVER, type: 3, code: 3, packet: back });
    expect(queueOf(refused, PRIVATE, WORKERS)).toBe(workerOfPort(port, WORKERS));
    expect(decode(to(PUBLIC, crew.out(refused))[0]!)).toMatchObject({ src: EXTERNAL, dst: SERVER, type: 3 });
  }
  expect(crew.drops).toEqual({});
});

describe('limits of a host count over all workers', () => {
  test('flows', () => {
    const crew = crewWith({ flowsPerHost: 3 });
    const sent = [0, 2, 4, 6].flatMap((n) =>
      to(PUBLIC, crew.out(udp(`${CLIENT}:${40000 + n}`, `${SERVER}:53`))),
    );
    expect(sent).toHaveLength(3);
    expect(crew.drops).toEqual({ host_flow_limit: 1 });
    expect(to(PUBLIC, crew.out(udp(`${OTHER}:40006`, `${SERVER}:53`)))).toHaveLength(1);
    crew.pass(300_000);
    expect(to(PUBLIC, crew.out(udp(`${CLIENT}:40006`, `${SERVER}:53`)))).toHaveLength(1);
  });

  test('ports', () => {
    const crew = crewWith({ portsPerHost: 2 });
    for (const n of [0, 2, 4]) crew.out(udp(`${CLIENT}:${40000 + n}`, `${SERVER}:53`));
    expect(crew.counts).toEqual([1, 1, 0, 0]);
    expect(crew.drops).toEqual({ host_port_limit: 1 });
  });
});

test('a pool: a host has one address at all workers', () => {
  const addresses = ['198.18.0.40', '198.18.0.41', '198.18.0.42'].map(address);
  const rule = masqueradeAll({ first: 1024, last: 65535 }).rules[0]!;
  const nat: NatConfig = { rules: [{ ...rule, action: 'pool', addresses }], forwards: [], prefixes: [] };
  const crew = new Crew({ flows: 256, nat });
  const seen = new Set<string>();
  for (let host = 2; host < 30; host++) {
    const own = new Set<string>();
    for (const n of [0, 2, 4, 6]) {
      own.add(only(PUBLIC, crew.out(udp(`10.77.0.${host}:${40000 + n}`, `${SERVER}:53`))).src);
    }
    expect(own.size).toBe(1);
    for (const one of own) seen.add(one);
  }
  expect(seen.size).toBe(3);
});

test('deterministic blocks: each worker uses its part of a host’s block', () => {
  const internal = masqueradeAll(PORTS).rules[0]!;
  const sources = [{ address: address('10.77.0.0'), length: 24 }];
  const behaviour = { ...defaultBehaviour, blockSize: 64, deterministic: true, ports: 'random' as const };
  const rule = { ...internal, match: { ...internal.match, sources }, behaviour };
  const crew = new Crew({ flows: 256, nat: { rules: [rule], forwards: [], prefixes: [] } });
  const ports = new Set<number>();
  for (let i = 0; i < 64; i++)
    ports.add(only(PUBLIC, crew.out(udp(`${CLIENT}:${5000 + i}`, `${SERVER}:53`))).sport);
  expect(ports.size).toBe(64);
  const blocks = new Set([...ports].map((port) => Math.floor((port - PORTS.first) / 64)));
  expect(blocks.size).toBe(1);
});

describe('the owned bitmap', () => {
  test('has the ports of all workers, but for what the host holds', () => {
    const crew = new Crew({ held: { tcp: [], udp: [40002] } });
    const ports = [32768, 40000, 40001, 40003, 40004, 65535];
    expect(ports.map((port) => crew.isOwned('udp', port))).toEqual(ports.map(() => true));
    expect(crew.isOwned('udp', 40002)).toBe(false);
    for (const engine of crew.engines) engine.setHeldPorts(17, [40004]);
    expect([40002, 40004].map((port) => crew.isOwned('udp', port))).toEqual([true, false]);
  });

  test('ids of pings, of every worker', () => {
    const crew = new Crew();
    const ids = [0x100, 0x102, 0x104, 0x106, 0x107];
    for (const identifier of ids) crew.out(echoPacket({ from: CLIENT, to: SERVER, identifier }));
    expect(ids.map((id) => crew.isOwned('icmp', id))).toEqual(ids.map(() => true));
    crew.pass(60_000);
    expect(ids.map((id) => crew.isOwned('icmp', id))).toEqual(ids.map(() => false));
  });
});

describe('a new engine takes over', () => {
  test('flows of every worker, crooked ones and hairpins among them', () => {
    const nat: NatConfig = {
      ...masqueradeAll(PORTS, { filtering: 'endpoint-independent', quarantineSeconds: 0 }),
      forwards: withForward(8082, 80).forwards,
    };
    const before = new Crew({ nat });
    before.in(udp(`${SERVER}:5000`, `${EXTERNAL}:8082`));
    before.out(udp(`${CLIENT}:40000`, `${SERVER}:53`));
    before.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`));
    before.out(echoPacket({ from: CLIENT, to: SERVER, identifier: 0x102 }));
    expect(before.counts).toEqual([1, 3, 0, 0]);
    const crew = new Crew({ nat, takesOver: before });
    expect(crew.counts).toEqual([1, 3, 0, 0]);
    expect(crew.totals['flows_lost_at_restart']).toBe(0);
    expect(crew.isOwned('icmp', 0x102)).toBe(true);
    expect(only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `${SERVER}:5000`))).sport).toBe(8082);
    const back = only(PRIVATE, crew.out(udp(`${CLIENT}:40000`, `${EXTERNAL}:40002`)));
    expect(back).toMatchObject({ src: EXTERNAL, sport: 40000, dst: OTHER });
    expect(only(PRIVATE, crew.in(udp(`${SERVER}:53`, `${EXTERNAL}:40000`)))).toMatchObject({ dst: CLIENT });
    // The hairpin's target is still referred to, until the hairpin is over.
    for (let i = 0; i < 30; i++) {
      crew.pass(20_000);
      only(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`)));
    }
    expect(only(PRIVATE, crew.in(udp('203.0.113.77:9', `${EXTERNAL}:40000`)))).toMatchObject({ dst: CLIENT });
    crew.pass(700_000);
    expect(crew.totals['ports_udp']).toBe(0);
  });
});

describe('drops of a hand-off', () => {
  test('hand_off_full: the owner does not take its packets', () => {
    const crew = new Crew();
    let full = 0;
    for (let i = 0; i < 8000 && full === 0; i++) {
      crew.arrive(PRIVATE, udp(`${CLIENT}:40002`, `${SERVER}:53`, filler(1400)), 0, false);
      full = crew.drops['hand_off_full'] ?? 0;
    }
    expect(crew.drops).toEqual({ hand_off_full: 1 });
    const handed = crew.totals['handed_off']!;
    expect(handed).toBeGreaterThan(2500);
    expect(to(PUBLIC, crew.settle())).toHaveLength(handed);
    // And the ring goes on.
    expect(to(PUBLIC, crew.out(udp(`${CLIENT}:40002`, `${SERVER}:53`), 0))).toHaveLength(1);
  });

  test('hand_off_late: the flow has ended while the packet was on its way', () => {
    const crew = new Crew({ nat: withForward(8082, 80) });
    crew.in(udp(`${SERVER}:5000`, `${EXTERNAL}:8082`));
    crew.arrive(PRIVATE, udp(`${CLIENT}:80`, `${SERVER}:5000`), 0, false);
    crew.now += 300_000;
    crew.engines[1]!.tick(crew.now);
    expect(crew.settle()).toEqual([]);
    expect(crew.drops).toEqual({ hand_off_late: 1 });
  });
});

test('the sleeper is woken, and only he', () => {
  const crew = new Crew();
  expect(crew.engines[1]!.handOff!.maySleep()).toBe(true);
  crew.arrive(PRIVATE, udp(`${CLIENT}:40004`, `${SERVER}:53`), 0, false);
  crew.engines[0]!.handOff!.tellAll();
  expect([...crew.woken]).toEqual([]);
  crew.arrive(PRIVATE, udp(`${CLIENT}:40002`, `${SERVER}:53`), 0, false);
  crew.engines[0]!.handOff!.tellAll();
  expect([...crew.woken]).toEqual([1]);
  expect(crew.engines[1]!.handOff!.maySleep()).toBe(false);
  crew.engines[1]!.handOff!.awake();
});
