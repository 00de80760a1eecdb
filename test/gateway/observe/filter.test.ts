import { describe, expect, it } from 'vitest';
import type { FlowTuple } from '../../../src/conntrack/flow-info.ts';
import { NatgateError } from '../../../src/core/errors.ts';
import { meets, TEST } from '../../../src/engine/tap-filter.ts';
import { allOf, EVERYTHING, type Filter, formatFilter } from '../../../src/gateway/observe/filter.ts';
import { filterOfFlags } from '../../../src/gateway/observe/filter-flags.ts';
import { type FlowSubject, flowMatcher, packetMatcher } from '../../../src/gateway/observe/filter-match.ts';
import { FilterError, parseFilter } from '../../../src/gateway/observe/filter-parse.ts';
import { compileForEngine, MAX_TESTS } from '../../../src/gateway/observe/filter-program.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { swap16 } from '../../../src/wire/bytes.ts';

const a = (text: string): number => parseAddress(text)!;

function tuple(src: string, sport: number, dst: string, dport: number): FlowTuple {
  return { src: a(src), sport, dst: a(dst), dport };
}

const outbound: FlowSubject = {
  protocol: 6,
  state: 'ESTABLISHED',
  original: tuple('10.0.0.2', 40_000, '198.51.100.7', 443),
  reply: tuple('198.51.100.7', 443, '203.0.113.1', 50_000),
  assured: true,
  unreplied: false,
  related: false,
  side: 'private',
  rule: 'web clients',
  client: 'Laptop',
};
const inbound: FlowSubject = {
  protocol: 17,
  state: '',
  original: tuple('192.0.2.9', 5353, '203.0.113.1', 8080),
  reply: tuple('10.0.0.3', 80, '192.0.2.9', 5353),
  assured: false,
  unreplied: true,
  related: true,
  side: 'public',
  rule: 'forwards',
};

const which = (text: string): string => {
  const matches = flowMatcher(parseFilter(text));
  return `${matches(outbound) ? 'out' : ''}${matches(inbound) ? 'in' : ''}`;
};

describe('filters of flows', () => {
  it.each([
    ['', 'outin'],
    ['proto tcp', 'out'],
    ['udp', 'in'],
    ['proto 17,6', 'outin'],
    ['src 10.0.0.2', 'out'],
    ['src 10.0.0.0/24', 'out'],
    ['dst 203.0.113.1', 'in'],
    ['reply-dst 203.0.113.1', 'out'],
    ['host 203.0.113.1', 'outin'],
    ['net 10.0.0.3/32', 'in'],
    ['ext 203.0.113.1', 'outin'],
    ['extport 50000', 'out'],
    ['extport 8000-8100', 'in'],
    ['port 80', 'in'],
    ['sport 1-6000', 'in'],
    ['dport 80,443', 'out'],
    ['src port 40000', 'out'],
    ['dst host 198.51.100.7 and dst port 443', 'out'],
    ['state established', 'out'],
    ['state UNREPLIED', 'in'],
    ['state related,assured', 'outin'],
    ['client laptop', 'out'],
    ['client 10.0.0.3', 'in'],
    ['client 10.0.0.0/24', 'outin'],
    ['rule "web clients"', 'out'],
    ['side public', 'in'],
    ['reason table_full', ''],
    ['not reason table_full', 'outin'],
    ['tcp or udp and src 1.1.1.1', 'out'],
    ['(tcp or udp) and not src 10.0.0.2', 'in'],
    ['! (tcp && dport 443) || src 10.0.0.2', 'outin'],
    ['NOT tcp', 'in'],
  ])('%s', (text, found) => {
    expect(which(text)).toBe(found);
  });
});

describe('errors of filters', () => {
  it.each([
    ['proto tpc', 7, 'tpc is no protocol: did you mean tcp?'],
    ['scr 10.0.0.2', 1, 'scr is no word of the filter language: did you mean src?'],
    ['src 10.0.0', 5, '10.0.0 is no IPv4 address'],
    ['src', 4, 'the value of src is missing'],
    ['src and tcp', 5, 'the value of src is missing'],
    ['tcp udp', 5, '"and" or "or" is missing before udp'],
    ['tcp and', 8, 'is missing before the end'],
    ['and tcp', 1, 'is missing before and'],
    ['(tcp or udp', 1, 'this ( has no )'],
    ['(tcp udp)', 6, '"and", "or" or ) is missing before udp'],
    ['tcp)', 4, 'a ) without its ('],
    ['dport 70000', 7, '70000 is no port'],
    ['dport 9-1', 7, 'ends before it begins'],
    ['dport 80,', 7, 'an empty value'],
    ['tcp & udp', 5, '& is to be &&'],
    ['rule "x', 6, 'this " has no second one'],
    ['state ESTABLISED', 7, 'did you mean ESTABLISHED?'],
    ['reason table_ful', 8, 'did you mean table_full?'],
    ['side left', 6, 'left is no side'],
    ['"tcp"', 1, 'tcp is no word'],
    ['x'.repeat(5000), 4097, 'longer than 4096'],
    ['not '.repeat(100), 257, 'nested too deeply'],
  ])('%.20s', (text, column, what) => {
    let error: unknown;
    try {
      parseFilter(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(FilterError);
    expect((error as FilterError).column).toBe(column);
    expect((error as FilterError).message).toContain(`column ${column}: `);
    expect((error as FilterError).message).toContain(what);
  });

  it('show the place', () => {
    expect(() => parseFilter('src 10.0.0.2 nad tcp')).toThrow(NatgateError);
    try {
      parseFilter('src 10.0.0.2 nad tcp');
    } catch (error) {
      expect((error as NatgateError).hint).toBe('src 10.0.0.2 nad tcp\n               ^');
    }
  });
});

describe('flags', () => {
  it('are the same tree as words', () => {
    expect(filterOfFlags({ protocol: 'tcp', 'destination-port': '443' }, ['not', 'src 10.0.0.9'])).toEqual(
      allOf([parseFilter('proto tcp'), parseFilter('dport 443'), parseFilter('not src 10.0.0.9')]),
    );
    expect(filterOfFlags({})).toEqual(EVERYTHING);
  });

  it('are named in errors', () => {
    expect(() => filterOfFlags({ 'source-port': 'http' })).toThrow('--source-port: http is no port or range');
  });
});

describe('random filters', () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = generator(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const HOSTS = ['10.0.0.2', '10.0.0.3', '10.0.1.2', '198.51.100.7', '203.0.113.1'];

  function randomFilter(depth: number): Filter {
    const roll = random();
    if (depth > 0 && roll < 0.5) {
      const of = Array.from({ length: 2 + Math.floor(random() * 2) }, () => randomFilter(depth - 1));
      return { kind: roll < 0.25 ? 'and' : 'or', of };
    }
    if (depth > 0 && roll < 0.65) return { kind: 'not', of: randomFilter(depth - 1) };
    const ports = ['1-100', '80', '443', '100-60000'];
    return parseFilter(
      pick([
        `proto ${pick(['tcp', 'udp', 'icmp'])}`,
        `${pick(['src', 'dst', 'host', 'reply-src', 'ext', 'client'])} ${pick(HOSTS)}${pick(['', '/24', '/8'])}`,
        `${pick(['sport', 'dport', 'port', 'extport', 'reply-dport'])} ${pick(ports)}`,
        `${pick(['state ASSURED', 'side public', 'rule "a \\"b\\" \\\\c"', 'client laptop', 'reason no_flow'])}`,
      ]),
    );
  }

  it(`are written as text that means the same (seed ${seed})`, () => {
    for (let i = 0; i < 500; i++) {
      const filter = randomFilter(3);
      expect(parseFilter(formatFilter(filter)), formatFilter(filter)).toEqual(filter);
    }
  });

  it(`let as much through in the engine as for the reader, or more (seed ${seed})`, () => {
    let exact = 0;
    let differ = 0;
    for (let i = 0; i < 2000; i++) {
      const filter = randomFilter(3);
      const { program, isExact } = compileForEngine(filter);
      expect(program.length % TEST).toBe(0);
      const words = Int32Array.from(program);
      const matches = packetMatcher(filter);
      for (let j = 0; j < 20; j++) {
        const protocol = pick([6, 17, 1]);
        const sport = pick([80, 443, 50, 5000]);
        const came = {
          ...tuple(pick(HOSTS), sport, pick(HOSTS), protocol === 1 ? sport : pick([80, 443, 50, 5000])),
        };
        const ports = swap16(came.sport) | (protocol === 1 ? 8 << 16 : swap16(came.dport) << 16);
        const engine = meets(words, protocol, came.src, came.dst, ports, true);
        const reader = matches({
          protocol,
          came,
          left: null,
          side: pick(['private', 'public']),
          assured: pick([true, false]),
          clientAddress: pick([came.src, came.dst]),
        });
        if (isExact) expect(engine, formatFilter(filter)).toBe(reader);
        else if (reader) expect(engine, formatFilter(filter)).toBe(true);
        if (isExact) exact++;
        if (reader !== engine) differ++;
      }
    }
    expect(exact).toBeGreaterThan(1000);
    expect(differ).toBeGreaterThan(100);
  });
});

describe('programs for the engine', () => {
  const met = (text: string, protocol: number, came: FlowTuple): boolean =>
    meets(
      Int32Array.from(compileForEngine(parseFilter(text)).program),
      protocol,
      came.src,
      came.dst,
      swap16(came.sport) | (swap16(came.dport) << 16),
      true,
    );

  it('test what a packet says', () => {
    const packet = tuple('10.0.0.2', 40_000, '198.51.100.7', 443);
    expect(met('tcp and dport 443 and not dst 10.0.0.0/8', 6, packet)).toBe(true);
    expect(met('tcp and dport 443 and not dst 10.0.0.0/8', 17, packet)).toBe(false);
    expect(met('state ESTABLISHED and dport 80', 6, packet)).toBe(false);
    expect(met('not state ESTABLISHED and dport 443', 6, packet)).toBe(true);
    expect(met('not (state ESTABLISHED or dport 443)', 6, packet)).toBe(false);
  });

  it('are empty for everything, and for what only a reader knows', () => {
    expect(compileForEngine(EVERYTHING)).toEqual({ program: [], isExact: true });
    expect(compileForEngine(parseFilter('rule web'))).toEqual({ program: [], isExact: false });
    // Nothing: an `or` of no tests.
    const nothing = compileForEngine({ kind: 'or', of: [] });
    expect(meets(Int32Array.from(nothing.program), 0, 0, 0, 0, true)).toBe(false);
  });

  it('are bounded', () => {
    const list = Array.from({ length: MAX_TESTS + 1 }, (_, port) => port).join(',');
    expect(() => compileForEngine(parseFilter(`dport ${list}`))).toThrow('more than 256 tests');
  });
});

describe('packets', () => {
  const came = tuple('198.51.100.7', 443, '203.0.113.1', 50_000);
  const left = tuple('198.51.100.7', 443, '10.0.0.2', 40_000);
  const is = (text: string, packet: Partial<Parameters<ReturnType<typeof packetMatcher>>[0]> = {}): boolean =>
    packetMatcher(parseFilter(text))({ protocol: 6, came, left, side: 'public', to: 'private', ...packet });

  it('match as they came or as they left', () => {
    expect(is('dst 203.0.113.1')).toBe(true);
    expect(is('dst 10.0.0.2')).toBe(true);
    expect(is('dst 10.0.0.2', { left: null })).toBe(false);
    expect(is('src 10.0.0.2')).toBe(false);
    expect(is('ext 203.0.113.1 and extport 50000')).toBe(true);
    expect(is('ext 10.0.0.2')).toBe(false);
    expect(is('reason no_flow', { reason: 'no_flow' })).toBe(true);
  });
});

/** mulberry32 */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
