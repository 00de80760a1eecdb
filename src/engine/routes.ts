/**
 * Where a destination lies, as the host's routing table says it, reduced to what the engine and the steering
 * programs ask: which served device, which next hop, which MTU.
 */
import { prefixMask } from '../wire/address.ts';

/** The destination belongs to the host: its own address, or behind a device natgate does not serve. */
export const TO_HOST = -1;
/** The host has a blackhole, unreachable or prohibit route for the destination. */
export const UNREACHABLE = -2;
/** A dedicated external address (nat/dedicated.ts): whatever side a packet to it comes from, the engine gets it. */
export const TO_ENGINE = -3;

export interface Route {
  /** Wire order (wire/address.ts), host bits zero. */
  prefix: number;
  /** 0-32 */
  length: number;
  /** Index of a served device, or TO_HOST, UNREACHABLE or TO_ENGINE. */
  device: number;
  /** Next hop in wire order; 0 when the destination is on the link. */
  gateway: number;
  /** Bytes; 0 when the route has none of its own. */
  mtu: number;
}

/** What the engine keeps per distinct (device, gateway, MTU): a small integer that a flow caches. */
const CLASSES = 256;
/** Class of destinations that no route covers. */
export const NO_ROUTE_CLASS = 0;

/**
 * Longest-prefix match over the routes, one map per prefix length, and the classes of their results. Consulted
 * when a flow begins and when routes have changed (`epoch`), never per packet.
 *
 * Limits: 255 distinct (device, gateway, MTU); beyond them a route loses its gateway and MTU, so that errors about a
 * dead next hop are not told apart, but packets still go the right way (the steering has routes of its own).
 */
export class RouteTable {
  /** Of each class: device index, or TO_HOST, UNREACHABLE or TO_ENGINE. */
  readonly device = new Int32Array(CLASSES);
  /** Of each class: next hop in wire order, 0 for on-link. */
  readonly gateway = new Int32Array(CLASSES);
  /** Of each class: MTU in bytes, 0 for that of the device. */
  readonly mtu = new Int32Array(CLASSES);
  /** 1-65535, changes with every replace(). */
  epoch = 1;
  private lengths: { mask: number; classes: Map<number, number> }[] = [];

  constructor() {
    this.device[NO_ROUTE_CLASS] = UNREACHABLE;
  }

  replace(routes: readonly Route[]): void {
    const known = new Map<string, number>();
    const maps = new Map<number, Map<number, number>>();
    // First the classes that the others fall back on.
    for (const device of new Set(routes.map((route) => route.device))) {
      this.intern({ device, gateway: 0, mtu: 0 }, known);
    }
    for (const route of routes) {
      const map = maps.get(route.length) ?? new Map<number, number>();
      maps.set(route.length, map);
      map.set(route.prefix, this.intern(route, known));
    }
    this.lengths = [...maps]
      .sort(([a], [b]) => b - a)
      .map(([length, classes]) => ({ mask: prefixMask(length), classes }));
    this.invalidate();
  }

  /** Makes every flow look its classes up again. */
  invalidate(): void {
    this.epoch = this.epoch === 0xffff ? 1 : this.epoch + 1;
  }

  /** The class of a destination. */
  classOf(address: number): number {
    const lengths = this.lengths;
    for (let i = 0; i < lengths.length; i++) {
      const { mask, classes } = lengths[i]!;
      const found = classes.get(address & mask);
      if (found !== undefined) return found;
    }
    return NO_ROUTE_CLASS;
  }

  private intern(route: Pick<Route, 'device' | 'gateway' | 'mtu'>, known: Map<string, number>): number {
    const plain = { device: route.device, gateway: 0, mtu: 0 };
    for (const { device, gateway, mtu } of [route, plain]) {
      const key = `${device} ${gateway} ${mtu}`;
      const found = known.get(key);
      if (found !== undefined) return found;
      if (known.size >= CLASSES - 1) continue;
      const next = known.size + 1;
      known.set(key, next);
      this.device[next] = device;
      this.gateway[next] = gateway;
      this.mtu[next] = mtu;
      return next;
    }
    return NO_ROUTE_CLASS;
  }
}
