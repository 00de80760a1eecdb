import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Route, TO_ENGINE, TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import {
  BLACKHOLE,
  type KernelRoute,
  LOCAL,
  PROHIBIT,
  TABLE_DEFAULT,
  TABLE_LOCAL,
  TABLE_MAIN,
  THROW,
  UNICAST,
} from '../../src/host/netlink/routes.ts';
import { DEFAULT_LOOKUPS, type Lookup, lookups, servedRoutes, withDedicated } from '../../src/host/routes.ts';
import { formatPrefix, hostOrder, parseAddress, parsePrefix, prefixMask } from '../../src/wire/address.ts';

const PRIVATE = 3;
const PUBLIC = 5;
const VPN = 9;
const SERVED = [PRIVATE, PUBLIC];

const address = (text: string) => parseAddress(text)!;

function route(
  prefix: string,
  more: Partial<KernelRoute> & { oif?: number; via?: string } = {},
): KernelRoute {
  const { address: bits, length } = parsePrefix(prefix)!;
  const { oif = PUBLIC, via, ...rest } = more;
  return {
    prefix: bits,
    length,
    table: TABLE_MAIN,
    type: UNICAST,
    metric: 0,
    mtu: 0,
    nextHops: [
      { interface: oif, gateway: via === undefined ? 0 : address(via), dead: false, foreign: false },
    ],
    ...rest,
  };
}

const shown = (routes: Route[]) =>
  Object.fromEntries(
    routes.map(({ prefix, length, ...rest }) => [formatPrefix({ address: prefix, length }), rest]),
  );

it('has dedicated addresses instead of whatever the host has for them and within them', () => {
  const entry = (text: string, device: number): Route => {
    const { address: prefix, length } = parsePrefix(text)!;
    return { prefix, length, device, gateway: 0, mtu: 0 };
  };
  const routes = [
    entry('0.0.0.0/0', 1),
    entry('203.0.113.0/24', 1),
    entry('203.0.113.9/32', TO_HOST),
    entry('203.0.113.10/32', TO_HOST),
    entry('198.51.100.0/24', 0),
    entry('198.51.100.64/26', 0),
    entry('198.51.100.128/25', 0),
  ];
  expect(withDedicated(routes, [])).toEqual(routes);
  const dedicated = ['203.0.113.9/32', '198.51.100.0/25'].map((text) => parsePrefix(text)!);
  expect(shown(withDedicated(routes, dedicated))).toEqual(
    shown([
      ...[routes[0]!, routes[1]!, routes[3]!, routes[4]!, routes[6]!],
      entry('203.0.113.9/32', TO_ENGINE),
      entry('198.51.100.0/25', TO_ENGINE),
    ]),
  );
});

/** What a longest-prefix table says about one address. */
function lookUp(routes: readonly Route[], wanted: number): Omit<Route, 'prefix' | 'length'> {
  let best: Route | undefined;
  for (const candidate of routes) {
    const matches = ((candidate.prefix ^ wanted) & prefixMask(candidate.length)) === 0;
    if (matches && candidate.length > (best?.length ?? -1)) best = candidate;
  }
  return { device: best?.device ?? UNREACHABLE, gateway: best?.gateway ?? 0, mtu: best?.mtu ?? 0 };
}

describe('one interface for both sides', () => {
  const networks = ['10.0.0.0/16', '172.20.0.0/24'].map((text) => parsePrefix(text)!);
  const kernel = [
    route('0.0.0.0/0', { via: '10.0.0.1' }),
    route('10.0.0.0/24', {}),
    route('10.0.0.5/32', { table: TABLE_LOCAL, type: LOCAL }),
    route('172.20.0.128/25', { via: '10.0.0.9' }),
    route('172.16.0.0/12', { via: '10.0.0.8', mtu: 1400 }),
    route('10.0.7.0/24', { oif: VPN, via: '10.8.0.1' }),
  ];

  it('what is within the networks is the private device’s, by the way that the host has to it', () => {
    const routes = servedRoutes(kernel, [PUBLIC, PUBLIC], DEFAULT_LOOKUPS, [networks]);
    expect(shown(routes)).toEqual({
      '0.0.0.0/0': { device: 1, gateway: address('10.0.0.1'), mtu: 0 },
      '10.0.0.0/16': { device: 0, gateway: address('10.0.0.1'), mtu: 0 },
      '10.0.0.0/24': { device: 0, gateway: 0, mtu: 0 },
      '10.0.0.5/32': { device: TO_HOST, gateway: 0, mtu: 0 },
      '10.0.7.0/24': { device: TO_HOST, gateway: 0, mtu: 0 },
      '172.16.0.0/12': { device: 1, gateway: address('10.0.0.8'), mtu: 1400 },
      '172.20.0.0/24': { device: 0, gateway: address('10.0.0.8'), mtu: 1400 },
      '172.20.0.128/25': { device: 0, gateway: address('10.0.0.9'), mtu: 0 },
    });
  });

  it('networks of a private interface of its own change nothing', () => {
    const routes = [...kernel, route('10.77.0.0/24', { oif: PRIVATE })];
    expect(servedRoutes(routes, SERVED, DEFAULT_LOOKUPS, [networks])).toEqual(servedRoutes(routes, SERVED));
    // A third device beside the two.
    const three = servedRoutes(routes, [PRIVATE, PUBLIC, PUBLIC], DEFAULT_LOOKUPS, [[], networks]);
    expect(shown(three)).toMatchObject({
      '10.77.0.0/24': { device: 0 },
      '10.0.0.0/24': { device: 1 },
      '0.0.0.0/0': { device: 2 },
    });
  });
});

describe('servedRoutes', () => {
  it('names the device, the next hop and the MTU', () => {
    const routes = servedRoutes(
      [
        route('0.0.0.0/0', { via: '198.18.0.2', mtu: 1400 }),
        route('10.77.0.0/24', { oif: PRIVATE }),
        route('10.8.0.0/16', { oif: VPN, via: '10.8.0.1' }),
        route('10.77.0.1/32', { oif: PRIVATE, table: TABLE_LOCAL, type: LOCAL }),
        route('192.0.2.0/24', { type: BLACKHOLE, oif: 0 }),
        route('192.0.3.0/24', { type: PROHIBIT, oif: 0 }),
      ],
      SERVED,
    );
    expect(shown(routes)).toEqual({
      '0.0.0.0/0': { device: 1, gateway: address('198.18.0.2'), mtu: 1400 },
      '10.77.0.0/24': { device: 0, gateway: 0, mtu: 0 },
      '10.8.0.0/16': { device: TO_HOST, gateway: 0, mtu: 0 },
      '10.77.0.1/32': { device: TO_HOST, gateway: 0, mtu: 0 },
      '192.0.2.0/24': { device: UNREACHABLE, gateway: 0, mtu: 0 },
      '192.0.3.0/24': { device: UNREACHABLE, gateway: 0, mtu: 0 },
    });
  });

  it('prefers the local table, then the lowest metric, and passes over dead routes', () => {
    const dead = [{ interface: PRIVATE, gateway: 0, dead: true, foreign: false }];
    const routes = servedRoutes(
      [
        route('0.0.0.0/0', { via: '198.18.0.9', metric: 200 }),
        route('0.0.0.0/0', { via: '198.18.0.2', metric: 100 }),
        route('0.0.0.0/0', { nextHops: dead, metric: 10 }),
        route('10.0.0.0/24', { oif: PRIVATE }),
        route('10.0.0.0/24', { type: LOCAL, table: TABLE_LOCAL, metric: 500 }),
      ],
      SERVED,
    );
    expect(shown(routes)).toEqual({
      '0.0.0.0/0': { device: 1, gateway: address('198.18.0.2'), mtu: 0 },
      '10.0.0.0/24': { device: TO_HOST, gateway: 0, mtu: 0 },
    });
  });

  it('takes the first next hop of a multipath route that is served and alive', () => {
    const hop = (oif: number, via: string, dead = false) => ({
      interface: oif,
      gateway: address(via),
      dead,
      foreign: false,
    });
    const nextHops = [
      hop(VPN, '10.8.0.1'),
      hop(PUBLIC, '198.18.0.7', true),
      hop(PUBLIC, '198.18.0.8'),
      hop(PRIVATE, '10.77.0.9'),
    ];
    const routes = servedRoutes([route('0.0.0.0/0', { nextHops })], SERVED);
    expect(routes[0]).toMatchObject({ device: 1, gateway: address('198.18.0.8') });
  });

  it('cannot send to a next hop that is an IPv6 address', () => {
    const nextHops = [{ interface: PUBLIC, gateway: 0, dead: false, foreign: true }];
    expect(servedRoutes([route('0.0.0.0/0', { nextHops })], SERVED)[0]?.device).toBe(UNREACHABLE);
  });

  it('lets an earlier table hide longer prefixes of a later one, except where it throws', () => {
    const asked: Lookup[] = [
      { tables: [100], suppressLength: -1 },
      { tables: [TABLE_MAIN], suppressLength: -1 },
    ];
    const routes = servedRoutes(
      [
        route('10.0.0.0/8', { table: 100, oif: VPN }),
        route('10.5.0.0/16', { table: 100, type: THROW, oif: 0 }),
        route('0.0.0.0/0', { via: '198.18.0.2' }),
        route('10.77.0.0/24', { oif: PRIVATE }),
        route('10.5.7.0/24', { oif: PRIVATE }),
      ],
      SERVED,
      asked,
    );
    expect(lookUp(routes, address('10.77.0.2')).device).toBe(TO_HOST);
    expect(lookUp(routes, address('10.5.7.1')).device).toBe(0);
    expect(lookUp(routes, address('10.5.9.1')).device).toBe(1);
    expect(lookUp(routes, address('8.8.8.8')).device).toBe(1);
  });

  it('passes over short prefixes of a table whose rule suppresses them', () => {
    const asked: Lookup[] = [
      { tables: [TABLE_MAIN], suppressLength: 0 },
      { tables: [51820], suppressLength: -1 },
    ];
    const routes = servedRoutes(
      [
        route('0.0.0.0/0', { via: '198.18.0.2' }),
        route('10.77.0.0/24', { oif: PRIVATE }),
        route('0.0.0.0/0', { table: 51820, oif: VPN }),
      ],
      SERVED,
      asked,
    );
    expect(lookUp(routes, address('8.8.8.8')).device).toBe(TO_HOST);
    expect(lookUp(routes, address('10.77.0.2')).device).toBe(0);
  });

  it('says what asking table by table says, for every address (property)', () => {
    // A small address space, so that prefixes cover, hide and equal one another.
    const length = fc.integer({ min: 0, max: 32 });
    const bits = fc.integer({ min: 0, max: 15 }).map((n) => hostOrder(0x0a000000 | (n << 4) | n | 0));
    const kernelRoute = fc
      .record({
        bits,
        length,
        table: fc.constantFrom(TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT, 100),
        type: fc.constantFrom(UNICAST, UNICAST, UNICAST, LOCAL, BLACKHOLE, THROW),
        metric: fc.integer({ min: 0, max: 3 }),
        oif: fc.constantFrom(PRIVATE, PUBLIC, VPN),
        gateway: fc.integer({ min: 0, max: 3 }),
        dead: fc.boolean(),
      })
      .map(({ bits: b, length: l, oif, gateway, dead, ...rest }) => ({
        ...rest,
        prefix: b & prefixMask(l),
        length: l,
        mtu: 0,
        nextHops: [{ interface: oif, gateway, dead, foreign: false }],
      }));
    const lookup = fc.record({
      tables: fc.constantFrom([TABLE_LOCAL, TABLE_MAIN], [TABLE_MAIN], [TABLE_DEFAULT], [100]),
      suppressLength: fc.constantFrom(-1, -1, 0, 12),
    });
    fc.assert(
      fc.property(
        fc.array(kernelRoute, { maxLength: 30 }),
        fc.array(lookup, { maxLength: 4 }),
        fc.array(bits, { minLength: 1, maxLength: 16 }),
        (kernelRoutes, asked, wanted) => {
          const flat = servedRoutes(kernelRoutes, SERVED, asked);
          for (const one of wanted)
            expect(lookUp(flat, one)).toEqual(askTableByTable(kernelRoutes, asked, one));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** The slow, obvious way. */
function askTableByTable(
  kernelRoutes: readonly KernelRoute[],
  asked: readonly Lookup[],
  wanted: number,
): Omit<Route, 'prefix' | 'length'> {
  for (const { tables, suppressLength } of asked) {
    const [best] = kernelRoutes
      .filter((r) => tables.includes(r.table) && !r.nextHops[0]!.dead)
      .filter((r) => ((r.prefix ^ wanted) & prefixMask(r.length)) === 0)
      .sort(
        (a, b) =>
          b.length - a.length ||
          tables.indexOf(a.table) - tables.indexOf(b.table) ||
          a.metric - b.metric ||
          kernelRoutes.indexOf(a) - kernelRoutes.indexOf(b),
      );
    if (best === undefined || best.type === THROW || best.length <= suppressLength) continue;
    if (best.type === BLACKHOLE) return { device: UNREACHABLE, gateway: 0, mtu: 0 };
    const hop = best.nextHops[0]!;
    if (best.type === LOCAL || !SERVED.includes(hop.interface))
      return { device: TO_HOST, gateway: 0, mtu: 0 };
    return { device: SERVED.indexOf(hop.interface), gateway: hop.gateway, mtu: 0 };
  }
  return { device: UNREACHABLE, gateway: 0, mtu: 0 };
}

describe('lookups', () => {
  const rule = (table: number, more: object = {}) => ({
    priority: 0,
    table,
    suppressLength: -1,
    applies: 'always' as const,
    ...more,
  });

  it('searches local and main as one while there are only the default rules', () => {
    expect(lookups([rule(TABLE_LOCAL), rule(TABLE_MAIN), rule(TABLE_DEFAULT)])).toBe(DEFAULT_LOOKUPS);
  });

  it('takes the rules that hold for every packet, in order', () => {
    const rules = [
      rule(TABLE_LOCAL),
      rule(100, { applies: 'sometimes' }),
      rule(101, { applies: 'never' }),
      rule(51820),
      rule(TABLE_MAIN),
    ];
    expect(lookups(rules).map((lookup) => lookup.tables)).toEqual([[TABLE_LOCAL], [51820], [TABLE_MAIN]]);
  });
});
