/**
 * ICMP errors on their way through the engine (RFC 5508 4): RELATED to the flow of the packet that they quote, or the
 * host's, or nobody's. They never refresh or end a flow (REQ-6).
 */
import { type FlowTable, H_DESTINATION, H_STATUS, HELPED, HOT, TUPLE } from '../conntrack/flow-table.ts';
import { isInFlight } from '../conntrack/quote-window.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import {
  BAD_ICMP_CHECKSUM,
  BAD_QUOTE,
  NO_RELATED,
  NO_ROUTE,
  OK,
  QUOTE_OUT_OF_WINDOW,
  TOO_BIG,
  TTL_EXCEEDED,
} from '../core/reasons.ts';
import { type IpIds, needsId } from '../nat/ip-id.ts';
import { NO_ADDRESS, type PrefixPairs } from '../nat/prefixes.ts';
import { isConcealed } from '../nat/translate.ts';
import { translateError } from '../nat/translate-error.ts';
import { PUBLIC } from '../policy/admission.ts';
import { swap32 } from '../wire/bytes.ts';
import { fold } from '../wire/checksum.ts';
import { IP_TTL, PROTO_GRE, PROTO_TCP } from '../wire/ipv4.ts';
import {
  M_DESTINATION,
  M_DEVICE,
  M_HANDLE,
  M_L4,
  M_LENGTH,
  M_OFFSET,
  M_PORTS,
  M_PROTOCOL,
  M_SOURCE,
  META,
  parseQuote,
} from '../wire/parse.ts';
import { TCP_SEQUENCE } from '../wire/tcp.ts';
import { BATCH } from './arena.ts';
import { ICMP_TRANSLATED } from './counters.ts';
import type { Devices } from './devices.ts';
import { type HandOff, HERE } from './hand-off.ts';
import type { Helpers } from './helpers.ts';
import type { OutList } from './out-list.ts';
import type { Path } from './path.ts';
import { removeRealmObjects } from './realm-objects.ts';
import { sumPacket } from './slot-bytes.ts';

/** Row of the packet table for the packet that an error quotes. */
const QUOTE_ROW = BATCH * META;

export interface ErrorPathParts {
  devices: Devices;
  table: FlowTable;
  path: Path;
  out: OutList;
  /** The packet table of the engine, with a row for the quote behind those of the batch. */
  meta: Int32Array;
  counters: Float64Array;
  ids: IpIds;
  helpers: Helpers;
  prefixes: PrefixPairs;
}

export class ErrorPath {
  private readonly devices: Devices;
  private readonly table: FlowTable;
  private readonly path: Path;
  private readonly out: OutList;
  private readonly meta: Int32Array;
  private readonly counters: Float64Array;
  private readonly ids: IpIds;
  private readonly helpers: Helpers;
  private readonly prefixes: PrefixPairs;
  /** Several workers: where errors about another's flows go. */
  handOff: HandOff | null = null;

  constructor({ devices, table, path, out, meta, counters, ids, helpers, prefixes }: ErrorPathParts) {
    this.devices = devices;
    this.table = table;
    this.path = path;
    this.out = out;
    this.meta = meta;
    this.counters = counters;
    this.ids = ids;
    this.helpers = helpers;
    this.prefixes = prefixes;
  }

  /** The error of row `m` in `slot`: OK (sent, or handed to the host) or a drop reason. */
  handle(slot: number, m: number): number {
    const { meta, table, path } = this;
    const { bytes } = this.out;
    const offset = meta[m + M_OFFSET]!;
    const l4 = meta[m + M_L4]!;
    const length = meta[m + M_LENGTH]! - (l4 - offset);
    if (fold(sumPacket(bytes, slot, l4 - offset, length)) !== 0xffff) return BAD_ICMP_CHECKSUM;
    if (parseQuote(bytes, l4, length, meta, QUOTE_ROW) !== OK) {
      return path.isForHost(m) ? path.handBack(slot, m) : BAD_QUOTE;
    }
    const protocol = meta[QUOTE_ROW + M_PROTOCOL]!;
    if (protocol === PROTO_GRE && this.helpers.greKeys.count !== 0) this.helpers.findCall(QUOTE_ROW);
    // The quoted packet went the other way: its flow is found by the inverse of its tuple.
    const handle = table.lookup(
      meta[QUOTE_ROW + M_DESTINATION]!,
      meta[QUOTE_ROW + M_SOURCE]!,
      invertPorts(protocol, meta[QUOTE_ROW + M_PORTS]!),
      protocol,
    );
    if (handle < 0) return this.handleUnrelated(slot, m, protocol);
    meta[m + M_HANDLE] = handle;
    const tuple = (handle >> 1) * HOT + (handle & 1) * TUPLE;
    const side = this.devices.side[meta[m + M_DEVICE]!];
    if (side !== table.sideOf(handle) || meta[m + M_DESTINATION] !== table.hot[tuple + H_DESTINATION]) {
      return NO_RELATED;
    }
    if (protocol === PROTO_TCP && !this.isUnderWay(handle)) return QUOTE_OUT_OF_WINDOW;
    const egress = path.egressOf(handle);
    if (path.deviceOf(egress) < 0) return NO_ROUTE;
    if (bytes.u8[offset + IP_TTL]! <= 1) return TTL_EXCEEDED;
    if (meta[m + M_LENGTH]! > path.mtuOf(egress)) return TOO_BIG;
    const external = table.hot[(handle >> 1) * HOT + TUPLE - (handle & 1) * TUPLE + H_DESTINATION]!;
    const router = this.routerName(meta[m + M_SOURCE]!, external);
    if (isConcealed(table.hot, handle)) removeRealmObjects(bytes, slot, meta, m);
    translateError(bytes, meta, m, QUOTE_ROW, table.hot, handle, router);
    if (needsId(bytes.u8, offset) && this.devices.side[path.deviceOf(egress)] === PUBLIC) {
      this.ids.renumber(bytes, offset, meta[m + M_LENGTH]!, path.mtuOf(egress));
    }
    this.counters[ICMP_TRANSLATED]!++;
    path.sendWhole(egress, slot, meta[m + M_LENGTH]!);
    return OK;
  }

  /** Whether the quoted segment of the flow, which went against the direction of `handle`, can be on its way (RFC 5927). */
  private isUnderWay(handle: number): boolean {
    const { table, helpers } = this;
    const flow = handle >> 1;
    const direction = (handle & 1) ^ 1;
    let sequence = swap32(this.out.bytes.i32[(this.meta[QUOTE_ROW + M_L4]! + TCP_SEQUENCE) >> 2]!);
    if ((table.hot[flow * HOT + H_STATUS]! & HELPED) !== 0) {
      sequence = (sequence - helpers.sequences.offsetOf(flow, direction, sequence)) | 0;
    }
    return isInFlight(table.track, flow, direction, sequence);
  }

  /** About a flow that is not here: another worker's, the host's, or nobody's. */
  private handleUnrelated(slot: number, m: number, protocol: number): number {
    const { meta, path, handOff } = this;
    if (handOff !== null) {
      const source = meta[QUOTE_ROW + M_DESTINATION]!;
      const destination = meta[QUOTE_ROW + M_SOURCE]!;
      const ports = invertPorts(protocol, meta[QUOTE_ROW + M_PORTS]!);
      const given = handOff.give(handOff.owner(m, source, destination, protocol, ports), slot, m);
      if (given !== HERE) return given;
    }
    return path.isForHost(m) ? path.handBack(slot, m) : NO_RELATED;
  }

  /**
   * As whom the error of an internal router leaves, about a flow that has `external` outside (RFC 5508 REQ-5c): by its own
   * 1:1 address; else by one of natgate's, which a 1:1 address of another host is not.
   */
  private routerName(router: number, external: number): number {
    const { prefixes, devices } = this;
    const own = prefixes.toExternal(router);
    if (own !== NO_ADDRESS) return own;
    const isHosts = prefixes.toInternal(external) !== NO_ADDRESS;
    return isHosts && devices.external !== 0 ? devices.external : external;
  }
}
