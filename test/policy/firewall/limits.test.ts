/** Rates, connection counts and logged lines, at given times. */
import { describe, expect, it } from 'vitest';
import { Firewall } from '../../../src/policy/firewall/firewall.ts';
import { MAX_GROUPS, RateLimits } from '../../../src/policy/firewall/rate-limits.ts';
import { SharedCounts, sharedCountsBytes } from '../../../src/policy/firewall/shared-counts.ts';
import type { ConnectionLimit, Grouping, RateLimit } from '../../../src/policy/firewall-config.ts';
import { ask, config, counted, DEVICES, fill, firewall, host, is, rule, TCP, UDP } from './rules.ts';

const RULE: Grouping = { by: 'rule', prefixLength: 32 };
const perSource = (prefixLength = 32): Grouping => ({ by: 'source', prefixLength });
const rate = (perSecond: number, burst: number, grouping = RULE, above = false): RateLimit => ({
  perSecond,
  burst,
  grouping,
  above,
});
const connections = (count: number, grouping = perSource(), above = true): ConnectionLimit => ({
  count,
  grouping,
  above,
});

describe('a rate', () => {
  it('lets a burst match, then one for each interval', () => {
    const asked = firewall([rule('drop', { limit: rate(2, 3) })]);
    expect([0, 0, 0, 0].map((now) => ask(asked, {}, now))).toEqual(['drop', 'drop', 'drop', 'accept']);
    expect(ask(asked, {}, 499)).toBe('accept');
    expect(ask(asked, {}, 500)).toBe('drop');
    expect(ask(asked, {}, 501)).toBe('accept');
    expect([10_000, 10_000, 10_000, 10_000].map((now) => ask(asked, {}, now))).toEqual([
      'drop',
      'drop',
      'drop',
      'accept',
    ]);
  });

  it('may be less than one a second', () => {
    const asked = firewall([rule('drop', { limit: rate(1 / 60, 1) })]);
    expect([0, 59_000, 60_000, 61_000].map((now) => ask(asked, {}, now))).toEqual([
      'drop',
      'accept',
      'drop',
      'accept',
    ]);
  });

  it('above it matches what has no token', () => {
    const asked = firewall([rule('drop', { limit: rate(1, 2, RULE, true) })]);
    expect([0, 0, 0, 999, 1000, 1000].map((now) => ask(asked, {}, now))).toEqual([
      'accept',
      'accept',
      'drop',
      'drop',
      'accept',
      'drop',
    ]);
  });

  it('is asked last: what else does not match takes no token', () => {
    const asked = firewall([rule('drop', { limit: rate(1, 1), protocols: is(UDP) })]);
    for (let i = 0; i < 5; i++) expect(ask(asked)).toBe('accept');
    expect(ask(asked, { protocol: UDP })).toBe('drop');
    expect(ask(asked, { protocol: UDP })).toBe('accept');
  });

  it('per source, destination, both, and by prefix', () => {
    const both: Grouping = { by: 'source-and-destination', prefixLength: 32 };
    const cases = [
      [perSource(), ['drop', 'accept', 'drop', 'drop']],
      [perSource(24), ['drop', 'accept', 'accept', 'drop']],
      [{ by: 'destination', prefixLength: 32 } as Grouping, ['drop', 'drop', 'accept', 'accept']],
      [both, ['drop', 'drop', 'drop', 'drop']],
      [RULE, ['drop', 'accept', 'accept', 'accept']],
    ] as const;
    for (const [grouping, expected] of cases) {
      const asked = firewall([rule('drop', { limit: rate(1, 1, grouping) })]);
      const packets = [
        { source: '10.0.0.2', destination: '198.51.100.1' },
        { source: '10.0.0.2', destination: '198.51.100.2' },
        { source: '10.0.0.3', destination: '198.51.100.1' },
        { source: '10.0.1.3', destination: '198.51.100.1' },
      ];
      expect(packets.map((packet) => ask(asked, packet))).toEqual(expected);
    }
  });

  it('the time may wrap', () => {
    const asked = firewall([rule('drop', { limit: rate(1, 1) })]);
    expect(ask(asked, {}, 0x7fffff00)).toBe('drop');
    expect(ask(asked, {}, (0x7fffff00 + 999) | 0)).toBe('accept');
    expect(ask(asked, {}, (0x7fffff00 + 1000) | 0)).toBe('drop');
  });

  it('is divided among workers', () => {
    const seat = (number: number) => ({ number, workers: 4, counts: new Int32Array(sharedCountsBytes(4)) });
    const asked = new Firewall(config([rule('drop', { limit: rate(4, 8) })]), {
      devices: DEVICES,
      seed: [1, 2],
      now: 0,
      seat: seat(0),
    });
    expect([0, 0, 0, 999, 1000].map((now) => ask(asked, {}, now))).toEqual([
      'drop',
      'drop',
      'accept',
      'accept',
      'drop',
    ]);
  });

  it('is kept for so many groups, of more for those that were asked for last', () => {
    const limits = new RateLimits([rate(0.001, 1, perSource())], 1, [1, 2]);
    for (let source = 0; source < MAX_GROUPS; source++) expect(limits.take(0, source, 0, 0)).toBe(true);
    expect(limits.take(0, 0, 0, 0)).toBe(false);
    expect(limits.take(0, -1, 0, 0)).toBe(true);
    // Number 0 was asked for just now; it is number 1 that was forgotten.
    expect(limits.take(0, 0, 0, 0)).toBe(false);
    expect(limits.take(0, 2, 0, 0)).toBe(false);
    expect(limits.take(0, 1, 0, 0)).toBe(true);
  });
});

describe('a connection limit', () => {
  const from = (source: string) => ({ source });
  const begin = (asked: Firewall, flow: number, source: string): string => {
    const verdict = ask(asked, from(source));
    if (verdict === 'accept') asked.begun(flow);
    return verdict;
  };
  const end = (asked: Firewall, flow: number, source: string) =>
    asked.ended(flow, host(source) | 0, host('198.51.100.7') | 0);

  it('counts live flows and the new one', () => {
    const asked = firewall([rule('drop', { connections: connections(2) })]);
    expect([1, 2, 3].map((flow) => begin(asked, flow, '10.0.0.2'))).toEqual(['accept', 'accept', 'drop']);
    expect(begin(asked, 4, '10.0.0.3')).toBe('accept');
    end(asked, 1, '10.0.0.2');
    expect(begin(asked, 5, '10.0.0.2')).toBe('accept');
    expect(begin(asked, 6, '10.0.0.2')).toBe('drop');
  });

  it('up to it matches while there are so few', () => {
    const asked = firewall([
      rule('accept', { connections: connections(1, perSource(), false) }),
      rule('drop'),
    ]);
    expect([1, 2].map((flow) => begin(asked, flow, '10.0.0.2'))).toEqual(['accept', 'drop']);
    end(asked, 1, '10.0.0.2');
    expect(begin(asked, 3, '10.0.0.2')).toBe('accept');
  });

  it('by prefix, and for the whole rule', () => {
    const near = firewall([rule('drop', { connections: connections(1, perSource(24)) })]);
    expect(['10.0.0.2', '10.0.0.3', '10.0.1.3'].map((source, flow) => begin(near, flow, source))).toEqual([
      'accept',
      'drop',
      'accept',
    ]);
    const all = firewall([rule('drop', { connections: connections(1, RULE) })]);
    expect(['10.0.0.2', '172.16.0.1'].map((source, flow) => begin(all, flow, source))).toEqual([
      'accept',
      'drop',
    ]);
  });

  it('counts those that came to it, however they were decided about', () => {
    const asked = firewall([
      rule('accept', { protocols: is(UDP) }),
      rule('drop', { protocols: is(TCP), connections: connections(1) }),
    ]);
    fill(asked.packet, { protocol: UDP });
    asked.verdict(0);
    asked.begun(1);
    // UDP never came to the second rule.
    expect(begin(asked, 2, '10.0.0.2')).toBe('accept');
    expect(begin(asked, 3, '10.0.0.2')).toBe('drop');
  });

  it('counts a flow once, that comes to it twice', () => {
    const chains = { many: [rule('drop', { connections: connections(2) })] };
    const jump = rule({ kind: 'jump', chain: 'many' });
    const asked = firewall([jump, jump], { chains });
    expect([1, 2, 3].map((flow) => begin(asked, flow, '10.0.0.2'))).toEqual(['accept', 'accept', 'drop']);
    end(asked, 2, '10.0.0.2');
    end(asked, 2, '10.0.0.2');
    expect(begin(asked, 4, '10.0.0.2')).toBe('accept');
    expect(begin(asked, 5, '10.0.0.2')).toBe('drop');
  });

  it('a flow that was refused for another reason counts nowhere', () => {
    const asked = firewall([rule('drop', { connections: connections(1) })]);
    ask(asked, from('10.0.0.2'));
    expect(ask(asked, from('10.0.0.2'))).toBe('accept');
  });

  it('a rehearsal counts flows, but nothing else', () => {
    const first = rule('count', { limit: rate(1, 1) }, { name: 'limited', log: 'x' });
    const asked = firewall([first, rule('drop', { connections: connections(1) })]);
    const lines: string[] = [];
    asked.onLog = (prefix) => lines.push(prefix);
    fill(asked.packet, from('10.0.0.2'));
    asked.rehearse(0);
    asked.begun(1);
    expect(lines).toEqual([]);
    expect(counted(asked, 'limited')).toEqual({ flows: 0, bytes: 0 });
    expect(begin(asked, 2, '10.0.0.2')).toBe('drop');
    // The token was still there.
    expect(lines).toEqual(['x']);
  });

  it('many groups come and go', () => {
    const asked = firewall([rule('drop', { connections: connections(1) })]);
    const source = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    for (let i = 0; i < 5000; i++) expect(begin(asked, i, source(i))).toBe('accept');
    for (let i = 0; i < 5000; i++) expect(begin(asked, 9999, source(i))).toBe('drop');
    for (let i = 0; i < 5000; i += 2) end(asked, i, source(i));
    for (let i = 0; i < 5000; i++) expect(begin(asked, i, source(i))).toBe(i % 2 === 0 ? 'accept' : 'drop');
  });

  it('is shared by workers', () => {
    const counts = new Int32Array(sharedCountsBytes(2));
    const [one, two] = [0, 1].map(
      (number) =>
        new Firewall(config([rule('drop', { connections: connections(2) })]), {
          devices: DEVICES,
          seed: [number, 2],
          now: 0,
          seat: { number, workers: 2, counts },
        }),
    ) as [Firewall, Firewall];
    expect(begin(one, 1, '10.0.0.2')).toBe('accept');
    expect(begin(two, 1, '10.0.0.2')).toBe('accept');
    expect(begin(one, 2, '10.0.0.2')).toBe('drop');
    expect(begin(two, 2, '10.0.0.2')).toBe('drop');
    end(two, 1, '10.0.0.2');
    expect(begin(one, 2, '10.0.0.2')).toBe('accept');
    expect(begin(two, 1, '10.0.0.3')).toBe('accept');
  });

  it('whose shared set is full is counted by its own worker only', () => {
    const counts = new Int32Array(sharedCountsBytes(2));
    const shared = new SharedCounts(counts, 2, 0);
    const other = new SharedCounts(counts, 2, 1);
    for (let a = 0; a < 100_000; a++) shared.show(0, a, 0, 1);
    let seen = 0;
    for (let a = 0; a < 100_000; a++) seen += other.elsewhere(0, a, 0);
    expect(seen).toBe(1024 * 16);
    for (let a = 0; a < 100_000; a++) shared.show(0, a, 0, 0);
    shared.show(0, 7, 0, 3);
    expect(other.elsewhere(0, 7, 0)).toBe(3);
    // A new engine of that worker begins anew.
    new SharedCounts(counts, 2, 0);
    expect(other.elsewhere(0, 7, 0)).toBe(0);
  });
});

describe('logged lines', () => {
  it('are ten at once and a second, then how many were left out', () => {
    const asked = firewall([rule('log', {}, { log: 'seen ' }), rule('drop', {}, { log: null })]);
    const lines: [string, number][] = [];
    asked.onLog = (prefix, left) => lines.push([prefix, left]);
    for (let i = 0; i < 25; i++) ask(asked, {}, 0);
    expect(lines).toEqual(Array.from({ length: 10 }, () => ['seen ', 0]));
    ask(asked, {}, 100);
    ask(asked, {}, 200);
    expect(lines.slice(10)).toEqual([
      ['seen ', 15],
      ['seen ', 0],
    ]);
  });

  it('each rule has its own', () => {
    const asked = firewall([rule('log'), rule('drop', {}, { log: 'end ' })]);
    const prefixes: string[] = [];
    asked.onLog = (prefix) => prefixes.push(prefix);
    for (let i = 0; i < 12; i++) ask(asked, {}, 0);
    expect(prefixes.filter((prefix) => prefix === '')).toHaveLength(10);
    expect(prefixes.filter((prefix) => prefix === 'end ')).toHaveLength(10);
  });
});

it('a packet limit is that of the rule which accepts', () => {
  const limited = rule('accept', { protocols: is(UDP) }, { packetLimit: rate(10, 10) });
  const asked = firewall([limited, rule('accept')]);
  ask(asked);
  expect(asked.packetLimit).toBe(-1);
  ask(asked, { protocol: UDP });
  expect(asked.packetLimit).toBe(0);
  expect(asked.countsFlows).toBe(true);
});
