/**
 * The first passes over a batch: what the packets are, and which flows they belong to.
 *
 *     parse    row of each packet (wire/parse.ts), hash of its tuple
 *     fetch    whom the index names by that hash, and the records that will be wanted
 *     verify   the handle of the flow, -1 for none
 *     mark     what is in quarantine; mostly nothing is (quarantine.ts)
 *
 * In a table that is larger than the caches a lookup misses them three times. The loops of fetch() are so short that the
 * processor has the misses of many packets under way at once. A small table is in the caches already: find() alone is quicker there.
 *
 * Addresses that cannot cross a gateway are looked at when no flow has the tuple: none is ever made for them.
 */
import {
  ASSURED,
  C_CREATED,
  COLD,
  type FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HOT,
  SEEN_REPLY,
  TRACK,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { MARTIAN_DESTINATION, MARTIAN_SOURCE, OK } from '../core/reasons.ts';
import type { Bytes } from '../wire/bytes.ts';
import { isMartian, PROTO_GRE, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
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
import { HANDLING, IN_LIST, LOOKING_UP, packetOffset } from './arena.ts';
import type { Devices } from './devices.ts';
import type { Helpers } from './helpers.ts';
import { Quarantine } from './quarantine.ts';

/** Flows from which on records are fetched. */
const FETCH_FROM = 8192;

export class Lookup {
  readonly quarantine: Quarantine;
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
    this.quarantine = new Quarantine(bytes, meta);
  }

  /** Reads the packets [first, count) of the in list and finds their flows. */
  batch(first: number, count: number): void {
    this.bytes.i32[HANDLING] = LOOKING_UP - count;
    for (let i = first; i < count; i++) this.parse(i);
    if (this.table.count < FETCH_FROM) {
      for (let i = first; i < count; i++) this.find(i * META);
    } else {
      this.fetch(first * META, count * META);
      for (let i = first; i < count; i++) this.verify(i * META);
    }
    if (this.quarantine.isOn) this.quarantine.mark(first, count);
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

  /**
   * Leaves in M_HANDLE of the rows [first, end) whom the index names first; of rows that parsePacket() refused, nobody. What it
   * loads besides, it throws away.
   */
  private fetch(first: number, end: number): void {
    const { meta } = this;
    const { hot, track, cold, index } = this.table;
    const { words, mask, valueMask, tagMask } = index;
    // A refused row has an earlier packet's hash, which does no harm.
    for (let m = first; m < end; m += META) meta[m + M_FETCHED] = words[meta[m + M_HASH]! & mask]!;
    for (let m = first; m < end; m += META) {
      if (meta[m + M_REASON] !== OK) continue;
      // TagIndex.seek()
      const hash = meta[m + M_HASH]!;
      let slot = hash & mask;
      let word = words[slot]!;
      while (word !== 0 && ((word ^ hash) & tagMask) !== 0) {
        slot = (slot + 1) & mask;
        word = words[slot]!;
      }
      const handle = (word & valueMask) - 1;
      meta[m + M_HANDLE] = handle;
      if (handle < 0) continue;
      meta[m + M_FETCHED] = hot[(handle >> 1) * HOT]!;
      if (meta[m + M_PROTOCOL] === PROTO_TCP) meta[m + M_FETCHED] = track[(handle >> 1) * TRACK]!;
    }
    for (let m = first; m < end; m += META) {
      const handle = meta[m + M_HANDLE]!;
      if (handle < 0 || meta[m + M_PROTOCOL] !== PROTO_UDP) continue;
      // Whether it is a stream yet will be asked of its age.
      if ((hot[(handle >> 1) * HOT + H_STATUS]! & (SEEN_REPLY | ASSURED)) === SEEN_REPLY) {
        meta[m + M_FETCHED] = cold[(handle >> 1) * COLD + C_CREATED]!;
      }
    }
  }

  /** Whether row `m` is of the flow that its hash named; else looks it up. */
  private verify(m: number): void {
    const { meta } = this;
    const { hot } = this.table;
    const handle = meta[m + M_HANDLE]!;
    if (meta[m + M_REASON] !== OK || meta[m + M_KIND] !== KIND_FLOW) {
      meta[m + M_HANDLE] = -1;
      return;
    }
    if (handle >= 0) {
      const tuple = (handle >> 1) * HOT + (handle & 1) * TUPLE;
      if (
        hot[tuple]! === meta[m + M_SOURCE]! &&
        hot[tuple + H_DESTINATION]! === meta[m + M_DESTINATION]! &&
        hot[tuple + H_PORTS]! === meta[m + M_PORTS]! &&
        (hot[(handle >> 1) * HOT + H_STATUS]! & 0xff) === meta[m + M_PROTOCOL]!
      ) {
        return;
      }
    }
    this.find(m);
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
