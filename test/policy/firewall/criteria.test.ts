/** Each criterion of a rule, and its negation. */
import { describe, expect, it } from 'vitest';
import { ask, DEVICES, firewall, ICMP, is, matches, not, range, rule, TCP, UDP } from './rules.ts';

describe('directions', () => {
  it('are all, or those listed', () => {
    for (const direction of ['outbound', 'inbound', 'between'] as const) {
      expect(matches({}, { direction })).toBe(true);
      expect(matches({ directions: [direction] }, { direction })).toBe(true);
      expect(matches({ directions: ['outbound', 'between'] }, { direction })).toBe(direction !== 'inbound');
      expect(matches({ directions: [] }, { direction })).toBe(false);
    }
  });
});

describe('interfaces', () => {
  it('go by name, in and out', () => {
    expect(matches({ inInterfaces: is('lan') })).toBe(true);
    expect(matches({ inInterfaces: is('dmz', 'wan') })).toBe(false);
    expect(matches({ inInterfaces: not('dmz') })).toBe(true);
    expect(matches({ inInterfaces: not('lan', 'dmz') })).toBe(false);
    expect(matches({ outInterfaces: is('wan') })).toBe(true);
    expect(matches({ outInterfaces: is('lan') })).toBe(false);
    expect(matches({ outInterfaces: not('wan') })).toBe(false);
  });

  it('that are not served are none of them', () => {
    expect(DEVICES).not.toContain('eth9');
    expect(matches({ inInterfaces: is('eth9') })).toBe(false);
    expect(matches({ inInterfaces: not('eth9') })).toBe(true);
  });

  it('of one name are all meant', () => {
    const lan = rule('drop', { inInterfaces: is('lan') });
    const twice = firewall([lan]);
    expect(ask(twice, { in: 'lan' })).toBe('drop');
    expect(ask(twice, { in: 'dmz' })).toBe('accept');
  });
});

describe('addresses', () => {
  it.each([
    ['10.0.0.2', true],
    ['10.0.0.0/8', true],
    ['0.0.0.0/0', true],
    ['10.0.0.1-10.0.0.2', true],
    ['10.0.0.3-10.0.0.9', false],
    ['9.0.0.0-10.0.0.1', false],
    ['192.168.0.0/16', false],
  ])('source in %s: %s', (text, expected) => {
    expect(matches({ sources: [is(range(text))] })).toBe(expected);
    expect(matches({ sources: [not(range(text))] })).toBe(!expected);
  });

  it('high ones are not negative', () => {
    const source = '200.1.2.3';
    expect(matches({ sources: [is(range('127.0.0.0-200.1.2.3'))] }, { source })).toBe(true);
    expect(matches({ sources: [is(range('127.0.0.0-200.1.2.2'))] }, { source })).toBe(false);
    expect(matches({ sources: [is(range('200.0.0.0/8'), range('1.0.0.0/8'))] }, { source })).toBe(true);
    expect(matches({ sources: [is(range('255.255.255.255'))] }, { source: '255.255.255.255' })).toBe(true);
  });

  it('a list with exceptions', () => {
    const match = { destinations: [is(range('198.51.100.0/24')), not(range('198.51.100.7'))] };
    expect(matches(match)).toBe(false);
    expect(matches(match, { destination: '198.51.100.8' })).toBe(true);
    expect(matches(match, { destination: '198.51.99.8' })).toBe(false);
  });

  it('of an empty list match nothing, not of an empty list everything', () => {
    expect(matches({ sources: [is()] })).toBe(false);
    expect(matches({ sources: [not()] })).toBe(true);
    expect(matches({ destinations: [is()] })).toBe(false);
  });

  it('of a set of 1000 are found, and no others', () => {
    const set = Array.from({ length: 1000 }, (_, i) =>
      range(`172.${16 + (i >> 8)}.${i & 255}.4-172.${16 + (i >> 8)}.${i & 255}.7`),
    );
    for (let last = 0; last < 12; last++) {
      const source = `172.17.200.${last}`;
      expect(matches({ sources: [is(...set)] }, { source })).toBe(last >= 4 && last <= 7);
    }
    expect(matches({ sources: [is(...set)] }, { source: '172.19.255.4' })).toBe(false);
  });
});

describe('protocols', () => {
  it.each([TCP, UDP, ICMP, 47, 50, 132, 0, 255])('%s', (protocol) => {
    expect(matches({ protocols: is(protocol) }, { protocol })).toBe(true);
    expect(matches({ protocols: not(protocol) }, { protocol })).toBe(false);
    for (const other of [TCP, UDP, ICMP, 47, 51, 132].filter((candidate) => candidate !== protocol)) {
      expect(matches({ protocols: is(other) }, { protocol })).toBe(false);
      expect(matches({ protocols: not(other) }, { protocol })).toBe(true);
    }
  });

  it('named twice are named once', () => {
    expect(matches({ protocols: is(50, 50) }, { protocol: 50 })).toBe(true);
    expect(matches({ protocols: not(50, 50) }, { protocol: 50 })).toBe(false);
  });
});

describe('ports', () => {
  const web = { first: 80, last: 80 };
  const secure = { first: 440, last: 450 };
  it('of the destination', () => {
    expect(matches({ destinationPorts: [is(secure)] })).toBe(true);
    expect(matches({ destinationPorts: [is(web, secure)] })).toBe(true);
    expect(matches({ destinationPorts: [is(web)] })).toBe(false);
    expect(matches({ destinationPorts: [not(web)] })).toBe(true);
    expect(matches({ destinationPorts: [not(secure)] })).toBe(false);
    expect(matches({ destinationPorts: [is(secure), not({ first: 443, last: 443 })] })).toBe(false);
    for (const [port, expected] of [
      [439, false],
      [440, true],
      [450, true],
      [451, false],
    ] as const) {
      expect(matches({ destinationPorts: [is(secure)] }, { port })).toBe(expected);
    }
    expect(matches({ destinationPorts: [is({ first: 0, last: 65535 })] }, { port: 65535 })).toBe(true);
  });

  it('of the source', () => {
    expect(matches({ sourcePorts: [is({ first: 32768, last: 65535 })] })).toBe(true);
    expect(matches({ sourcePorts: [is(web)] })).toBe(false);
    expect(matches({ sourcePorts: [not(web, { first: 40000, last: 40000 })] })).toBe(false);
  });

  it.each([ICMP, 47])('protocol %s has none: it matches no list, negated or not', (protocol) => {
    for (const criterion of [is(web), not(web), is({ first: 0, last: 65535 })]) {
      expect(matches({ destinationPorts: [criterion] }, { protocol })).toBe(false);
      expect(matches({ sourcePorts: [criterion] }, { protocol })).toBe(false);
    }
  });

  it.each([TCP, UDP, 132])('protocol %s has some', (protocol) => {
    expect(matches({ destinationPorts: [is(secure)] }, { protocol })).toBe(true);
  });
});

describe('ICMP', () => {
  const ping = { protocol: ICMP, icmp: [8, 0] as [number, number] };
  it('by type, with any code or one', () => {
    expect(matches({ icmp: is({ type: 8, code: -1 }) }, ping)).toBe(true);
    expect(matches({ icmp: is({ type: 8, code: 0 }) }, ping)).toBe(true);
    expect(matches({ icmp: is({ type: 8, code: 1 }) }, ping)).toBe(false);
    expect(matches({ icmp: is({ type: 13, code: -1 }, { type: 8, code: 0 }) }, ping)).toBe(true);
    expect(matches({ icmp: not({ type: 13, code: -1 }) }, ping)).toBe(true);
    expect(matches({ icmp: not({ type: 8, code: -1 }) }, ping)).toBe(false);
  });

  it('is of ICMP only, negated or not', () => {
    expect(matches({ icmp: not({ type: 13, code: -1 }) })).toBe(false);
    expect(matches({ icmp: is({ type: 1, code: 187 }) }, { port: 443 })).toBe(false);
  });
});

describe('states', () => {
  it.each(['new', 'related', 'dnat', 'snat'] as const)('%s', (state) => {
    expect(matches({ states: is(state) }, { states: [state] })).toBe(true);
    expect(matches({ states: not(state) }, { states: [state] })).toBe(false);
    expect(matches({ states: is(state) }, { states: [] })).toBe(false);
    expect(matches({ states: not(state) }, { states: [] })).toBe(true);
  });

  it('one of them is enough, none with not', () => {
    expect(matches({ states: is('related', 'dnat') }, { states: ['new', 'dnat'] })).toBe(true);
    expect(matches({ states: not('related', 'dnat') }, { states: ['new', 'dnat'] })).toBe(false);
    expect(matches({ states: not('related', 'dnat') }, { states: ['new', 'snat'] })).toBe(true);
    expect(matches({ states: is() }, { states: ['new'] })).toBe(false);
    expect(matches({ states: not() }, { states: ['new'] })).toBe(true);
  });

  it('whether the source will be translated is asked only where a rule asks', () => {
    expect(firewall([rule('drop', { states: is('new') })]).asksSnat).toBe(false);
    expect(firewall([rule('drop', { states: not('snat') })]).asksSnat).toBe(true);
  });
});

describe('TCP flags', () => {
  const syn = { mask: 0x17, value: 0x02, not: false };
  it('under a mask', () => {
    expect(matches({ tcpFlags: syn }, { flags: 0x02 })).toBe(true);
    expect(matches({ tcpFlags: syn }, { flags: 0xc2 })).toBe(true);
    expect(matches({ tcpFlags: syn }, { flags: 0x12 })).toBe(false);
    expect(matches({ tcpFlags: { ...syn, not: true } }, { flags: 0x12 })).toBe(true);
    expect(matches({ tcpFlags: { ...syn, not: true } }, { flags: 0x02 })).toBe(false);
  });

  it('are of TCP only, negated or not', () => {
    for (const tcpFlags of [syn, { ...syn, not: true }, { mask: 0, value: 0, not: false }]) {
      expect(matches({ tcpFlags }, { protocol: UDP })).toBe(false);
    }
  });
});

it('all criteria must hold', () => {
  const match = {
    directions: ['outbound' as const],
    inInterfaces: is('lan'),
    sources: [is(range('10.0.0.0/8'))],
    destinations: [is(range('198.51.100.0/24'))],
    protocols: is(TCP),
    destinationPorts: [is({ first: 443, last: 443 })],
    states: is('new' as const),
    tcpFlags: { mask: 2, value: 2, not: false },
  };
  expect(matches(match)).toBe(true);
  const otherwise = [
    { direction: 'between' as const },
    { in: 'dmz' },
    { source: '11.0.0.1' },
    { destination: '198.51.101.1' },
    { protocol: UDP },
    { port: 444 },
    { states: ['related' as const] },
    { flags: 1 },
  ];
  for (const packet of otherwise) expect(matches(match, packet), JSON.stringify(packet)).toBe(false);
});
