/**
 * Four workers as one gateway: what has its two ends at two workers. A port's worker is its number without the lowest bit,
 * modulo four: 40000 and 40001 are worker 0's, 40002 worker 1's, and so on.
 */
import { describe, expect, test } from 'vitest';
import { defaultBehaviour, masqueradeAll, type NatBehaviour, type NatConfig } from '../../src/nat/config.ts';
import { workerOfPort } from '../../src/nat/port-class.ts';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { initChunk, sctpPacket } from '../conntrack/sctp-packets.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { address, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { only, PORTS } from './nat-bed.ts';
import { cut, filler, rawPacket } from './packets.ts';

const CLIENT = '10.77.0.2';
const OTHER = '10.77.0.3';
const SERVER = '203.0.113.9';
const WORKERS = 4;
const loose = { fragment: 0, id: 0x3131 };
const udp = (from: string, dst: string, payload: Uint8Array | string = 'x') =>
  udpPacket({ from, to: dst, payload });

function withForward(from: number, port: number, more: object = {}, count = 1): NatConfig {
  const forward = {
    name: 'web',
    protocol: 17,
    address: 0,
    ports: { first: from, last: from + count - 1 },
    sources: [],
    targets: [{ address: address(CLIENT), port }],
    affinitySeconds: 0,
    twice: false,
    ...more,
  };
  return { ...masqueradeAll(PORTS), forwards: [forward] };
}

function crewWith(behaviour: Partial<NatBehaviour>, ports = PORTS): Crew {
  return new Crew({ ports, nat: masqueradeAll(ports, behaviour) });
}

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
    const crew = crewWith({ parity: false, overload: 'never' }, { first: 33000, last: 33063 });
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

describe('a forward that shifts ports', () => {
  // 8082 is worker 1's, 80 worker 0's.
  test('its answers find the way to the flow', () => {
    const crew = new Crew({ nat: withForward(8082, 80) });
    const inward = only(PRIVATE, crew.in(udp(`${SERVER}:5000`, `${EXTERNAL}:8082`)));
    expect(inward).toMatchObject({ src: SERVER, sport: 5000, dst: CLIENT, dport: 80 });
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    const answer = only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `${SERVER}:5000`)));
    expect(answer).toMatchObject({ src: EXTERNAL, sport: 8082, dst: SERVER });
    expect(crew.totals['handed_off']).toBe(1);
    // The flow is over: the next packet of the server is a flow of its own, at the worker of its own port.
    crew.pass(300_000);
    expect(crew.counts).toEqual([0, 0, 0, 0]);
    expect(only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `${SERVER}:5000`)))).toMatchObject({ src: EXTERNAL });
    expect(crew.counts).toEqual([1, 0, 0, 0]);
    expect(crew.totals['handed_off']).toBe(1);
  });

  test('an ICMP error about its answer finds it too', () => {
    const crew = new Crew({ nat: withForward(8082, 80) });
    const inward = to(PRIVATE, crew.in(udp(`${SERVER}:5000`, `${EXTERNAL}:8082`)))[0]!;
    const error = icmpError({ from: CLIENT, to: SERVER, type: 3, code: 3, packet: inward });
    expect(queueOf(error, PRIVATE, WORKERS)).toBe(0);
    const sent = decode(to(PUBLIC, crew.out(error))[0]!);
    expect(sent).toMatchObject({ src: EXTERNAL, dst: SERVER, type: 3, code: 3, checksumOk: true });
    // It quotes what the remote host sent.
    expect(decode(sent.payload.subarray(0)).dport).toBe(8082);
  });

  test('twice NAT, with a remote port of any worker', () => {
    const crew = new Crew({ nat: withForward(8082, 80, { twice: true }) });
    for (const port of [5000, 5002, 5004, 5006]) {
      const inward = only(PRIVATE, crew.in(udp(`${SERVER}:${port}`, `${EXTERNAL}:8082`)));
      expect(inward).toMatchObject({ src: '10.77.0.1', dst: CLIENT, dport: 80 });
      expect(workerOfPort(inward.sport, WORKERS)).toBe(1);
      const answer = only(PUBLIC, crew.out(udp(`${CLIENT}:80`, `10.77.0.1:${inward.sport}`)));
      expect(answer).toMatchObject({ src: EXTERNAL, sport: 8082, dst: SERVER, dport: port });
    }
    expect(crew.counts).toEqual([0, 4, 0, 0]);
  });

  test('affinity holds at all workers', () => {
    const targets = [CLIENT, OTHER, '10.77.0.4'].map((text) => ({ address: address(text), port: 8080 }));
    const crew = new Crew({ flows: 256, nat: withForward(8080, 0, { targets, affinitySeconds: 60 }, 8) });
    const chosen = new Set<string>();
    for (let host = 1; host < 40; host++) {
      const mine = new Set<string>();
      for (let port = 8080; port < 8088; port++) {
        mine.add(only(PRIVATE, crew.in(udp(`203.0.113.${host}:5000`, `${EXTERNAL}:${port}`))).dst);
      }
      expect(mine.size).toBe(1);
      for (const target of mine) chosen.add(target);
    }
    expect(chosen.size).toBe(3);
  });
});

describe('hairpins', () => {
  /** CLIENT:40000 (worker 0) is known outside, and OTHER:40002 (worker 1) sends to its external endpoint. */
  function hairpin(crew: Crew) {
    only(PUBLIC, crew.out(udp(`${CLIENT}:40000`, `${SERVER}:53`)));
    return only(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`)));
  }

  test('between two workers, both as the world knows them', () => {
    const crew = new Crew();
    const there = hairpin(crew);
    expect(there).toMatchObject({ src: EXTERNAL, sport: 40002, dst: CLIENT, dport: 40000 });
    expect(crew.counts).toEqual([1, 1, 0, 0]);
    const back = only(PRIVATE, crew.out(udp(`${CLIENT}:40000`, `${EXTERNAL}:40002`)));
    expect(back).toMatchObject({ src: EXTERNAL, sport: 40000, dst: OTHER, dport: 40002 });
    // The same mapping as towards everybody else.
    expect(only(PUBLIC, crew.out(udp(`${OTHER}:40002`, `${SERVER}:53`))).sport).toBe(40002);
    expect(crew.counts).toEqual([1, 2, 0, 0]);
    expect(crew.drops).toEqual({});
  });

  test('a hairpin keeps the mapping it goes to, and gives it back', () => {
    const crew = crewWith({ filtering: 'endpoint-independent', quarantineSeconds: 0 });
    hairpin(crew);
    // CLIENT's own flow ends; OTHER goes on.
    for (let i = 0; i < 40; i++) {
      crew.pass(20_000);
      only(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`)));
    }
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    const stranger = udp('203.0.113.77:9', `${EXTERNAL}:40000`);
    expect(only(PRIVATE, crew.in(stranger))).toMatchObject({ dst: CLIENT, dport: 40000 });
    crew.pass(700_000);
    expect(crew.counts).toEqual([0, 0, 0, 0]);
    expect(to(PRIVATE, crew.in(stranger))).toEqual([]);
    expect(crew.drops).toEqual({ no_flow: 1 });
    expect(crew.totals['ports_udp']).toBe(0);
  });

  test('nothing behind the endpoint, or not for hairpins', () => {
    const crew = new Crew();
    expect(crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`))).toEqual([]);
    expect(crew.drops).toEqual({ not_public: 1 });
    const strict = crewWith({ hairpin: false });
    strict.out(udp(`${CLIENT}:40000`, `${SERVER}:53`));
    expect(strict.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`))).toEqual([]);
    expect(strict.drops).toEqual({ no_hairpin: 1 });
  });

  test('one that cannot begin gives the mapping back at once', () => {
    const crew = crewWith({ flowsPerHost: 1, quarantineSeconds: 0 });
    crew.out(udp(`${OTHER}:40004`, `${SERVER}:53`));
    only(PUBLIC, crew.out(udp(`${CLIENT}:40000`, `${SERVER}:53`)));
    expect(
      to(PRIVATE, crew.out(udp(`${OTHER}:40002`, `${EXTERNAL}:40000`))).filter(
        (packet) => decode(packet).protocol === 17,
      ),
    ).toEqual([]);
    expect(crew.drops).toEqual({ host_flow_limit: 1 });
    crew.pass(700_000);
    expect(crew.totals['ports_udp']).toBe(0);
  });

  test('of a TCP connection, with data both ways', () => {
    const crew = new Crew({ nat: withForward(8086, 80, { protocol: 6 }) });
    const ends = { from: `${OTHER}:40002`, to: `${EXTERNAL}:8086` };
    const syn = only(PRIVATE, crew.out(tcpPacket({ ...ends, flags: 'S', seq: 100 })));
    expect(syn).toMatchObject({ src: EXTERNAL, sport: 40002, dst: CLIENT, dport: 80 });
    const back = { from: `${CLIENT}:80`, to: `${EXTERNAL}:40002` };
    const synAck = only(PRIVATE, crew.out(tcpPacket({ ...back, flags: 'SA', seq: 500, ack: 101 })));
    expect(synAck).toMatchObject({ src: EXTERNAL, sport: 8086, dst: OTHER, dport: 40002 });
    only(PRIVATE, crew.out(tcpPacket({ ...ends, flags: 'PA', seq: 101, ack: 501, payload: 'GET' })));
    only(PRIVATE, crew.out(tcpPacket({ ...back, flags: 'PA', seq: 501, ack: 104, payload: filler(900) })));
    expect(crew.counts).toEqual([0, 1, 0, 0]);
    expect(crew.drops).toEqual({});
  });

  test('of a ping', () => {
    const crew = new Crew();
    only(PUBLIC, crew.out(echoPacket({ from: CLIENT, to: SERVER, identifier: 40002 })));
    const there = only(PRIVATE, crew.out(echoPacket({ from: OTHER, to: EXTERNAL, identifier: 40002 })));
    expect(there).toMatchObject({ src: EXTERNAL, dst: CLIENT, icmpId: 40002 });
    const back = echoPacket({ from: CLIENT, to: EXTERNAL, identifier: 40002, reply: true });
    expect(only(PRIVATE, crew.out(back))).toMatchObject({ src: EXTERNAL, dst: OTHER, icmpId: 40002 });
  });
});

describe('fragments', () => {
  const query = udpPacket({ from: `${CLIENT}:40004`, to: `${SERVER}:53`, payload: filler(5000), ...loose });
  const answer = udpPacket({
    from: `${SERVER}:53`,
    to: `${EXTERNAL}:40004`,
    payload: filler(5000),
    ...loose,
  });

  test.each([8, 512, 1480])('in pieces of %i bytes, both ways, at the flow’s worker', (size) => {
    const crew = new Crew();
    const pieces = cut(query, size);
    expect(pieces.map((piece) => queueOf(piece, PRIVATE, WORKERS)).every((queue) => queue === 0)).toBe(true);
    const out = to(
      PUBLIC,
      pieces.flatMap((piece) => crew.out(piece)),
    );
    const sent = decode(reassemble(out));
    expect(sent).toMatchObject({ src: EXTERNAL, sport: 40004, checksumOk: true });
    expect(sent.payload).toEqual(filler(5000));
    const back = to(
      PRIVATE,
      cut(answer, size).flatMap((piece) => crew.in(piece)),
    );
    expect(decode(reassemble(back))).toMatchObject({ dst: CLIENT, dport: 40004, checksumOk: true });
    expect(crew.counts).toEqual([0, 0, 1, 0]);
    expect(crew.drops).toEqual({});
    expect(crew.totals['fragments_held']).toBe(0);
  });

  test('with the first one last', () => {
    const crew = new Crew();
    const [first, ...rest] = cut(query, 1480);
    expect(rest.flatMap((piece) => crew.out(piece))).toEqual([]);
    const sent = decode(reassemble(to(PUBLIC, crew.out(first!))));
    expect(sent).toMatchObject({ src: EXTERNAL, sport: 40004, checksumOk: true });
    expect(sent.payload).toEqual(filler(5000));
    expect(crew.totals['fragments_held']).toBe(0);
  });

  test('the first packet of a hairpin', () => {
    const crew = new Crew();
    only(PUBLIC, crew.out(udp(`${CLIENT}:40000`, `${SERVER}:53`)));
    only(PUBLIC, crew.out(udp(`${CLIENT}:40002`, `${SERVER}:53`)));
    for (const port of [40000, 40002]) {
      const large = udpPacket({
        from: `${OTHER}:40004`,
        to: `${EXTERNAL}:${port}`,
        payload: filler(5000),
        ...loose,
        id: port,
      });
      const sent = to(
        PRIVATE,
        cut(large, 1480).flatMap((piece) => crew.out(piece)),
      );
      const whole = decode(reassemble(sent));
      expect(whole).toMatchObject({
        src: EXTERNAL,
        sport: 40004,
        dst: CLIENT,
        dport: port,
        checksumOk: true,
      });
      expect(whole.payload).toEqual(filler(5000));
    }
    expect(crew.counts).toEqual([1, 1, 2, 0]);
    expect(crew.drops).toEqual({});
  });

  test('from inside to a port of the host’s are handed back in order', () => {
    const crew = new Crew();
    const own = udpPacket({
      from: `${OTHER}:40004`,
      to: `${EXTERNAL}:5002`,
      payload: filler(3000),
      ...loose,
    });
    const pieces = cut(own, 1480);
    expect(
      to(
        PRIVATE,
        pieces.flatMap((piece) => crew.out(piece)),
      ),
    ).toEqual(pieces);
  });

  test('of the host’s own are handed back in order', () => {
    const crew = new Crew();
    const own = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:5004`, payload: filler(3000), ...loose });
    const pieces = cut(own, 1480);
    const back = to(
      PUBLIC,
      pieces.flatMap((piece) => crew.in(piece)),
    );
    expect(back).toEqual(pieces);
  });

  test('identifications of two workers never meet', () => {
    const crew = new Crew({ flows: 256 });
    const ids = new Map<number, number>();
    for (let i = 0; i < 400; i++) {
      const port = 40000 + 2 * (i % 4);
      const packet = udpPacket({ from: `${CLIENT}:${port}`, to: `${SERVER}:53`, fragment: 0, id: 7 });
      const { id } = only(PUBLIC, crew.out(packet));
      expect(ids.has(id)).toBe(false);
      ids.set(id, port);
    }
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

describe('helpers', () => {
  const ftp = { helpers: [{ name: 'ftp', protocol: 6, port: 21 }] as const };
  const control = { from: `${CLIENT}:40004`, to: `${SERVER}:21` };

  /** A control connection at worker 2, over which the client announces `10.77.0.2:port`; what of it the server sees. */
  function announce(crew: Crew, port: number): string {
    crew.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
    crew.in(tcpPacket({ from: `${SERVER}:21`, to: `${EXTERNAL}:40004`, flags: 'SA', seq: 4999, ack: 1000 }));
    crew.out(tcpPacket({ ...control, flags: 'A', seq: 1000, ack: 5000 }));
    const payload = `PORT 10,77,0,2,${port >> 8},${port & 255}\r\n`;
    const sent = only(
      PUBLIC,
      crew.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload })),
    );
    return Buffer.from(sent.payload).toString();
  }

  test('FTP, active: to a port of another worker than the control connection’s', () => {
    const crew = new Crew(ftp);
    const numbers = announce(crew, 40002)
      .match(/^PORT 198,18,0,1,(\d+),(\d+)\r\n$/)!
      .slice(1)
      .map(Number);
    const external = numbers[0]! * 256 + numbers[1]!;
    expect(workerOfPort(external, WORKERS)).toBe(2);
    const data = { from: `${SERVER}:20`, to: `${EXTERNAL}:${external}` };
    const syn = only(PRIVATE, crew.in(tcpPacket({ ...data, flags: 'S', seq: 1 })));
    expect(syn).toMatchObject({ src: SERVER, sport: 20, dst: CLIENT, dport: 40002 });
    const back = { from: `${CLIENT}:40002`, to: `${SERVER}:20` };
    const synAck = only(PUBLIC, crew.out(tcpPacket({ ...back, flags: 'SA', seq: 7, ack: 2 })));
    expect(synAck).toMatchObject({ src: EXTERNAL, sport: external, dst: SERVER });
    only(PUBLIC, crew.out(tcpPacket({ ...back, flags: 'PA', seq: 8, ack: 2, payload: filler(500) })));
    expect(crew.flows(2).filter(({ related }) => related)).toHaveLength(1);
    expect(crew.counts).toEqual([0, 0, 2, 0]);
    // The announced endpoint has one mapping, whichever worker its packets come to.
    const other = only(PUBLIC, crew.out(tcpPacket({ ...back, to: '203.0.113.10:80', flags: 'S', seq: 1 })));
    expect(other.sport).toBe(external);
    expect(crew.drops).toEqual({});
  });

  test('FTP, active: what nobody uses is forgotten', () => {
    const crew = new Crew(ftp);
    announce(crew, 40002);
    crew.pass(400_000);
    // The endpoint is a worker’s of its own again.
    const own = only(
      PUBLIC,
      crew.out(tcpPacket({ from: `${CLIENT}:40002`, to: `${SERVER}:80`, flags: 'S' })),
    );
    expect(own.sport).toBe(40002);
    expect(crew.counts[1]).toBe(1);
  });

  test('SIP: RTP and RTCP have neighbouring ports, and what the client sends leaves from them', () => {
    const sip = [
      { name: 'sip', protocol: 17, port: 5060 },
      { name: 'sip', protocol: 6, port: 5060 },
    ] as const;
    const crew = new Crew({ helpers: sip });
    const sdp = ['v=0', `c=IN IP4 ${CLIENT}`, 't=0 0', 'm=audio 40500 RTP/AVP 0', ''].join('\r\n');
    const invite = [
      `INVITE sip:bob@${SERVER} SIP/2.0`,
      `Via: SIP/2.0/UDP ${CLIENT}:5062;branch=z9hG4bK1;rport`,
      'From: <sip:alice@example.org>;tag=1',
      `To: <sip:bob@${SERVER}>`,
      'Call-ID: 1@x',
      'CSeq: 1 INVITE',
      'Content-Type: application/sdp',
      `Content-Length: ${sdp.length}`,
      '',
      sdp,
    ].join('\r\n');
    // 5062 is worker 3's, 40500 worker 2's.
    const sent = only(PUBLIC, crew.out(udp(`${CLIENT}:5062`, `${SERVER}:5060`, invite)));
    const rtp = Number(/m=audio (\d+)/.exec(Buffer.from(sent.payload).toString())![1]);
    expect([rtp & 1, workerOfPort(rtp, WORKERS)]).toEqual([0, 3]);
    for (const n of [0, 1]) {
      const media = only(PRIVATE, crew.in(udp(`203.0.113.77:${30000 + n}`, `${EXTERNAL}:${rtp + n}`)));
      expect(media).toMatchObject({ dst: CLIENT, dport: 40500 + n });
      const back = only(PUBLIC, crew.out(udp(`${CLIENT}:${40500 + n}`, `203.0.113.77:${30000 + n}`)));
      expect(back).toMatchObject({ src: EXTERNAL, sport: rtp + n });
      const ahead = only(PUBLIC, crew.out(udp(`${CLIENT}:${40500 + n}`, `${SERVER}:${31000 + n}`)));
      expect(ahead).toMatchObject({ src: EXTERNAL, sport: rtp + n });
    }
    expect(crew.drops).toEqual({});
  });

  test('FTP, passive: the connection is made by the worker of its port, and is RELATED', () => {
    const crew = new Crew(ftp);
    crew.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
    const server = { from: `${SERVER}:21`, to: `${EXTERNAL}:40004` };
    crew.in(tcpPacket({ ...server, flags: 'SA', seq: 4999, ack: 1000 }));
    crew.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload: 'PASV\r\n' }));
    const payload = '227 Entering Passive Mode (203,0,113,9,200,0)\r\n';
    crew.in(tcpPacket({ ...server, flags: 'PA', seq: 5000, ack: 1006, payload }));
    const syn = (host: string, port: number) =>
      crew.out(tcpPacket({ from: `${host}:${port}`, to: `${SERVER}:51200`, flags: 'S' }));
    expect(only(PUBLIC, syn(OTHER, 40002))).toMatchObject({ src: EXTERNAL, sport: 40002 });
    const related = () => crew.flows(1).filter((flow) => flow.related);
    expect(related()).toHaveLength(0);
    expect(only(PUBLIC, syn(CLIENT, 40010))).toMatchObject({ src: EXTERNAL, sport: 40010 });
    expect(related()).toMatchObject([{ original: { sport: 40010 } }]);
    // Once only.
    syn(CLIENT, 40018);
    expect(related()).toHaveLength(1);
    expect(crew.totals['handed_off']).toBe(0);
  });

  test('an expectation that is not translated lets a flow in at the worker that has it', () => {
    const rule = masqueradeAll(PORTS).rules[0]!;
    const crew = new Crew({
      ...ftp,
      nat: { rules: [{ ...rule, action: 'none' }], forwards: [], prefixes: [] },
    });
    crew.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
    crew.in(tcpPacket({ from: `${SERVER}:21`, to: `${CLIENT}:40004`, flags: 'SA', seq: 4999, ack: 1000 }));
    crew.out(tcpPacket({ ...control, flags: 'A', seq: 1000, ack: 5000 }));
    const payload = 'PORT 10,77,0,2,156,66\r\n';
    crew.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload }));
    const syn = tcpPacket({ from: `${SERVER}:20`, to: `${CLIENT}:40002`, flags: 'S', seq: 1 });
    expect(queueOf(syn, PUBLIC, WORKERS)).toBe(1);
    expect(only(PRIVATE, crew.in(syn))).toMatchObject({ dst: CLIENT, dport: 40002 });
    expect(crew.counts).toEqual([0, 0, 2, 0]);
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
