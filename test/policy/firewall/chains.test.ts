/** How rules are walked: first match, chains, defaults, counters, what cannot be compiled. */
import { describe, expect, it } from 'vitest';
import { REJECTS } from '../../../src/policy/firewall/packet.ts';
import type { FirewallRule } from '../../../src/policy/firewall-config.ts';
import { ask, config, counted, DROP_ALL, firewall, is, rule, TCP, UDP } from './rules.ts';

const jump = (chain: string, match = {}) => rule({ kind: 'jump', chain }, match);
const goto = (chain: string, match = {}) => rule({ kind: 'goto', chain }, match);
const tcp = { protocols: is(TCP) };
const udp = { protocols: is(UDP) };

describe('without rules', () => {
  it('the default of the direction decides', () => {
    const asked = firewall([], {
      policies: {
        outbound: { kind: 'accept' },
        inbound: { kind: 'drop' },
        between: { kind: 'reject', with: 'host-prohibited' },
      },
    });
    expect(ask(asked, { direction: 'outbound' })).toBe('accept');
    expect(ask(asked, { direction: 'inbound', length: 100 })).toBe('drop');
    expect(ask(asked, { direction: 'between' })).toBe('host-prohibited');
    expect(asked.names).toEqual(['default/outbound', 'default/inbound', 'default/between']);
    expect(counted(asked, 'default/inbound')).toEqual({ flows: 1, bytes: 100 });
  });
});

describe('rules', () => {
  it('the first that matches decides', () => {
    const asked = firewall([rule('drop', udp), rule('accept', tcp), rule('drop')]);
    expect(ask(asked)).toBe('accept');
    expect(ask(asked, { protocol: UDP })).toBe('drop');
    expect(ask(asked, { protocol: 47 })).toBe('drop');
  });

  it.each(REJECTS)('reject with %s', (way) => {
    expect(ask(firewall([rule({ kind: 'reject', with: way })]))).toBe(way);
  });

  it('that log or count go on, and count', () => {
    const seen: FirewallRule[] = [rule('count', {}, { name: 'all' }), rule('log', tcp, { name: 'tcp' })];
    const asked = firewall([...seen, rule('drop', {}, { name: 'end' })]);
    expect(ask(asked, { length: 60 })).toBe('drop');
    expect(ask(asked, { protocol: UDP, length: 40 })).toBe('drop');
    expect(counted(asked, 'all')).toEqual({ flows: 2, bytes: 100 });
    expect(counted(asked, 'tcp')).toEqual({ flows: 1, bytes: 60 });
    expect(counted(asked, 'end')).toEqual({ flows: 2, bytes: 100 });
    expect(counted(asked, 'default/outbound')).toEqual({ flows: 0, bytes: 0 });
  });

  it('return at the outermost is the default', () => {
    const asked = firewall([rule('return', tcp), rule('accept')], { policies: DROP_ALL });
    expect(ask(asked)).toBe('drop');
    expect(ask(asked, { protocol: UDP })).toBe('accept');
  });
});

describe('chains', () => {
  it('jump comes back at the end, and at return', () => {
    const chains = { web: [rule('return', udp, { name: 'u' }), rule('count', {}, { name: 'c' })] };
    const asked = firewall(
      [jump('web'), rule('reject' as never, {}, { action: { kind: 'reject', with: 'tcp-reset' } })],
      { chains },
    );
    expect(ask(asked)).toBe('tcp-reset');
    expect(ask(asked, { protocol: UDP })).toBe('tcp-reset');
    expect(counted(asked, 'web/u').flows).toBe(1);
    expect(counted(asked, 'web/c').flows).toBe(1);
  });

  it('goto does not come back: after it the caller of the chain goes on', () => {
    const chains = { outer: [goto('inner'), rule('drop')], inner: [rule('drop', udp)] };
    // From the outermost: the default.
    expect(ask(firewall([goto('inner'), rule('drop')], { chains }))).toBe('accept');
    expect(ask(firewall([goto('inner'), rule('drop')], { chains }), { protocol: UDP })).toBe('drop');
    // From a chain: where that was called.
    const asked = firewall([jump('outer'), rule({ kind: 'reject', with: 'port-unreachable' })], { chains });
    expect(ask(asked)).toBe('port-unreachable');
  });

  it('may be called from several places, and inside each other', () => {
    const chains = {
      a: [jump('b'), rule('count', {}, { name: 'after' })],
      b: [jump('c'), rule('return')],
      c: [rule('count', {}, { name: 'in' })],
    };
    const asked = firewall([jump('a'), jump('c'), jump('b', tcp), rule('drop')], { chains });
    expect(ask(asked)).toBe('drop');
    expect(counted(asked, 'c/in').flows).toBe(3);
    expect(counted(asked, 'a/after').flows).toBe(1);
  });

  it('without rules do nothing', () => {
    expect(ask(firewall([jump('empty'), rule('drop')], { chains: { empty: [] } }))).toBe('drop');
  });
});

describe('what cannot be compiled', () => {
  it('a chain that is missing', () => {
    const rules = [rule({ kind: 'jump', chain: 'nowhere' }, {}, { name: 'first' })];
    expect(() => firewall(rules, { chains: { web: [] } })).toThrow(
      'firewall rule first: there is no chain nowhere',
    );
    // A name of every object is none of these.
    expect(() => firewall([jump('constructor')])).toThrow('there is no chain constructor');
  });

  it('chains that lead in a circle, even if nothing leads there', () => {
    const chains = { a: [jump('b')], b: [rule({ kind: 'goto', chain: 'a' }, {}, { name: 'back' })] };
    expect(() => firewall([], { chains })).toThrow(
      'firewall rule back: the chain a leads back to itself: a → b → a',
    );
    expect(() => firewall([jump('self')], { chains: { self: [jump('self')] } })).toThrow('self → self');
  });

  it('more rules than there are counters', () => {
    const rules = Array.from({ length: 8190 }, () => rule('count'));
    expect(() => firewall(rules)).toThrow('8190 firewall rules are too many');
    expect(ask(firewall(rules.slice(1)))).toBe('accept');
  });

  it('a time zone that there is not', () => {
    const schedule = {
      days: [],
      from: 0,
      to: 0,
      notBefore: -Infinity,
      notAfter: Infinity,
      zone: 'Mars/Olympus',
    };
    expect(() => firewall([rule('drop', { schedule })])).toThrow('there is no time zone Mars/Olympus');
  });
});

it('lists that are the same are kept once', () => {
  const set = Array.from({ length: 100 }, (_, i) => ({ first: i * 16, last: i * 16 + 3 }));
  const rules = Array.from({ length: 50 }, () => rule('drop', { sources: [is(...set)] }));
  const asked = firewall(rules) as unknown as { program: { data: Int32Array } };
  expect(asked.program.data.length).toBe(1 + 201);
  expect(config(rules).rules).toHaveLength(50);
});
