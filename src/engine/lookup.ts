/**
 * The first passes over a batch: what the packets are, and which flows they belong to.
 *
 *     parse   row of each packet (wire/parse.ts), hash of its tuple
 *     fetch   index word, flow record and tracker record of each: loads that nobody waits for
 *     find    handle of the flow, -1 for none
 *
 * In a table that is larger than the caches a lookup misses them three times. Each pass of `fetch` is so short that the
 * processor has the misses of many packets under way at once; what they bring is there when find() and the trackers want it.
 * A small table is in the caches already, and `fetch` is left out.
 *
 * Addresses that cannot cross a gateway are looked at when no flow has the tuple: none is ever made for them.
 */
import { type FlowTable, HOT, TRACK } from '../conntrack/flow-table.ts';
import { MARTIAN_DESTINATION, MARTIAN_SOURCE, OK } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { isMartian, PROTO_GRE, PROTO_TCP } from '../wire/ipv4.ts';
import {
  KIND_FLOW,
  M_DESTINATION,
  M_DEVICE,
  M_FETCHED,
  M_HANDLE,
  M_HASH,
  M_KIND,
  M_PORTS,
  M_PROTOCOL,
  M_REASON,
  M_SOURCE,
  META,
  parsePacket,
} from '../wire/parse.ts';
import { IN_LIST, packetOffset } from './arena.ts';
import type { Devices } from './devices.ts';
import type { Helpers } from './helpers.ts';

/** Flows from which on their records are fetched early. */
const FETCH_ABOVE = 8192;

export class Lookup {
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;
  private readonly table: FlowTable;
  private readonly devices: Devices;
  private readonly helpers: Helpers;

  constructor(bytes: Bytes, meta: Int32Array, table: FlowTable, devices: Devices, helpers: Helpers) {
    this.bytes = bytes;
    this.meta = meta;
    this.table = table;
    this.devices = devices;
    this.helpers = helpers;
  }

  /** Reads the packets [first, count) of the in list and finds their flows. */
  batch(first: number, count: number): void {
    for (let i = first; i < count; i++) this.parse(i);
    if (this.table.count > FETCH_ABOVE) this.fetch(first, count);
    for (let i = first; i < count; i++) this.find(i * META);
  }

  private parse(slot: number): void {
    const { meta, bytes } = this;
    const m = slot * META;
    const entry = (IN_LIST >> 2) + slot * 2;
    const reason = parsePacket(bytes, packetOffset(slot), bytes.i32[entry + 1]!, true, meta, m);
    meta[m + M_DEVICE] = bytes.i32[entry]!;
    meta[m + M_REASON] = reason;
    meta[m + M_HANDLE] = -1;
    if (reason !== OK) return;
    if (meta[m + M_KIND] !== KIND_FLOW) meta[m + M_REASON] = this.checkAddresses(m);
    if (meta[m + M_PROTOCOL] === PROTO_GRE && this.helpers.greKeys.count !== 0) this.helpers.findCall(m);
    meta[m + M_HASH] = this.table.hash(
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PORTS]!,
      meta[m + M_PROTOCOL]!,
    );
  }

  /** Rows that parsePacket() refused hold an earlier packet's hash: fetching by it does no harm. */
  private fetch(first: number, count: number): void {
    const { meta } = this;
    const { hot, track, index } = this.table;
    const { words, mask, valueMask } = index;
    const end = count * META;
    for (let m = first * META; m < end; m += META) meta[m + M_FETCHED] = words[meta[m + M_HASH]! & mask]!;
    for (let m = first * META; m < end; m += META) {
      const value = (meta[m + M_FETCHED]! & valueMask) - 1;
      if (value < 0) continue;
      meta[m + M_FETCHED] = hot[(value >> 1) * HOT]!;
      if (meta[m + M_PROTOCOL] === PROTO_TCP) meta[m + M_FETCHED] = track[(value >> 1) * TRACK]!;
    }
  }

  /** Looks row `m` up (anew). */
  find(m: number): void {
    const { meta } = this;
    if (meta[m + M_REASON] !== OK || meta[m + M_KIND] !== KIND_FLOW) return;
    const handle = this.table.find(
      meta[m + M_SOURCE]!,
      meta[m + M_DESTINATION]!,
      meta[m + M_PORTS]!,
      meta[m + M_PROTOCOL]!,
      meta[m + M_HASH]!,
    );
    meta[m + M_HANDLE] = handle;
    if (handle < 0) meta[m + M_REASON] = this.checkAddresses(m);
  }

  /** Addresses that cannot cross a gateway, its own as a source among them. */
  private checkAddresses(m: number): number {
    const source = this.meta[m + M_SOURCE]!;
    if (isMartian(source)) return MARTIAN_SOURCE;
    if (isMartian(this.meta[m + M_DESTINATION]!)) return MARTIAN_DESTINATION;
    const { address, external } = this.devices;
    return source === address[this.meta[m + M_DEVICE]!] || source === external ? MARTIAN_SOURCE : OK;
  }
}
