/**
 * The route map: where a destination lies, for the steering programs, as the host's routing table says it.
 *
 * An LPM trie. Key: u32 prefix length in host order, 4 address bytes. Value: i32 device, u32 gateway in wire
 * order (0: the destination itself is the next hop). The device is the ifindex of a served interface, which is
 * positive, with PRIVATE_SIDE where it is both sides, or TO_HOST, UNREACHABLE or TO_ENGINE (engine/routes.ts). A destination that matches nothing has no route.
 *
 * Programs read the map while it changes. `sync` writes new and changed entries, longest prefix first, then
 * deletes old ones, shortest first. So a destination has its old answer or its new one at every moment, never
 * that of a less specific entry which is about to be covered or has been covered so far.
 * The object is the map's only writer: it keeps a copy of what is there and writes the difference.
 */
import { closeSync } from 'node:fs';
import type { Route } from '../../engine/routes.ts';
import { addon } from '../../link/addon.ts';
import { MAP_NO_PREALLOC, MAP_TYPE_LPM_TRIE } from '../ebpf/kernel.ts';

/** Fields of the value. */
export const ROUTE_DEVICE = 0;
export const ROUTE_GATEWAY = 4;

/** On the number of the interface: its private side, where the public one has the interface's own number (one-armed). */
export const PRIVATE_SIDE = 1 << 30;

const KEY_BYTES = 8;
const VALUE_BYTES = 8;
/** Twice the internet's table. Memory is taken per entry in use. */
const MAX_ENTRIES = 1 << 21;

export interface RouteEntry {
  prefix: number;
  length: number;
  /** ifindex (with PRIVATE_SIDE), TO_HOST, UNREACHABLE or TO_ENGINE. */
  device: number;
  gateway: number;
}

/** By `entryKey`. */
export type RouteEntries = ReadonlyMap<number, RouteEntry>;

export class RouteMap {
  readonly fd: number;
  readonly #entries = new Map<number, RouteEntry>();

  constructor(fd: number) {
    this.fd = fd;
  }

  static create(): RouteMap {
    return new RouteMap(
      addon().bpfMapCreate(
        MAP_TYPE_LPM_TRIE,
        KEY_BYTES,
        VALUE_BYTES,
        MAX_ENTRIES,
        MAP_NO_PREALLOC,
        'ng_routes',
      ),
    );
  }

  /**
   * Makes the map hold `routes` and nothing else. `ifindexOf[i]` is the interface of device index i, with PRIVATE_SIDE where that is the other side's too.
   * Of two routes with the same prefix the first counts.
   */
  sync(routes: readonly Route[], ifindexOf: readonly number[]): void {
    const wanted = toEntries(routes, ifindexOf);
    for (const entry of changed(this.#entries, wanted)) {
      addon().bpfMapUpdate(this.fd, encodeKey(entry), encodeValue(entry));
      this.#entries.set(entryKey(entry), entry);
    }
    for (const entry of missing(this.#entries, wanted)) {
      addon().bpfMapDelete(this.fd, encodeKey(entry));
      this.#entries.delete(entryKey(entry));
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

export function toEntries(routes: readonly Route[], ifindexOf: readonly number[]): RouteEntries {
  const entries = new Map<number, RouteEntry>();
  for (const { prefix, length, device: index, gateway } of routes) {
    const device = index < 0 ? index : ifindexOf[index];
    if (device === undefined) throw new Error(`route through device ${index}, which has no interface`);
    const entry = { prefix, length, device, gateway };
    const key = entryKey(entry);
    if (!entries.has(key)) entries.set(key, entry);
  }
  return entries;
}

/** The entries of `wanted` that `current` lacks or has differently, in the order to write them. */
export function changed(current: RouteEntries, wanted: RouteEntries): RouteEntry[] {
  const isNew = (entry: RouteEntry) => {
    const old = current.get(entryKey(entry));
    return old?.device !== entry.device || old.gateway !== entry.gateway;
  };
  return [...wanted.values()].filter(isNew).sort((a, b) => b.length - a.length);
}

/** The entries of `current` whose prefix `wanted` lacks, in the order to delete them. */
export function missing(current: RouteEntries, wanted: RouteEntries): RouteEntry[] {
  const isGone = (entry: RouteEntry) => !wanted.has(entryKey(entry));
  return [...current.values()].filter(isGone).sort((a, b) => a.length - b.length);
}

export function entryKey({ prefix, length }: RouteEntry): number {
  return (prefix >>> 0) * 64 + length;
}

export function encodeKey({ prefix, length }: RouteEntry): Uint8Array {
  return words(length, prefix);
}

export function encodeValue({ device, gateway }: RouteEntry): Uint8Array {
  return words(device, gateway);
}

function words(first: number, second: number): Uint8Array {
  return new Uint8Array(Int32Array.of(first, second).buffer);
}
