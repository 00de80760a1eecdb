/**
 * The fast path does what the general path does, or nothing: the same traffic goes through two gateways, one of which has it
 * switched off, and after every packet both have sent the same bytes and have the same records and counters.
 *
 * The seed is in the test's name; another is taken from NATGATE_SEED.
 */
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import { MemoryGateway, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { toHex } from '../wire/hex.ts';
import { vnetHeader } from './bed.ts';
import { filler, partial } from './packets.ts';

const SEED = Number(process.env.NATGATE_SEED ?? 20_261_128);
const PACKETS = 40_000;
const PEERS = 12;

/** Two gateways that get the same. */
class Pair {
  readonly quick = new MemoryGateway(options);
  readonly slow = new MemoryGateway(options);
  taken = 0;

  constructor() {
    this.slow.engine.fast.isOn = false;
    const { fast } = this.quick.engine;
    const run = fast.run.bind(fast);
    fast.run = (first, count, changes, now) => {
      const next = run(first, count, changes, now);
      this.taken += next - first;
      return next;
    };
  }

  /** Sends to both, and returns what left. */
  send(side: 'private' | 'public', packet: Uint8Array, vnet?: Uint8Array): Uint8Array[] {
    const [quick = [], slow = []] = [this.quick, this.slow].map((gateway) => {
      if (side === 'private') gateway.sendPrivate(packet.slice(), vnet);
      else gateway.sendPublic(packet.slice(), vnet);
      return [...gateway.receivePrivate(), ...gateway.receivePublic()];
    });
    expect(quick.map(toHex)).toEqual(slow.map(toHex));
    return quick;
  }

  compare(): void {
    const [quick, slow] = [this.quick.engine.tracker.table, this.slow.engine.tracker.table];
    expect(differing(quick.hot, slow.hot)).toEqual([]);
    expect(differing(quick.track, slow.track)).toEqual([]);
    expect(differing(quick.cold, slow.cold)).toEqual([]);
    expect(this.quick.drops()).toEqual(this.slow.drops());
    expect(this.quick.totals()).toEqual(this.slow.totals());
  }

  advance(ms: number): void {
    this.quick.advance(ms);
    this.slow.advance(ms);
  }
}

const options = {
  private: '10.77.0.1/24',
  public: '198.18.0.1/24',
  flows: 256,
  mtu: { private: 1500, public: 1400 },
  // So near that the timers of data matter.
  timeouts: { tcpMaxRetrans: 40, tcpUnacknowledged: 60, tcpEstablished: 90, udpStream: 20 },
};

function differing(a: Int32Array, b: Int32Array): [number, number, number][] {
  const found: [number, number, number][] = [];
  for (let i = 0; i < a.length && found.length < 8; i++) if (a[i] !== b[i]) found.push([i, a[i]!, b[i]!]);
  return found;
}

interface Connection {
  inside: string;
  outside: string;
  external: string | null;
  /** Next sequence number of each end, and what each has seen of the other. */
  next: [number, number];
  seen: [number, number];
}

class Traffic {
  private readonly random: Random;
  private readonly pair: Pair;
  private readonly tcp: Connection[];
  private readonly udp: Connection[];

  constructor(seed: number, pair: Pair) {
    this.random = new Random(seed);
    this.pair = pair;
    this.tcp = Array.from({ length: PEERS }, (_, i) => this.connection(`203.0.113.${i + 1}:443`, 2000 + i));
    this.udp = Array.from({ length: PEERS }, (_, i) =>
      this.connection(`203.0.113.${i + 1}:${i === 0 ? 53 : 4500}`, 3000 + i),
    );
  }

  step(): void {
    const roll = this.below(100);
    if (roll < 55) this.segment();
    else if (roll < 97) this.datagram();
    else this.pair.advance(this.below(this.below(10) === 0 ? 100_000 : 3000));
  }

  private connection(outside: string, port: number): Connection {
    const [a, b] = [this.random.next(), this.random.next()];
    const inside = `10.77.0.${2 + (port & 3)}:${port}`;
    return { inside, outside, external: null, next: [a, b], seen: [b, a] };
  }

  private below(limit: number): number {
    return (this.random.next() >>> 1) % limit;
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  private segment(): void {
    const c = this.pick(this.tcp);
    if (c.external === null) {
      this.handshake(c);
      return;
    }
    const end = this.below(2) as 0 | 1;
    const other = end === 0 ? 1 : 0;
    const flags = this.pick([
      'A',
      'A',
      'A',
      'A',
      'A',
      'PA',
      'PA',
      'PA',
      'UA',
      'FA',
      'R',
      'S',
      'SA',
      'RA',
      'F',
      '',
    ]);
    const rare = flags !== 'A' && flags !== 'PA' && this.below(30) !== 0;
    const size = this.pick([0, 0, 1, 12, 100, 1200, 1360, 1361, 1460]);
    const seq = c.next[end] + this.pick([0, 0, 0, 0, 0, 0, 0, -1, -size, 5, 3000, 70_000, -70_000, 200_000]);
    const ack = c.seen[end] + this.pick([0, 0, 0, 0, 0, 0, -1, -10, 1, 70_000, -70_000, -150_000]);
    const packet = this.packet(c, end, {
      flags: rare ? 'A' : flags,
      seq: seq >>> 0,
      ack: ack >>> 0,
      payload: filler(size),
      window: this.pick([65_535, 65_535, 1000, 0, 1]),
      options: this.pick([NOTHING, NOTHING, TIMESTAMP, SACK_BLOCK]),
    });
    let left = this.offered(end, packet, 16);
    // The same again: an ACK that comes three times is suspect.
    if (this.below(12) === 0) for (let i = 0; i < 4; i++) left = this.offered(end, packet, 16);
    if (left.length === 1 && left[0]!.length === packet.length) {
      c.next[end] = Math.max(c.next[end], seq + size);
      c.seen[other] = c.next[end];
    }
    if (this.below(400) === 0) c.external = null;
  }

  private handshake(c: Connection): void {
    const { next } = c;

    const offer = this.pick([NOTHING, SCALE, SCALE]);
    const syn = { flags: 'S', seq: (next[0] - 1) >>> 0, payload: '', options: offer };
    const [sent] = this.pair.send('private', this.packet(c, 0, syn));
    if (sent === undefined || sent[9] !== 6) return;
    c.external = `198.18.0.1:${(sent[20]! << 8) | sent[21]!}`;
    c.seen = [next[1], next[0]];
    if (this.below(10) === 0) return;
    this.pair.send(
      'public',
      this.packet(c, 1, {
        flags: 'SA',
        seq: (next[1] - 1) >>> 0,
        ack: next[0] >>> 0,
        payload: '',
        options: offer,
      }),
    );
    this.pair.send('private', this.packet(c, 0, { flags: 'A', seq: next[0] >>> 0, ack: next[1] >>> 0 }));
  }

  private packet(c: Connection, end: 0 | 1, fields: Partial<Parameters<typeof tcpPacket>[0]>): Uint8Array {
    const ends = end === 0 ? { from: c.inside, to: c.outside } : { from: c.outside, to: c.external! };
    return tcpPacket({ ...ends, flags: 'A', ttl: this.ttl(), ...this.fragment(), ...fields });
  }

  private datagram(): void {
    const c = this.pick(this.udp);
    const end = c.external === null ? 0 : (this.below(2) as 0 | 1);
    const ends = end === 0 ? { from: c.inside, to: c.outside } : { from: c.outside, to: c.external! };
    const payload = filler(this.pick([0, 1, 18, 1371, 1372, 1373, 1472]));
    const packet = udpPacket({ ...ends, payload, ttl: this.ttl(), ...this.fragment() });
    // No checksum, or one that a translation turns to zero now and then.
    if (this.below(10) === 0) packet.fill(0, 26, 28);
    if (this.below(10) === 0) packet[27]! ^= this.below(256);
    const [sent] = this.offered(end, packet, 6);
    if (sent !== undefined && end === 0 && sent[9] === 17) {
      c.external = `198.18.0.1:${(sent[20]! << 8) | sent[21]!}`;
    }
    if (this.below(300) === 0) c.external = null;
  }

  /** With a whole checksum, one that the device completes, or as a super-packet. */
  private offered(end: 0 | 1, packet: Uint8Array, csumOffset: number): Uint8Array[] {
    const side = end === 0 ? 'private' : 'public';
    const kind = this.below(6);
    if (kind > 1) return this.pair.send(side, packet);
    const gsoSize = this.pick([0, 600, 1380]);
    const header = csumOffset === 6 ? 8 : (packet[32]! >> 4) * 4;
    const isSuper = kind === 1 && gsoSize > 0 && packet.length - 20 - header > gsoSize;
    const gso = isSuper ? { gso: csumOffset === 6 ? 5 : 1, gsoSize, hdrLen: 20 + header } : {};
    return this.pair.send(side, partial(packet), vnetHeader({ flags: 1, csumStart: 20, csumOffset, ...gso }));
  }

  private ttl(): number {
    return this.pick([64, 64, 64, 64, 64, 2, 1, 0]);
  }

  private fragment(): { fragment: number } {
    return { fragment: this.pick([0x4000, 0x4000, 0x4000, 0x4000, 0]) };
  }
}

const NOTHING = new Uint8Array(0);
const TIMESTAMP = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2);
const SACK_BLOCK = Uint8Array.of(1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2);
const SCALE = Uint8Array.of(2, 4, 5, 180, 4, 2, 3, 3, 7, 0, 0, 0);

describe('the fast path and the general path', () => {
  test(`leave the same behind, ${PACKETS} packets, seed ${SEED}`, () => {
    const pair = new Pair();
    const traffic = new Traffic(SEED, pair);
    for (let i = 0; i < PACKETS; i++) {
      traffic.step();
      if (i % 16 === 0) pair.compare();
    }
    pair.compare();
    expect(pair.taken).toBeGreaterThan(PACKETS / 8);
  });

  test('routes, MTUs and neighbours that change are seen at once', () => {
    const pair = new Pair();
    const packet = udpPacket({ from: '10.77.0.2:5000', to: '203.0.113.1:4500', payload: filler(1000) });
    // The first makes the flow.
    for (let i = 0; i < 2; i++) pair.send('private', packet);
    expect(pair.taken).toBe(1);
    for (const gateway of [pair.quick, pair.slow]) {
      gateway.engine.setDevice(1, { address: 0x010012c6, mtu: 900 });
    }
    const [told] = pair.send('private', packet);
    // Fragmentation needed, with the new MTU.
    expect([told?.[9], told?.[20], told?.[21], told?.[27]]).toEqual([1, 3, 4, 900 & 255]);
    for (const gateway of [pair.quick, pair.slow]) gateway.engine.setRoutes([]);
    const [refused] = pair.send('private', packet);
    expect([refused?.[9], refused?.[20], refused?.[21]]).toEqual([1, 3, 0]);
    pair.compare();
    expect(pair.taken).toBe(1);
  });

  test(`in a table with ten thousand flows every packet finds its own, seed ${SEED}`, () => {
    const gateway = new MemoryGateway({ ...options, flows: 12_000, ports: { first: 20_000, last: 65_535 } });
    const random = new Random(SEED);
    const external: string[] = [];
    const inside = (i: number) => `10.77.0.${2 + (i % 200)}:${1000 + i}`;
    const packet = (from: string, to: string, i: number) =>
      i % 2 === 0 ? udpPacket({ from, to }) : tcpPacket({ from, to, flags: 'A', seq: 1000, ack: 1000 });
    const sendOut = (i: number) => {
      gateway.sendPrivate(packet(inside(i), '203.0.113.1:443', i));
      const [sent, ...more] = gateway.receivePublic();
      expect(more).toEqual([]);
      return `198.18.0.1:${(sent![20]! << 8) | sent![21]!}`;
    };
    for (let i = 0; i < 10_000; i++) external.push(sendOut(i));
    for (let n = 0; n < 5000; n++) {
      const i = (random.next() >>> 1) % 10_000;
      if (n % 2 === 0) {
        expect(sendOut(i)).toBe(external[i]);
        continue;
      }
      gateway.sendPublic(packet('203.0.113.1:443', external[i]!, i));
      const [received] = gateway.receivePrivate();
      expect(toHex(received!.subarray(16, 20))).toBe(toHex(Uint8Array.of(10, 77, 0, 2 + (i % 200))));
      expect((received![22]! << 8) | received![23]!).toBe(1000 + i);
      // Another remote host has no flow.
      gateway.sendPublic(packet('203.0.113.2:443', external[i]!, i));
      expect(gateway.receivePrivate()).toEqual([]);
    }
    expect(gateway.drops()).toEqual({ filtered: 2500 });
  });
});
