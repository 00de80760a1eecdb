import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Route, TO_HOST, UNREACHABLE } from '../../../src/engine/routes.ts';
import {
  changed,
  encodeKey,
  encodeValue,
  entryKey,
  missing,
  type RouteEntries,
  type RouteEntry,
  toEntries,
} from '../../../src/host/steering/routes-map.ts';
import { parseAddress, prefixMask } from '../../../src/wire/address.ts';

const address = (text: string) => parseAddress(text) as number;
const IFINDEX = [11, 12];

function route(prefix: string, device: number, gateway = '0.0.0.0'): Route {
  const [network, length] = prefix.split('/');
  return {
    prefix: address(network as string),
    length: Number(length),
    device,
    gateway: address(gateway),
    mtu: 0,
  };
}

function words(bytes: Uint8Array): number[] {
  return [...bytes];
}

describe('encoding', () => {
  const entry = (r: Route) => toEntries([r], IFINDEX).values().next().value as RouteEntry;

  test('key: prefix length, then the address as on the wire', () => {
    expect(words(encodeKey(entry(route('192.168.4.0/22', 0))))).toEqual([22, 0, 0, 0, 192, 168, 4, 0]);
  });

  test('value: ifindex and gateway', () => {
    expect(words(encodeValue(entry(route('0.0.0.0/0', 1, '198.18.0.254'))))).toEqual([
      12, 0, 0, 0, 198, 18, 0, 254,
    ]);
  });

  test('value: the host, and unreachable', () => {
    expect(words(encodeValue(entry(route('10.0.0.1/32', TO_HOST))))).toEqual([
      255, 255, 255, 255, 0, 0, 0, 0,
    ]);
    expect(words(encodeValue(entry(route('10.9.0.0/16', UNREACHABLE))))).toEqual([
      254, 255, 255, 255, 0, 0, 0, 0,
    ]);
  });
});

test('of two routes with one prefix the first counts', () => {
  const entries = toEntries([route('10.0.0.0/8', 0), route('10.0.0.0/8', 1)], IFINDEX);
  expect([...entries.values()].map((entry) => entry.device)).toEqual([11]);
});

test('a device without an interface is an error', () => {
  expect(() => toEntries([route('10.0.0.0/8', 2)], IFINDEX)).toThrow('device 2');
});

test('only the difference is written', () => {
  const old = toEntries([route('10.0.0.0/8', 0), route('10.1.0.0/16', 1), route('10.2.0.0/16', 0)], IFINDEX);
  const wanted = toEntries(
    [route('10.0.0.0/8', 0), route('10.1.0.0/16', 1, '10.0.0.9'), route('10.3.0.0/16', 0)],
    IFINDEX,
  );
  const prefixes = (entries: RouteEntry[]) => entries.map(({ prefix }) => prefix);
  expect(prefixes(changed(old, wanted))).toEqual([address('10.1.0.0'), address('10.3.0.0')]);
  expect(prefixes(missing(old, wanted))).toEqual([address('10.2.0.0')]);
});

test('a destination has its old answer or its new one at every moment', () => {
  // Few prefixes, so that the two tables overlap and nest.
  const routes = fc.array(
    fc
      .record({ bits: fc.nat(7), length: fc.nat(3), device: fc.constantFrom(TO_HOST, UNREACHABLE, 0, 1) })
      .map(({ bits, length, device }): Route => {
        return { prefix: (bits << 5) & prefixMask(length), length, device, gateway: 0, mtu: 0 };
      }),
    { maxLength: 8 },
  );
  const destinations = Array.from({ length: 8 }, (_, bits) => bits << 5);
  fc.assert(
    fc.property(routes, routes, (before, after) => {
      const old = toEntries(before, IFINDEX);
      const wanted = toEntries(after, IFINDEX);
      const live = new Map(old);
      const check = () => {
        for (const destination of destinations) {
          const answers = [lookUp(old, destination), lookUp(wanted, destination)];
          expect(answers).toContain(lookUp(live, destination));
        }
      };
      for (const entry of changed(old, wanted)) {
        live.set(entryKey(entry), entry);
        check();
      }
      for (const entry of missing(old, wanted)) {
        live.delete(entryKey(entry));
        check();
      }
      expect(live).toEqual(wanted);
    }),
    { numRuns: 1000 },
  );
});

/** The slow obvious lookup. */
function lookUp(entries: RouteEntries, destination: number): number | undefined {
  return [...entries.values()]
    .filter(({ prefix, length }) => ((destination ^ prefix) & prefixMask(length)) === 0)
    .sort((a, b) => b.length - a.length)[0]?.device;
}
