import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Random } from '../../src/core/random.ts';
import { masqueradeAll, type NatBehaviour, type NatConfig } from '../../src/nat/config.ts';
import { ExternalAddresses } from '../../src/nat/external-addresses.ts';
import { Hosts } from '../../src/nat/hosts.ts';
import { type HeldPorts, Mappings, NO_MAPPING } from '../../src/nat/mappings.ts';
import { OWNED_BYTES, OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../src/nat/owned.ts';
import type { FlowsOfMappings } from '../../src/nat/port-allocator.ts';
import { Rules } from '../../src/nat/rules.ts';
import { swap16 } from '../../src/wire/bytes.ts';

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const GRE = 47;
const FIRST = 1020;
const LAST = 1060;

const EXTERNAL = 0x0100c6c6;

function newMappings(
  held: HeldPorts = { tcp: [], udp: [] },
  owned = new Uint8Array(OWNED_BYTES),
  options: Partial<NatBehaviour> = {},
  flows: Partial<FlowsOfMappings> = {},
  nat: Partial<NatConfig> = {},
) {
  const ports = { first: FIRST, last: LAST };
  const config = {
    ...masqueradeAll(ports, { quarantineSeconds: 0, parity: false, overload: 'never', ...options }),
    ...nat,
  };
  const externals = new ExternalAddresses(EXTERNAL, [0], FIRST, LAST);
  const mappings = new Mappings({
    owned,
    externals,
    rules: new Rules(config.rules, ports, (address) => externals.add(address)).rules,
    forwards: config.forwards,
    held,
    capacity: 70_000,
    hosts: new Hosts(true),
    flows: { isTaken: () => false, endFinished: () => false, endUnassured: () => false, ...flows },
    random: new Random(1),
    seed: [3, 4],
  });
  return { owned, mappings };
}

/** A mapping towards the remote endpoint 9:99. */
function acquire(mappings: Mappings, protocol: number, address: number, port: number, remote = 9): number {
  return mappings.acquire(0, protocol, address, port, remote, 99);
}

/** As the flow ends whose last packet may still be on its way. */
function release(mappings: Mappings, mapping: number, now = 0): void {
  mappings.release(mapping, now, false);
}

function bit(owned: Uint8Array, section: number, number: number): boolean {
  return ((owned[section + (number >> 3)]! >> (number & 7)) & 1) === 1;
}

/** Numbers whose bit is set. */
function numbers(owned: Uint8Array, section: number, count = 65536): number[] {
  return [...Array(count).keys()].filter((number) => bit(owned, section, number));
}

/** The slow obvious mappings of one protocol with ports or ids. */
class Model {
  readonly external = new Map<string, { port: number; refs: number }>();
  readonly held = new Set<number>();
  readonly first: number;
  readonly last: number;

  constructor(first: number, last: number) {
    this.first = first;
    this.last = last;
  }

  isFree(port: number): boolean {
    if (port < this.first || port > this.last || this.held.has(port)) return false;
    return ![...this.external.values()].some((mapping) => mapping.port === port);
  }

  get free(): number {
    let free = 0;
    for (let port = this.first; port <= this.last; port++) if (this.isFree(port)) free++;
    return free;
  }
}

const endpoint = fc.tuple(fc.nat(4), fc.integer({ min: FIRST - 20, max: LAST + 20 }));
const protocol = fc.constantFrom(TCP, UDP, ICMP);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('acquire' as const), protocol, endpoint }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('adopt' as const),
      protocol,
      endpoint,
      port: fc.integer({ min: FIRST - 3, max: LAST + 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), protocol, endpoint }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('hold' as const),
      protocol: fc.constantFrom(TCP, UDP),
      ports: fc.array(fc.integer({ min: FIRST - 2, max: LAST + 2 }), { maxLength: 10 }),
    }),
  },
);

test('against Maps: one external port per endpoint, kept when free, the whole range used, the bitmap right at every step', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const { mappings, owned } = newMappings();
      const models = {
        [TCP]: new Model(FIRST, LAST),
        [UDP]: new Model(FIRST, LAST),
        [ICMP]: new Model(0, 65535),
      } as Record<number, Model>;
      const expected = new Uint8Array(OWNED_BYTES);
      const refresh = (protocolOf: number, port: number) => {
        if (port < 0 || port > 65535) return;
        const model = models[protocolOf]!;
        const mapped = [...model.external.values()].some((mapping) => mapping.port === port);
        const inRange = port >= model.first && port <= model.last;
        const set = protocolOf === ICMP ? mapped : inRange && (mapped || !model.held.has(port));
        const at = { [TCP]: OWNED_TCP, [UDP]: OWNED_UDP, [ICMP]: OWNED_ICMP }[protocolOf]! + (port >> 3);
        expected[at] = set ? expected[at]! | (1 << (port & 7)) : expected[at]! & ~(1 << (port & 7));
      };
      for (let port = FIRST; port <= LAST; port++) for (const p of [TCP, UDP]) refresh(p, port);
      for (const move of steps) {
        const model = models[move.protocol]!;
        if (move.do === 'hold') {
          const before = [...model.held];
          model.held.clear();
          for (const port of move.ports) if (port >= FIRST && port <= LAST) model.held.add(port);
          mappings.shared.setHeld(move.protocol as 6 | 17, move.ports);
          for (const port of [...before, ...move.ports]) refresh(move.protocol, port);
        } else {
          const [address, internal] = move.endpoint;
          const key = `${address} ${internal}`;
          const known = model.external.get(key);
          if (move.do === 'release') {
            if (known === undefined) continue;
            const table = { [TCP]: 0, [UDP]: 1, [ICMP]: 2 }[move.protocol]!;
            release(mappings, mappings.externals.space(0, table).head[known.port]!);
            if (--known.refs === 0) model.external.delete(key);
            refresh(move.protocol, known.port);
          } else {
            const mapping =
              move.do === 'acquire'
                ? acquire(mappings, move.protocol, address, swap16(internal))
                : mappings.adopt(0, move.protocol, address, swap16(internal), 9, 99, 0, swap16(move.port));
            const port = mapping === NO_MAPPING ? -1 : swap16(mappings.externalPort(mapping));
            if (known !== undefined) {
              const same = move.do === 'acquire' || move.port === known.port;
              expect(port).toBe(same ? known.port : -1);
              if (same) known.refs++;
              continue;
            }
            const wanted = move.do === 'acquire' ? internal : move.port;
            if (model.isFree(wanted)) expect(port).toBe(wanted);
            else if (move.do === 'adopt' || model.free === 0) expect(port).toBe(-1);
            else expect(model.isFree(port)).toBe(true);
            if (port < 0) continue;
            model.external.set(key, { port, refs: 1 });
            refresh(move.protocol, port);
          }
        }
        expect(Buffer.compare(owned, expected), `bitmap after ${JSON.stringify(move)}`).toBe(0);
      }
      expect([0, 1, 2].map((table) => mappings.externals.space(0, table).inUse)).toEqual(
        [TCP, UDP, ICMP].map((p) => models[p]!.external.size),
      );
    }),
    { numRuns: 60 },
  );
});

test('an endpoint is not adopted on a second port where ports are nobody else’s', () => {
  const { mappings } = newMappings();
  acquire(mappings, UDP, 0, swap16(1030));
  expect(mappings.adopt(0, UDP, 0, swap16(1030), 9, 99, 0, swap16(1040))).toBe(NO_MAPPING);
  const overloaded = newMappings(undefined, undefined, { overload: 'always' }).mappings;
  acquire(overloaded, UDP, 0, swap16(1030));
  expect(overloaded.adopt(0, UDP, 0, swap16(1030), 9, 99, 0, swap16(1040))).not.toBe(NO_MAPPING);
});

test('the same port of two clients: the first keeps it, the second gets another', () => {
  const { mappings } = newMappings();
  const first = acquire(mappings, UDP, 1, swap16(1030));
  const second = acquire(mappings, UDP, 2, swap16(1030));
  expect(swap16(mappings.externalPort(first))).toBe(1030);
  expect(swap16(mappings.externalPort(second))).not.toBe(1030);
  // TCP has ports of its own.
  expect(swap16(mappings.externalPort(acquire(mappings, TCP, 2, swap16(1030))))).toBe(1030);
});

test('a port that the host takes while it is mapped stays mapped and owned until its flows end', () => {
  const { mappings, owned } = newMappings();
  const mapping = acquire(mappings, TCP, 1, swap16(1030));
  mappings.shared.setHeld(TCP, [1030]);
  expect(bit(owned, OWNED_TCP, 1030)).toBe(true);
  expect(mappings.shared.owns(TCP, swap16(1030))).toBe(true);
  release(mappings, mapping);
  expect(bit(owned, OWNED_TCP, 1030)).toBe(false);
  expect(mappings.shared.owns(TCP, swap16(1030))).toBe(false);
  expect(swap16(mappings.externalPort(acquire(mappings, TCP, 1, swap16(1030))))).not.toBe(1030);
  mappings.shared.setHeld(TCP, []);
  expect(bit(owned, OWNED_TCP, 1030)).toBe(true);
});

test('owns() is what the bitmap says, for TCP and UDP', () => {
  const { mappings, owned } = newMappings({ tcp: [1021, 1050], udp: [1022] });
  for (const [section, protocolOf] of [
    [OWNED_TCP, TCP],
    [OWNED_UDP, UDP],
  ] as const) {
    for (let port = FIRST - 5; port <= LAST + 5; port++) {
      expect(mappings.shared.owns(protocolOf, swap16(port)), `${protocolOf}/${port}`).toBe(
        bit(owned, section, port),
      );
    }
  }
});

test('at the start the bitmap becomes right without a port of natgate’s being given up in between', () => {
  const bitmap = new Uint8Array(OWNED_BYTES).fill(0xff);
  // A Uint8Array that notes every bit that is cleared.
  const cleared: number[] = [];
  const watched = new Proxy(bitmap, {
    set(target, property, value) {
      const at = Number(property);
      for (let b = 0; b < 8; b++) if ((target[at]! & ~value & (1 << b)) !== 0) cleared.push(at * 8 + b);
      target[at] = value;
      return true;
    },
    get(target, property) {
      const value = Reflect.get(target, property);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  newMappings({ tcp: [1040], udp: [] }, watched);
  const inRange = cleared.filter((at) => at < 65536 && at >= FIRST && at <= LAST);
  expect(inRange).toEqual([1040]);
  expect(numbers(bitmap, OWNED_TCP)).toEqual(
    [...Array(LAST - FIRST + 1).keys()].map((i) => FIRST + i).filter((port) => port !== 1040),
  );
  expect(numbers(bitmap, OWNED_UDP)).toHaveLength(LAST - FIRST + 1);
  expect(numbers(bitmap, OWNED_ICMP)).toEqual([]);
  expect(numbers(bitmap, OWNED_PROTOCOLS, 256)).toEqual([]);
});

test('protocols without ports: owned while somebody uses them', () => {
  const { mappings, owned } = newMappings();
  const first = acquire(mappings, GRE, 1, 0);
  const second = acquire(mappings, GRE, 2, 0);
  acquire(mappings, 50, 1, 0);
  expect(numbers(owned, OWNED_PROTOCOLS, 256)).toEqual([47, 50]);
  release(mappings, first);
  expect(numbers(owned, OWNED_PROTOCOLS, 256)).toEqual([47, 50]);
  release(mappings, second);
  expect(numbers(owned, OWNED_PROTOCOLS, 256)).toEqual([50]);
});

test('all 65536 query ids can be had, and then no more', () => {
  const { mappings } = newMappings();
  const ids = new Set<number>();
  for (let i = 0; i < 65536; i++)
    ids.add(mappings.externalPort(acquire(mappings, ICMP, i >> 8, swap16(i & 0xff))));
  expect(ids.size).toBe(65536);
  expect(acquire(mappings, ICMP, 999, 1)).toBe(NO_MAPPING);
});
