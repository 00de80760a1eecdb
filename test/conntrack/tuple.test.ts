import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashTuple, invertPorts } from '../../src/conntrack/tuple.ts';
import { Random } from '../../src/core/random.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { swap16 } from '../../src/wire/bytes.ts';

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

test('inverting swaps ports; of ICMP queries it keeps id and code and flips the type', () => {
  expect(invertPorts(6, 0x50009c40)).toBe(0x9c405000 | 0);
  expect(invertPorts(17, 0x88133500 | 0)).toBe(0x35008813);
  expect(invertPorts(1, 0x00083412)).toBe(0x00003412);
  expect(invertPorts(1, 0x050e3412)).toBe(0x050d3412);
  expect(invertPorts(47, 0)).toBe(0);
});

test('inverting twice is nothing', () => {
  const query = fc.tuple(fc.nat(0xffff), fc.constantFrom(0, 8, 13, 14, 15, 16, 17, 18), fc.nat(255));
  fc.assert(fc.property(word, (ports) => invertPorts(6, invertPorts(6, ports)) === ports));
  fc.assert(
    fc.property(query, ([id, type, code]) => {
      const ports = id | (type << 16) | (code << 24);
      expect(invertPorts(1, invertPorts(1, ports))).toBe(ports);
    }),
  );
});

test('another key is another hash, of most tuples at least', () => {
  fc.assert(
    fc.property(fc.tuple(word, word), fc.nat(1), fc.nat(31), (key, at, bit) => {
      const changed: [number, number] = [...key];
      changed[at]! ^= 1 << bit;
      let same = 0;
      for (let i = 0; i < 256; i++) {
        const tuple = [i * 77_777, ~i, i << 16, 6] as const;
        if (hashTuple(...tuple, ...key) === hashTuple(...tuple, ...changed)) same++;
      }
      expect(same).toBeLessThan(16);
    }),
  );
});

test('the hash is an int32 that depends on each of its words', () => {
  fc.assert(
    fc.property(
      fc.tuple(word, word, word, fc.nat(255), word, word),
      fc.nat(3),
      fc.nat(31),
      (words, at, bit) => {
        const hash = hashTuple(...words);
        expect(hash).toBe(hash | 0);
        const changed: typeof words = [...words];
        changed[at] = at === 3 ? words[3] ^ (1 << (bit & 7)) : words[at]! ^ (1 << bit);
        expect(hashTuple(...changed)).not.toBe(hash);
      },
    ),
    { numRuns: 1000 },
  );
});

test('no set of tuples collides whatever the key is: differences in the highest bits of two words', () => {
  const seed = Date.now() | 0;
  const random = new Random(seed);
  for (let round = 0; round < 4; round++) {
    const key = [random.next(), random.next()] as const;
    const base = [random.next(), random.next(), random.next()] as const;
    for (const [first, second] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const) {
      // One word takes all values of its highest byte; the other those that undo what a shift by `shift` makes of it.
      for (let shift = 8; shift <= 20; shift++) {
        const times = new Map<number, number>();
        for (let i = 0; i < 65_536; i++) {
          const words: [number, number, number] = [...base];
          const undone = (i & 0xff) << 24;
          words[first] ^= (i >> 8) << 24;
          words[second] ^= undone ^ (undone >>> shift);
          const hash = hashTuple(...words, 17, ...key);
          times.set(hash, (times.get(hash) ?? 0) + 1);
        }
        expect(Math.max(...times.values()), `seed ${seed}`).toBeLessThan(8);
      }
    }
  }
});

test('what traffic looks like spreads over homes and tags: ports in a row, addresses in a row', () => {
  const BUCKETS = 4096;
  const PER_BUCKET = 16;
  const client = parseAddress('10.77.0.2')!;
  const server = parseAddress('198.18.0.2')!;
  const count = BUCKETS * PER_BUCKET;
  const families: Record<string, (i: number) => [number, number, number]> = {
    ports: (i) => [client, server, swap16(i & 0xffff) | (0x5000 << 16)],
    clients: (i) => [(client & 0xffff) | (swap16(i & 0xffff) << 16), server, 0x50009c40],
    servers: (i) => [client, (server & 0xffff) | (swap16(i & 0xffff) << 16), 0x50009c40],
  };
  for (const [name, tuple] of Object.entries(families)) {
    const low = new Int32Array(BUCKETS);
    const high = new Int32Array(BUCKETS);
    for (let i = 0; i < count; i++) {
      const hash = hashTuple(...tuple(i), 6, 0x1234567, 0x89abcde);
      low[hash & (BUCKETS - 1)]!++;
      high[hash >>> 20]!++;
    }
    // Balls in bins: variance about the mean, maximum about mean + 5 sqrt(mean).
    for (const bins of [low, high]) {
      const variance = bins.reduce((sum, n) => sum + (n - PER_BUCKET) ** 2, 0) / BUCKETS;
      expect(variance, name).toBeLessThan(PER_BUCKET * 1.3);
      expect(Math.max(...bins), name).toBeLessThan(PER_BUCKET * 3);
    }
  }
});
