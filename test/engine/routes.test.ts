import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { expect, test } from 'vitest';
import { NO_ROUTE_CLASS, RouteTable, TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import { formatAddress, parseAddress, prefixMask } from '../../src/wire/address.ts';
import { route } from './bed.ts';

const networks = fc
  .tuple(fc.constantFrom(10, 192, 203), fc.nat(3), fc.nat(255), fc.nat(255), fc.integer({ min: 0, max: 32 }))
  .map(([a, b, c, d, length]) => ({ text: `${a}.${b}.${c}.${d}/${length}`, length }));
const hop = fc.record({
  device: fc.constantFrom(0, 1, TO_HOST, UNREACHABLE),
  gateway: fc.constantFrom(0, 1, 2, 3),
  mtu: fc.constantFrom(0, 1400),
});

test('the longest prefix that ipaddr.js says matches', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(networks, hop), { maxLength: 30 }),
      fc.array(networks, { maxLength: 20 }),
      (list, probes) => {
        const table = new RouteTable();
        const routes = list.map(([{ text, length }, way]) => {
          const prefix = parseAddress(text.split('/')[0]!)! & prefixMask(length);
          return { prefix, length, ...way };
        });
        table.replace(routes);
        for (const { text } of probes) {
          const probe = text.split('/')[0]!;
          const matching = routes.filter(({ prefix, length }) =>
            ipaddr.IPv4.parse(probe).match(ipaddr.IPv4.parse(formatAddress(prefix)), length),
          );
          const longest = Math.max(...matching.map(({ length }) => length));
          // Of two routes for one prefix the later counts.
          const best = matching.filter(({ length }) => length === longest).at(-1);
          const found = table.classOf(parseAddress(probe)!);
          if (best === undefined) expect(found).toBe(NO_ROUTE_CLASS);
          else {
            expect([table.device[found], table.gateway[found], table.mtu[found]]).toEqual([
              best.device,
              best.gateway,
              best.mtu,
            ]);
          }
        }
      },
    ),
  );
});

test('a table without routes leads nowhere', () => {
  const table = new RouteTable();
  expect(table.device[table.classOf(parseAddress('192.0.2.1')!)]).toBe(UNREACHABLE);
});

test('beyond 255 kinds of way a route loses gateway and MTU, never its device', () => {
  const table = new RouteTable();
  const routes = Array.from({ length: 600 }, (_, i) =>
    route(`10.${i >> 8}.${i & 255}.0/24`, i % 2, `192.0.${i >> 8}.${i & 255}`, 1000 + i),
  );
  table.replace(routes);
  for (const [i, { prefix }] of routes.entries()) {
    const found = table.classOf(prefix | (7 << 24));
    expect(table.device[found], `route ${i}`).toBe(i % 2);
    expect([routes[i]!.gateway, 0]).toContain(table.gateway[found]);
  }
});

test('every change has another epoch, never 0', () => {
  const table = new RouteTable();
  const seen = new Set<number>();
  for (let i = 0; i < 65_535; i++) {
    table.invalidate();
    seen.add(table.epoch);
  }
  expect(seen.size).toBe(65_535);
  expect(Math.min(...seen)).toBe(1);
  expect(Math.max(...seen)).toBe(0xffff);
});
