/**
 * The host's routing as one longest-prefix table: what the engine and the steering programs follow.
 *
 * The kernel asks the tables one after the other, in the order of the rules, and takes the first answer, even where
 * a later table knows a longer prefix. Flattening keeps that: for every prefix that any table has, the tables are
 * asked as the kernel would ask them for an address in that prefix and in none of the longer ones. Between two
 * prefixes of all tables together no answer can change, so the result is exact.
 *
 * One exception is the kernel's own: while a network namespace has the three default rules, it keeps the tables
 * local and main in one trie, and the longest prefix of both wins (fib_trie_unmerge, net/ipv4/fib_trie.c).
 *
 * Where the public interface is a private one as well (one-armed), the interface does not tell the sides apart: there the
 * networks of the private side are prefixes of the table, with the way that the host has to them.
 *
 * Rules that hold for some packets only (by source, interface, …) are passed over; preflight warns of them.
 */
import { type Route, TO_ENGINE, TO_HOST, UNREACHABLE } from '../engine/routes.ts';
import type { Prefix } from '../nat/config.ts';
import { contains } from '../nat/dedicated.ts';
import { prefixMask } from '../wire/address.ts';
import {
  BLACKHOLE,
  type KernelRoute,
  PROHIBIT,
  type Rule,
  readRoutes,
  readRules,
  TABLE_DEFAULT,
  TABLE_LOCAL,
  TABLE_MAIN,
  THROW,
  UNICAST,
  UNREACHABLE_TYPE,
} from './netlink/routes.ts';

/** One question to the routing tables, as a rule asks it. */
export interface Lookup {
  /** Tables that are searched as one; for the same prefix the earlier one wins. */
  tables: readonly number[];
  /** Answers with a prefix of at most this length are passed over; -1: none are. */
  suppressLength: number;
}

/** The lookups of a host without rules of its own. */
export const DEFAULT_LOOKUPS: readonly Lookup[] = [
  { tables: [TABLE_LOCAL, TABLE_MAIN], suppressLength: -1 },
  { tables: [TABLE_DEFAULT], suppressLength: -1 },
];

/** Reads routes and rules. `served[i]` is the index of the interface that is device i, `networks` as in servedRoutes(). */
export function readServedRoutes(
  served: readonly number[],
  networks: readonly (readonly Prefix[])[] = [],
): Route[] {
  return servedRoutes(readRoutes(), served, lookups(readRules()), networks);
}

/**
 * The routes with the dedicated external addresses in them, which win over whatever the host has for these: its own
 * address, since it answers ARP for them, or its public network.
 */
export function withDedicated(routes: readonly Route[], dedicated: readonly Prefix[]): Route[] {
  // Spares an internet's worth of routes the question.
  const shortest = Math.min(...dedicated.map((prefix) => prefix.length));
  const isCovered = ({ prefix, length }: Route) =>
    length >= shortest && dedicated.some((outer) => contains(outer, { address: prefix, length }));
  return [
    ...routes.filter((route) => !isCovered(route)),
    ...dedicated.map(({ address, length }) => ({
      prefix: address,
      length,
      device: TO_ENGINE,
      gateway: 0,
      mtu: 0,
    })),
  ];
}

/** The lookups that the rules make for every packet. */
export function lookups(rules: readonly Rule[]): readonly Lookup[] {
  const isDefault =
    rules.map((rule) => rule.table).join() === [TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT].join() &&
    rules.every((rule) => rule.applies === 'always' && rule.suppressLength === -1);
  if (isDefault) return DEFAULT_LOOKUPS;
  return rules
    .filter((rule) => rule.applies === 'always')
    .map(({ table, suppressLength }) => ({ tables: [table], suppressLength }));
}

/**
 * Reduces kernel routes to what concerns the served interfaces. Every prefix occurs once, in no particular order;
 * a destination that no prefix covers has no route. `networks`, by device: where two devices are one interface, what of it
 * is the first one's.
 */
export function servedRoutes(
  kernelRoutes: readonly KernelRoute[],
  served: readonly number[],
  asked: readonly Lookup[] = DEFAULT_LOOKUPS,
  networks: readonly (readonly Prefix[])[] = [],
): Route[] {
  const tables = asked.map((lookup) => new Table(kernelRoutes, lookup));
  const prefixes = new Map<number, Pick<KernelRoute, 'prefix' | 'length'>>();
  for (const table of tables) table.addPrefixes(prefixes);
  const isShared = (index: number) => served.indexOf(index) !== served.lastIndexOf(index);
  const shared = served.findIndex(isShared);
  const inside = shared < 0 ? [] : (networks[shared] ?? []);
  for (const { address, length } of inside) {
    const prefix = address & prefixMask(length);
    prefixes.set(keyOf(prefix, length), { prefix, length });
  }
  /** The device that a prefix behind an interface is reached by. */
  const deviceOf = (index: number, prefix: number, length: number) => {
    if (!isShared(index) || inside.some((one) => contains(one, { address: prefix, length })))
      return served.indexOf(index);
    return served.lastIndexOf(index);
  };
  const routes: Route[] = [];
  for (const { prefix, length } of prefixes.values()) {
    let answer: KernelRoute | undefined;
    for (const table of tables) {
      answer = table.lookUp(prefix, length);
      if (answer !== undefined) break;
    }
    const { interfaceIndex, ...way } = destination(answer, served);
    const device = interfaceIndex < 0 ? interfaceIndex : deviceOf(interfaceIndex, prefix, length);
    routes.push({ prefix, length, device, ...way });
  }
  return routes;
}

function keyOf(prefix: number, length: number): number {
  return (prefix >>> 0) * 64 + length;
}

/** What one lookup searches: the usable route with the lowest metric for each prefix. */
class Table {
  /** By prefix length, then prefix. */
  readonly #byLength = new Map<number, Map<number, KernelRoute>>();
  /** The lengths that occur, longest first. */
  readonly #lengths: number[];
  readonly #suppressLength: number;

  constructor(kernelRoutes: readonly KernelRoute[], lookup: Lookup) {
    this.#suppressLength = lookup.suppressLength;
    for (const route of kernelRoutes) {
      if (!lookup.tables.includes(route.table) || route.nextHops.every((hop) => hop.dead)) continue;
      let sameLength = this.#byLength.get(route.length);
      if (sameLength === undefined) {
        sameLength = new Map();
        this.#byLength.set(route.length, sameLength);
      }
      const rival = sameLength.get(route.prefix);
      if (rival === undefined || isPreferred(route, rival, lookup.tables))
        sameLength.set(route.prefix, route);
    }
    this.#lengths = [...this.#byLength.keys()].sort((a, b) => b - a);
  }

  /** Collects one route per prefix, under a key of its own. */
  addPrefixes(prefixes: Map<number, Pick<KernelRoute, 'prefix' | 'length'>>): void {
    for (const routes of this.#byLength.values()) {
      for (const route of routes.values()) prefixes.set(keyOf(route.prefix, route.length), route);
    }
  }

  /** The answer for an address of this prefix outside all longer ones; undefined: go on to the next lookup. */
  lookUp(prefix: number, length: number): KernelRoute | undefined {
    for (const candidate of this.#lengths) {
      if (candidate > length) continue;
      const route = this.#byLength.get(candidate)?.get(prefix & prefixMask(candidate));
      if (route === undefined) continue;
      return route.type === THROW || route.length <= this.#suppressLength ? undefined : route;
    }
    return undefined;
  }
}

/** Whether the kernel asks `route` before `rival`, which came first in the dump. */
function isPreferred(route: KernelRoute, rival: KernelRoute, tables: readonly number[]): boolean {
  const byTable = tables.indexOf(route.table) - tables.indexOf(rival.table);
  return byTable !== 0 ? byTable < 0 : route.metric < rival.metric;
}

/** `interfaceIndex`: that of a served interface, TO_HOST or UNREACHABLE. */
function destination(
  route: KernelRoute | undefined,
  served: readonly number[],
): { interfaceIndex: number; gateway: number; mtu: number } {
  const nowhere = { interfaceIndex: UNREACHABLE, gateway: 0, mtu: 0 };
  switch (route?.type) {
    case undefined:
    case BLACKHOLE:
    case UNREACHABLE_TYPE:
    case PROHIBIT:
      return nowhere;
    case UNICAST: {
      const alive = route.nextHops.filter((hop) => !hop.dead);
      const hop = alive.find((candidate) => served.includes(candidate.interface));
      if (hop === undefined) return { interfaceIndex: TO_HOST, gateway: 0, mtu: 0 };
      // A next hop that is an IPv6 address: the steering programs cannot reach it.
      if (hop.foreign) return nowhere;
      return { interfaceIndex: hop.interface, gateway: hop.gateway, mtu: route.mtu };
    }
    default:
      return { interfaceIndex: TO_HOST, gateway: 0, mtu: 0 };
  }
}
